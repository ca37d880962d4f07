"""How a night begins: opened by somebody with a role, signed by everybody who must, started, called."""

import pytest

from bot.core import messages as m
from bot.core.errors import Reason
from bot.core.state import RunStatus, StepStatus
from tests.core.play import PORTABILITY, RUN, SIGNERS, Play, at, names, of, opening

TWO_ROLES = PORTABILITY.replace("care-lead: {people: [care]}", "care-lead: {people: [care, noc-a]}")


def test_a_run_is_opened_with_its_plan_its_sentences_and_its_digest() -> None:
    play = Play().opened()
    opened = play.happened(m.RunOpened)[0]
    assert opened.text == PORTABILITY
    assert opened.criteria_digest == play.run.criteria_digest
    assert any("Calls into our numbers fail" in sentence for sentence in opened.criteria)
    assert play.run.status is RunStatus.OPENED
    assert (play.run.window_opens, play.run.window_closes) == (at(1, 30), at(4, 0))


def test_a_channel_shows_one_run_at_a_time() -> None:
    play = Play().opened()
    with pytest.raises(
        Exception, match=r"^Not opened: this channel shows run wave-1 already\. Finish it, or open"
    ) as no:
        play.orders(opening(run="wave-2"), "lead")
    assert getattr(no.value, "reason", None) is Reason.ALREADY
    assert names(play.orders(opening(run="wave-2", place="C2"), "lead")) == ["RunOpened"]


def test_a_run_name_is_used_once() -> None:
    play = Play().opened()
    with pytest.raises(Exception, match=r"^Not opened: there is a run 'wave-1' already\."):
        play.orders(opening(place="C2"), "lead")


def test_who_has_no_role_opens_nothing() -> None:
    with pytest.raises(
        Exception, match=r"^Not opened: you have no role in number-portability-cutover\. Its roles: care-lead"
    ):
        Play().orders(opening(), "guest")


def test_an_order_about_no_run_names_those_there_are() -> None:
    play = Play()
    with pytest.raises(
        Exception, match=r"There is no run 'wave-1'\. No run is open\. To open one: /cutover open RUNBOOK"
    ):
        play.says(m.Pause(), "lead")
    play.opened()
    with pytest.raises(Exception, match=r"There is no run 'x'\. Active runs: wave-1\."):
        play.orders(m.Pause(run="x"), "lead")


def test_a_run_starts_only_when_each_required_role_has_signed() -> None:
    play = Play().opened()
    for person in SIGNERS[:-1]:
        play.says(m.Sign(), person)
    no = play.refused(m.Start(), "lead")
    assert (no.reason, no.sentence) == (
        Reason.NOT_READY,
        "Not started: the criteria are not signed by care-lead. To sign: /cutover sign",
    )
    play.says(m.Sign(), "care")
    assert names(play.says(m.Start(), "lead"))[:2] == ["RunStarted", "StepStarted"]
    assert play.status("roll-call") is StepStatus.RUNNING


def test_who_signed_before_is_told_and_counted_once() -> None:
    play = Play().opened()
    play.says(m.Sign(), "lead")
    assert play.refused(m.Sign(), "lead").sentence == "Signed before: cutover-lead by Lena."
    assert play.refused(m.Sign(), "deputy").reason is Reason.ALREADY


def test_a_guest_signs_nothing_and_is_told_how_to_speak() -> None:
    no = Play().opened().refused(m.Sign(), "guest")
    assert no.reason is Reason.NOT_YOUR_ROLE
    assert no.sentence.startswith("Nothing was done: signing needs a role in this run (care-lead, cutover-lead,")
    assert "You are watching only. To speak to the room, call the bridge" in no.sentence


def test_one_person_signs_for_one_role_and_leaves_the_other_to_somebody_else() -> None:
    play = Play().opened(TWO_ROLES)
    assert len(of(play.says(m.Sign(), "noc-a"), m.CriteriaSigned)) == 2
    for person in ("lead", "partner-a"):
        play.says(m.Sign(), person)
    assert "not signed by" in play.refused(m.Start(), "lead").sentence
    assert names(play.says(m.Sign(), "care")) == ["CriteriaSigned"]
    assert "RunStarted" in names(play.says(m.Start(), "lead"))


def test_only_roles_of_go_start_the_run() -> None:
    no = Play().signed().refused(m.Start(), "care")
    assert no.sentence == "Not started: the run is started by cutover-lead, network-ops."


