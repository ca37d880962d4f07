"""Digests promise the next one; what is said to one person tells what that person can do."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bot.core import messages as m
from bot.room.blockkit import check_blocks
from bot.words import answers, replies
from bot.words.digest import digest

NightIn = Callable[[str], Any]


def _digest(night: Any) -> str:
    return digest(night.house, night.run, "executive", night.now).text


def test_the_digest_of_a_met_rule(night_in: NightIn) -> None:
    night = night_in("failing")
    assert _digest(night) == (
        "✖ LIVE · Number portability, wave 1, 02:05 London: AT RISK. DECIDE BY 02:15 London (10 min)\n"
        "Decision 2, due 02:15 London: port back, fix first or continue (A: cutover-lead AND mno-partner · "
        "B: cutover-lead or network-ops · C: cutover-lead AND network-ops AND mno-partner).\n"
        "Customers: this does not work for them: Calls into our numbers (mno-b). All else that we check works\n"
        "Since 01:50: decision 1 was GO at 02:00; Prepare the switch done at 02:00; Switch the routing done at 02:01; "
        'rule 1 ("Calls into our numbers fail"), signed before the start, was met at 02:05.\n'
        "Next message: right after the decision, at the latest 02:35 London\n"
        f"ledger entry 0, head none · criteria {night.run.criteria_digest[:8]}"
    )


def test_a_digest_says_when_the_next_one_comes_even_if_nothing_changed(night_in: NightIn) -> None:
    text = _digest(night_in("started"))
    assert "Since 01:50: nothing changed." in text
    assert "Next message: 02:20 London" in text


def test_the_last_digest_says_that_it_is_the_last(night_in: NightIn) -> None:
    assert "Next message: none, the run is over" in _digest(night_in("completed"))


def test_a_digest_has_no_commands(night: Any) -> None:
    if night.run.started_at is not None:
        assert "/cutover" not in _digest(night)


def test_the_digest_of_a_rehearsal_names_its_scenario_and_speed(new_night: type[Any]) -> None:
    night = new_night(m.Scenario(name="stale-routing", speed=60)).watching()
    assert _digest(night).startswith("✔ REHEARSAL · ")
    assert _digest(night).endswith(" · REHEARSAL, scenario stale-routing, clock x60")


@pytest.mark.parametrize(
    ("state", "person", "can", "cannot"),
    [
        ("opened", "noc-a", ["/cutover sign"], ["/cutover start"]),
        ("signed", "noc-a", ["/cutover start"], ["/cutover sign"]),
        ("signed", "partner-a", [], ["/cutover start"]),
        ("started", "partner-a", ["/cutover here", "/cutover pause", "/cutover undo"], ["port-back", "prepare"]),
        ("gone", "noc-a", ["/cutover start switch-routing"], ["/cutover start go"]),
        ("gone", "partner-a", [], ["switch-routing`"]),
        ("in-doubt", "noc-a", ["/cutover retry switch-routing"], ["/cutover undo"]),
        ("failing", "lead", ["/cutover decide 2", "/cutover port-back"], ["/cutover undo"]),
        ("paused", "lead", ["/cutover resume"], ["/cutover pause`"]),
        ("completed", "lead", [], ["/cutover"]),
    ],
)
def test_catch_me_up_tells_what_this_person_can_do(
    night_in: NightIn, state: str, person: str, can: Sequence[str], cannot: Sequence[str]
) -> None:
    night = night_in(state)
    text = answers.status(night.house, night.run, night.now, person).text
    asked = text.partition("What can be done now:")[2] or text
    assert all(one in asked for one in can)
    assert not any(one in asked for one in cannot)


def test_a_guest_is_told_that_they_only_watch(night_in: NightIn) -> None:
    night = night_in("failing")
    assert "You are watching only." in answers.status(night.house, night.run, night.now, "guest").text


def test_the_list_that_people_sign_is_numbered_and_says_who_signed(night_in: NightIn) -> None:
    night = night_in("opened").says("lead", m.Sign())
    text = answers.here_is("criteria", night.run, night.now).text
    for number, _ in enumerate(night.run.criteria, start=1):
        assert f"\n{number}. " in text
    assert "Signed: cutover-lead by Ana 01:50" in text
    assert "Still to sign: network-ops, mno-partner." in text


def test_nothing_that_people_sign_is_cut(night_in: NightIn) -> None:
    night = night_in("opened")
    long = tuple(f"Rule {n}. " + "when calls fail " * 60 + f"end {n}." for n in range(12))
    run = night.run.model_copy(update={"criteria": long})
    shown = answers.criteria(run, night.now)
    whole = "\n".join(block["text"]["text"] for block in shown.blocks)
    assert check_blocks(list(shown.blocks)) == []
    assert all(f"end {n}." in whole for n in range(12))


def test_an_unknown_reply_is_an_error(night_in: NightIn) -> None:
    night = night_in("opened")
    with pytest.raises(KeyError):
        answers.here_is("everything", night.run, night.now)


def _done(night: Any, person: str, command: m.Command, *, repeated: bool = False) -> str:
    command = command.model_copy(update={"run": "w1"})
    before = len(night.told)
    night.says(person, command)
    events = [event for event, *_ in night.told[before:]]
    return replies.done(command, night.house, events, night.now, repeated=repeated).text


def test_a_vote_is_answered_with_who_is_still_missing(night_in: NightIn) -> None:
    night = night_in("failing")
    assert _done(night, "lead", m.CastVote(number=2, option="A")) == (
        "Your vote counts: decision 2, A (PORT BACK). Still needed: mno-partner (Eve)"
    )
    assert _done(night, "partner-a", m.CastVote(number=2, option="A")) == (
        "Your vote counts: decision 2, A (PORT BACK).\nDecision 2 is decided: PORT BACK."
    )


def test_asking_to_go_back_is_answered_with_the_number_of_the_question(night_in: NightIn) -> None:
    night = night_in("watching")
    assert _done(night, "lead", m.GoBack(word="port-back")).splitlines()[0] == "Asked as decision 2."


def test_signing_shows_the_list(night_in: NightIn) -> None:
    text = _done(night_in("opened"), "lead", m.Sign())
    assert text.startswith("You signed this list:\nThe criteria, as one list")
    assert "1. Rule 1." in text


def test_a_command_told_twice_is_answered_without_doing_it_again(night_in: NightIn) -> None:
    text = _done(night_in("watching"), "lead", m.Pause(), repeated=True)
    assert text == "You said that before. It was done once, and not again."


def test_a_refusal_is_said_safely(night_in: NightIn) -> None:
    text = answers.refused('I do not know "<!channel>". Nothing was done.', night_in("watching").run).text
    assert text == 'I do not know "&lt;!channel&gt;". Nothing was done.'
