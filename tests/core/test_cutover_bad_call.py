"""The walk of a bad call: measured, met, asked, decided, acted; and what fix first and going on mean."""

from datetime import timedelta

import pytest

from bot.core import messages as m
from bot.core.errors import Reason
from bot.core.model import Outcome
from bot.core.runbook import OptionName
from bot.core.state import RunStatus
from bot.core.triggers import Verdict
from tests.core.play import PORTABILITY, Play, measured, names, of

RULE = "inbound-voice-failing"


def _fix(owner: str = "noc-a", minutes: float = 10) -> m.CastVote:
    return m.CastVote(number=2, option="B", owner=owner, minutes=minutes)


def _failing() -> Play:
    play = Play().watching()
    play.fails("mno-b")
    return play


def _kinds(play: Play, since: int) -> list[tuple[str, str]]:
    return [
        (effect.kind, effect.lane.value) for effect in play.effects[since:] if effect.kind not in {"board", "digest"}
    ]


def test_a_bad_call_goes_all_the_way_to_rolled_back() -> None:
    play = Play().watching()
    mark = len(play.effects)
    events = play.fails("mno-b")
    met, opened = of(events, m.TriggerMet)[0], of(events, m.DecisionOpened)[0]
    assert (met.trigger, met.member, met.reason) == (RULE, "mno-b", "likelihood")
    assert met.because == "mno-b: 5 of the last 5 failed (5 of 7 in all); signed limit: about 1 in 10"
    assert met.numbers["log_ratio"] >= met.numbers["log_limit"]
    assert (opened.number, opened.subject, opened.about, opened.no_return) == (2, "trigger", RULE, True)
    assert opened.deadline == play.now + timedelta(minutes=10)
    assert opened.criteria_digest == play.run.criteria_digest
    assert ("card", "decision") in _kinds(play, mark)

    mark = len(play.effects)
    play.votes("A", "lead")
    assert _kinds(play, mark) == [("card-update", "decision")]
    mark = len(play.effects)
    events = play.votes("A", "partner-a")
    assert names(events) == ["VoteCast", "Decided", "RollbackStarted", "StepStarted", "DigestDue"]
    assert _kinds(play, mark) == [
        ("card-update", "decision"), ("card-update", "decision"), ("line", "rollback"), ("perform", "rollback"),
    ]  # fmt: skip
    assert names(play.reports("port-back", "done")) == ["StepFinished", "RolledBack", "DigestDue"]
    assert play.run.status is RunStatus.ROLLED_BACK


def test_a_reading_alone_never_starts_stops_or_rolls_back() -> None:
    play = Play().watching()
    play.fails("mno-b")
    play.sweeps_until(play.now + timedelta(minutes=9), failing=("mno-a", "mno-b", "donor", "fixed"))
    assert not play.happened(m.RollbackStarted)
    assert not play.happened(m.Paused)


def test_a_rule_once_met_stays_met_until_people_decide() -> None:
    play = _failing()
    play.sweeps_until(play.now + timedelta(minutes=8))
    assert play.run.triggers[RULE].verdict is Verdict.MET
    assert len(play.happened(m.TriggerMet)) == 1
    assert play.card.number == 2


def test_a_second_network_adds_to_the_rule_and_opens_no_second_card() -> None:
    play = _failing()
    before = play.card.opened
    play.fails("donor")
    assert set(play.run.triggers[RULE].met) == {"mno-b", "donor"}
    assert [d.number for d in play.run.open_decisions] == [2]
    assert play.card.opened == before


