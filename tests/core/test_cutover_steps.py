"""Steps: the window, the point of no return, answers that come, come late or never come, and the way back."""

from datetime import timedelta

import pytest

from bot.core import messages as m
from bot.core.errors import Reason
from bot.core.ports import Lane
from bot.core.runbook import OptionName
from bot.core.state import RunStatus, StepStatus
from tests.core.play import PORTABILITY, Play, at, names, of

SWITCH = m.Start(step="switch-routing")
#: A manual step, an action that may be sent again, and one that may not, all before the first gate's end.
MORE_STEPS = PORTABILITY.replace(
    "  - {id: go, kind",
    "  - {id: tell-care, kind: manual, owner: care-lead, within: 5m}\n"
    "  - {id: freeze, kind: action, repeatable: true, do: {http: {post: '{npdb}/freeze'}}}\n"
    "  - {id: notify, kind: action, do: {http: {post: '{npdb}/notify'}}}\n"
    "  - {id: go, kind",
)
TWO_BACK = PORTABILITY.replace(
    "rollback: [", "rollback: [{id: tell-donor, kind: manual}, "
)  # fmt: skip


def test_the_switch_waits_for_its_gate() -> None:
    no = Play().called().refused(SWITCH, "noc-a")
    assert (no.reason, no.sentence) == (Reason.NOT_READY, "Not started: 'switch routing' waits for go.")


def test_the_switch_starts_in_the_window_only() -> None:
    play = Play().called()
    play.votes("A", "deputy", "noc-a")
    no = play.refused(SWITCH, "noc-a")
    assert no.sentence == (
        "Not started: 'switch routing' may start only between 01:30 and 04:00 Europe/London, and it is 00:50. "
        "To move the window: /cutover postpone"
    )
    play.now = at(4, 0)
    assert play.refused(SWITCH, "noc-a").reason is Reason.NOT_READY
    play.now = at(3, 59, 59)
    assert of(play.says(SWITCH, "noc-a"), m.StepStarted)[0].key == "wave-1/switch-routing/1"


def test_the_switch_never_starts_by_itself() -> None:
    text = PORTABILITY.replace("point_of_no_return: true", "point_of_no_return: true, start: auto")
    play = Play().gone(text)
    assert play.status("switch-routing") is StepStatus.WAITING


def test_an_action_sends_one_call_with_its_key_before_anything_is_known() -> None:
    play = Play().switching()
    calls = [effect for effect in play.effects if effect.kind == "perform"]
    assert [(call.subject, call.lane) for call in calls] == [("switch-routing#1", Lane.STEP)]
    assert play.status("switch-routing") is StepStatus.RUNNING
    assert play.run.no_return_at == play.now


def test_done_by_the_target_lets_what_needs_it_begin() -> None:
    play = Play().switching()
    play.reports("switch-routing", "done", "5,000 activated")
    assert play.step("switch-routing").detail == "5,000 activated"
    assert play.status("validate") is StepStatus.RUNNING


def test_failed_at_the_target_holds_what_needs_it() -> None:
    play = Play().switching()
    play.reports("switch-routing", "failed", "HTTP 409")
    assert play.status("switch-routing") is StepStatus.FAILED
    assert play.status("validate") is StepStatus.WAITING
    again = of(play.says(m.Retry(step="switch-routing"), "noc-a"), m.StepStarted)[0]
    assert (again.attempt, again.key) == (2, "wave-1/switch-routing/2")


def test_a_failed_switch_is_not_tried_again_after_the_window() -> None:
    play = Play().switching()
    play.reports("switch-routing", "failed", "HTTP 409")
    play.now = at(4, 1)
    no = play.refused(m.Retry(step="switch-routing"), "noc-a")
    assert "may start only between 01:30 and 04:00" in no.sentence


def test_no_answer_is_in_doubt_and_blocks_everything_forward() -> None:
    play = Play().switching()
    doubt = of(play.reports("switch-routing", "unknown", "no answer in 30 s"), m.StepInDoubt)[0]
    assert doubt.sent == "POST {npdb}/activate, key wave-1/switch-routing/1"
    assert play.status("validate") is StepStatus.WAITING
    assert [effect.kind for effect in play.effects if effect.subject == "switch-routing#1"] == ["perform", "doubt"]


