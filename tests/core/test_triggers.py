"""Every operator keeps its word: healthy is never met, failures only ever add, silence is not good news."""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bot.core.model import Cell, Outcome, Reading
from bot.core.runbook import When
from bot.core.triggers import (
    MOST_SAMPLES,
    BaseOperator,
    Consecutive,
    Judgement,
    Operator,
    Rate,
    Tally,
    Threshold,
    Verdict,
    Why,
    one_in,
    operator_of,
    operators,
)

START = datetime(2026, 12, 8, 2, 0, tzinfo=UTC)
METRIC = "telephony_setup_time_s"
MEMBERS = 4

EXAMPLES = {name: dict(listed.EXAMPLE) for name, listed in operators().items()}
EVERY = pytest.mark.parametrize("name", sorted(operators()))
OUTCOMES = st.lists(st.sampled_from(Outcome), max_size=60)


def _operator(name: str) -> BaseOperator:
    return operator_of({name: EXAMPLES[name]})


def _reading(outcome: Outcome, second: float = 0, **metrics: float) -> Reading:
    at = START + timedelta(seconds=second)
    return Reading(check="voice", kind="voice", cell=Cell(origin="mno-b"), outcome=outcome, at=at, metrics=metrics)


def _readings(outcomes: list[Outcome]) -> list[Reading]:
    """Readings as a real check gives them: a PASS has a good metric, a FAIL a bad one, the rest none."""
    metrics = {Outcome.PASS: {METRIC: 2.0}, Outcome.FAIL: {METRIC: 12.0}}
    return [_reading(outcome, i, **metrics.get(outcome, {})) for i, outcome in enumerate(outcomes)]


def _fold(operator: BaseOperator, readings: list[Reading], tally: Tally | None = None) -> Tally:
    tally = tally or Tally()
    for reading in readings:
        tally = operator.observe(tally, reading)
    return tally


def _judge(operator: BaseOperator, tally: Tally, second: float = 60) -> Judgement:
    return operator.judge(tally, MEMBERS, START + timedelta(seconds=second))


def _rate(**changed: float) -> Rate:
    return Rate.model_validate(EXAMPLES["rate"] | changed)


def _threshold(**changed: Any) -> Threshold:
    return Threshold.model_validate(EXAMPLES["threshold"] | changed)


# ------------------------------------------------------------------------------- every operator


def test_every_operator_brings_the_example_these_tests_hold_it_by() -> None:
    assert all(EXAMPLES.values())


@EVERY
def test_nothing_measured_is_cannot_tell_not_pass(name: str) -> None:
    judged = _judge(_operator(name), Tally())
    assert (judged.verdict, judged.reason) == (Verdict.CANNOT_TELL, Why.NO_DATA)


@EVERY
@given(count=st.integers(1, 300))
def test_passes_alone_are_never_met(name: str, count: int) -> None:
    operator = _operator(name)
    assert _judge(operator, _fold(operator, _readings([Outcome.PASS] * count))).verdict is not Verdict.MET


@EVERY
@given(outcomes=OUTCOMES, more=st.integers(1, 5))
def test_one_more_failure_never_takes_back_what_was_met(name: str, outcomes: list[Outcome], more: int) -> None:
    operator = _operator(name)
    before = _fold(operator, _readings(outcomes))
    after = _fold(operator, [_reading(Outcome.FAIL, len(outcomes), **{METRIC: 12.0})] * more, before)
    if _judge(operator, before).verdict is Verdict.MET:
        assert _judge(operator, after).verdict is Verdict.MET


@EVERY
@given(outcomes=OUTCOMES, where=st.integers(0, 60))
def test_a_failure_instead_of_a_pass_never_takes_back_what_was_met(
    name: str, outcomes: list[Outcome], where: int
) -> None:
    operator = _operator(name)
    worse = [Outcome.FAIL if i == where and o is Outcome.PASS else o for i, o in enumerate(outcomes)]
    if _judge(operator, _fold(operator, _readings(outcomes))).verdict is Verdict.MET:
        assert _judge(operator, _fold(operator, _readings(worse))).verdict is Verdict.MET


