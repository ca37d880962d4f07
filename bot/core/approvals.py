"""
Count votes against a policy.

Votes count persons, one slot each; a policy is satisfied when every slot has a distinct person.
Nothing here knows Slack accounts, clocks or what is being approved.
"""

from collections.abc import Mapping, Sequence

from bot.core.model import Value
from bot.core.runbook import Policy, Role


class Count(Value):
    """How far a policy is: who fills which slot, and which slots are still open."""

    satisfied: bool
    filled: tuple[tuple[str, str], ...]  #: (role, person) pairs
    missing: tuple[tuple[str, ...], ...]  #: for each open slot, the roles that could fill it


def count(policy: Policy, roles: Mapping[str, Role], voters: Sequence[str], requester: str | None) -> Count:
    """Return how far *policy* is with *voters* (distinct persons, in order of their votes)."""
    raise NotImplementedError


def eligible(policy: Policy, roles: Mapping[str, Role], person: str, requester: str | None) -> bool:
    """Return whether *person* could fill any slot of *policy*."""
    raise NotImplementedError
