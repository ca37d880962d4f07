"""Every event that people must hear of has its line."""

from collections.abc import Callable
from typing import Any

import pytest

from bot.core import messages as m
from bot.core.cutover.react import _LINES
from bot.words.lines import line, words

NightIn = Callable[[str], Any]


@pytest.mark.parametrize("event", [*_LINES, m.ServiceStarted], ids=lambda event: event.__name__)
def test_every_event_with_a_line_has_words(event: type[m.Event]) -> None:
    assert words.dispatch(event) is not words.dispatch(m.Event)


def test_an_event_without_a_line_is_an_error(night_in: NightIn) -> None:
    night = night_in("watching")
    missed = m.TicksMissed(run="w1", check="sms", cell="all", first=night.now, last=night.now, count=1, why="")
    with pytest.raises(NotImplementedError, match="no line for TicksMissed"):
        line(night.house, night.run, missed, night.now, "switchroom", "timer")


def _said(night: Any, event: m.Event, person: str = "lead", via: str = "slack") -> str:
    return line(night.house, night.run, event, night.now, person, via).text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (m.ServiceStarted(epoch=2, software="1"), "02:02 Switchroom is here"),
        (m.CriteriaSigned(run="w1", person="lead", role="cutover-lead", digest="d"),
         "02:02 All have signed the criteria: Ana (cutover-lead), Cy (network-ops), Eve (mno-partner)"),
        (m.RunStarted(run="w1"), "02:02 The run is started by Ana (cutover-lead). Checks begin"),
        (m.StepStarted(run="w1", step="prepare", attempt=2), "02:02 Prepare the switch started by Ana (cutover-lead) (try 2)"),
        (m.StepStarted(run="w1", step="switch-routing", attempt=1),
         "02:02 ▲ POINT OF NO RETURN: Switch the routing by Ana (cutover-lead). From now on going back is a port back"),
        (m.StepStarted(run="w1", step="validate", attempt=1), "02:02 Watch started by Ana (cutover-lead), until 03:31 London"),
        (m.StepFinished(run="w1", step="prepare", attempt=1), "02:02 ✔ Prepare the switch done by Ana (cutover-lead)"),
        (m.StepFailed(run="w1", step="prepare", attempt=1, detail="wrong file"),
         "02:02 ✖ Prepare the switch did not work: wrong file. To try again: `/cutover retry prepare`"),
        (m.StepSkipped(run="w1", step="prepare", reason="done before"),
         "02:02 ▲ Prepare the switch left out by Ana (cutover-lead): done before"),
        (m.StepLate(run="w1", step="roll-call", missing=("mno-partner",)), "02:02 ▲ roll call is late, not heard of: mno-partner"),
        (m.CheckTurned(run="w1", check="sms", before="working", after="failing", because="carrier-c/+447700900001: 74 s"),
         "02:02 ✖ SMS: failing, carrier-c, number ending 001: 74 s"),
        (m.CheckTurned(run="w1", check="sms", before="failing", after="working", because="3 of 3 passed"),
         "02:02 ✔ SMS: working again, 3 of 3 passed"),
        (m.CheckTurned(run="w1", check="sms", before="working", after="unmeasured", because="silent"),
         "02:02 ? SMS: not measured, silent (our probe, not proof of failure)"),
        (m.CheckRequested(run="w1", check="sms"), "02:02 SMS is checked now by Ana (cutover-lead)"),
        (m.FixEnded(run="w1", number=2, trigger="inbound-failing", cleared=False),
         "02:02 ✖ Calls into our numbers fail: not fixed in time (decision 2), people decide again"),
        (m.Paused(run="w1", reason="looking"), "02:02 ▲ PAUSED by Ana (cutover-lead): looking. Checks go on"),
        (m.Resumed(run="w1"), "02:02 Going forward again by Ana (cutover-lead)"),
        (m.NoteTaken(run="w1", text="<!here>"), "02:02 Note by Ana (cutover-lead): &lt;!here&gt;"),
        (m.RunAborted(run="w1", reason="no partner"), "02:02 ▲ The run is given up by Ana (cutover-lead): no partner"),
    ],
)  # fmt: skip
def test_the_words_of_a_line(night_in: NightIn, event: m.Event, text: str) -> None:
    assert _said(night_in("watching"), event) == text


def test_being_away_is_told_with_what_was_missed(night_in: NightIn) -> None:
    night = night_in("watching")
    since = night.now
    night.later(360)
    night.house = night.house.model_copy(update={"runs": {"w1": night.run.model_copy(update={"missed": 12})}})
    assert _said(night, m.ServiceStarted(epoch=2, software="1", silent_since=since), "switchroom") == (
        "02:08 ▲ I was away from 02:02 to 02:08. 12 measurements were missed in this run so far. "
        "Nothing went forward while I was away"
    )


def test_a_line_of_the_machine_names_nobody(night_in: NightIn) -> None:
    assert _said(night_in("watching"), m.Resumed(run="w1"), "switchroom") == "02:02 Going forward again"


def test_a_door_that_is_not_the_room_is_named(night_in: NightIn) -> None:
    assert _said(night_in("watching"), m.Resumed(run="w1"), via="page").endswith("by Ana (cutover-lead) (web page)")


def test_a_deadline_calls_people_by_name(night_in: NightIn) -> None:
    night = night_in("overdue")
    event = next(event for event, *_ in night.told if isinstance(event, m.DeadlinePassed))
    assert _said(night, event, "switchroom") == (
        "02:15 ✖ DECISION 2 IS OVERDUE. Steps are paused. Called: Ana, Bo, Eve, Cy …and 1 more. DECIDE BY 02:25 London (10 min)"
    )


def test_the_declaration_of_going_back_has_its_steps_and_evidence(night_in: NightIn) -> None:
    night = night_in("going-back")
    event = m.RollbackStarted(run="w1", number=2, word="port-back")
    assert "✖ PORTING BACK, by decision 2 (evidence " in _said(night, event, "switchroom")
    assert _said(night, event).endswith("): Port the numbers back")


def test_a_changed_runbook_shows_the_difference_and_what_it_voids(night_in: NightIn) -> None:
    event = m.RunbookAmended(
        run="w1",
        text="",
        runbook_sha256="",
        criteria_digest="",
        criteria=(),
        diff="- every 60s\n+ every 90s",
        reason="slower",
        kept=False,
    )
    assert _said(night_in("watching"), event).splitlines() == [
        (
            "02:02 ▲ The runbook was changed by Ana (cutover-lead): slower. The criteria changed: ALL SIGNATURES ARE VOID, "
            "sign again. Open votes are void too"
        ),
        "  - every 60s",
        "  + every 90s",
    ]


def test_a_line_about_what_the_runbook_no_longer_has_is_still_told(night_in: NightIn) -> None:
    gone = m.CheckTurned(run="w1", check="old-check", before="working", after="failing", because="503")
    assert _said(night_in("watching"), gone) == "02:02 ✖ old-check: failing, 503"
    assert "old-step" in _said(night_in("watching"), m.StepFinished(run="w1", step="old-step", attempt=1))
