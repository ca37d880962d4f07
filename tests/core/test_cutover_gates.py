"""A gate passes only over measured, passing, unbroken evidence, by people who may, and asks again when told so."""

from datetime import timedelta

import pytest

from bot.core import messages as m
from bot.core.errors import Reason
from bot.core.model import Outcome
from bot.core.runbook import OptionName
from bot.core.standing import gate_blocks
from bot.core.state import StepStatus
from tests.core.play import PORTABILITY, RUN, Play, at, names, of

GO = m.CastVote(number=1, option="A")


def _called_unmeasured() -> Play:
    play = Play().started()
    for person in ("noc-a", "partner-a", "care"):
        play.says(m.Here(), person)
    return play


def test_the_gate_asks_by_itself_when_what_it_needs_is_done() -> None:
    opened = _called_unmeasured().happened(m.DecisionOpened)
    assert [(d.number, d.subject, d.about) for d in opened] == [(1, "gate", "go")]
    assert [(offer.letter, offer.option) for offer in opened[0].offers] == [
        ("A", OptionName.GO),
        ("B", OptionName.NOT_YET),
    ]


def test_a_cell_never_measured_refuses_every_vote_to_go() -> None:
    play = _called_unmeasured()
    play.sweeps(silent=("fixed",))
    no = play.refused(GO, "noc-a")
    assert no.reason is Reason.NOT_READY
    assert no.sentence == (
        "Your vote was not counted, this may not go forward now: voice-inbound fixed/+447700900001: not measured yet; "
        "voice-inbound fixed/+447700900002: not measured yet."
    )


def test_one_failing_cell_refuses_every_vote_to_go() -> None:
    play = Play().called()
    play.reads("mno-a", Outcome.FAIL)
    assert "mno-a/+447700900001: fail of mno-a/+447700900001" in play.refused(GO, "noc-a").sentence
    play.reads("mno-a", Outcome.PASS)
    assert "VoteCast" in names(play.says(GO, "noc-a"))


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.INCONCLUSIVE])
def test_only_a_pass_is_a_pass(outcome: Outcome) -> None:
    play = _called_unmeasured()
    for cell in play.run.plan.check("voice-inbound").all_cells():
        play.measures(cell, outcome)
    assert len(gate_blocks(play.run, play.run.plan.step("go"), play.now)) == 8
    assert "not measured yet" in play.refused(GO, "noc-a").sentence


def test_a_failing_control_cell_does_not_block() -> None:
    play = Play().called()
    play.reads("mno-a", Outcome.FAIL, number="+447700900901")
    assert "VoteCast" in names(play.says(GO, "noc-a"))


def test_silence_blocks_a_gate_before_anybody_was_woken() -> None:
    play = Play().called()
    play.now = at(0, 54)
    assert "no measurement since 00:50" in play.refused(GO, "noc-a").sentence


def test_a_hole_voids_forward_votes_and_blocks_until_it_is_out_of_the_gates_window() -> None:
    play = Play().called()
    play.votes("A", "noc-a")
    play.sweeps_until(at(0, 55), silent=("donor",))
    assert {(hole.check, hole.cell.split("/")[0]) for hole in play.happened(m.HoleOpened)} == {
        ("voice-inbound", "donor")
    }
    voided = play.happened(m.VoteVoided)
    assert [(vote.number, vote.person, vote.cause) for vote in voided] == [(1, "noc-a", "a check has a hole")]
    assert not play.card.votes
    play.sweeps_until(at(1, 5))
    assert "no measurement from 00:50 to 00:56" in play.refused(GO, "noc-a").sentence
    play.sweeps_until(at(1, 7))
    assert "VoteCast" in names(play.says(GO, "noc-a"))


def test_a_rule_that_is_met_voids_forward_votes() -> None:
    play = Play().called()
    play.votes("A", "noc-a")
    play.fails("mno-b")
    assert [vote.cause for vote in play.happened(m.VoteVoided)] == ["rule 'Calls into our numbers fail' is met"]
    no = play.refused(GO, "noc-a")
    assert "decision 2 is open" in no.sentence


def test_nothing_measured_voids_a_vote_to_go_back() -> None:
    play = Play().watching()
    play.says(m.GoBack(word="port-back"), "lead")
    assert set(play.card.votes) == {"lead"}
    play.fails("mno-b")
    play.sweeps_until(play.now + timedelta(minutes=6), silent=("donor",))
    assert not play.happened(m.VoteVoided)
    assert "RollbackStarted" in names(play.votes("A", "partner-a", number=play.run.open_decisions[0].number))


def test_who_started_the_run_does_not_approve_its_gates() -> None:
    no = Play().called().refused(GO, "lead")
    assert no.reason is Reason.SECOND_PERSON
    assert no.sentence == (
        "Your vote does not count: you started this run, so another person must agree. "
        "0 given. It needs cutover-lead AND network-ops."
    )


def test_a_person_without_a_slot_is_told_who_decides() -> None:
    no = Play().called().refused(GO, "care")
    assert no.reason is Reason.NOT_ELIGIBLE
    assert no.sentence == (
        "Your vote does not count: A is decided by cutover-lead AND network-ops, and you are neither."
    )


