"""
Typed conditions on the fields of a JSON answer: data, never expressions.

A field that is missing, or of another type than its demand, cannot be judged: that is "not measured", because a
changed answer says nothing about the figure it used to carry.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from checks import NotMeasured

Figure = bool | float | str


class Condition(BaseModel):
    """One field of the answer (`a.b`, or `a.0.b` into a list) and exactly one demand on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    equals: StrictBool | StrictInt | StrictFloat | StrictStr | None = None
    at_most: StrictInt | StrictFloat | None = None
    at_least: StrictInt | StrictFloat | None = None
    is_true: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_demand(self) -> Self:
        demands = (self.equals, self.at_most, self.at_least, self.is_true)
        if sum(demand is not None for demand in demands) != 1:
            raise ValueError("give exactly one of equals, at_most, at_least, is_true")
        return self

    def demand(self) -> str:
        """Return the demand as words."""
        if self.is_true:
            return "must be true"
        if self.equals is not None:
            return f"must be {shown(self.equals)}"
        return f"limit at most {self.at_most:g}" if self.at_most is not None else f"limit at least {self.at_least:g}"

    def holds(self, found: Figure) -> bool:
        """Return whether *found* meets the demand; a figure of another type is a broken probe, not a failure."""
        if self.is_true:
            return _typed(self.field, found, bool, "true or false") is True
        if self.equals is not None:
            return _same(self.equals, found)
        number = float(_typed(self.field, found, float, "a number"))
        return number <= self.at_most if self.at_most is not None else number >= (self.at_least or 0)


def lookup(body: Any, field: str, name: str) -> Figure:
    """Return the plain value at *field* (`a.b`, `a.0.b`) in the answer of *name*."""
    found = body
    for part in field.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise NotMeasured(f"the answer of {name} has no field {field}")
    if isinstance(found, float) and not math.isfinite(found):
        # Python reads NaN, Infinity and 1e400; no limit means anything against them.
        raise NotMeasured(f"the field {field} of {name} is {found}, which is no finite number")
    if isinstance(found, bool | int | float | str):
        return found
    raise NotMeasured(f"the field {field} of {name} holds no plain value")


def _typed(field: str, found: Figure, wanted: type[bool | float], words: str) -> Figure:
    fits = isinstance(found, bool) if wanted is bool else isinstance(found, int | float) and not isinstance(found, bool)
    if not fits:
        raise NotMeasured(f"the field {field} is {shown(found)}, which is not {words}")
    return found


def _same(wanted: Figure, found: Figure) -> bool:
    # In Python True == 1; in a runbook they are two answers.
    return isinstance(wanted, bool) == isinstance(found, bool) and wanted == found


def phrase(condition: Condition, found: Figure) -> str:
    """Return a figure with its limit, for a sentence."""
    return f"{condition.field} {shown(found)}, {condition.demand()}"


def shown(value: Figure) -> str:
    """Return a figure as a runbook would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)[:80]