def test_controls_never_meet_a_rule() -> None:
    play = Play().watching()
    for _ in range(30):
        play.reads("mno-b", Outcome.FAIL, play.now + timedelta(seconds=2), number="+447700900901")
    assert not play.happened(m.TriggerMet)


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.INCONCLUSIVE])
def test_what_was_not_judged_never_meets_a_rule_and_makes_it_unclear(outcome: Outcome) -> None:
    play = Play().watching()
    for _ in range(200):
        play.reads("mno-b", outcome, play.now + timedelta(seconds=2))
    play.wakes()
    assert not play.happened(m.TriggerMet)
    turned = play.happened(m.TriggerTurned)[-1]
    assert (turned.before, turned.after) == (Verdict.NOT_MET, Verdict.CANNOT_TELL)
    assert "no measurement for" in turned.because


def test_a_rule_for_which_silence_counts_is_met_by_silence() -> None:
    play = Play().called(PORTABILITY.replace("no_data: cannot-tell", "no_data: met"))
    play.sweeps_until(play.now + timedelta(minutes=4), silent=("donor",))
    met = play.happened(m.TriggerMet)
    assert [(event.member, event.reason) for event in met] == [("donor", "no-data")]
    assert met[0].because.startswith("donor: nothing measured for ")


# ------------------------------------------------------------------------------------ fix first


@pytest.mark.parametrize(
    ("vote", "says"),
    [
        (_fix(owner=""), "Your vote was not counted: fix first needs an owner from the list. /cutover decide 2 B @owner 20m"),
        (_fix(owner="nobody"), "Your vote was not counted: fix first needs an owner from the list. /cutover decide 2 B @owner 20m"),
        (_fix(minutes=21), "Your vote was not counted: the fix may take 1 to 20 minutes. /cutover decide 2 B @owner 20m"),
        (_fix(minutes=0), "Your vote was not counted: the fix may take 1 to 20 minutes. /cutover decide 2 B @owner 20m"),
    ],
)  # fmt: skip
def test_fix_first_needs_an_owner_and_a_limit(vote: m.CastVote, says: str) -> None:
    no = _failing().refused(vote, "noc-a")
    assert (no.reason, no.sentence) == (Reason.BAD_ARGUMENT, says)


def test_a_fix_that_is_not_proven_brings_the_question_back_with_a_new_number() -> None:
    play = _failing()
    play.says(_fix(), "noc-a")
    assert play.run.fix is not None
    assert play.run.fix.owner == "noc-a"
    ends = play.run.fix.until
    play.sweeps_until(ends - timedelta(seconds=1), failing=("mno-b",))
    assert not play.run.open_decisions
    events = play.wakes(ends)
    assert [e.cleared for e in of(events, m.FixEnded)] == [False]
    assert [(d.number, d.about) for d in of(events, m.DecisionOpened)] == [(3, RULE)]


def test_a_fix_proven_by_measurements_since_clears_the_rule() -> None:
    play = _failing()
    play.says(_fix(), "noc-a")
    play.sweeps_until(play.now + timedelta(minutes=10))
    assert [e.cleared for e in play.happened(m.FixEnded)] == [True]
    assert not play.run.open_decisions
    assert play.run.triggers[RULE].verdict is Verdict.NOT_MET
    play.fails("mno-b")
    assert [d.number for d in play.run.open_decisions] == [3]


def test_silence_proves_no_fix() -> None:
    play = _failing()
    play.says(_fix(), "noc-a")
    play.sweeps_until(play.now + timedelta(minutes=10), silent=("mno-b",))
    assert [e.cleared for e in play.happened(m.FixEnded)] == [False]


def test_a_cell_that_passed_before_the_fix_proves_no_fix() -> None:
    play = _failing()
    play.says(_fix(), "noc-a")
    while not play.happened(m.FixEnded):
        play.reads("mno-b", Outcome.PASS, play.now + timedelta(minutes=1))
        play.wakes()
    assert [e.cleared for e in play.happened(m.FixEnded)] == [False]


def test_nothing_goes_forward_while_somebody_fixes() -> None:
    play = Play().gone()
    play.fails("mno-b")
    play.says(_fix(), "noc-a")
    assert play.refused(m.Start(step="switch-routing"), "noc-a").sentence.startswith("Not started: Nia is fixing until")


