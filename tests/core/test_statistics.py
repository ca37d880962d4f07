"""The arithmetic agrees with published tables, with exact sums, and with itself."""

import math
import random
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.statistics import (
    clean_needed,
    clopper_pearson_lower,
    incomplete_beta,
    likelihood_step,
    log_sum,
    onset_step,
    onset_total,
    quantile,
)

RATES = st.floats(min_value=0.01, max_value=0.99)


def _mixture(outcomes: tuple[bool, ...], good: float, bad: float) -> float:
    begun = -math.inf
    for seen, passed in enumerate(outcomes):
        begun = onset_step(begun, seen, likelihood_step(passed, good, bad))
    return onset_total(begun, len(outcomes))


@pytest.mark.parametrize(
    ("clean", "percent"), [(10, 74.1), (20, 86.1), (30, 90.5), (59, 95.0), (90, 96.7), (149, 98.0), (299, 99.0)]
)
def test_a_clean_run_proves_what_the_table_says(clean: int, percent: float) -> None:
    assert clopper_pearson_lower(clean, clean, 0.95) * 100 == pytest.approx(percent, abs=0.06)


@pytest.mark.parametrize(("passed", "n", "two_sided_lower"), [(29, 30, 82.8), (59, 60, 91.1)])
def test_a_run_with_one_failure_proves_what_the_table_says(passed: int, n: int, two_sided_lower: float) -> None:
    assert clopper_pearson_lower(passed, n, 0.975) * 100 == pytest.approx(two_sided_lower, abs=0.06)


@pytest.mark.parametrize(("bar", "needed"), [(0.95, 59), (0.98, 149), (0.99, 299), (0.5, 5)])
def test_clean_needed_is_the_least_number_that_proves_the_bar(bar: float, needed: int) -> None:
    assert clean_needed(bar, 0.95) == needed
    assert clopper_pearson_lower(needed, needed, 0.95) >= bar > clopper_pearson_lower(needed - 1, needed - 1, 0.95)


@given(n=st.integers(1, 60), passed=st.integers(0, 60), p=st.fractions(0, 1, max_denominator=50))
def test_incomplete_beta_is_the_tail_of_the_binomial(n: int, passed: int, p: Fraction) -> None:
    passed = 1 + passed % n
    tail = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(passed, n + 1))
    assert incomplete_beta(float(p), passed, n - passed + 1) == pytest.approx(float(tail), rel=1e-9, abs=1e-12)


@given(n=st.integers(1, 5000), passed=st.integers(0, 5000), confidence=st.floats(0.5, 0.999))
def test_the_proven_rate_is_below_the_seen_rate_and_grows_with_each_pass(
    n: int, passed: int, confidence: float
) -> None:
    passed %= n
    lower = clopper_pearson_lower(passed, n, confidence)
    assert 0 <= lower <= (passed + 1) / n
    assert lower < clopper_pearson_lower(passed + 1, n, confidence)


def test_more_passes_than_readings_is_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        clopper_pearson_lower(3, 2)


def test_nothing_passed_proves_nothing() -> None:
    assert clopper_pearson_lower(0, 9) == 0
    assert clopper_pearson_lower(0, 0) == 0


@given(outcomes=st.lists(st.booleans(), max_size=40), good=RATES, bad=RATES)
def test_under_a_good_service_the_mixture_is_expected_to_stay_where_it_is(
    outcomes: list[bool], good: float, bad: float
) -> None:
    """The martingale property, which is what makes the false-trip bound true over all looks."""
    here = math.exp(_mixture(tuple(outcomes), good, bad))
    after_pass = math.exp(_mixture((*outcomes, True), good, bad))
    after_fail = math.exp(_mixture((*outcomes, False), good, bad))
    assert good * after_pass + (1 - good) * after_fail == pytest.approx(here, rel=1e-9)


@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=60), good=RATES, bad=RATES)
def test_the_mixture_trails_the_plain_ratio_by_ln_2_at_most(outcomes: list[bool], good: float, bad: float) -> None:
    plain = sum(likelihood_step(passed, good, bad) for passed in outcomes)
    assert _mixture(tuple(outcomes), good, bad) >= plain - math.log(2) - 1e-9


def test_the_mixture_does_not_go_deaf_after_a_healthy_night() -> None:
    night, outage = (True,) * 1000, (False,) * 12
    plain = sum(likelihood_step(passed, 0.98, 0.9) for passed in night + outage)
    assert plain < 0
    assert _mixture(night + outage, 0.98, 0.9) > math.log(4 / 0.005)


def test_the_chance_of_ever_crossing_is_below_the_bound_by_exact_enumeration() -> None:
    good, bad, limit = 0.8, 0.4, math.log(5)
    crossed = 0.0
    for outcomes in product((True, False), repeat=11):
        begun, high = -math.inf, -math.inf
        for seen, passed in enumerate(outcomes):
            begun = onset_step(begun, seen, likelihood_step(passed, good, bad))
            high = max(high, onset_total(begun, seen + 1))
        if high >= limit:
            crossed += good ** sum(outcomes) * (1 - good) ** (len(outcomes) - sum(outcomes))
    assert 0 < crossed <= 1 / 5


def test_the_false_trip_bound_holds_over_four_members_and_two_hundred_looks() -> None:
    dice, good, bad, false_trip, members = random.Random(20261208), 0.98, 0.90, 0.05, 4  # noqa: S311 - a simulation
    steps = {passed: likelihood_step(passed, good, bad) for passed in (True, False)}
    limit = math.log(members / false_trip)
    nights, tripped = 600, 0
    for _ in range(nights):
        tripped += any(_crosses(dice, good, steps, limit) for _ in range(members))
    spread = 3 * math.sqrt(false_trip * (1 - false_trip) / nights)
    assert tripped / nights <= false_trip + spread


def _crosses(dice: random.Random, good: float, steps: dict[bool, float], limit: float) -> bool:
    begun = -math.inf
    for seen in range(200):
        begun = onset_step(begun, seen, steps[dice.random() < good])
        if onset_total(begun, seen + 1) >= limit:
            return True
    return False


@given(a=st.floats(-50, 50), b=st.floats(-50, 50))
def test_log_sum_adds(a: float, b: float) -> None:
    assert math.exp(log_sum(a, b)) == pytest.approx(math.exp(a) + math.exp(b))


def test_log_sum_neither_overflows_nor_minds_nothing() -> None:
    assert log_sum(5000, 4000) == 5000
    assert log_sum(-math.inf, -math.inf) == -math.inf


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), q=st.floats(0, 1))
def test_a_quantile_is_the_least_value_that_covers_its_share(values: list[float], q: float) -> None:
    found = quantile(values, q)
    assert found in values
    assert sum(value <= found for value in values) >= q * len(values) - 1e-6
    assert sum(value < found for value in values) < max(q * len(values), 1e-12) or found == min(values)


def test_rounding_does_not_move_a_quantile_up_a_rank() -> None:
    assert quantile(range(1, 101), 0.07) == 7  # 0.07 * 100 is 7.000000000000001
    assert quantile(range(1, 21), 0.95) == 19


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        quantile([], 0.5)