@pytest.mark.parametrize(
    ("settled_by", "becomes"),
    [
        (m.Done(step="switch-routing", note="donor confirms"), StepStatus.DONE),
        (m.Fail(step="switch-routing", reason="donor denies"), StepStatus.FAILED),
        (m.Retry(step="switch-routing"), StepStatus.RUNNING),
    ],
)
def test_people_settle_a_doubt(settled_by: m.Command, becomes: StepStatus) -> None:
    play = Play().switching()
    play.reports("switch-routing", "unknown")
    play.says(settled_by, "noc-a")
    assert play.status("switch-routing") is becomes


def test_a_retry_after_a_doubt_sends_the_same_key() -> None:
    play = Play().switching()
    play.reports("switch-routing", "unknown")
    again = of(play.says(m.Retry(step="switch-routing"), "noc-a"), m.StepStarted)[0]
    assert (again.attempt, again.key) == (2, "wave-1/switch-routing/1")


def test_a_pause_that_speaks_of_doubt_still_holds_a_retry() -> None:
    play = Play().switching()
    play.reports("switch-routing", "failed", "HTTP 409")
    play.says(m.Pause(reason="I am in doubt"), "care")
    no = play.refused(m.Retry(step="switch-routing"), "noc-a")
    assert no.sentence == "Not started: paused by Cy: I am in doubt."


def test_a_failure_of_a_doubtful_step_needs_a_reason() -> None:
    play = Play().switching()
    play.reports("switch-routing", "unknown")
    no = play.refused(m.Fail(step="switch-routing"), "noc-a")
    assert no.sentence == "Not recorded: a reason is required. /cutover fail switch-routing because ..."


def test_the_target_may_still_answer_a_step_in_doubt() -> None:
    play = Play().switching()
    play.reports("switch-routing", "unknown")
    play.reports("switch-routing", "done")
    assert play.status("switch-routing") is StepStatus.DONE


def test_an_answer_to_an_older_attempt_changes_nothing() -> None:
    play = Play().switching()
    play.reports("switch-routing", "failed")
    play.says(m.Retry(step="switch-routing"), "noc-a")
    late = m.ReportStep(step="switch-routing", attempt=1, outcome="done", detail="")
    no = play.refused(late, "")
    assert (no.reason, no.sentence) == (
        Reason.TOO_LATE,
        "switch-routing attempt 1 is no longer waiting for an answer.",
    )


def test_a_restart_sends_a_repeatable_action_again_with_the_same_key_and_doubts_the_others() -> None:
    play = Play().started(MORE_STEPS)
    play.says(m.Start(step="freeze"), "noc-a")
    play.says(m.Start(step="notify"), "noc-a")
    key = play.step("freeze").key
    events = play.restarts()
    assert [(e.step, e.attempt, e.key) for e in of(events, m.StepStarted)] == [("freeze", 2, key)]
    assert [(e.step, e.detail) for e in of(events, m.StepInDoubt)] == [
        ("notify", "switchroom was restarted before the answer came")
    ]
    assert play.refused(m.ReportStep(step="freeze", attempt=1, outcome="done", detail=""), "").reason is Reason.TOO_LATE


def test_a_restart_never_sends_a_forward_action_again_once_the_run_is_going_back() -> None:
    play = Play().started(MORE_STEPS)
    play.says(m.Start(step="freeze"), "noc-a")
    play.says(m.GoBack(word="undo"), "noc-a")
    events = play.restarts()
    assert [e.step for e in of(events, m.StepInDoubt)] == ["freeze"]
    assert [e.step for e in of(events, m.StepStarted)] == ["port-back"]


def test_a_manual_step_is_for_its_owner() -> None:
    play = Play().started(MORE_STEPS)
    assert play.refused(m.Done(step="tell-care"), "noc-a").sentence == (
        "Nothing was done: 'tell care' is for care-lead to finish."
    )
    assert names(play.says(m.Done(step="tell-care", note="mailed"), "care")) == ["StepStarted", "StepFinished"]
    assert play.refused(m.Done(step="tell-care"), "care").sentence == "'tell care' is done since 00:50."