@EVERY
@given(outcomes=OUTCOMES, unmeasured=st.sampled_from([Outcome.ERROR, Outcome.INCONCLUSIVE]), where=st.integers(0, 60))
def test_a_reading_that_decides_nothing_changes_no_verdict(
    name: str, outcomes: list[Outcome], unmeasured: Outcome, where: int
) -> None:
    operator = _operator(name)
    readings = _readings(outcomes)
    with_it = [*readings[:where], _reading(unmeasured, min(where, len(readings)), **{METRIC: 999.0}), *readings[where:]]
    without = _judge(operator, _fold(operator, readings))
    judged = _judge(operator, _fold(operator, with_it))
    assert (judged.verdict, judged.reason) == (without.verdict, without.reason)


@EVERY
@given(outcomes=OUTCOMES)
def test_a_tally_survives_being_written_down(name: str, outcomes: list[Outcome]) -> None:
    operator = _operator(name)
    tally = _fold(operator, _readings(outcomes))
    again = Tally.model_validate_json(tally.model_dump_json())
    assert again == tally
    assert _judge(operator, again) == _judge(operator, tally)
    assert Tally.model_validate(tally.model_dump()) == tally


@EVERY
@given(outcomes=OUTCOMES)
def test_every_reading_is_counted_once(name: str, outcomes: list[Outcome]) -> None:
    tally = _fold(_operator(name), _readings(outcomes))
    assert tally.passed == outcomes.count(Outcome.PASS)
    assert tally.failed == outcomes.count(Outcome.FAIL)
    assert tally.passed + tally.failed + tally.errors == len(outcomes)
    assert (tally.decided_at is None) == (tally.decided == 0)


@EVERY
def test_silence_for_too_long_is_cannot_tell_not_pass(name: str) -> None:
    operator = _operator(name)
    tally = _fold(operator, _readings([Outcome.PASS] * 9 + [Outcome.ERROR]))
    silent_after = timedelta(minutes=3)
    last = START + timedelta(seconds=8)
    fresh = operator.judge(tally, MEMBERS, last + silent_after, silent_after)
    stale = operator.judge(tally, MEMBERS, last + silent_after + timedelta(seconds=1), silent_after)
    assert fresh.verdict is Verdict.NOT_MET
    assert (stale.verdict, stale.reason) == (Verdict.CANNOT_TELL, Why.SILENT)
    assert stale.because == "no measurement for 3 min (1 try gave no verdict)"


@EVERY
def test_silence_does_not_take_back_what_was_met(name: str) -> None:
    operator = _operator(name)
    tally = _fold(operator, _readings([Outcome.FAIL] * 20))
    assert operator.judge(tally, MEMBERS, START + timedelta(minutes=5), timedelta(minutes=3)).verdict is Verdict.MET


@EVERY
def test_every_verdict_says_why_and_with_which_numbers(name: str) -> None:
    operator = _operator(name)
    for outcomes in ([Outcome.PASS] * 9, [Outcome.FAIL] * 20):
        judged = _judge(operator, _fold(operator, _readings(outcomes)))
        assert judged.numbers
        assert all(math.isfinite(number) for number in judged.numbers.values())
        assert any(letter.isdigit() for letter in judged.because)
        assert "\n" not in judged.because


@EVERY
def test_an_operator_is_stored_as_it_is_written(name: str) -> None:
    adapter: TypeAdapter[BaseOperator] = TypeAdapter(Operator)
    written = {name: EXAMPLES[name]}
    stored = adapter.dump_python(adapter.validate_python(written), mode="json")
    assert adapter.validate_python(stored) == _operator(name)
    assert set(stored) == {name}
    assert When.model_validate({"check": "voice", "per": "origin"} | written).operator == _operator(name)


# ----------------------------------------------------------------------------------------- rate


def test_a_rate_is_met_by_five_failures_in_a_row_from_the_start() -> None:
    rate = _rate()
    four, five = (_judge(rate, _fold(rate, _readings([Outcome.FAIL] * n))) for n in (4, 5))
    assert four.verdict is Verdict.NOT_MET
    assert (five.verdict, five.reason) == (Verdict.MET, Why.LIKELIHOOD)
    assert five.because == "5 of 5 failed; signed limit: about 1 in 10"
    assert five.numbers["log_ratio"] >= five.numbers["log_limit"] == pytest.approx(math.log(4 / 0.005))


def test_a_fault_after_a_clean_night_is_told_as_the_stretch_that_failed() -> None:
    rate = _rate()
    tally = _fold(rate, _readings([Outcome.PASS] * 400 + [Outcome.FAIL] * 11))
    judged = _judge(rate, tally)
    assert judged.verdict is Verdict.MET
    assert judged.because == "11 of the last 11 failed (11 of 411 in all); signed limit: about 1 in 10"


