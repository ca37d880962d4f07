"""
Turn what a schema refuses into findings that a tired person can act on.

Takes pydantic's errors and the marked values they are about; decides place, code and remedy. Knows no
rule of its own: what is wrong was decided by the model.
"""

import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bot.core.codes import Code, near
from bot.core.marked_yaml import Marks, Node, Path, unquoted

_SINGULAR = {
    "checks": "check",
    "triggers": "trigger",
    "steps": "step",
    "rollback": "rollback step",
    "digests": "digest",
    "roles": "role",
    "people": "person",
    "rooms": "room",
}
#: What to write for a key that is missing, where a shape helps more than a word.
_FOR_EXAMPLE = {
    "runbook": "runbook: number-portability-cutover",
    "title": "title: Calls into our numbers fail",
    "phase": "phase: portability",
    "timezone": "timezone: Europe/London",
    "every": "every: 60s",
    "timeout": "timeout: 30s",
    "decide_within": "decide_within: 10m",
    "options": "options: [go-back, fix-first, continue]",
    "people": "people: [ana]",
    "opens": 'opens: "2026-12-08T02:00:00"',
    "closes": 'closes: "2026-12-08T04:00:00"',
    "to": "to: {channel: executive}",
    "post": 'post: "{npdb}/activate"',
    "steps": "steps: [{id: roll-call, kind: roll-call, ...}]",
}
_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list, like [one, two]",
    "list_type": "a list, like [one, two]",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}
_RANGES = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "too_short",
    "too_long",
    "string_too_short",
    "string_too_long",
    "finite_number",
}


def report_faults(
    marks: Marks,
    base: Path,
    model: type[BaseModel],
    error: ValidationError,
    skip: Callable[[Mapping[str, Any]], bool] = lambda _: False,
) -> None:
    """Report each fault of *error*, raised by *model* for the value at *base*, but those that *skip* says are told."""
    before = len(marks.findings)
    faults = [fault for fault in error.errors(include_url=False) if not skip(fault)]
    for fault in faults:
        path, union = _walk(marks, base, fault["loc"])
        if union is None or _is_likely(marks.node(union[0]), union[1]):
            _report(marks, base, model, fault, path)
    if faults and not marks.findings[before:] and not before:
        # No branch of a union looked likely: better a clumsy sentence than none.
        _report(marks, base, model, faults[0], _walk(marks, base, faults[0]["loc"])[0])


def _walk(marks: Marks, base: Path, loc: tuple[str | int, ...]) -> tuple[Path, tuple[Path, str] | None]:
    """Return the path that *loc* stands for in the file, and where on it a union branches, with the branch."""
    path, union = base, None
    for step in loc:
        if marks.node(path).at(step) is not None:
            path = (*path, step)
        elif union is None and isinstance(step, str) and ("[" in step or step in _UNION_TAGS or "-" in step):
            union = (path, step)
    return path, union


_UNION_TAGS = {"bool", "int", "float", "str", "Policy"}


def _is_likely(node: Node, branch: str) -> bool:
    """Return whether *branch* of a union is what the writer of *node* meant: a word for a word, a list for a list."""
    is_scalar = node.entries is None and node.items is None
    return branch.startswith("literal") == is_scalar or (branch in _UNION_TAGS and branch != "Policy")


def _report(marks: Marks, base: Path, model: type[BaseModel], fault: Mapping[str, Any], path: Path) -> None:
    node, kind = marks.node(path), fault["type"]
    last = str(fault["loc"][-1]) if fault["loc"] else ""
    if kind == "missing":
        example = f" Write it, for example: {_FOR_EXAMPLE[last]}" if last in _FOR_EXAMPLE else " Write it."
        marks.report(node, Code.MISSING, f'"{last}" is missing{within(marks, path)}.{example}')
    elif kind == "extra_forbidden":
        key = marks.node(path[:-1]).key(path[-1]) or node
        known = known_keys(model, path[len(base) : -1])
        marks.report(key, Code.UNKNOWN_KEY, f'unknown key "{last}"{within(marks, path[:-1])}. {near(last, known)}')
    elif kind in _TYPES:
        _report_type(marks, node, path, _TYPES[kind])
    elif kind in {"enum", "literal_error"}:
        _report_choice(marks, node, path, str(fault["ctx"]["expected"]))
    elif kind == "string_pattern_mismatch":
        marks.report(
            marks.node(path[:-1]).key(path[-1]) or node if last == "[key]" else node, Code.BAD_NAME, _spelling(fault)
        )
    else:
        code = Code.OUT_OF_RANGE if kind in _RANGES else Code.BAD_VALUE
        subject = f"{_said(path)}: " if path else ""
        found = f", found {node.raw}" if kind in _RANGES and node.raw else ""
        marks.report(node, code, f"{subject}{_sentence(str(fault['msg']))}{found}.")


