"""A policy counts persons: one slot each, the requester kept out, no order that matters, no tie that cheats."""

from collections.abc import Sequence
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.approvals import Choice, Count, Needed, count, eligible, still_needed, winner
from bot.core.messages import Offer
from bot.core.runbook import OptionName, Policy, Role

ROLES = {
    "lead": Role(people=("ana",), deputies=("dan",)),
    "network-ops": Role(people=("nia", "noa")),
    "mno-partner": Role(people=("pia", "pol")),
}
EVERYBODY = ("ana", "dan", "nia", "noa", "pia", "pol")
NAMES = ("r1", "r2", "r3")
PEOPLE = ("p1", "p2", "p3", "p4", "p5")

ROSTERS = st.fixed_dictionaries(
    {
        name: st.builds(
            lambda people, deputies: Role(people=tuple(people), deputies=tuple(deputies)),
            st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3, unique=True),
            st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True),
        )
        for name in NAMES
    }
)
#: "r9" is a role the roster does not have.
POLICIES = st.one_of(
    st.builds(
        lambda roles, other: Policy(one_of_each=tuple(roles), not_requester=other),
        st.lists(st.sampled_from((*NAMES, "r9")), min_size=1, max_size=4),
        st.booleans(),
    ),
    st.builds(
        lambda n, roles, other: Policy(any=n, of=tuple(roles), not_requester=other),
        st.integers(1, 3),
        st.lists(st.sampled_from((*NAMES, "r9")), min_size=1, max_size=3, unique=True),
        st.booleans(),
    ),
)
VOTERS = st.lists(st.sampled_from(PEOPLE), max_size=5, unique=True)
REQUESTERS = st.one_of(st.none(), st.sampled_from(PEOPLE))


def _each(*roles: str, not_requester: bool = False) -> Policy:
    return Policy(one_of_each=roles, not_requester=not_requester)


def _any(n: int, *roles: str) -> Policy:
    return Policy(any=n, of=roles)


def _slots(policy: Policy) -> list[tuple[str, ...]]:
    return [(role,) for role in policy.one_of_each] or [policy.of] * policy.any


def _fits(policy: Policy, roles: dict[str, Role], person: str, slot: tuple[str, ...], requester: str | None) -> bool:
    barred = policy.not_requester and person == requester
    return not barred and any(role in roles and person in roles[role].everyone for role in slot)


def _most_filled(policy: Policy, roles: dict[str, Role], voters: Sequence[str], requester: str | None) -> int:
    """Return the answer by trying every seating: the oracle."""
    slots = _slots(policy)
    padded = [*voters, *[""] * len(slots)]
    return max(
        sum(bool(p) and _fits(policy, roles, p, slot, requester) for p, slot in zip(seating, slots, strict=True))
        for seating in set(permutations(padded, len(slots)))
    )


# ----------------------------------------------------------------------------------------- count


def test_a_person_with_two_roles_fills_one_slot_only() -> None:
    roles = {"lead": Role(people=("ana",)), "ops": Role(people=("ana", "bo"))}
    alone = count(_each("lead", "ops"), roles, ["ana"], None)
    assert not alone.satisfied
    assert len(alone.filled) == 1
    assert count(_each("lead", "ops"), roles, ["ana", "bo"], None).satisfied


def test_a_person_with_two_roles_never_blocks_the_other() -> None:
    roles = {"ops": Role(people=("ana", "bo")), "lead": Role(people=("ana",))}
    for voters in (["ana", "bo"], ["bo", "ana"]):
        assert count(_each("ops", "lead"), roles, voters, None).filled == (("ops", "bo"), ("lead", "ana"))


def test_a_deputy_counts_from_the_start() -> None:
    assert count(_each("lead"), ROLES, ["dan"], None) == Count(satisfied=True, filled=(("lead", "dan"),), missing=())