def test_a_half_dead_origin_is_found_within_a_few_readings() -> None:
    dice, rate, needed = random.Random(7), _rate(), []  # noqa: S311 - a simulation
    for _ in range(100):
        tally = Tally()
        while tally.decided < 200 and _judge(rate, tally).verdict is not Verdict.MET:
            tally = rate.observe(tally, _reading(Outcome.FAIL if dice.random() < 0.5 else Outcome.PASS))
        needed.append(tally.decided)
    assert sorted(needed)[50] <= 11
    assert max(needed) <= 40


def test_more_members_need_more_evidence() -> None:
    rate = _rate()
    tally = _fold(rate, _readings([Outcome.FAIL] * 5))
    assert rate.judge(tally, 4, START).verdict is Verdict.MET
    assert rate.judge(tally, 4000, START).verdict is Verdict.NOT_MET


def test_a_rate_promises_its_signed_bound_whatever_the_members() -> None:
    assert _rate().family_false_trip(1) == _rate().family_false_trip(64) == 0.005
    assert Consecutive(failures=3).family_false_trip(4) is None
    assert _threshold().family_false_trip(4) is None


@pytest.mark.parametrize("bad", [0.98, 0.99])
def test_a_rate_whose_bad_is_not_below_its_good_is_refused(bad: float) -> None:
    with pytest.raises(ValidationError, match=r"good \(0\.98\) must be above bad"):
        _rate(bad=bad)


def test_a_rate_reads_as_people_say_it() -> None:
    assert _rate().sentence() == "about 1 in 10 or more fail (normal: fewer than 1 in 50)"


# ----------------------------------------------------------------------------------- consecutive


def test_a_row_is_broken_by_a_pass_and_by_nothing_else() -> None:
    rule = Consecutive(failures=3)
    broken = [Outcome.FAIL, Outcome.FAIL, Outcome.PASS, Outcome.FAIL]
    unbroken = [Outcome.FAIL, Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.FAIL]
    assert _judge(rule, _fold(rule, _readings(broken))).because == "1 failed in a row; signed limit: 3"
    assert _judge(rule, _fold(rule, _readings(unbroken))).reason is Why.IN_A_ROW


def test_a_row_reads_as_people_say_it() -> None:
    assert Consecutive(failures=3).sentence() == "3 fail in a row"
    assert Consecutive(failures=1).sentence() == "a single one fails"


# ------------------------------------------------------------------------------------- threshold


def _timed(*values: float, every: float = 60) -> list[Reading]:
    return [_reading(Outcome.PASS, i * every, **{METRIC: value}) for i, value in enumerate(values)]


def test_a_threshold_is_met_when_more_than_its_share_is_beyond_the_limit() -> None:
    rule = _threshold()
    one, two = (_fold(rule, _timed(*[2.0] * (10 - n), *[12.0] * n)) for n in (1, 2))
    assert _judge(rule, one, 600).verdict is Verdict.NOT_MET
    judged = _judge(rule, two, 600)
    assert (judged.verdict, judged.reason) == (Verdict.MET, Why.QUANTILE)
    assert judged.because == (
        "2 of 10 have telephony setup time above 10 s in the last 15m; signed limit: more than 1 in 10"
    )
    assert judged.numbers["value"] == 12.0


def test_a_value_at_the_limit_is_not_beyond_it() -> None:
    rule = _threshold()
    assert _judge(rule, _fold(rule, _timed(*[10.0] * 5)), 300).verdict is Verdict.NOT_MET


def test_too_few_samples_is_cannot_tell_not_pass() -> None:
    rule = _threshold()
    judged = _judge(rule, _fold(rule, _timed(2.0, 2.0)))
    assert (judged.verdict, judged.reason) == (Verdict.CANNOT_TELL, Why.TOO_FEW)
    assert judged.because == "2 samples in the last 15m; the rule wants at least 3"


def test_samples_that_left_the_window_count_no_more() -> None:
    rule = _threshold()
    tally = _fold(rule, _timed(12.0, 12.0, 12.0))
    assert _judge(rule, tally, 15 * 60 - 1).verdict is Verdict.MET
    assert _judge(rule, tally, 15 * 60).reason is Why.TOO_FEW
    assert [value for _, value in _fold(rule, [_reading(Outcome.PASS, 900, **{METRIC: 1.0})], tally).samples] == [
        12.0,
        12.0,
        1.0,
    ]


