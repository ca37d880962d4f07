"""The plan changes in one way only, in front of everybody, and never to anybody's surprise."""

from datetime import timedelta

from bot.core import messages as m
from bot.core.errors import Reason
from bot.core.model import Outcome
from bot.core.runbook import OptionName
from bot.core.state import StepStatus
from tests.core.play import PORTABILITY, SIGNERS, VOICE, Play, at, measured, names, of

RETITLED = PORTABILITY.replace("title: Number portability cutover, wave 1", "title: Wave one")
LOOSER = PORTABILITY.replace("bad: 0.90", "bad: 0.80")
OTHER_RULE = PORTABILITY.replace("rate: {good: 0.98, bad: 0.90, false_trip: 0.005}", "consecutive: {failures: 3}")


def _amended(play: Play, text: str) -> m.RunbookAmended:
    return of(play.says(m.Amend(text=text, reason="agreed on the bridge"), "lead"), m.RunbookAmended)[0]


def test_a_change_needs_a_reason_and_stays_the_same_runbook() -> None:
    play = Play().called()
    no = play.refused(m.Amend(text=RETITLED, reason=" "), "lead")
    assert no.sentence == "Not changed: a reason is required. /cutover amend RUNBOOK because ..."
    other = PORTABILITY.replace("runbook: number-portability-cutover", "runbook: another")
    assert play.refused(m.Amend(text=other, reason="x"), "lead").reason is Reason.BAD_ARGUMENT


def test_a_step_that_has_begun_stays() -> None:
    play = Play().called()
    gone = PORTABILITY.replace(
        "  - {id: roll-call, kind: roll-call, roles: [network-ops, mno-partner, care-lead], within: 15m}\n", ""
    ).replace(", needs: [roll-call]", "")
    assert play.refused(m.Amend(text=gone, reason="x"), "lead").sentence.endswith("(roll-call is missing).")


def test_signatures_survive_a_change_that_leaves_the_criteria() -> None:
    play = Play().called()
    amended = _amended(play, RETITLED)
    assert amended.kept
    assert amended.diff == "title: Number portability cutover, wave 1 -> Wave one"
    assert len(play.run.signatures) == 4
    assert play.run.plan.title == "Wave one"


def test_signatures_are_void_when_the_criteria_change_and_nothing_goes_until_all_sign_again() -> None:
    play = Play().called()
    amended = _amended(play, LOOSER)
    assert not amended.kept
    assert not play.run.signatures
    vote = m.CastVote(number=play.card.number, option="A")
    assert "the criteria are not signed by cutover-lead, network-ops," in play.refused(vote, "noc-a").sentence
    for person in SIGNERS:
        assert of(play.says(m.Sign(), person), m.CriteriaSigned)[0].digest == amended.criteria_digest
    assert "VoteCast" in names(play.says(vote, "noc-a"))


def test_votes_are_void_and_the_question_is_asked_again_under_a_new_number() -> None:
    play = Play().called()
    play.votes("A", "noc-a")
    events = play.says(m.Amend(text=RETITLED, reason="typo"), "lead")
    assert [(e.number, e.person, e.cause) for e in of(events, m.VoteVoided)] == [(1, "noc-a", "the runbook changed")]
    assert [d.number for d in of(events, m.DecisionOpened)] == [2]
    assert not play.card.votes
    no = play.refused(m.CastVote(number=1, option="A"), "deputy")
    assert (no.reason, no.sentence) == (
        Reason.SUPERSEDED,
        "Nothing changed: decision 1 ended (the runbook changed). Decision 2 replaced it.",
    )


def test_a_rule_that_was_met_stays_met_through_a_change() -> None:
    play = Play().watching()
    play.fails("mno-b")
    events = play.says(m.Amend(text=LOOSER, reason="too strict"), "lead")
    assert [(d.number, d.subject) for d in of(events, m.DecisionOpened)] == [(3, "trigger")]