def test_a_vote_cast_twice_counts_once() -> None:
    assert not count(_any(2, "network-ops"), ROLES, ["nia", "nia"], None).satisfied
    assert count(_any(2, "network-ops"), ROLES, ["nia", "noa"], None).satisfied


def test_the_requester_is_kept_out_where_the_policy_says_so() -> None:
    policy = _each("lead", "network-ops", not_requester=True)
    assert not count(policy, ROLES, ["ana", "nia"], "ana").satisfied
    assert count(policy, ROLES, ["dan", "nia"], "ana").satisfied
    assert count(_each("lead", "network-ops"), ROLES, ["ana", "nia"], "ana").satisfied


def test_a_role_that_nobody_holds_is_never_filled() -> None:
    assert not count(_each("lead", "auditor"), ROLES, EVERYBODY, None).satisfied
    assert not count(_any(1, "auditor"), ROLES, EVERYBODY, None).satisfied


def test_a_policy_that_names_no_role_is_never_satisfied() -> None:
    assert not count(Policy(any=1), ROLES, EVERYBODY, None).satisfied


def test_an_open_slot_names_every_role_that_would_help() -> None:
    roles = {"lead": Role(people=("ana",)), "ops": Role(people=("ana", "bo")), "care": Role(people=("cy",))}
    assert count(_each("lead", "ops", "care"), roles, ["ana"], None).missing == (("lead", "ops"), ("care",))


@given(policy=POLICIES, roles=ROSTERS, voters=VOTERS, requester=REQUESTERS)
def test_the_count_is_what_trying_every_seating_finds(
    policy: Policy, roles: dict[str, Role], voters: list[str], requester: str | None
) -> None:
    found = count(policy, roles, voters, requester)
    most = _most_filled(policy, roles, voters, requester)
    assert len(found.filled) == most
    assert len(found.missing) == len(_slots(policy)) - most
    assert found.satisfied == (most == len(_slots(policy)))


@given(policy=POLICIES, roles=ROSTERS, voters=VOTERS, requester=REQUESTERS, dice=st.randoms())
def test_the_order_of_votes_does_not_matter(
    policy: Policy, roles: dict[str, Role], voters: list[str], requester: str | None, dice: Random
) -> None:
    shuffled = sorted(voters, key=lambda _: dice.random())
    assert count(policy, roles, shuffled, requester) == count(policy, roles, voters, requester)


@given(policy=POLICIES, roles=ROSTERS, voters=VOTERS, requester=REQUESTERS, more=st.sampled_from(PEOPLE))
def test_one_more_vote_never_takes_a_slot_away(
    policy: Policy, roles: dict[str, Role], voters: list[str], requester: str | None, more: str
) -> None:
    before, after = count(policy, roles, voters, requester), count(policy, roles, [*voters, more], requester)
    assert len(after.filled) >= len(before.filled)
    assert after.satisfied or not before.satisfied


@given(policy=POLICIES, roles=ROSTERS, voters=VOTERS, requester=REQUESTERS)
def test_who_fills_a_slot_voted_holds_the_role_and_fills_no_other(
    policy: Policy, roles: dict[str, Role], voters: list[str], requester: str | None
) -> None:
    filled = count(policy, roles, voters, requester).filled
    people = [person for _, person in filled]
    assert len(set(people)) == len(people)
    assert set(people) <= set(voters)
    assert all(person in roles[role].everyone for role, person in filled)
    assert not (policy.not_requester and requester in people)


@given(policy=POLICIES, roles=ROSTERS, voters=VOTERS, requester=REQUESTERS, more=st.sampled_from(PEOPLE))
def test_a_new_vote_helps_exactly_when_an_open_slot_names_its_role(
    policy: Policy, roles: dict[str, Role], voters: list[str], requester: str | None, more: str
) -> None:
    before = count(policy, roles, voters, requester)
    named = any(_fits(policy, roles, more, group, requester) for group in before.missing)
    after = count(policy, roles, [*voters, more], requester)
    assert (len(after.filled) > len(before.filled)) == (named and more not in voters)


