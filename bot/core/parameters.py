"""
Hold the `with:` of each check against the parameters of its kind.

The kinds are a mapping from a name to a model, given from outside; of a model only `Parameters` is known.
Decides whether a check could run and could fail; never runs one.
"""

from collections.abc import Mapping
from itertools import product
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ValidationError

from bot.core.codes import Code, near
from bot.core.marked_yaml import Marks, Node, Path
from bot.core.model import Cell
from bot.core.schema_faults import report_faults, within
from bot.core.spans import duration

#: The most cells a check may have: past this the product of the axes is a slip, and no probe would keep up.
MAX_CELLS = 2000
_AXES = ("origin", "service", "number", "site")


@runtime_checkable
class Parameters(Protocol):
    """What a runbook needs to know of the parameters of a kind of check."""

    def service_limit_s(self) -> float:
        """Return the sum of the limits of the service, in seconds."""
        ...

    def has_condition(self) -> bool:
        """Return whether a check with these parameters can fail."""
        ...

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        """Return the (section, key) pairs of the deployment file that *cell* needs."""
        ...


#: Every kind of check by name, with the model of its `with:`.
Kinds = Mapping[str, type[BaseModel]]


def check_parameters(marks: Marks, kinds: Kinds) -> None:
    """Report each check whose kind, parameters, limits or cells do not hold."""
    for index, check in enumerate(marks.root.sequence("checks")):
        path: Path = ("checks", index)
        _check_cells(marks, path, check)
        _check_gap(marks, path, check)
        kind = check.text("kind")
        if kind is None:
            continue
        if kind not in kinds:
            place = check.at("kind") or check
            marks.report(place, Code.NO_SUCH_KIND, f'no kind of check "{kind}" here. {near(kind, sorted(kinds))}')
            continue
        _check_with(marks, path, check, kinds[kind])


def _check_with(marks: Marks, path: Path, check: Node, model: type[BaseModel]) -> None:
    given = check.at("with")
    base: Path = (*path, "with") if given is not None else path
    if given is not None and given.entries is None:
        return
    try:
        parameters = model.model_validate_json(given.as_json() if given is not None else "{}", strict=True)
    except ValidationError as error:
        report_faults(marks, base, model, error)
        return
    if not isinstance(parameters, Parameters):
        return
    if not parameters.has_condition():
        message = f"nothing can make it fail{within(marks, path)}. Give it a limit or a condition."
        marks.report_at(base, Code.NO_CONDITION, message)
    _check_timeout(marks, path, check, parameters.service_limit_s())


def _check_timeout(marks: Marks, path: Path, check: Node, limit_s: float) -> None:
    written = check.text("timeout")
    given = _span_s(written)
    if written is not None and given is not None and given <= limit_s:
        marks.report_at(
            (*path, "timeout"),
            Code.SHORT_TIMEOUT,
            f"timeout {written} is not above the service limits of {limit_s:g} s{within(marks, path)}: a slow service "
            f"would look like a broken probe. Write more than {limit_s:g}s.",
        )


def _check_gap(marks: Marks, path: Path, check: Node) -> None:
    gap, every = check.text("gap"), check.text("every")
    gap_s, every_s = _span_s(gap), _span_s(every)
    if every is not None and every_s is not None and every_s <= 0:
        marks.report_at((*path, "every"), Code.OUT_OF_RANGE, "every must be more than 0s.")
    elif gap_s is not None and every_s is not None and gap_s <= every_s:
        message = f"gap {gap} is not above every {every}: there would always be a hole. Leave it out for 3 x every."
        marks.report_at((*path, "gap"), Code.SHORT_GAP, message)


def _span_s(text: str | None) -> float | None:
    try:
        return duration(text).total_seconds()
    except (ValueError, OverflowError):
        return None


def _check_cells(marks: Marks, path: Path, check: Node) -> None:
    measured = _check_axes(marks, (*path, "cells"), check.at("cells"))
    controls = check.at("controls")
    held_back = _check_axes(marks, (*path, "controls"), controls)
    if controls is None or not measured or not held_back:
        return
    # An axis that `controls` does not give is taken from `cells`.
    effective = {axis: held_back.get(axis, measured.get(axis, [""])) for axis in _AXES}
    both = set(product(*(measured.get(axis, [""]) for axis in _AXES))) & set(product(*effective.values()))
    if both:
        name = "/".join(part for part in min(both) if part)
        message = (
            f"{name} is measured and a control at once{within(marks, path)}. A control is a number that does not move."
        )
        marks.report_at((*path, "controls"), Code.CONTROL_MEASURED, message)


def _check_axes(marks: Marks, path: Path, axes: Node | None) -> dict[str, list[str]]:
    """Return the readable axes; report empty, ambiguous and endless ones."""
    found: dict[str, list[str]] = {}
    count = 1
    for axis, values in axes.pairs() if axes is not None else ():
        if axis not in _AXES or values.items is None:
            continue
        if not values.items:
            message = f"{axis} is an empty list{within(marks, path)}: there would be nothing to measure. Remove it or fill it."
            marks.report(values, Code.BAD_CELLS, message)
        for item in values.items:
            _check_entry(marks, item, found.setdefault(axis, []))
        count *= max(1, len(values.items))
    if count > MAX_CELLS:
        message = f"{count} cells{within(marks, path)}, at most {MAX_CELLS}. Split the check or shorten an axis."
        marks.report_at(path, Code.BAD_CELLS, message)
        return {}
    return found


def _check_entry(marks: Marks, item: Node, before: list[str]) -> None:
    if not isinstance(item.scalar, str):
        return
    if not item.scalar or any(letter in "/|" or letter.isspace() for letter in item.scalar):
        message = f'"{item.scalar}" cannot name a cell. Leave out spaces, "/" and "|", and write at least one letter.'
        marks.report(item, Code.BAD_CELLS, message)
    elif item.scalar in before:
        marks.report(item, Code.TWICE, f'"{item.scalar}" is in this list twice. Keep one.')
    before.append(item.scalar)
