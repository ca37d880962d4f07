"""
Count votes against a policy.

Votes count persons, one slot each; a policy is satisfied when every slot has a distinct person.
Nothing here knows Slack accounts, clocks or what is being approved.
"""

from collections.abc import Collection, Mapping, Sequence

from bot.core.messages import Offer
from bot.core.model import Value
from bot.core.runbook import OptionName, Policy, Role

Roles = Mapping[str, Role]


class Count(Value):
    """How far a policy is: who fills which slot, and which slots are still open."""

    satisfied: bool
    filled: tuple[tuple[str, str], ...]  #: (role, person) pairs
    missing: tuple[tuple[str, ...], ...]  #: for each open slot, the roles that could fill it


class Needed(Value):
    """One open slot: the roles that could fill it, and the people who could, people before deputies."""

    roles: tuple[str, ...]
    people: tuple[str, ...]


class Choice(Value):
    """The option that is decided, the people whose votes decided it, and who broke the tie, if there was one."""

    option: OptionName
    voters: tuple[str, ...]
    tie_broken_by: tuple[str, ...] = ()


def count(policy: Policy, roles: Roles, voters: Collection[str], requester: str | None) -> Count:
    """
    Return how far *policy* is with *voters*; their order does not matter.

    As many slots as possible are filled (a maximum matching), so a person with two roles takes the
    one that others leave open. An open slot names every role whose vote would help now, also a
    filled one whose person could move over.
    """
    slots = _slots(policy)
    held = {person: found for person in sorted(set(voters)) if (found := _held(policy, roles, person, requester))}
    seats: dict[int, str] = {}
    for person in held:
        _seat(person, slots, held, seats, set())
    filled = tuple((_first(policy, held[person] & slots[i]), person) for i, person in sorted(seats.items()))
    missing = tuple(_in_order(policy, _helpful(i, slots, held, seats)) for i in range(len(slots)) if i not in seats)
    return Count(satisfied=not missing, filled=filled, missing=missing)


def eligible(policy: Policy, roles: Roles, person: str, requester: str | None) -> bool:
    """Return whether *person* could fill any slot of *policy*."""
    return bool(_held(policy, roles, person, requester))


def still_needed(policy: Policy, roles: Roles, voters: Collection[str], requester: str | None) -> tuple[Needed, ...]:
    """Return each open slot with the people who have not voted so and could fill it; nobody, where none is left."""
    return tuple(
        Needed(
            roles=group,
            people=tuple(
                person
                for person in _everyone(roles, group)
                if person not in voters and eligible(policy, roles, person, requester)
            ),
        )
        for group in count(policy, roles, voters, requester).missing
    )


def winner(
    offers: Sequence[Offer],
    votes: Sequence[tuple[str, OptionName]],
    roles: Roles,
    requester: str | None,
    tie_breaker: str | None,
) -> Choice | None:
    """
    Return what *votes* decide, or None while people still have to.

    Votes are (person, option) as they were cast; a later one of the same person replaces the
    earlier. The first option whose policy is satisfied wins.

    It is a tie when votes that count stand for two options or more, none is satisfied, and none
    would be even if everybody who has not voted chose it. Then the vote of the *tie_breaker* role
    decides, if all of that role who voted chose the same option, and

    - every slot that option lacks was refused, by somebody who could fill it and chose otherwise:
      absence is not disagreement, and nobody's silence is overruled;
    - as many distinct people who count for it chose it as its policy has slots: the role settles who
      is right, never how many are needed. One person alone never acts where two are wanted.

    Otherwise nothing is decided and the deadline runs.
    """
    standing: dict[str, OptionName] = {}
    for person, option in votes:
        standing.pop(person, None)
        standing[person] = option
        for offer in offers:
            done = count(offer.policy, roles, _choosing(standing, offer), requester)
            if done.satisfied:
                seated = {who for _, who in done.filled}
                return Choice(option=offer.option, voters=tuple(who for who in standing if who in seated))
    breaker = roles.get(tie_breaker) if tie_breaker else None
    return _break_tie(offers, standing, roles, requester, breaker) if breaker else None


