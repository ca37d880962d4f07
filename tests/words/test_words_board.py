"""The board's own words: calm is short, the worst is first, and nothing is proven that is not."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bot.core import messages as m
from bot.core.model import Outcome
from bot.words.board import board
from tests.words.conftest import RUNBOOK, Night

NightIn = Callable[[str], Any]


def _text(night: Any) -> str:
    return board(night.house, night.run, night.now).text


def _buttons(night: Any) -> list[tuple[str, str, str]]:
    row = next(block for block in board(night.house, night.run, night.now).blocks if block["type"] == "actions")
    return [(button["text"]["text"], button["action_id"], button["value"]) for button in row["elements"]]


def test_a_calm_night_is_short(night_in: NightIn) -> None:
    assert _text(night_in("watching")) == (
        "✔ LIVE · CHECKING until 03:31 London · Number portability, wave 1\n"
        "Switched 02:01 (5,000 of 5,000). There is no undo. Going back is a port back: `/cutover port-back`\n"
        "Checking until 03:31 London (1 of 90 min done)\n"
        "✔ Working: Calls into our numbers 4/4 · SMS 2/2\n"
        "Customers: no failure seen now (6 checks worked since 02:01)\n"
        "Doing now: Watch · Next: Close the night (cutover-lead AND network-ops), after Watch\n"
        "4 of 6 steps done 01:50 to 02:01\n"
        "So far 6 of 6 checks clean: that proves at least 60% working\n"
        "last probe 0 s ago · run w1"
    )


def test_a_met_rule_comes_first_with_who_decides_and_by_when(night_in: NightIn) -> None:
    assert _text(night_in("failing")).splitlines()[:3] == [
        "✖ LIVE · DECIDE BY 02:15 London (10 min) · Number portability, wave 1",
        "✖ Calls into our numbers fail: mno-b: 3 failed in a row; signed limit: 3. All other networks work. Rule 1 is met.",
        (
            "Decision 2: A PORT BACK needs cutover-lead (Ana or Bo) AND mno-partner (Eve). Given: none. "
            "Other choices: B, C"
        ),
    ]


@pytest.mark.parametrize("state", ["failing", "overdue", "fixing", "overridden", "going-back", "silent", "rolled-back"])
def test_nothing_is_proven_while_a_rule_is_met_or_cannot_be_told(night_in: NightIn, state: str) -> None:
    assert "proves" not in _text(night_in(state))


def test_silence_is_cannot_tell_and_never_works(night_in: NightIn) -> None:
    text = _text(night_in("silent"))
    assert text.startswith("? LIVE")
    assert "number ending 001: no measurement since 02:02 (our probe, not proof of failure)" in text
    assert "Customers: cannot tell for Calls into our numbers, SMS" in text
    assert "Working" not in text
    assert "▲ last probe 6 min ago" in text


def test_a_check_that_fell_silent_before_any_gate_is_not_called_working(night_in: NightIn) -> None:
    text = _text(night_in("late"))
    assert "Working" not in text
    assert "no failure seen" not in text


def test_sent_is_not_switched(night_in: NightIn) -> None:
    assert "The switch was sent at 02:01 and is not confirmed." in _text(night_in("switching"))
    assert "The switch was sent at 02:01 and is not confirmed." in _text(night_in("in-doubt"))


def test_overdue_says_since_when(night_in: NightIn) -> None:
    text = _text(night_in("overdue"))
    assert "OVERDUE since 02:15, DECIDE BY 02:25 London (10 min)" in text.splitlines()[0]
    assert "▲ Paused by Switchroom: decision 2 was not taken in time." in text


def test_going_on_with_a_rule_met_stays_on_the_board(night_in: NightIn) -> None:
    text = _text(night_in("overridden"))
    assert (
        'Went on with a rule met: 1. Last: decision 2, "Calls into our numbers fail" (mno-b), by Ana, Cy, Eve' in text
    )
    assert "Accepted by decision 2" in text


def test_holes_that_made_the_watch_longer_are_told(night_in: NightIn) -> None:
    night = night_in("silent").all_pass()
    assert "min added for gaps" in _text(night)


def test_what_did_not_go_out_is_told(night_in: NightIn) -> None:
    night = night_in("watching")
    night.house = night.house.model_copy(
        update={"parked": {"7.0": "channel is archived", "9.1": "channel is archived"}}
    )
    assert "2 messages did not go out: channel is archived" in _text(night)


def test_failing_controls_speak_for_a_cause_outside(night_in: NightIn) -> None:
    night = night_in("watching")
    for _ in range(2):
        night.reads("voice-inbound", "mno-a", Outcome.FAIL, "503", control=True)
    assert "▲ Control numbers fail too (Calls into our numbers)" in _text(night)


def test_a_task_is_shown_with_its_person_and_time(night_in: NightIn) -> None:
    night = night_in("watching")
    night.says("lead", m.AddTask(text="call the donor", person="noc-b", by=night.now + timedelta(minutes=20)))
    assert "call the donor (Di by 02:22), when done `/cutover done t1`" in _text(night)


def test_a_day_that_is_not_today_is_named(new_night: type[Any]) -> None:
    night = new_night()
    night.now -= timedelta(days=3)
    assert "Window 8 Dec 02:00 to 8 Dec 04:00 London" in _text(night)


def test_a_rehearsal_says_so_first_and_how_fast_its_clock_is_last(new_night: type[Any]) -> None:
    rows = _text(new_night(m.Scenario(name="stale", speed=60))).splitlines()
    assert rows[0].startswith("▲ REHEARSAL · NOT STARTED")
    assert rows[-1].endswith("rehearsal clock x60")


def test_a_run_that_went_back_says_who_decided_it_and_what_was_done(night_in: NightIn) -> None:
    rows = _text(night_in("rolled-back")).splitlines()
    assert rows[0].startswith("▲ LIVE · PORTED BACK 02:")
    assert "Rule 1 was met." in rows[1]
    assert rows[2].startswith("Decision 2, 02:06: PORT BACK, by Ana, Eve. Done: Port the numbers back")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("opened", [("Sign", "say-1", "w1|sign"), ("Catch me up", "say-2", "w1|status")]),
        ("signed", [("Start", "say-1", "w1|start"), ("Catch me up", "say-2", "w1|status")]),
        (
            "started",
            [("I am here", "say-1", "w1|here"), ("Pause steps", "say-2", "w1|pause"), ("Catch me up", "say-3", "w1|status"),
             ("Undo…", "ask-4", "w1|go-back")],
        ),
        (
            "failing",
            [("Decision 2", "say-1", "w1|decide 2"), ("Pause steps", "say-2", "w1|pause"),
             ("Catch me up", "say-3", "w1|status")],
        ),
        (
            "paused",
            [("Ask to go on", "say-1", "w1|resume"), ("Catch me up", "say-2", "w1|status"), ("Port back…", "ask-3", "w1|go-back")],
        ),
        ("completed", [("Catch me up", "say-1", "w1|status")]),
    ],
)  # fmt: skip
def test_only_buttons_that_work_now_are_there(
    night_in: NightIn, state: str, expected: list[tuple[str, str, str]]
) -> None:
    assert _buttons(night_in(state)) == expected


def test_scattered_failures_that_meet_a_rule_are_not_called_fine() -> None:
    rate = RUNBOOK.replace("consecutive: {failures: 3}", "rate: {good: 0.98, bad: 0.90, false_trip: 0.005}")
    night = Night(text=rate).watching()
    for _ in range(12):
        night.later(20).reads("voice-inbound", "mno-b", Outcome.FAIL).all_pass()
    assert [name for name, trigger in night.run.triggers.items() if trigger.met]
    assert night.run.colours["voice-inbound"] == "working"
    text = _text(night)
    assert "no failure seen" not in text
    assert not any("Calls into our numbers" in line for line in text.splitlines() if "Working" in line)


def test_one_failure_alone_is_a_failure_seen(night_in: NightIn) -> None:
    night = night_in("watching")
    night.reads("voice-inbound", "mno-b", Outcome.FAIL)
    assert "no failure seen" not in _text(night)