def test_a_manual_step_that_takes_too_long_is_told_once() -> None:
    play = Play().started(MORE_STEPS)
    play.says(m.Start(step="tell-care"), "care")
    assert [e.step for e in of(play.wakes(at(0, 55)), m.StepLate)] == ["tell-care"]
    assert not of(play.wakes(at(0, 56)), m.StepLate)
    play.says(m.Fail(step="tell-care", reason="mail is down"), "care")
    assert play.status("tell-care") is StepStatus.FAILED
    play.says(m.Retry(step="tell-care"), "care")
    assert play.status("tell-care") is StepStatus.RUNNING


def test_an_action_is_not_finished_by_word() -> None:
    play = Play().switching()
    no = play.refused(m.Done(step="switch-routing"), "noc-a")
    assert no.sentence == "Nothing was done: 'switch routing' is a action, it ends by itself."


@pytest.mark.parametrize("step", ["roll-call", "go", "switch-routing", "validate"])
def test_calls_gates_watches_and_the_switch_are_never_skipped(step: str) -> None:
    no = Play().called().refused(m.Skip(step=step, reason="no time"), "lead")
    assert no.reason is Reason.WRONG_STATE
    assert no.sentence.endswith("and that is never left out.")


def test_a_skip_needs_a_reason() -> None:
    play = Play().started(MORE_STEPS)
    assert play.refused(m.Skip(step="notify"), "lead").sentence == (
        "Not skipped: a reason is required. /cutover skip notify because ..."
    )
    play.says(m.Skip(step="notify", reason="by phone"), "lead")
    assert play.status("notify") is StepStatus.SKIPPED


# ------------------------------------------------------------------------------------ the way back


def test_before_the_switch_it_is_an_undo_and_one_person_decides() -> None:
    play = Play().gone()
    assert play.refused(m.GoBack(word="port-back"), "noc-a").sentence == (
        "Nothing was done: nothing has been ported yet, so this is an undo: /cutover undo"
    )
    events = play.says(m.GoBack(word="undo", reason="storm"), "noc-a")
    assert names(events) == ["DecisionOpened", "VoteCast", "Decided", "RollbackStarted", "StepStarted", "DigestDue"]
    assert of(events, m.RollbackStarted)[0].word == "undo"


def test_after_the_switch_it_is_a_port_back_and_two_roles_decide() -> None:
    play = Play().watching()
    assert play.refused(m.GoBack(word="undo"), "lead").sentence == (
        "Nothing was done: there is no undo since 01:31. Numbers are ported back as a new port: /cutover port-back"
    )
    events = play.says(m.GoBack(word="port-back"), "lead")
    assert names(events) == ["DecisionOpened", "VoteCast"]
    assert of(events, m.DecisionOpened)[0].no_return
    assert play.refused(m.CastVote(number=play.card.number, option="A"), "noc-a").reason is Reason.NOT_ELIGIBLE
    back = of(play.votes("A", "partner-b"), m.RollbackStarted)
    assert [event.word for event in back] == ["port-back"]


def test_who_may_not_decide_a_port_back_may_still_ask_for_it() -> None:
    play = Play().watching()
    events = play.says(m.GoBack(word="port-back"), "care")
    assert names(events) == ["DecisionOpened"]
    assert names(play.says(m.GoBack(word="port-back"), "lead")) == ["VoteCast"]


def test_the_switch_does_not_start_while_people_ask_to_go_back() -> None:
    play = Play().gone()
    play.says(m.GoBack(word="undo"), "care")
    assert play.refused(SWITCH, "noc-a").sentence == "Not started: decision 2 is open."


def test_rollback_steps_run_in_their_order_and_end_the_run() -> None:
    play = Play().gone(TWO_BACK)
    play.says(m.GoBack(word="undo"), "lead")
    assert play.run.status == RunStatus.GOING_BACK
    assert (play.status("tell-donor"), play.status("port-back")) == (StepStatus.RUNNING, StepStatus.WAITING)
    play.says(m.Done(step="tell-donor"), "noc-a")
    assert play.status("port-back") is StepStatus.RUNNING
    play.reports("port-back", "failed", "HTTP 500")
    assert play.run.status == RunStatus.GOING_BACK
    play.says(m.Retry(step="port-back"), "noc-a")
    assert names(play.reports("port-back", "done"))[:2] == ["StepFinished", "RolledBack"]
    assert play.run.status.value == "rolled_back"