def _break_tie(
    offers: Sequence[Offer],
    standing: Mapping[str, OptionName],
    roles: Roles,
    requester: str | None,
    breaker: Role,
) -> Choice | None:
    """Return the choice of the tie-breaking role; no offer is satisfied."""
    backers = {
        offer.option: tuple(
            person for person in _choosing(standing, offer) if eligible(offer.policy, roles, person, requester)
        )
        for offer in offers
    }
    spoken = {person for group in backers.values() for person in group}
    silent = [person for person in _everyone(roles, roles) if person not in spoken]
    if sum(bool(group) for group in backers.values()) < 2:
        return None
    if any(count(o.policy, roles, [*backers[o.option], *silent], requester).satisfied for o in offers):
        return None
    breaking = tuple(p for p in standing if p in spoken and p in breaker.everyone)
    if len({standing[person] for person in breaking}) != 1:
        return None
    chosen = next(offer for offer in offers if offer.option is standing[breaking[0]])
    against = spoken - set(backers[chosen.option])
    refused = all(
        any(_held(chosen.policy, roles, person, requester) & set(group) for person in against)
        for group in count(chosen.policy, roles, backers[chosen.option], requester).missing
    )
    if not refused or len(backers[chosen.option]) < len(_slots(chosen.policy)):
        return None
    return Choice(option=chosen.option, voters=backers[chosen.option], tie_broken_by=breaking)


def _choosing(standing: Mapping[str, OptionName], offer: Offer) -> tuple[str, ...]:
    return tuple(person for person, option in standing.items() if option is offer.option)


def _everyone(roles: Roles, names: Collection[str]) -> tuple[str, ...]:
    """Return everybody in those roles once, people before deputies."""
    listed = [roles[name] for name in names if name in roles]
    people = [person for role in listed for person in role.people]
    return tuple(dict.fromkeys([*people, *(person for role in listed for person in role.deputies)]))


def _slots(policy: Policy) -> tuple[frozenset[str], ...]:
    """Return each slot as the roles that may fill it."""
    if policy.one_of_each:
        return tuple(frozenset({role}) for role in policy.one_of_each)
    return (frozenset(policy.of),) * policy.any


def _held(policy: Policy, roles: Roles, person: str, requester: str | None) -> frozenset[str]:
    """Return the roles by which *person* counts; none for the requester where the policy wants someone else."""
    if policy.not_requester and person == requester:
        return frozenset()
    return frozenset(name for name in policy.roles if name in roles and person in roles[name].everyone)


def _seat(
    person: str,
    slots: Sequence[frozenset[str]],
    held: Mapping[str, frozenset[str]],
    seats: dict[int, str],
    tried: set[int],
) -> bool:
    """Give *person* a slot, moving others over where that helps (augmenting path; Kuhn 1955)."""
    for index, wanted in enumerate(slots):
        if index in tried or not held[person] & wanted:
            continue
        tried.add(index)
        if index not in seats or _seat(seats[index], slots, held, seats, tried):
            seats[index] = person
            return True
    return False


def _helpful(
    index: int, slots: Sequence[frozenset[str]], held: Mapping[str, frozenset[str]], seats: Mapping[int, str]
) -> frozenset[str]:
    """Return the roles whose vote would lead to slot *index* being filled, directly or by others moving over."""
    wanted, before = slots[index], frozenset[str]()
    while wanted != before:
        before = wanted
        wanted = wanted.union(*(slots[i] for i, person in seats.items() if held[person] & before))
    return wanted


def _in_order(policy: Policy, names: frozenset[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(role for role in policy.roles if role in names))


def _first(policy: Policy, names: frozenset[str]) -> str:
    return _in_order(policy, names)[0]