@given(policy=POLICIES, roles=ROSTERS, person=st.sampled_from(PEOPLE), requester=REQUESTERS)
def test_eligible_is_who_fills_a_slot_alone(
    policy: Policy, roles: dict[str, Role], person: str, requester: str | None
) -> None:
    assert eligible(policy, roles, person, requester) == bool(count(policy, roles, [person], requester).filled)


# ----------------------------------------------------------------------------------- still needed


def test_what_is_still_needed_names_people_before_deputies_and_nobody_who_voted() -> None:
    assert still_needed(_each("lead", "network-ops"), ROLES, ["nia"], None) == (
        Needed(roles=("lead",), people=("ana", "dan")),
    )
    assert still_needed(_any(2, "network-ops", "lead"), ROLES, ["nia"], None) == (
        Needed(roles=("network-ops", "lead"), people=("noa", "ana", "dan")),
    )


def test_the_requester_is_not_named_where_someone_else_is_wanted() -> None:
    policy = _each("lead", not_requester=True)
    assert still_needed(policy, ROLES, [], "ana") == (Needed(roles=("lead",), people=("dan",)),)


def test_a_slot_that_nobody_can_fill_says_so() -> None:
    assert still_needed(_each("auditor"), ROLES, [], None) == (Needed(roles=("auditor",), people=()),)


@given(policy=POLICIES, roles=ROSTERS, voters=VOTERS, requester=REQUESTERS)
def test_anybody_named_as_needed_would_help(
    policy: Policy, roles: dict[str, Role], voters: list[str], requester: str | None
) -> None:
    before = len(count(policy, roles, voters, requester).filled)
    for slot in still_needed(policy, roles, voters, requester):
        for person in slot.people:
            assert len(count(policy, roles, [*voters, person], requester).filled) == before + 1


# ----------------------------------------------------------------------------------------- winner

BACK, FIX, ON = OptionName.GO_BACK, OptionName.FIX_FIRST, OptionName.CONTINUE
OFFERS = (
    Offer(letter="A", option=BACK, policy=_each("lead", "mno-partner")),
    Offer(letter="B", option=FIX, policy=_any(2, "lead", "network-ops")),
    Offer(letter="C", option=ON, policy=_each("lead", "network-ops", "mno-partner")),
)
VOTES = st.lists(st.tuples(st.sampled_from(EVERYBODY), st.sampled_from((BACK, FIX, ON))), max_size=9)


def _winner(*votes: tuple[str, OptionName], tie_breaker: str | None = "lead") -> Choice | None:
    return winner(OFFERS, votes, ROLES, None, tie_breaker)


def test_nobody_voted_decides_nothing() -> None:
    assert _winner() is None


def test_the_first_option_whose_policy_is_satisfied_wins() -> None:
    votes = [("nia", FIX), ("ana", BACK), ("pia", BACK), ("noa", FIX)]
    assert _winner(*votes) == Choice(option=BACK, voters=("ana", "pia"))
    assert _winner(*votes[:2]) is None


def test_a_later_vote_of_the_same_person_replaces_the_earlier() -> None:
    assert _winner(("ana", ON), ("pia", BACK), ("ana", BACK)) == Choice(option=BACK, voters=("pia", "ana"))
    assert _winner(("ana", BACK), ("ana", FIX), ("pia", BACK)) is None


def test_a_vote_that_counts_for_no_slot_does_not_decide() -> None:
    assert _winner(("nia", BACK), ("noa", BACK), ("pia", BACK)) is None


# Both partners want to go on, lead and deputy want back: whatever network-ops do, neither can be reached.
PARTNERS_REFUSE = (("pia", ON), ("pol", ON), ("ana", BACK), ("dan", BACK), ("nia", FIX), ("noa", ON))