def test_another_kind_of_rule_counts_from_the_change_on() -> None:
    play = Play().watching()
    play.sweeps(play.now + timedelta(minutes=1), failing=("mno-a",))
    _amended(play, OTHER_RULE)
    play.sweeps(play.now + timedelta(minutes=1))
    assert not play.happened(m.TriggerMet)
    assert play.run.triggers["inbound-voice-failing"].tallies["mno-a"].decided == 2


def test_a_rule_taken_out_ends_its_fix() -> None:
    play = Play().watching()
    play.fails("mno-b")
    play.says(m.CastVote(number=2, option="B", owner="noc-a", minutes=5), "noc-a")
    renamed = PORTABILITY.replace("id: inbound-voice-failing", "id: inbound-failing")
    _amended(play, renamed)
    assert play.run.fix is None
    play.wakes(play.now + timedelta(minutes=6))


def test_a_moved_window_stays_moved_through_a_change() -> None:
    play = Play().gone()
    play.says(m.Postpone(opens=at(2, 0), closes=at(4, 0)), "lead")
    _amended(play, RETITLED)
    assert play.run.window_opens == at(2, 0)
    _amended(play, RETITLED.replace('opens: "2026-12-08T01:30:00"', 'opens: "2026-12-08T03:00:00"'))
    assert play.run.window_opens == at(3, 0)


def test_a_longer_watch_is_longer_also_when_it_is_under_way() -> None:
    play = Play().watching()
    ends = play.step("validate").until
    assert ends is not None
    _amended(play, PORTABILITY.replace("for: 90m", "for: 120m"))
    assert play.step("validate").until == ends + timedelta(minutes=30)


def test_a_hole_in_a_cell_that_is_no_longer_measured_blocks_nothing() -> None:
    play = Play().watching()
    play.sweeps_until(play.now + timedelta(minutes=5), silent=("fixed",))
    assert any(hole.until is None for hole in play.run.holes)
    _amended(play, PORTABILITY.replace("origin: [mno-a, mno-b, donor, fixed]", "origin: [mno-a, mno-b, donor]"))
    assert not any(hole.until is None for hole in play.run.holes)


def test_a_digest_that_is_new_goes_out_too() -> None:
    play = Play().called()
    _amended(play, PORTABILITY.replace("digests: [", "digests: [{id: care, every: 10m, to: {channel: C0CARE}}, "))
    assert [d.digest for d in of(play.wakes(play.now + timedelta(minutes=10)), m.DigestDue)] == ["care"]


def test_a_vote_of_somebody_who_lost_the_role_does_not_count() -> None:
    play = Play().watching()
    play.fails("mno-b")
    play.votes("A", "lead")
    without = PORTABILITY.replace("mno-partner: {people: [partner-a, partner-b]", "mno-partner: {people: [partner-b]")
    _amended(play, without)
    assert play.refused(m.CastVote(number=play.card.number, option="A"), "partner-a").reason is Reason.NOT_YOUR_ROLE
    assert not of(play.votes("A", "partner-b"), m.Decided)
    assert [d.option for d in of(play.votes("A", "deputy"), m.Decided)] == [OptionName.GO_BACK]


def test_a_rollback_step_that_has_begun_stays() -> None:
    play = Play().watching()
    play.fails("mno-b")
    play.votes("A", "lead", "partner-a")
    assert play.status("port-back") is StepStatus.RUNNING
    renamed = PORTABILITY.replace("id: port-back", "id: send-back")
    assert play.refused(m.Amend(text=renamed, reason="x"), "lead").reason is Reason.BAD_ARGUMENT


def test_readings_of_a_check_that_is_gone_are_refused() -> None:
    play = Play().called()
    cell = play.run.plan.check(VOICE).measured_cells()[-1]
    _amended(play, PORTABILITY.replace("origin: [mno-a, mno-b, donor, fixed]", "origin: [mno-a, mno-b, donor]"))
    check = play.run.plan.check(VOICE)
    no = play.refused(measured(check, cell, Outcome.PASS, play.now), "")
    assert no.sentence == f"{VOICE} {cell.key} is no longer measured in run wave-1."