def test_two_of_one_role_are_not_one_of_each() -> None:
    play = Play().called()
    assert not of(play.votes("A", "noc-a", "noc-b"), m.Decided)
    decided = of(play.votes("A", "deputy"), m.Decided)
    assert [(d.option, set(d.voters)) for d in decided] == [(OptionName.GO, {"noc-a", "deputy"})]
    assert play.status("go") is StepStatus.DONE


def test_a_vote_cast_twice_counts_once() -> None:
    play = Play().called()
    play.votes("A", "noc-a")
    no = play.refused(GO, "noc-a")
    assert (no.reason, no.sentence) == (Reason.ALREADY, "Your vote for A was counted at 00:50. Nothing changed.")
    assert len(play.card.votes) == 1


def test_a_vote_after_the_decision_is_told_what_was_chosen() -> None:
    play = Play().called()
    play.votes("A", "noc-a", "deputy")
    play.now += timedelta(seconds=40)
    no = play.refused(m.CastVote(number=1, option="B"), "noc-b")
    assert (no.reason, no.sentence) == (
        Reason.TOO_LATE,
        "Too late, nothing changed: Nia and Dan chose A (go) 40 s ago.",
    )


def test_an_unknown_letter_and_an_unknown_number_are_answered_with_what_there_is() -> None:
    play = Play().called()
    assert play.refused(m.CastVote(number=1, option="C"), "noc-a").sentence == (
        'Decision 1 has no option "C". It has A (go), B (not-yet).'
    )
    assert play.refused(m.CastVote(number=9, option="A"), "noc-a").sentence == (
        "There is no decision 9 in this run. Open decisions: 1."
    )


def test_not_yet_needs_one_and_the_gate_asks_again_when_started_again() -> None:
    play = Play().called()
    play.votes("A", "deputy")
    assert of(play.votes("B", "noc-a"), m.Decided)[0].option is OptionName.NOT_YET
    assert not play.run.open_decisions
    play.wakes(at(0, 51))
    assert not play.run.open_decisions
    again = play.says(m.Start(step="go"), "noc-a")
    assert [d.number for d in of(again, m.DecisionOpened)] == [2]
    assert not play.card.votes
    assert play.refused(m.Start(step="go"), "noc-a").reason is Reason.ALREADY
    play.votes("A", "deputy", "noc-a")
    assert play.status("go") is StepStatus.DONE


def test_the_snapshot_of_a_decision_does_not_move_with_new_readings() -> None:
    play = Play().called()
    before = play.card.opened
    play.sweeps_until(at(0, 53), failing=("mno-a",))
    assert play.run.decisions[1].opened == before


def test_evidence_is_frozen_at_a_position_by_origin_and_control() -> None:
    play = Play().called()
    play.fails("mno-b")
    frozen = {(e.member, e.control): (e.passed, e.failed) for e in play.card.opened.evidence}
    failed = frozen[("mno-b", False)][1]
    assert failed > 0
    assert frozen[("mno-b", True)] == (1, 0)
    assert frozen[("mno-a", False)] == (2, 0)
    assert play.card.opened.evidence_at < play.house.position
    play.reads("mno-b", Outcome.FAIL)
    assert {(e.member, e.control): e.failed for e in play.card.opened.evidence}[("mno-b", False)] == failed


def test_a_gate_right_after_the_switch_wants_measurements_since_the_switch() -> None:
    text = PORTABILITY.replace(
        "kind: watch, needs: [switch-routing], for: 90m, checks: all",
        "kind: gate, approval: go, needs: [switch-routing]",
    )
    play = Play().switching(text)
    play.now += timedelta(seconds=30)
    play.reports("switch-routing", "done")
    vote = m.CastVote(number=play.card.number, option="A")
    assert "not measured since 01:31" in play.refused(vote, "noc-a").sentence
    play.sweeps(play.now + timedelta(seconds=30))
    assert "VoteCast" in names(play.says(vote, "noc-a"))


def test_a_reason_follows_the_vote_and_only_a_vote() -> None:
    play = Play().called()
    assert play.refused(m.GiveReason(number=1, reason="all green"), "noc-a").reason is Reason.WRONG_STATE
    play.says(m.CastVote(number=1, option="a", reason="all green"), "noc-a")
    assert play.card.votes["noc-a"].reason == "all green"
    play.says(m.GiveReason(number=1, reason="and quiet"), "noc-a")
    assert play.card.votes["noc-a"].reason == "and quiet"
    assert play.refused(m.GiveReason(number=1, reason=" "), "noc-a").reason is Reason.BAD_ARGUMENT


def test_while_paused_no_vote_to_go_counts() -> None:
    play = Play().called()
    play.says(m.Pause(reason="storm"), "care")
    assert "paused by Cy: storm" in play.refused(GO, "noc-a").sentence


def test_a_vote_needs_a_role_at_all() -> None:
    assert Play().called().refused(m.CastVote(run=RUN, number=1, option="A"), "guest").reason is Reason.NOT_YOUR_ROLE
