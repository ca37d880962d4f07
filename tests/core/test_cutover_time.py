"""What time does by itself: deadlines, pauses, holes, watches, digests. It calls people; it never decides for them."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.core import messages as m
from bot.core.cutover import next_due
from bot.core.errors import Reason
from bot.core.model import Outcome, Tick
from bot.core.standing import Colour
from bot.core.state import RunStatus, StepStatus
from tests.core.play import PORTABILITY, RUN, VOICE, Play, at, names, of

MINUTE = timedelta(minutes=1)


def _failing() -> Play:
    play = Play().watching()
    play.fails("mno-b")
    return play


# ------------------------------------------------------------------------------------ deadlines


def test_a_deadline_pauses_calls_the_next_people_and_sets_a_new_one() -> None:
    play = _failing()
    play.votes("A", "lead")
    deadline = play.card.deadline
    assert deadline is not None
    assert not of(play.wakes(deadline - timedelta(seconds=1)), m.DeadlinePassed)
    events = play.wakes(deadline)
    passed = of(events, m.DeadlinePassed)[0]
    assert (passed.number, passed.passed, passed.deadline) == (2, deadline, deadline + 10 * MINUTE)
    assert passed.called == ("deputy", "partner-a", "partner-b", "noc-a", "noc-b")
    assert of(events, m.Paused)[0].reason == "decision 2 was not taken in time"
    assert play.card.overdue


def test_however_late_nothing_is_rolled_back_and_nothing_goes() -> None:
    play = _failing()
    play.votes("A", "lead")
    play.votes("C", "noc-a")
    for _ in range(30):
        play.wakes(play.now + 7 * MINUTE)
    assert play.card.number == 2
    assert len(play.happened(m.DeadlinePassed)) > 10
    assert len(play.happened(m.Paused)) == 1
    assert not play.happened(m.RollbackStarted)
    assert [d.number for d in play.happened(m.Decided)] == [1]


def test_people_may_still_decide_after_the_deadline() -> None:
    play = _failing()
    play.wakes(play.now + 11 * MINUTE)
    play.votes("A", "lead")
    assert "RollbackStarted" in names(play.votes("A", "partner-a"))


# ------------------------------------------------------------------------------------ pause


def _in_doubt() -> Play:
    play = Play().switching()
    play.reports("switch-routing", "unknown")
    return play


def _fixing() -> Play:
    play = _failing()
    play.says(m.CastVote(number=2, option="B", owner="noc-a", minutes=10), "noc-a")
    return play


def _asked_back() -> Play:
    play = Play().watching()
    play.says(m.GoBack(word="port-back"), "lead")
    return play


@pytest.mark.parametrize(
    "so_far",
    [lambda: Play().started(), lambda: Play().called(), lambda: Play().switching(), _in_doubt, _failing, _fixing, _asked_back],
    ids=["started", "gate open", "in mid-call", "in doubt", "rule met", "fixing", "asked to go back"],
)  # fmt: skip
@pytest.mark.parametrize("person", ["care", "partner-b", "deputy"])
def test_anybody_with_a_role_may_pause_at_any_time(so_far: Callable[[], Play], person: str) -> None:
    play = so_far()
    assert names(play.says(m.Pause(reason="stop"), person))[0] == "Paused"
    assert play.run.paused_by == person
    assert play.refused(m.Pause(), "lead").reason is Reason.ALREADY


def test_a_guest_pauses_nothing() -> None:
    assert Play().started().refused(m.Pause(), "guest").reason is Reason.NOT_YOUR_ROLE


def test_a_pause_holds_what_would_begin_and_probing_goes_on() -> None:
    play = Play().switching()
    play.says(m.Pause(), "care")
    play.reports("switch-routing", "done")
    assert play.status("validate") is StepStatus.WAITING
    before = play.run.cells
    play.sweeps(play.now + MINUTE)
    assert play.run.cells != before
    play.says(m.Resume(), "lead")
    play.votes("A", "deputy", "noc-a")
    assert play.status("validate") is StepStatus.RUNNING


def test_going_on_again_wants_the_policy_and_not_who_asked() -> None:
    play = Play().called()
    play.says(m.Pause(), "care")
    opened = of(play.says(m.Resume(reason="storm is over"), "noc-a"), m.DecisionOpened)[0]
    assert (opened.subject, opened.question, opened.requester) == (
        "resume",
        "Go forward again? (storm is over)",
        "noc-a",
    )
    assert play.refused(m.Resume(), "lead").sentence == "Asked already: decision 2. To agree: /cutover decide 2 A"
    assert play.refused(m.CastVote(number=2, option="A"), "noc-a").reason is Reason.SECOND_PERSON
    play.votes("A", "lead", "noc-b", number=2)
    assert play.run.paused is None
    assert play.refused(m.Resume(), "lead").sentence == "Nothing was done: the run is not paused."


def test_a_run_does_not_go_on_again_while_a_rule_is_met() -> None:
    play = _failing()
    play.says(m.Pause(), "care")
    play.says(m.Resume(), "noc-a")
    no = play.refused(m.CastVote(number=3, option="A"), "lead")
    assert no.sentence == "Your vote was not counted, this may not go forward now: decision 2 is open."


def test_staying_paused_needs_one() -> None:
    play = Play().called()
    play.says(m.Pause(), "care")
    play.says(m.Resume(), "noc-a")
    play.votes("B", "lead", number=2)
    assert play.run.paused == ""
    assert [d.number for d in play.run.open_decisions] == [1]


def test_a_pause_does_not_hold_the_way_back() -> None:
    play = _failing()
    play.says(m.Pause(), "care")
    play.votes("A", "lead", "partner-a")
    assert play.status("port-back") is StepStatus.RUNNING
    assert play.refused(m.Pause(), "care").sentence == (
        "Nothing was paused: the run is going back, by decision 2, and a pause stops only going forward."
    )


# ------------------------------------------------------------------------------------ postpone


def test_the_window_moves_to_a_later_time() -> None:
    play = Play().gone()
    play.says(m.Postpone(opens=at(2, 0), closes=at(4, 30), reason="donor is late"), "partner-a")
    assert "between 02:00 and 04:30" in play.refused(m.Start(step="switch-routing"), "noc-a").sentence
    play.now = at(4, 15)
    assert "StepStarted" in names(play.says(m.Start(step="switch-routing"), "noc-a"))


@pytest.mark.parametrize(
    ("opens", "closes", "says"),
    [
        (at(0, 10), at(2, 0), "must open in the future"),
        (at(3, 0), at(3, 0), "close after it opens"),
        (at(2, 0), at(4, 31), "stays as long as it was signed, 2 h 30 min at most"),
        (at(1, 0), at(3, 0), "moves to a later time"),
    ],
)
def test_a_window_is_not_postponed_into_another_one(opens: object, closes: object, says: str) -> None:
    command = m.Postpone.model_validate({"opens": opens, "closes": closes})
    no = Play().called().refused(command, "lead")
    assert no.reason is Reason.BAD_ARGUMENT
    assert says in no.sentence


def test_after_the_switch_nothing_is_postponed() -> None:
    no = Play().watching().refused(m.Postpone(opens=at(2, 0), closes=at(3, 0)), "lead")
    assert no.sentence == "Not postponed: the switch began at 01:31. To go back: /cutover port-back"


# ------------------------------------------------------------------------------------ holes


def test_a_cell_silent_for_longer_than_its_gap_is_a_hole() -> None:
    play = Play().watching()
    since = play.now
    play.sweeps_until(since + 3 * MINUTE, silent=("donor",))
    assert not play.happened(m.HoleOpened)
    events = play.wakes(since + 3 * MINUTE + timedelta(milliseconds=1))
    assert {(hole.cell, hole.since) for hole in of(events, m.HoleOpened)} == {
        ("donor/+447700900001", since),
        ("donor/+447700900002", since),
    }
    assert play.run.colours[VOICE] == Colour.UNMEASURED
    assert not of(play.wakes(), m.HoleOpened)


def test_broken_probes_leave_a_hole_and_do_not_close_one() -> None:
    play = Play().watching()
    end = play.now + 5 * MINUTE
    while play.now < end:
        play.sweeps(play.now + MINUTE, silent=("donor",))
        play.reads("donor", Outcome.ERROR)
        play.reads("donor", Outcome.ERROR, number="+447700900002")
        play.wakes()
    assert len(play.happened(m.HoleOpened)) == 2
    assert not play.happened(m.HoleClosed)


def test_a_missed_tick_is_kept_and_is_no_hole() -> None:
    play = Play().watching()
    cell = play.run.plan.check(VOICE).measured_cells()[0]
    tick = Tick(run=RUN, check=VOICE, kind="voice", cell=cell, scheduled_at=play.now, timeout_s=30)
    events = play.says(m.RecordMiss(tick=tick, why="the probe worker was restarted"), "")
    assert [(e.cell, e.count, e.why) for e in of(events, m.TicksMissed)] == [
        (cell.key, 1, "the probe worker was restarted")
    ]
    assert play.run.missed == 1
    assert not play.run.holes


def test_a_hole_extends_the_watch_by_its_length_and_never_restarts_it() -> None:
    play = Play().watching()
    started, ends = play.step("validate").started_at, play.step("validate").until
    assert started is not None
    assert ends == started + 90 * MINUTE
    play.sweeps_until(started + 10 * MINUTE)
    play.sweeps_until(started + 19 * MINUTE, silent=("donor",))
    play.sweeps_until(started + 30 * MINUTE)
    assert play.step("validate").until == ends + 10 * MINUTE
    assert play.step("validate").attempt == 1
    assert sum(e.seconds for e in play.happened(m.WatchExtended)) == 600


def test_holes_at_the_same_time_extend_the_watch_once() -> None:
    play = Play().watching()
    started, ends = play.step("validate").started_at, play.step("validate").until
    assert started is not None
    assert ends is not None
    play.sweeps_until(started + 10 * MINUTE)
    play.sweeps_until(started + 14 * MINUTE, silent=("donor",))
    play.sweeps_until(started + 19 * MINUTE, silent=("donor", "fixed"))
    play.sweeps_until(started + 24 * MINUTE, silent=("fixed",))
    play.sweeps_until(started + 30 * MINUTE)
    # donor from 10 to 20, fixed from 14 to 25: 15 minutes without full sight.
    assert play.step("validate").until == ends + 15 * MINUTE


def test_a_watch_does_not_end_in_a_hole() -> None:
    play = Play().watching()
    until = play.step("validate").until
    assert until is not None
    play.sweeps_until(until - 5 * MINUTE)
    play.sweeps_until(until + 10 * MINUTE, silent=("donor",))
    assert play.status("validate") is StepStatus.RUNNING
    play.sweeps_until(until + 11 * MINUTE)
    extended = play.step("validate").until
    assert extended == until + 16 * MINUTE
    play.sweeps_until(until + 16 * MINUTE)
    assert play.status("validate") is StepStatus.DONE


def test_a_watch_does_not_end_over_a_rule_that_cannot_be_told() -> None:
    text = PORTABILITY.replace("every: 60s", "every: 60s\n    gap: 100m")
    few = "threshold: {metric: delay_s, quantile: 0.5, above: 9, window: 5m, min_samples: 3}"
    play = Play().watching(text.replace("rate: {good: 0.98, bad: 0.90, false_trip: 0.005}", few))
    until = play.step("validate").until
    assert until is not None
    play.sweeps(until - MINUTE)
    play.wakes(until + MINUTE)
    assert play.status("validate") is StepStatus.RUNNING


def test_a_watch_does_not_end_while_paused_and_ends_when_going_on() -> None:
    play = Play().watching()
    until = play.step("validate").until
    assert until is not None
    play.sweeps_until(until - MINUTE)
    play.says(m.Pause(), "care")
    play.sweeps_until(until + 2 * MINUTE)
    assert play.status("validate") is StepStatus.RUNNING
    play.says(m.Resume(), "lead")
    play.votes("A", "deputy", "noc-a")
    assert play.status("validate") is StepStatus.DONE
    assert play.status("close") is StepStatus.RUNNING


def test_more_cells_than_consequences_may_fall_silent_at_once() -> None:
    numbers = ", ".join(f'"+4477009{n:05d}"' for n in range(300))
    text = PORTABILITY.replace('number: ["+447700900001", "+447700900002"]', f"number: [{numbers}]")
    play = Play().started(text)
    for person in ("noc-a", "partner-a", "care"):
        play.says(m.Here(), person)
    assert len(of(play.wakes(play.now + 5 * MINUTE), m.HoleOpened)) == 1200


def test_what_nobody_measured_while_down_is_written_at_the_start() -> None:
    play = Play().watching()
    stopped = play.now
    play.now += 7 * MINUTE
    missed = of(play.restarts(), m.TicksMissed)
    assert [(e.check, e.cell, e.count, e.first) for e in missed] == [(VOICE, "all", 7 * 12, stopped + MINUTE)]
    assert missed[0].why == "switchroom was not running from 01:31 to 01:38"
    assert play.happened(m.HoleOpened)


# ------------------------------------------------------------------------------------ colours


def test_a_check_turns_red_after_two_failures_and_green_when_every_cell_passes() -> None:
    play = Play().called()
    assert [(e.before, e.after) for e in play.happened(m.CheckTurned)] == [("waiting", "working")]
    play.reads("mno-a", Outcome.FAIL)
    assert len(play.happened(m.CheckTurned)) == 1
    turned = of(play.reads("mno-a", Outcome.FAIL), m.CheckTurned)[0]
    assert (turned.after, turned.because) == ("failing", "mno-a/+447700900001: fail of mno-a/+447700900001")
    assert of(play.reads("mno-a", Outcome.PASS), m.CheckTurned)[0].after == "working"


# ------------------------------------------------------------------------------------ digests


def test_a_digest_goes_out_on_schedule_also_when_nothing_changed() -> None:
    play = Play().started()
    assert not of(play.wakes(at(1, 19, 59)), m.DigestDue)
    due = of(play.wakes(at(1, 20)), m.DigestDue)
    assert [(d.digest, d.number, d.cause, d.next_at) for d in due] == [("executive", 1, "", at(1, 50))]
    assert not of(play.wakes(at(1, 20)), m.DigestDue)
    sent = [effect for effect in play.effects if effect.kind == "digest"]
    assert [(effect.place, effect.subject) for effect in sent] == [("C0EXEC", "executive#1")]


def test_a_rule_met_and_a_decision_send_a_digest_at_once() -> None:
    play = _failing()
    assert [d.cause for d in play.happened(m.DigestDue)][-1] == "rule met: Calls into our numbers fail"
    play.votes("A", "lead", "partner-a")
    assert [d.cause for d in play.happened(m.DigestDue)][-1] == "decision 2"
    play.reports("port-back", "done")
    assert [d.cause for d in play.happened(m.DigestDue)][-1] == "rolled_back"
    assert not play.wakes(play.now + timedelta(hours=2))


# ------------------------------------------------------------------------------------ what is due


def test_the_next_due_time_is_that_of_the_deadline() -> None:
    play = Play().watching(PORTABILITY.replace("decide_within: 10m", "decide_within: 40s"))
    play.fails("mno-b")
    assert next_due(play.house, play.now) == play.card.deadline


def test_waking_when_due_always_comes_to_an_end() -> None:
    play = Play().watching()
    for _ in range(40):
        due = next_due(play.house, play.now)
        assert due is not None
        assert due > play.now
        play.wakes(due)
    assert play.run.status is RunStatus.RUNNING


def test_a_rule_turns_unclear_when_its_member_is_broken_for_too_long_also_between_readings() -> None:
    play = Play().watching()
    last = play.now
    for minutes in (1, 2):
        play.sweeps(last + minutes * MINUTE, silent=("donor",))
        play.reads("donor", Outcome.ERROR)
        play.reads("donor", Outcome.ERROR, number="+447700900002")
    play.sweeps(last + timedelta(minutes=2, seconds=50), silent=("donor",))
    play.reads("donor", Outcome.ERROR)
    play.reads("donor", Outcome.ERROR, number="+447700900002")
    due = next_due(play.house, play.now)
    assert due == last + timedelta(minutes=3, milliseconds=1)


def test_before_the_start_and_after_the_end_nothing_is_due() -> None:
    assert next_due(Play().signed().house, at(1, 0)) is None
    play = Play().gone()
    play.says(m.GoBack(word="undo"), "lead")
    play.reports("port-back", "done")
    assert next_due(play.house, play.now) is None
