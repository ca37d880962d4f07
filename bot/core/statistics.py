"""
The arithmetic behind a verdict: how likely, how sure, how many.

Standard-library mathematics only, each formula with its source. Probes are taken as independent;
nothing here knows checks, triggers or time.
"""

import math
from collections.abc import Sequence

#: Absorbs rounding where a sum of logarithms is compared with a limit that it may hit exactly.
TOLERANCE = 1e-9


def likelihood_step(passed: bool, good: float, bad: float) -> float:
    """
    Return what one reading adds to ln(likelihood under *bad* / likelihood under *good*).

    Wald, "Sequential Tests of Statistical Hypotheses", Ann. Math. Statist. 16 (1945), 117-186.
    """
    return math.log(bad / good) if passed else math.log((1 - bad) / (1 - good))


def onset_step(begun: float, seen: int, step: float) -> float:
    """
    Return ln of the weighted likelihood ratios of every possible beginning, after one more reading.

    The service may have turned bad at any reading k; each k has weight 1/(k(k+1)), and the weights
    sum to one. *begun* is the value after *seen* readings (-inf at first), *step* what this reading adds.
    A mixture of martingales is a martingale, so Ville's bound holds as for one ratio (see `onset_total`).
    It trails the plain ratio by ln 2 at most, and unlike it does not go deaf after a long healthy stretch.

    Mixture over change points: Shiryaev, Theory Probab. Appl. 8 (1963), 22-46; Robbins, Ann. Math.
    Statist. 41 (1970), 1397-1409. The choice of weights is ours.
    """
    number = seen + 1
    return log_sum(begun, -math.log(number * (number + 1))) + step


def onset_total(begun: float, seen: int) -> float:
    """
    Return ln of the whole mixture: beginnings until now, and the weight 1/(seen+1) of those still to come.

    While the service is good the mixture is a martingale that starts at 1, so the chance that it ever
    reaches c is at most 1/c (Ville, "Etude critique de la notion de collectif", 1939).
    """
    return log_sum(begun, -math.log(seen + 1))


def log_sum(a: float, b: float) -> float:
    """Return ln(exp(a) + exp(b)) without overflow."""
    high, low = (a, b) if a >= b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def clopper_pearson_lower(passed: int, n: int, confidence: float = 0.95) -> float:
    """
    Return the success rate that *passed* of *n* proves, one-sided at *confidence*.

    The p at which *passed* or more successes have probability 1 - confidence: the solution of
    I_p(passed, n - passed + 1) = 1 - confidence (Clopper and Pearson, Biometrika 26 (1934), 404-413).
    """
    if not 0 <= passed <= n:
        raise ValueError(f"passed must be between 0 and n: {passed} of {n}")
    if passed == 0:
        return 0.0
    alpha = 1 - confidence
    if passed == n:
        return math.exp(math.log(alpha) / n)
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if incomplete_beta(middle, passed, n - passed + 1) < alpha:
            low = middle
        else:
            high = middle
    return low


def clean_needed(bar: float, confidence: float = 0.95) -> int:
    """Return how many readings, all passed, prove a success rate of *bar*: the least n with bar^n <= 1 - confidence."""
    return math.ceil(math.log(1 - confidence) / math.log(bar) - TOLERANCE)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """
    Return the regularized incomplete beta function I_x(a, b).

    Continued fraction DLMF 8.17.22, summed with the modified Lentz method; for x beyond the mean by
    the symmetry I_x(a, b) = 1 - I_(1-x)(b, a), DLMF 8.17.4.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) - math.log(a) - _log_beta(a, b)
    return math.exp(front) / _beta_fraction(x, a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return 1 + d1/(1 + d2/(1 + ...)), the denominator of DLMF 8.17.22."""
    value, upper, lower = 1.0, 1.0, 0.0
    # Terms grow with the square root of a + b; the limit is far beyond any night's number of readings.
    for index in range(1, 100_000):
        m = index // 2
        if index % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / _not_zero(1 + d * lower)
        upper = _not_zero(1 + d / upper)
        value *= upper * lower
        if abs(upper * lower - 1) < 1e-15:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300


def quantile(values: Sequence[float], q: float) -> float:
    """
    Return the smallest of *values* that at least the share *q* of them does not exceed.

    The nearest rank, definition 1 of Hyndman and Fan, Am. Statist. 50 (1996), 361-365: always a value
    that was measured, never one between two. q = 0 is the smallest.
    """
    if not values:
        raise ValueError("a quantile needs at least one value")
    rank = max(1, math.ceil(q * len(values) - TOLERANCE))
    return sorted(values)[rank - 1]
