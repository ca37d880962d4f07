"""
Judge readings against rules that were signed before the event.

An operator folds the readings of one member (a cell, an origin, or all) into a small tally and
says what that tally means at a given time. It never probes, never waits and never reads a clock.
ERROR and INCONCLUSIVE readings are no evidence: an absent reading is not a good reading.

To add an operator, write one class here: fields are its parameters, `@operator("name")` lists it,
`EXAMPLE` shows it; the tests hold every listed operator to the same rules with that example.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from bot.core.model import Outcome, Reading, Utc, Value
from bot.core.spans import Duration, shown
from bot.core.statistics import TOLERANCE, likelihood_step, onset_step, onset_total, quantile

#: Recent (time, value) pairs of a metric.
Samples = tuple[tuple[Utc, float], ...]


class Verdict(StrEnum):
    """What a trigger says."""

    MET = "met"
    NOT_MET = "not-met"
    CANNOT_TELL = "cannot-tell"


class Why(StrEnum):
    """The closed reasons of a verdict."""

    LIKELIHOOD = "likelihood"  #: met: the readings are far likelier from a bad service than from a good one
    IN_A_ROW = "in-a-row"  #: met: so many failures without a pass between
    QUANTILE = "quantile"  #: met: the metric is beyond its limit
    NO_DATA = "no-data"  #: cannot tell: nothing was ever measured and judged
    SILENT = "silent"  #: cannot tell: nothing was measured and judged for too long
    TOO_FEW = "too-few"  #: cannot tell: fewer samples in the window than the rule wants
    CLEAR = "clear"  #: not met


class Judgement(Value):
    """A verdict with its closed reason, one plain sentence, and the numbers behind it."""

    verdict: Verdict
    reason: Why
    because: str
    numbers: Mapping[str, float] = Field(default_factory=dict)


class Tally(Value):
    """
    What one member has shown since it was armed.

    `figures` are the operator's own running numbers, `samples` its recent (time, value) pairs where
    it needs a window. `passed` and `failed` count decided readings; `errors` the rest. `last_at` is
    the time of the last reading of any kind, `decided_at` that of the last PASS or FAIL.
    """

    passed: int = 0
    failed: int = 0
    errors: int = 0
    first_at: Utc | None = None
    last_at: Utc | None = None
    decided_at: Utc | None = None
    figures: Mapping[str, float] = Field(default_factory=dict)
    samples: Samples = ()

    @property
    def decided(self) -> int:
        """Readings that were measured and judged."""
        return self.passed + self.failed


class BaseOperator(Value):
    """
    One way to judge. Subclasses are listed by `@operator` and hold their parameters as fields.

    A subclass says what a decided reading adds (`weigh`), when it is met (`breach`), and its sentence.
    """

    NAME: ClassVar[str] = ""
    EXAMPLE: ClassVar[Mapping[str, Any]] = {}  #: parameters as in a runbook, for tests and for people
    model_config = ConfigDict(frozen=True, extra="forbid")

    def observe(self, tally: Tally, reading: Reading) -> Tally:
        """Return *tally* with *reading* added. Pure; readings come in ledger order."""
        seen: dict[str, Any] = {**tally.__dict__, "last_at": reading.at, "first_at": tally.first_at or reading.at}
        if reading.outcome.decided:
            seen["decided_at"] = reading.at
            seen["passed" if reading.outcome is Outcome.PASS else "failed"] += 1
            seen["figures"], seen["samples"] = self.weigh(tally, reading)
        else:
            seen["errors"] += 1
        # Hundreds of readings a second come by here, and every value was checked when it came in.
        return Tally.model_construct(**seen)

    def judge(self, tally: Tally, members: int, now: Utc, silent_after: timedelta | None = None) -> Judgement:
        """
        Return what *tally* of one member says at *now*, one of *members* judged by this trigger.

        With *silent_after*, a member without PASS or FAIL for longer is "cannot tell". Silence never
        takes back what was met: a network that failed and then fell silent has not recovered.
        """
        if tally.decided_at is None:
            return _cannot_tell(Why.NO_DATA, f"nothing measured yet{_broken(tally)}", {"errors": tally.errors})
        judged = self.breach(tally, members, now)
        silence = now - tally.decided_at
        if judged.verdict is Verdict.MET or silent_after is None or silence <= silent_after:
            return judged
        numbers = {
            **judged.numbers,
            "silent_s": silence.total_seconds(),
            "silent_after_s": silent_after.total_seconds(),
        }
        return _cannot_tell(Why.SILENT, f"no measurement for {_about(silence)}{_broken(tally)}", numbers)

    def weigh(self, tally: Tally, reading: Reading) -> tuple[Mapping[str, float], Samples]:
        """Return the figures and samples after *reading*, which was decided; *tally* is without it."""
        raise NotImplementedError

    def breach(self, tally: Tally, members: int, now: Utc) -> Judgement:
        """Return what *tally* says; it holds at least one decided reading."""
        raise NotImplementedError

    def sentence(self) -> str:
        """Return the rule as plain words that fit after "when": "... about 1 in 10 or more fail"."""
        raise NotImplementedError

    def family_false_trip(self, members: int) -> float | None:
        """Return the bound on the chance that a healthy service sets this off by mistake, or None where unknown."""
        raise NotImplementedError


def _cannot_tell(reason: Why, because: str, numbers: Mapping[str, float]) -> Judgement:
    return Judgement(verdict=Verdict.CANNOT_TELL, reason=reason, because=because, numbers=numbers)


def _broken(tally: Tally) -> str:
    return f" ({tally.errors} {'tries' if tally.errors > 1 else 'try'} gave no verdict)" if tally.errors else ""


def _about(span: timedelta) -> str:
    """Return *span* in whole minutes, or seconds where it is under two minutes."""
    return f"{span.total_seconds():.0f} s" if span < timedelta(minutes=2) else f"{span.total_seconds() // 60:.0f} min"


def one_in(share: float, thing: str = "") -> str:
    """
    Return *share* as people say it: `1 in 10`, `3 in 4`, and with a thing `1 night in 200`.

    The fraction with the smallest whole numbers that is within 2 % of the share, and of what is left.
    """
    if share <= 0:
        return f"no {thing}" if thing else "none"
    near = 0.02 * (min(share, 1 - share) or 1)
    likely = (*range(1, 11), round(1 / share), 20, 25, 50, 100, 200, 500, 1000)
    bottom = next((n for n in likely if abs(round(share * n) / n - share) <= near), round(1 / near))
    top = round(share * bottom)
    return f"{top} {thing}{'s' if top > 1 else ''} in {bottom}" if thing else f"{top} in {bottom}"


_UNITS = {"s": " s", "ms": " ms", "pct": "%", "percent": "%", "ratio": "", "db": " dB", "bps": " bit/s", "count": ""}


def _metric_words(metric: str) -> str:
    """Return `telephony_setup_time_s` as `telephony setup time`."""
    name, _, unit = metric.rpartition("_")
    return (name if name and unit in _UNITS else metric).replace("_", " ")


def _with_unit(metric: str, value: float) -> str:
    return f"{value:g}{_UNITS.get(metric.rpartition('_')[2], '')}"


_OPERATORS: dict[str, type[BaseOperator]] = {}
_Operator = TypeVar("_Operator", bound=type[BaseOperator])


def operator(name: str) -> Callable[[_Operator], _Operator]:
    """List an operator under *name*, the key it has in a runbook."""

    def listed(cls: _Operator) -> _Operator:
        cls.NAME = name
        _OPERATORS[name] = cls
        return cls

    return listed


def operators() -> Mapping[str, type[BaseOperator]]:
    """Return every operator by the key it has in a runbook."""
    return dict(_OPERATORS)


def operator_of(raw: Mapping[str, Any]) -> BaseOperator:
    """Return the operator that `{name: parameters}` writes. Raise ValueError naming what would work."""
    if len(raw) != 1 or next(iter(raw)) not in _OPERATORS:
        raise ValueError(
            f"name exactly one of {', '.join(sorted(_OPERATORS))}; found {', '.join(sorted(raw)) or 'none'}"
        )
    name, parameters = next(iter(raw.items()))
    return _OPERATORS[name].model_validate(parameters)


#: A field that holds any listed operator; written and stored as `{name: parameters}`.
Operator = Annotated[
    BaseOperator,
    BeforeValidator(lambda raw: raw if isinstance(raw, BaseOperator) else operator_of(raw)),
    PlainSerializer(lambda op: {op.NAME: op.model_dump(mode="json")}),
]


@operator("rate")
class Rate(BaseOperator):
    """
    Sequential likelihood ratio of a bad success rate against a good one (Wald 1945).

    Met when the ratio reaches members / false_trip: by Ville's inequality the chance that a healthy
    service ever gets there, over all members and looks, is at most `false_trip`. Probes are taken
    as independent. The ratio is the mixture over every reading at which the service may have turned
    bad (`statistics.onset_step`), so that a fault at 04:00 is found as fast after a clean night.
    """

    EXAMPLE: ClassVar[Mapping[str, Any]] = {"good": 0.98, "bad": 0.90, "false_trip": 0.005}
    good: float = Field(gt=0, lt=1)
    bad: float = Field(gt=0, lt=1)
    false_trip: float = Field(gt=0, lt=0.5)

    @model_validator(mode="after")
    def _good_above_bad(self) -> Self:
        if self.good <= self.bad:
            raise ValueError(f"good and bad are success rates: good ({self.good:g}) must be above bad ({self.bad:g})")
        return self

    def weigh(self, tally: Tally, reading: Reading) -> tuple[Mapping[str, float], Samples]:
        """Return the ratio's logarithm, and the latest stretch that looks bad: since the plain ratio was last at 1."""
        old = tally.figures
        passed = reading.outcome is Outcome.PASS
        step = likelihood_step(passed, self.good, self.bad)
        figures = {"begun": onset_step(old.get("begun", -math.inf), tally.decided, step)}
        drift = old.get("drift", 0.0) + step
        if drift > 0:
            figures |= {
                "drift": drift,
                "stretch": old.get("stretch", 0) + 1,
                "stretch_failed": old.get("stretch_failed", 0) + (not passed),
            }
        return figures, ()

    def breach(self, tally: Tally, members: int, now: Utc) -> Judgement:  # noqa: ARG002 - evidence of a rate does not age
        """Return whether the likelihood ratio has reached members / false_trip."""
        ratio = onset_total(tally.figures["begun"], tally.decided)
        limit = math.log(members / self.false_trip)
        numbers: dict[str, float] = {
            "passed": tally.passed,
            "failed": tally.failed,
            "stretch": tally.figures.get("stretch", 0),
            "stretch_failed": tally.figures.get("stretch_failed", 0),
            "good": self.good,
            "bad": self.bad,
            "false_trip": self.false_trip,
            "members": members,
            "log_ratio": ratio,
            "log_limit": limit,
        }
        if ratio >= limit - TOLERANCE:
            because = f"{_failed(tally)}; signed limit: about {one_in(1 - self.bad)}"
            return Judgement(verdict=Verdict.MET, reason=Why.LIKELIHOOD, because=because, numbers=numbers)
        because = f"{tally.failed} of {tally.decided} failed; signed limit: about {one_in(1 - self.bad)}"
        return Judgement(verdict=Verdict.NOT_MET, reason=Why.CLEAR, because=because, numbers=numbers)

    def sentence(self) -> str:
        """Return the rule as shares of failures."""
        return f"about {one_in(1 - self.bad)} or more fail (normal: fewer than {one_in(1 - self.good)})"

    def family_false_trip(self, members: int) -> float | None:  # noqa: ARG002 - the limit rises with the members
        """Return the signed bound: it covers every member and every look since the trigger was armed."""
        return self.false_trip