def test_what_the_runbook_requires_must_be_completed_first() -> None:
    play = Play()
    play.orders(opening().model_copy(update={"scenario": None}), "lead")
    for person in SIGNERS:
        play.says(m.Sign(), person)
    assert play.refused(m.Start(), "lead").sentence == (
        "Not started: destination-readiness, mediation, parallel-operations must be completed in m1 first."
    )


def test_a_run_is_started_once() -> None:
    no = Play().started().refused(m.Start(), "noc-a")
    assert (no.reason, no.sentence) == (Reason.ALREADY, "Nothing was done: the run was started at 00:50.")


@pytest.mark.parametrize(
    "command", [m.Pause(), m.Resume(), m.GoBack(word="undo"), m.Start(step="go"), m.Done(step="go")]
)
def test_before_the_start_nothing_goes(command: m.Command) -> None:
    no = Play().signed().refused(command, "lead")
    assert no.sentence == "Nothing was done: the run is not started. To start it: /cutover start"


def test_the_roll_call_ends_when_each_role_has_answered() -> None:
    play = Play().started()
    play.says(m.Here(), "noc-b")
    play.says(m.Here(), "care")
    assert play.status("roll-call") is StepStatus.RUNNING
    assert play.refused(m.Here(), "care").sentence == "You answered the roll call at 00:50."
    assert "StepFinished" in names(play.says(m.Here(), "partner-b"))
    assert play.step("roll-call").detail == "Noa, Cy, Pol"


def test_a_role_that_does_not_answer_is_named_when_the_time_is_up() -> None:
    play = Play().started()
    play.says(m.Here(), "noc-a")
    assert not of(play.wakes(at(1, 4, 59)), m.StepLate)
    late = of(play.wakes(at(1, 5)), m.StepLate)
    assert [event.missing for event in late] == [("mno-partner", "care-lead")]
    assert not of(play.wakes(at(1, 6)), m.StepLate)


def test_a_second_roll_call_wants_fresh_answers() -> None:
    again = "  - {id: again, kind: roll-call, roles: [network-ops], needs: [go]}\n  - {id: switch-routing"
    play = Play().called(PORTABILITY.replace("  - {id: switch-routing", again))
    play.votes("A", "deputy", "noc-a")
    assert play.status("again") is StepStatus.RUNNING
    play.now = at(0, 51)
    play.says(m.Here(), "noc-a")
    assert play.status("again") is StepStatus.DONE


def test_a_step_that_is_not_there_is_answered_with_those_that_are() -> None:
    no = Play().started().refused(m.Start(step="swich"), "lead")
    assert no.reason is Reason.UNKNOWN_WORD
    assert no.sentence.startswith('There is no step "swich". Nothing was done. Steps: roll-call, go, switch-routing,')


def test_notes_and_tasks_are_kept_and_bad_ones_are_not() -> None:
    play = Play().started()
    assert names(play.says(m.Note(text="carrier-c has a ticket"), "care")) == ["NoteTaken"]
    assert play.refused(m.Note(text=" "), "care").reason is Reason.BAD_ARGUMENT
    play.says(m.AddTask(text="call donor", person="noc-b", by=at(3, 0)), "lead")
    assert play.run.tasks["t1"].person == "noc-b"
    assert play.refused(m.AddTask(text="call", person="nobody"), "lead").reason is Reason.BAD_ARGUMENT
    assert play.refused(m.AddTask(text="call", person="noc-a", by=at(0, 40)), "lead").sentence.endswith(
        "passed already."
    )
    play.says(m.Done(step="t1"), "noc-b")
    assert play.run.tasks["t1"].done_at == play.now
    assert play.refused(m.Done(step="t1"), "noc-b").sentence == "Task t1 was done at 00:50."


def test_a_check_is_taken_at_once_when_asked_for() -> None:
    play = Play().started()
    assert of(play.says(m.CheckNow(check="voice-inbound"), "care"), m.CheckRequested)[0].check == "voice-inbound"
    assert play.refused(m.CheckNow(check="sms"), "care").sentence == (
        'There is no check "sms" in this run. Checks: voice-inbound.'
    )


def test_two_runs_are_told_apart() -> None:
    play = Play().opened()
    play.orders(opening(run="wave-2", place="C2"), "lead")
    play.says(m.Sign(), "lead")
    assert set(play.house.runs[RUN].signatures) == {"cutover-lead"}
    assert not play.house.runs["wave-2"].signatures
