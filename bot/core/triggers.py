"""
Judge readings against rules that were signed before the event.

An operator folds the readings of one member (a cell, an origin, or all) into a small tally and
says what that tally means at a given time. It never probes, never waits and never reads a clock.
ERROR and INCONCLUSIVE readings are no evidence: an absent reading is not a good reading.

To add an operator, write one class here: fields are its parameters, `@operator("name")` lists it.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer

from bot.core.model import Outcome, Reading, Utc, Value


class Verdict(StrEnum):
    """What a trigger says."""

    MET = "met"
    NOT_MET = "not-met"
    CANNOT_TELL = "cannot-tell"


class Judgement(Value):
    """A verdict with its closed reason, one plain sentence, and the numbers behind it."""

    verdict: Verdict
    reason: str
    because: str
    numbers: Mapping[str, float] = Field(default_factory=dict)


class Tally(Value):
    """
    What one member has shown since it was armed.

    `figures` are the operator's own running numbers, `samples` its recent (time, value) pairs where
    it needs a window. `passed` and `failed` count decided readings; `errors` the rest.
    """

    passed: int = 0
    failed: int = 0
    errors: int = 0
    first_at: Utc | None = None
    last_at: Utc | None = None
    figures: Mapping[str, float] = Field(default_factory=dict)
    samples: tuple[tuple[Utc, float], ...] = ()

    @property
    def decided(self) -> int:
        """Readings that were measured and judged."""
        return self.passed + self.failed


class BaseOperator(Value):
    """One way to judge. Subclasses are listed by `@operator` and hold their parameters as fields."""

    NAME: ClassVar[str] = ""
    model_config = ConfigDict(frozen=True, extra="forbid")

    def observe(self, tally: Tally, reading: Reading) -> Tally:
        """Return *tally* with *reading* added. Pure; readings come in ledger order."""
        update: dict[str, Any] = {"last_at": reading.at, "first_at": tally.first_at or reading.at}
        match reading.outcome:
            case Outcome.PASS:
                update["passed"] = tally.passed + 1
            case Outcome.FAIL:
                update["failed"] = tally.failed + 1
            case _:
                update["errors"] = tally.errors + 1
        return tally.model_copy(update=update)

    def judge(self, tally: Tally, members: int, now: Utc) -> Judgement:
        """Return what *tally* of one member says at *now*, one of *members* judged by this trigger."""
        raise NotImplementedError

    def sentence(self) -> str:
        """Return the rule as plain words that fit after "when": "... about 1 in 10 or more fail"."""
        raise NotImplementedError

    def family_false_trip(self, members: int) -> float | None:
        """Return the bound on the chance that a healthy service sets this off by mistake, or None where unknown."""
        raise NotImplementedError


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
        raise ValueError(f"name exactly one of {', '.join(sorted(_OPERATORS))}; found {', '.join(sorted(raw)) or 'none'}")
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
    as independent.
    """

    good: float = Field(gt=0, lt=1)
    bad: float = Field(gt=0, lt=1)
    false_trip: float = Field(gt=0, lt=0.5)


@operator("consecutive")
class Consecutive(BaseOperator):
    """So many failures in a row; ERROR and INCONCLUSIVE neither count nor break the row."""

    failures: int = Field(ge=1)


@operator("threshold")
class Threshold(BaseOperator):
    """A quantile of a metric over a window against a limit; too few samples is cannot tell."""

    metric: str
    quantile: float = Field(ge=0, le=1)
    above: float | None = None
    below: float | None = None
    window: float
    min_samples: int = Field(ge=1)