def _failed(tally: Tally) -> str:
    """Return how many failed, told as the latest bad stretch where there was a good time before it."""
    stretch, failed = tally.figures.get("stretch", 0), tally.figures.get("stretch_failed", 0)
    if stretch in {0, tally.decided}:
        return f"{tally.failed} of {tally.decided} failed"
    return f"{failed:.0f} of the last {stretch:.0f} failed ({tally.failed} of {tally.decided} in all)"


@operator("consecutive")
class Consecutive(BaseOperator):
    """So many failures in a row; ERROR and INCONCLUSIVE neither count nor break the row."""

    EXAMPLE: ClassVar[Mapping[str, Any]] = {"failures": 3}
    failures: int = Field(ge=1)

    def weigh(self, tally: Tally, reading: Reading) -> tuple[Mapping[str, float], Samples]:
        """Return how many failed in a row until now."""
        return {"in_a_row": 0 if reading.outcome is Outcome.PASS else tally.figures.get("in_a_row", 0) + 1}, ()

    def breach(self, tally: Tally, members: int, now: Utc) -> Judgement:  # noqa: ARG002 - a row is a row, whoever else is judged
        """Return whether the row is long enough."""
        row = tally.figures["in_a_row"]
        met = row >= self.failures
        return Judgement(
            verdict=Verdict.MET if met else Verdict.NOT_MET,
            reason=Why.IN_A_ROW if met else Why.CLEAR,
            because=f"{row:.0f} failed in a row; signed limit: {self.failures}",
            numbers={"in_a_row": row, "limit": self.failures, "passed": tally.passed, "failed": tally.failed},
        )

    def sentence(self) -> str:
        """Return the rule as a row of failures."""
        return f"{self.failures} fail in a row" if self.failures > 1 else "a single one fails"

    def family_false_trip(self, members: int) -> float | None:  # noqa: ARG002 - unknown for any number of members
        """Return None: the rule does not say how often a healthy service fails."""
        return None