def test_samples_are_bounded_however_fast_the_check() -> None:
    rule = _threshold()
    tally = _fold(rule, _timed(*range(MOST_SAMPLES + 50), every=0.01))
    assert len(tally.samples) == MOST_SAMPLES
    assert tally.samples[0][1] == 50


def test_a_reading_without_the_metric_is_no_sample() -> None:
    rule = _threshold()
    readings = [_reading(Outcome.FAIL), _reading(Outcome.PASS, **{METRIC: math.inf})]
    assert _fold(rule, readings).samples == ()


def test_a_limit_from_below_is_met_by_low_values() -> None:
    rule = _threshold(metric="mos_ratio", above=None, below=3.5, quantile=0.25)
    readings = [_reading(Outcome.PASS, i, mos_ratio=value) for i, value in enumerate((3.0, 4.0, 4.0, 4.0))]
    assert _judge(rule, _fold(rule, readings)).because == (
        "1 of 4 have mos below 3.5 in the last 15m; signed limit: at least 1 in 4"
    )
    assert _judge(rule, _fold(rule, readings)).verdict is Verdict.MET


@given(
    values=st.lists(st.floats(0, 20), min_size=1, max_size=40),
    tenths=st.integers(0, 10),
    side=st.sampled_from(["above", "below"]),
)
def test_the_share_in_the_sentence_says_the_same_as_the_quantile(values: list[float], tenths: int, side: str) -> None:
    limits = {"above": None, "below": None, side: 10.0}
    rule = _threshold(quantile=tenths / 10, min_samples=1, **limits)
    judged = _judge(rule, _fold(rule, _timed(*values, every=0)))
    beyond, n = round(judged.numbers["beyond"]), len(values)
    if "any" in rule.sentence():
        said = beyond > 0
    elif "all" in rule.sentence():
        said = beyond == n
    else:
        said = beyond * 10 > n * (10 - tenths) if side == "above" else beyond * 10 >= n * tenths
    assert (judged.verdict is Verdict.MET) == said


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"quantile": 0.95, "min_samples": 20},
            "more than 1 in 20 have telephony setup time above 10 s (over 15m, from at least 20 measurements)",
        ),
        ({"quantile": 1}, "any have telephony setup time above 10 s (over 15m, from at least 3 measurements)"),
        ({"quantile": 0}, "all have telephony setup time above 10 s (over 15m, from at least 3 measurements)"),
        (
            {"quantile": 0.5, "above": None, "below": 2, "metric": "answered_pct"},
            "at least 1 in 2 have answered below 2% (over 15m, from at least 3 measurements)",
        ),
    ],
)
def test_a_threshold_reads_as_people_say_it(changed: dict[str, Any], sentence: str) -> None:
    assert _threshold(**changed).sentence() == sentence


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"below": 3.0}, "exactly one of above"),
        ({"above": None}, "exactly one of above"),
        ({"window": "0s"}, "longer than nothing"),
        ({"window": 900}, "not a duration"),
        ({"min_samples": 0}, "min_samples"),
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(changed: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        _threshold(**changed)


# -------------------------------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1 - 0.9, "1 in 10"),
        (0.02, "1 in 50"),
        (0.005, "1 in 200"),
        (0.75, "3 in 4"),
        (0.98, "49 in 50"),
        (0.35, "7 in 20"),
        (0.999, "999 in 1000"),
        (1, "1 in 1"),
        (0, "none"),
    ],
)
def test_a_share_is_said_as_one_in_so_many(share: float, said: str) -> None:
    assert one_in(share) == said


def test_a_share_of_something_names_it() -> None:
    assert one_in(0.005, "night") == "1 night in 200"
    assert one_in(0.75, "night") == "3 nights in 4"


@given(share=st.floats(1e-6, 1 - 1e-6))
def test_what_is_said_is_near_what_is_meant(share: float) -> None:
    top, bottom = one_in(share).split(" in ")
    assert abs(int(top) / int(bottom) - share) <= 0.03 * min(share, 1 - share)


def test_an_unknown_operator_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="name exactly one of consecutive, rate, threshold; found ratio"):
        operator_of({"ratio": {}})