# ------------------------------------------------------------------------------------ going on


def test_going_on_is_written_down_and_that_network_is_judged_no_more() -> None:
    play = _failing()
    decided = of(play.votes("C", "lead", "noc-a", "partner-a"), m.Decided)
    assert [d.option for d in decided] == [OptionName.CONTINUE]
    override = play.run.overrides[0]
    assert (override.trigger, override.members) == (RULE, ("mno-b",))
    assert set(override.voters) == {"lead", "noc-a", "partner-a"}
    for _ in range(20):
        play.reads("mno-b", Outcome.FAIL, play.now + timedelta(seconds=2))
    assert len(play.happened(m.TriggerMet)) == 1
    play.fails("donor")
    assert [d.number for d in play.run.open_decisions] == [3]
    assert set(play.run.triggers[RULE].met) == {"donor"}


def test_one_of_three_does_not_go_on() -> None:
    play = _failing()
    assert not of(play.votes("C", "lead", "noc-a"), m.Decided)
    assert play.refused(m.CastVote(number=2, option="C"), "care").reason is Reason.NOT_ELIGIBLE


def test_a_changed_mind_moves_the_vote() -> None:
    play = _failing()
    play.votes("C", "lead")
    assert not of(play.votes("A", "lead"), m.Decided)
    assert play.card.votes["lead"].option is OptionName.GO_BACK
    assert "RollbackStarted" in names(play.votes("A", "partner-b"))


def test_a_new_time_for_the_fix_is_a_new_vote() -> None:
    text = PORTABILITY.replace("fix_first: {any: 1", "fix_first: {any: 2")
    play = Play().watching(text)
    play.fails("mno-b")
    play.says(_fix(minutes=20), "noc-a")
    play.says(_fix(minutes=5), "noc-a")
    assert play.card.votes["noc-a"].minutes == 5
    assert play.refused(_fix(minutes=5), "noc-a").reason is Reason.ALREADY


def test_the_switch_arms_the_rules_anew() -> None:
    play = Play().gone()
    for _ in range(3):
        play.reads("mno-b", Outcome.FAIL, play.now + timedelta(seconds=2))
    play.reads("mno-b", Outcome.PASS, play.now + timedelta(seconds=2))
    play.says(m.Start(step="switch-routing"), "noc-a")
    play.reports("switch-routing", "done")
    assert not play.run.triggers[RULE].tallies
    assert play.run.triggers[RULE].verdict is Verdict.CANNOT_TELL


# ------------------------------------------------------------------------------------ bad readings


def test_readings_that_answer_nothing_are_refused() -> None:
    play = Play().called()
    check = play.run.plan.check("voice-inbound")
    cell = check.measured_cells()[0]
    good = measured(check, cell, Outcome.PASS, play.now)
    alien = cell.model_copy(update={"origin": "mars"})
    elsewhere = good.tick.model_copy(update={"run": "wave-9"})
    other = check.measured_cells()[1]
    dated = {"at": play.now + timedelta(minutes=1)}
    for bad in (
        good.model_copy(update={"epoch": 7}),
        good.model_copy(update={"tick": elsewhere}),
        measured(check, alien, Outcome.PASS, play.now),
        good.model_copy(update={"reading": good.reading.model_copy(update={"cell": other})}),
        good.model_copy(update={"reading": good.reading.model_copy(update=dated)}),
        good.model_copy(update={"reading": good.reading.model_copy(update={"metrics": {"delay_s": float("nan")}})}),
    ):
        assert play.refused(bad, "").reason in {Reason.WRONG_STATE, Reason.BAD_ARGUMENT}
    play.orders(good)


def test_before_the_start_no_reading_counts() -> None:
    play = Play().signed()
    check = play.run.plan.check("voice-inbound")
    no = play.refused(measured(check, check.measured_cells()[0], Outcome.PASS, play.now), "")
    assert no.sentence == "Run wave-1 is not being probed; the reading is not counted."