def test_the_tie_breaker_decides_when_no_option_can_be_satisfied() -> None:
    choice = _winner(*PARTNERS_REFUSE)
    assert choice == Choice(option=BACK, voters=("ana", "dan"), tie_broken_by=("ana", "dan"))


def test_without_a_tie_breaker_a_tie_decides_nothing() -> None:
    assert _winner(*PARTNERS_REFUSE, tie_breaker=None) is None
    assert _winner(*PARTNERS_REFUSE, tie_breaker="auditor") is None


def test_it_is_no_tie_while_somebody_silent_could_settle_it() -> None:
    without_pol = [vote for vote in PARTNERS_REFUSE if vote[0] != "pol"]
    assert _winner(*without_pol) is None


def test_a_tie_breaker_who_disagrees_with_the_deputy_breaks_nothing() -> None:
    votes = [("pia", ON), ("pol", ON), ("ana", BACK), ("dan", FIX), ("nia", ON), ("noa", BACK)]
    assert _winner(*votes) is None


def test_the_tie_breaker_alone_never_acts_where_two_are_wanted() -> None:
    roles = ROLES | {"lead": Role(people=("ana",))}
    votes = [("pia", ON), ("pol", ON), ("ana", BACK), ("nia", FIX), ("noa", ON)]
    assert winner(OFFERS, votes, roles, None, "lead") is None


def test_absence_is_not_disagreement() -> None:
    """Nobody can fill the auditor's slot; the tie-breaker may not wave it through."""
    offers = (
        Offer(letter="A", option=BACK, policy=_any(3, "mno-partner")),
        Offer(letter="C", option=ON, policy=_each("lead", "auditor")),
    )
    votes = [("ana", ON), ("dan", ON), ("pia", BACK), ("pol", BACK)]
    assert winner(offers, votes, ROLES, None, "lead") is None


def test_the_requester_breaks_no_tie_where_someone_else_is_wanted() -> None:
    offers = (
        Offer(letter="A", option=BACK, policy=_each("mno-partner", "mno-partner", not_requester=True)),
        Offer(letter="C", option=ON, policy=_each("lead", "mno-partner", not_requester=True)),
    )
    votes = [("pia", BACK), ("pol", ON), ("ana", BACK)]
    assert winner(offers, votes, ROLES | {"lead": Role(people=("ana",))}, "ana", "lead") is None


@given(votes=VOTES, requester=st.sampled_from((None, *EVERYBODY)))
def test_a_win_has_the_people_its_policy_wants(votes: list[tuple[str, OptionName]], requester: str | None) -> None:
    choice = winner(OFFERS, votes, ROLES, requester, "lead")
    if choice is None:
        return
    policy = next(offer.policy for offer in OFFERS if offer.option is choice.option)
    assert len(set(choice.voters)) == len(choice.voters) >= len(_slots(policy))
    assert all((person, choice.option) in votes for person in choice.voters)
    assert all(eligible(policy, ROLES, person, requester) for person in choice.voters)
    assert set(choice.tie_broken_by) <= set(choice.voters)
    assert bool(choice.tie_broken_by) != count(policy, ROLES, choice.voters, requester).satisfied


@given(votes=VOTES)
def test_a_tie_breaker_changes_nothing_that_votes_decide(votes: list[tuple[str, OptionName]]) -> None:
    without = _winner(*votes, tie_breaker=None)
    assert without is None or _winner(*votes) == without


@given(votes=VOTES)
def test_the_order_on_the_card_does_not_matter(votes: list[tuple[str, OptionName]]) -> None:
    assert winner(OFFERS[::-1], votes, ROLES, None, "lead") == _winner(*votes)


@pytest.mark.parametrize("option", [BACK, FIX, ON])
def test_what_everybody_chooses_wins(option: OptionName) -> None:
    choice = _winner(*((person, option) for person in EVERYBODY))
    assert choice is not None
    assert choice.option is option
    assert not choice.tie_broken_by
