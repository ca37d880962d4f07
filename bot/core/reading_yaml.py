"""
Read a runbook: bytes to values, or every fault at once with line, column and remedy.

`parse` is for a runbook that somebody offers: schema, references, meaning, and the rules of the playbook
without which no run is opened. `lint` adds the rest of the playbook. `load` is for text that is already in
the ledger and was parsed when it came in. Kinds of check are given from outside: this file knows none.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.core.codes import BINDING, Code, near
from bot.core.errors import Finding, RunbookRefused
from bot.core.marked_yaml import Marks, Node, Path, read
from bot.core.meaning import check_meaning
from bot.core.parameters import Kinds, check_parameters
from bot.core.playbook import rules
from bot.core.references import check_references
from bot.core.runbook import Runbook
from bot.core.schema_faults import report_faults, within
from bot.core.triggers import operators

__all__ = ["Kinds", "lint", "load", "marks_of", "parse"]

#: Keys whose absence is more than a gap in a form; the sentence says what depends on them.
_WHY_MISSING: Mapping[str, tuple[Code, str]] = {
    "owner": (Code.UNSIGNABLE, "Name the role that answers for it: owner: network-ops"),
    "source": (
        Code.UNSIGNABLE,
        "Say where its numbers come from, like: source: baseline of four Tuesdays, recorded by soak",
    ),
}


def load(data: bytes) -> Runbook:
    """Return the runbook that the ledger holds as *data*. Raise RunbookRefused if it is malformed."""
    marks = read(data, "ledger")
    runbook = _validated(marks)
    marks.refuse_if_any()
    assert runbook is not None  # noqa: S101 - without a finding there is a runbook
    return runbook


def parse(data: bytes, place: str, kinds: Kinds) -> Runbook:
    """Return the runbook in *data*, fit to open a run. Raise RunbookRefused with everything that is wrong."""
    runbook, marks = _read(data, place, kinds)
    if runbook is not None:
        for finding in rules(runbook, marks_of(data, place)):
            if finding.code in BINDING:
                marks.findings.append(finding)
    marks.refuse_if_any()
    assert runbook is not None  # noqa: S101 - without a finding there is a runbook
    return runbook


def lint(data: bytes, place: str, kinds: Kinds) -> tuple[Finding, ...]:
    """Return everything that can be said against *data*, the playbook included, by line."""
    try:
        runbook, marks = _read(data, place, kinds)
    except RunbookRefused as refused:
        return refused.findings
    if runbook is not None:
        marks.findings.extend(rules(runbook, marks_of(data, place)))
    return RunbookRefused(marks.findings).findings


def marks_of(data: bytes, place: str) -> Marks:
    """Return where the values of *data* stand, for findings of others (the deployment, the playbook)."""
    return Marks(place, read(data, place).root)


def _read(data: bytes, place: str, kinds: Kinds) -> tuple[Runbook | None, Marks]:
    marks = read(data, place)
    runbook = _validated(marks)
    check_references(marks)
    check_parameters(marks, kinds)
    check_meaning(marks)
    return (None if marks.findings else runbook), marks


def _validated(marks: Marks) -> Runbook | None:
    """Return the runbook by the schema; report what the schema refuses."""
    _check_operators(marks)
    try:
        # Strict, and as JSON: "1" is no number and 1 is no text, while words still become choices and times.
        return Runbook.model_validate_json(marks.root.as_json(), strict=True)
    except ValidationError as error:
        _explain_missing(marks, error)
        report_faults(marks, (), Runbook, error, skip=lambda fault: _is_told(marks, fault))
    return None


def _is_told(marks: Marks, fault: Mapping[str, Any]) -> bool:
    """Return whether a fault of the schema was reported already, in better words or at a better place."""
    loc: Path = fault["loc"]
    if loc[0] == "triggers" and len(loc) >= 3 and loc[2] == "when":
        when = marks.node(loc[:2]).at("when")
        return when is not None and when.entries is not None and loc[3:4] not in {("check",), ("per",)}
    return fault["type"] == "missing" and _is_explained(loc)


def _is_explained(path: Path) -> bool:
    return path[0] == "approvals" or (path[0] == "triggers" and len(path) == 3 and path[-1] in _WHY_MISSING)


def _explain_missing(marks: Marks, error: ValidationError) -> None:
    for fault in error.errors(include_url=False):
        path: Path = fault["loc"]
        if fault["type"] != "missing":
            continue
        last = str(path[-1])
        node = marks.node(path[:-1])
        if path[0] == "triggers" and len(path) == 3 and last in _WHY_MISSING:
            code, remedy = _WHY_MISSING[last]
            marks.report(node, code, f'"{last}" is missing{within(marks, path[:-1])}: nobody could sign it. {remedy}')
        elif path[0] == "approvals":
            what = (
                ".".join(str(step) for step in path[1:]) or "a policy of criteria, go, go_back, fix_first and continue"
            )
            marks.report(node, Code.NO_POLICY, f"no policy says who approves {what}. Write it under approvals.")


def _check_operators(marks: Marks) -> None:
    """Report what is wrong with the operator of each trigger, at its own place."""
    known = operators()
    for index, trigger in enumerate(marks.root.sequence("triggers")):
        when = trigger.at("when")
        if when is None or when.entries is None or when.broken:
            continue
        named = [key for key in when.entries if key not in {"check", "per"}]
        if not named:
            _report_operator(
                marks, when, f"no operator{within(marks, ('triggers', index))}. Write one of {', '.join(known)}."
            )
        for name in named:
            if name not in known:
                _report_operator(marks, when.entries[name][0], f'unknown operator "{name}". {near(name, known)}')
            elif name != named[0]:
                _report_operator(marks, when.entries[name][0], f'a second operator "{name}". Write a trigger for each.')
            else:
                _check_parameters_of(marks, ("triggers", index, "when", name), known[name])


def _report_operator(marks: Marks, node: Node, message: str) -> None:
    marks.report(node, Code.NOT_A_CHOICE, message)


def _check_parameters_of(marks: Marks, path: Path, operator: type[BaseModel]) -> None:
    try:
        operator.model_validate_json(marks.node(path).as_json(), strict=True)
    except ValidationError as error:
        report_faults(marks, path, operator, error)
