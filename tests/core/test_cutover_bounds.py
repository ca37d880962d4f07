"""What a choice is about, and what may never overtake it."""

from datetime import timedelta

from bot.core import messages as m
from bot.core.errors import Reason
from bot.core.model import Outcome
from bot.core.runbook import OptionName
from bot.core.state import RunStatus, StepStatus
from tests.core.play import PORTABILITY, RUN, SIGNERS, Play, names, of

CONTINUE = m.CastVote(number=2, option="C")


def test_a_choice_to_continue_accepts_only_what_its_card_asked_about() -> None:
    play = Play().watching()
    play.fails("mno-a")
    play.says(CONTINUE, "lead")
    events = play.fails("mno-b")
    assert [(void.person, void.option) for void in of(events, m.VoteVoided)] == [("lead", OptionName.CONTINUE)]
    for person in ("lead", "noc-a", "partner-a"):
        play.says(CONTINUE, person)
    assert [override.members for override in play.run.overrides] == [("mno-a",)]
    assert [(d.number, d.opened.members) for d in play.run.open_decisions] == [(3, ("mno-b",))]


def test_porting_back_waits_for_a_switch_that_is_under_way() -> None:
    play = Play().switching()
    play.says(m.GoBack(word="port-back"), "lead")
    play.says(m.CastVote(number=play.card.number, option="A"), "partner-a")
    assert play.run.status is RunStatus.GOING_BACK
    assert play.status("port-back") is StepStatus.WAITING
    assert "StepStarted" in names(play.reports("switch-routing", "done"))


def test_nothing_is_rolled_back_while_nobody_knows_whether_the_switch_happened() -> None:
    play = Play().switching()
    play.says(m.GoBack(word="port-back"), "lead")
    play.says(m.CastVote(number=play.card.number, option="A"), "partner-a")
    play.reports("switch-routing", "unknown", "no answer")
    play.reports("port-back", "done")
    assert play.run.status.value == "going-back"
    play.says(m.Fail(step="switch-routing", reason="it never arrived"), "lead")
    assert play.run.status.value == "rolled_back"


def test_a_switch_that_waits_for_less_is_another_promise() -> None:
    play = Play().called()
    less = PORTABILITY.replace("needs: [go], point_of_no_return", "needs: [roll-call], point_of_no_return")
    amended = of(play.says(m.Amend(text=less, reason="quicker"), "care"), m.RunbookAmended)
    assert [event.kept for event in amended] == [False]
    assert "not signed" in play.refused(m.Start(step="switch-routing"), "lead").sentence


def test_who_must_agree_cannot_be_amended() -> None:
    play = Play().called()
    alone = PORTABILITY.replace(
        "criteria: {one_of_each: [cutover-lead, network-ops, mno-partner, care-lead]}",
        "criteria: {any: 1, of: [care-lead]}",
    )
    no = play.refused(m.Amend(text=alone, reason="quicker"), "care")
    assert no.sentence == (
        "Not changed: who must agree stays as it was signed. For another policy, open a new run and sign it."
    )


def test_another_address_in_the_deployment_file_voids_signatures_and_votes() -> None:
    play = Play().called()
    play.votes("A", "noc-a")
    assert not play.orders(m.CompareDeployment(run=RUN, deployment=play.run.deployment))
    events = play.orders(m.CompareDeployment(run=RUN, deployment={**play.run.deployment, "http.npdb": "other"}))
    assert of(events, m.RunbookAmended)[0].reason == "the deployment file says something else about http.npdb"
    assert [void.person for void in of(events, m.VoteVoided)] == ["noc-a"]
    assert not play.run.signatures
    for person in SIGNERS:
        play.says(m.Sign(), person)
    assert play.run.deployment["http.npdb"] == "other"


def test_a_watch_does_not_end_while_a_watched_check_fails() -> None:
    no_rule = PORTABILITY.replace("rate: {good: 0.98, bad: 0.90, false_trip: 0.005}", "consecutive: {failures: 999}")
    play = Play().watching(no_rule)
    ends = play.step("validate").until
    assert ends is not None
    play.sweeps_until(ends + timedelta(minutes=2), failing=("mno-b",))
    assert play.status("validate") is StepStatus.RUNNING
    play.sweeps()
    assert play.status("validate") is StepStatus.DONE


def test_a_list_that_was_not_read_is_not_signed() -> None:
    play = Play().opened()
    assert "CriteriaSigned" in names(play.says(m.Sign(digest=play.run.criteria_digest[:8]), "lead"))
    no = play.refused(m.Sign(digest="00000000"), "noc-a")
    assert no.reason is Reason.SUPERSEDED
    assert no.sentence.startswith("Not signed: the list you read (00000000) is not the list of now (")


def test_two_fixes_are_two_choices() -> None:
    two = PORTABILITY.replace(
        "fix_first: {any: 1, of: [cutover-lead, network-ops], at_most: 20m}",
        "fix_first: {any: 2, of: [cutover-lead, network-ops], at_most: 20m}",
    )
    play = Play().watching(two)
    play.fails("mno-b")
    play.says(m.CastVote(number=2, option="B", owner="noc-a", minutes=5), "lead")
    no = play.refused(m.CastVote(number=2, option="B", owner="noc-b", minutes=20), "noc-b")
    assert "voted for a fix by" in no.sentence
    assert "Decided" in names(play.says(m.CastVote(number=2, option="B", owner="noc-a", minutes=5), "noc-b"))


def test_a_reading_that_passes_is_what_ends_a_failing_cell() -> None:
    play = Play().watching()
    play.reads("mno-b", Outcome.FAIL)
    play.reads("mno-b", Outcome.FAIL)
    assert play.run.colours["voice-inbound"] == "failing"
    play.sweeps()
    assert play.run.colours["voice-inbound"] == "working"


def test_a_run_can_be_given_up_while_no_action_was_sent() -> None:
    play = Play().called()
    assert play.refused(m.Abort(reason="no partner"), "care").reason is Reason.NOT_YOUR_ROLE
    assert play.refused(m.Abort(), "lead").sentence == (
        "Not given up: a reason is required. /cutover abort because ..."
    )
    play.says(m.Abort(reason="no partner tonight"), "lead")
    assert play.run.status is RunStatus.ABORTED
    assert play.house.active_in(play.run.place) is None


def test_a_run_in_which_the_switch_was_sent_is_not_given_up() -> None:
    play = Play().switching()
    no = play.refused(m.Abort(reason="tired"), "lead")
    assert no.sentence.endswith("was sent, so there is something to take back. To go back: /cutover port-back")
