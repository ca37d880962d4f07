"""
Trigger ids: each lets the bot open one view, for three seconds, for the person who acted.

Decides only whether an id may be spent now.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bot.room.answers import ApiError

_KEPT = 1000


@dataclass(slots=True)
class _Trigger:
    user: str
    at: float
    used: bool = False


class Triggers:
    """The ids given out lately."""

    def __init__(self, monotonic: Callable[[], float], lasts_s: float) -> None:
        self._monotonic = monotonic
        self._lasts_s = lasts_s
        self._given: dict[str, _Trigger] = {}

    def issue(self, user: str) -> str:
        name = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self._given[name] = _Trigger(user, self._monotonic())
        if len(self._given) > _KEPT:
            del self._given[next(iter(self._given))]
        return name

    def check(self, name: str) -> str:
        """Return whose action *name* came from, or refuse with Slack's word; does not use it up."""
        trigger = self._given.get(name)
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.used:
            raise ApiError("exchanged_trigger_id")
        if self._monotonic() - trigger.at > self._lasts_s:
            raise ApiError("expired_trigger_id")
        return trigger.user

    def spend(self, name: str) -> None:
        self._given[name].used = True