def test_calls_of_the_way_back_go_first() -> None:
    play = Play().gone()
    play.says(m.GoBack(word="undo"), "lead")
    calls = [effect for effect in play.effects if effect.kind == "perform"]
    assert [(call.subject, call.lane) for call in calls] == [("port-back#1", Lane.ROLLBACK)]


@pytest.mark.parametrize(
    "command",
    [m.Skip(step="port-back", reason="x"), m.Start(step="port-back"), m.Done(step="tell-donor")],
)
def test_the_way_back_is_not_taken_apart_before_it_is_needed(command: m.Command) -> None:
    no = Play().gone(TWO_BACK).refused(command, "lead")
    assert no.reason is Reason.WRONG_STATE
    assert no.sentence.endswith("is not part of what is going on now.")


@pytest.mark.parametrize(
    "command", [m.Retry(step="switch-routing"), m.Start(step="switch-routing"), m.Skip(step="close", reason="x")]
)
def test_nothing_goes_forward_once_the_run_is_going_back(command: m.Command) -> None:
    play = Play().switching()
    play.reports("switch-routing", "failed")
    play.says(m.GoBack(word="port-back"), "lead")
    play.votes("A", "partner-a")
    play.refused(command, "lead")
    assert [e.step for e in play.happened(m.StepStarted) if e.step == "switch-routing"] == ["switch-routing"]


def test_going_back_closes_every_other_question() -> None:
    play = Play().called()
    play.says(m.GoBack(word="undo"), "noc-a")
    assert [(e.number, e.why) for e in play.happened(m.DecisionClosed)] == [(1, "decision 2 is to go back")]
    no = play.refused(m.CastVote(number=1, option="A"), "deputy")
    assert (no.reason, no.sentence) == (
        Reason.SUPERSEDED,
        "Nothing changed: decision 1 ended (decision 2 is to go back).",
    )


def test_a_run_is_asked_to_go_back_once() -> None:
    play = Play().gone()
    play.says(m.GoBack(word="undo"), "lead")
    assert play.refused(m.GoBack(word="undo"), "noc-a").sentence == "The run is going back already, by decision 2."


def test_people_may_stay_when_somebody_asks_to_go_back() -> None:
    play = Play().watching()
    play.says(m.GoBack(word="port-back"), "care")
    decided = of(play.votes("B", "deputy", "noc-a", "partner-a"), m.Decided)
    assert [d.option for d in decided] == [OptionName.CONTINUE]
    assert play.run.status is RunStatus.RUNNING


def test_a_whole_good_night_ends_complete() -> None:
    play = Play().watching()
    play.sweeps_until(play.now + timedelta(minutes=95))
    assert play.status("validate") is StepStatus.DONE
    ended = play.votes("A", "deputy", "noc-b")
    assert "RunCompleted" in names(ended)
    assert play.run.status is RunStatus.COMPLETED
    no = play.refused(m.Pause(), "lead")
    assert (no.reason, no.sentence) == (Reason.TOO_LATE, "Nothing was done: this run ended at 03:06 (completed).")
    assert "number-portability-cutover" in play.house.completed("m1")


def test_a_run_does_not_end_over_a_rule_that_is_met() -> None:
    text = PORTABILITY.replace("{id: close, kind: gate, approval: go, needs", "{id: close, kind: manual, needs")
    play = Play().watching(text)
    play.sweeps_until(play.now + timedelta(minutes=95))
    play.says(m.Start(step="close"), "lead")
    play.fails("mno-b")
    play.says(m.Done(step="close"), "lead")
    assert play.run.status == RunStatus.RUNNING
    play.votes("C", "lead", "noc-a", "partner-a")
    assert play.run.status.value == "completed"


def test_the_card_of_a_doubt_is_replaced_when_somebody_settles_it() -> None:
    play = Play().switching()
    play.reports("switch-routing", "unknown", "no answer")
    mark = len(play.effects)
    play.says(m.Done(step="switch-routing"), "lead")
    assert ("doubt", "switch-routing#1") in [(effect.kind, effect.subject) for effect in play.effects[mark:]]