def _report_type(marks: Marks, node: Node, path: Path, wanted: str) -> None:
    if wanted == "text" and node.entries is None and node.items is None and not node.quoted:
        marks.report(node, Code.UNQUOTED, unquoted(node))
    else:
        marks.report(node, Code.WRONG_TYPE, f"{_said(path)} must be {wanted}, found {node.noun}.")


def _report_choice(marks: Marks, node: Node, path: Path, expected: str) -> None:
    choices = [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
    if node.entries is not None or node.items is not None:
        marks.report(node, Code.WRONG_TYPE, f"{_said(path)} must be one of {', '.join(choices)}, found {node.noun}.")
    elif not isinstance(node.scalar, str):
        marks.report(node, Code.UNQUOTED, unquoted(node))
    else:
        marks.report(
            node, Code.NOT_A_CHOICE, f'{_said(path)}: "{node.raw}" is not possible here. {near(node.raw, choices)}'
        )


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ").rstrip(".").replace("Input should", "must")
    return re.sub(
        r"^(Tuple|List|Dictionary|String) should have (.*?)( after validation)?(, not .*)?$", r"must have \2", text
    )


def _spelling(fault: Mapping[str, Any]) -> str:
    value, pattern = str(fault["input"])[:60], str(fault["ctx"]["pattern"])
    if pattern.startswith(r"^\{"):
        return f'"{value}" is no address of a listed target. Write {{key}}/path, like "{{npdb}}/activate".'
    if pattern == "^[a-z0-9][a-z0-9-]{0,62}$":
        return f'"{value}" is no name. Use lower-case letters, digits and hyphens, at most 63, like "voice-inbound".'
    return f'"{value}" is not spelled as this field wants: {pattern}'


def _said(path: Path) -> str:
    words = [step for step in path if isinstance(step, str)]
    if not words:
        return "the file"
    return f"{words[-1]}[{path[-1]}]" if isinstance(path[-1], int) else words[-1]


def within(marks: Marks, path: Path) -> str:
    """Return ` in check "voice-inbound"` for a place inside one, or nothing."""
    for length in range(len(path), 1, -1):
        section, step = path[length - 2], path[length - 1]
        noun = _SINGULAR.get(str(section))
        if noun is None:
            continue
        if isinstance(step, str):
            return f' in {noun} "{step}"'
        name = marks.node(path[:length]).text("id")
        return f' in {noun} "{name}"' if name else f" in {noun} {step + 1}"
    return ""


def known_keys(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """Return the keys that *model* knows at *path* below it."""
    models: list[Any] = [model]
    for step in path:
        models = [inner for outer in models for inner in _below(outer, step)]
    found: dict[str, None] = {}
    for shape in models:
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            found.update(dict.fromkeys(info.alias or name for name, info in shape.model_fields.items()))
    return tuple(found)


def _below(shape: Any, step: str | int) -> Iterator[Any]:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        for name, info in shape.model_fields.items():
            if step == (info.alias or name):
                yield from _shapes(info.annotation)
    elif get_origin(shape) is not None:
        # A list's items and a mapping's values are both the last argument that is a type.
        inner = [argument for argument in get_args(shape) if argument is not Ellipsis]
        yield from _shapes(inner[-1])


def _shapes(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _shapes(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        for branch in get_args(annotation):
            yield from _shapes(branch)
    else:
        yield annotation