#: The most samples a member keeps. A faster check fills its window sooner: the oldest go first.
MOST_SAMPLES = 1000


@operator("threshold")
class Threshold(BaseOperator):
    """
    A quantile of a metric over a window against a limit; too few samples is cannot tell.

    Every decided reading that carries the metric is a sample, PASS or FAIL. A failure without the
    metric is none: a call that was never answered has no setup time, and a `rate` trigger counts it.
    """

    EXAMPLE: ClassVar[Mapping[str, Any]] = {
        "metric": "telephony_setup_time_s",
        "quantile": 0.9,
        "above": 10.0,
        "window": "15m",
        "min_samples": 3,
    }
    metric: str
    quantile: float = Field(ge=0, le=1)
    above: float | None = None
    below: float | None = None
    window: Duration
    min_samples: int = Field(ge=1, le=MOST_SAMPLES)

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("write exactly one of above: LIMIT and below: LIMIT")
        if self.window <= timedelta(0):
            raise ValueError("window must be longer than nothing, like 15m")
        return self

    @property
    def limit(self) -> float:
        """The limit, whichever side it is on."""
        return next(limit for limit in (self.above, self.below) if limit is not None)

    def weigh(self, tally: Tally, reading: Reading) -> tuple[Mapping[str, float], Samples]:
        """Return the samples that a window ending now may need."""
        value = reading.metrics.get(self.metric, math.nan)
        if not math.isfinite(value):
            return tally.figures, tally.samples
        start, cutoff = 0, reading.at - self.window
        while start < len(tally.samples) and tally.samples[start][0] <= cutoff:
            start += 1
        start = max(start, len(tally.samples) + 1 - MOST_SAMPLES)
        return tally.figures, (*tally.samples[start:], (reading.at, value))

    def breach(self, tally: Tally, members: int, now: Utc) -> Judgement:  # noqa: ARG002 - a limit is a limit, whoever else is judged
        """Return whether the quantile of the window that ends at *now* is beyond the limit."""
        values = self._inside(tally.samples, now)
        numbers: dict[str, float] = {
            "samples": len(values),
            "min_samples": self.min_samples,
            "quantile": self.quantile,
            "limit": self.limit,
            "window_s": self.window.total_seconds(),
        }
        if len(values) < self.min_samples:
            because = (
                f"{len(values)} samples in the last {shown(self.window)}; the rule wants at least {self.min_samples}"
            )
            return _cannot_tell(Why.TOO_FEW, because, numbers)
        found = quantile(values, self.quantile)
        beyond = sum(self._beyond(value) for value in values)
        met = self._beyond(found)
        return Judgement(
            verdict=Verdict.MET if met else Verdict.NOT_MET,
            reason=Why.QUANTILE if met else Why.CLEAR,
            because=(
                f"{beyond} of {len(values)} have {self._beyond_words} in the last {shown(self.window)};"
                f" signed limit: {self._share}"
            ),
            numbers={**numbers, "value": found, "beyond": beyond},
        )

    def _inside(self, samples: Samples, now: datetime) -> list[float]:
        """Return the values of the window. A probe's clock may be a little ahead: later samples count."""
        return [value for at, value in samples if at > now - self.window]

    def _beyond(self, value: float) -> bool:
        return value < self.limit if self.above is None else value > self.limit

    @property
    def _beyond_words(self) -> str:
        side = "below" if self.above is None else "above"
        return f"{_metric_words(self.metric)} {side} {_with_unit(self.metric, self.limit)}"

    @property
    def _share(self) -> str:
        """
        The share of readings that must be beyond the limit.

        With the nearest rank, a quantile q above a limit says the same as: more than 1 - q are above it.
        """
        if self.quantile == (0 if self.above is None else 1):
            return "any"
        if self.quantile == (1 if self.above is None else 0):
            return "all"
        return f"at least {one_in(self.quantile)}" if self.above is None else f"more than {one_in(1 - self.quantile)}"

    def sentence(self) -> str:
        """Return the rule as a share of readings beyond the limit."""
        return (
            f"{self._share} have {self._beyond_words}"
            f" (over {shown(self.window)}, from at least {self.min_samples} measurements)"
        )

    def family_false_trip(self, members: int) -> float | None:  # noqa: ARG002 - unknown for any number of members
        """Return None: the rule does not say how the metric of a healthy service varies."""
        return None
