"""
Read bytes as plain values that remember their line and column.

Only the YAML that means the same to every reader is taken: no aliases, tags, merges, duplicate keys, and
no scalar that YAML 1.1 silently turns into something else (22:30 is 1350, no is false, +447... is a
number). Knows nothing of runbooks; a fault that leaves the rest readable is reported and reading goes on.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from bot.core.codes import Code
from bot.core.errors import Finding, RunbookRefused

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24

#: With the C loader where there is one: the pure one needs seconds for a hostile file.
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,14})")
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})\.\d{1,15}")
_PREFIX = "tag:yaml.org,2002:"

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """One value of the file, where it stands, and, for a scalar, as it was written."""

    line: int
    column: int
    scalar: str | int | float | bool | None = None
    raw: str = ""
    quoted: bool = False
    entries: "dict[str, tuple[Node, Node]] | None" = None  #: key -> (the key, its value)
    items: "list[Node] | None" = None
    broken: bool = False  #: reported already: whatever else seems wrong about it is noise

    @property
    def plain(self) -> Any:
        """The value without its marks."""
        if self.entries is not None:
            return {key: value.plain for key, (_, value) in self.entries.items()}
        if self.items is not None:
            return [item.plain for item in self.items]
        return self.scalar

    @property
    def noun(self) -> str:
        """What it is, for a sentence."""
        if self.entries is not None:
            return "keys and values"
        if self.items is not None:
            return "a list"
        return {bool: "true or false", int: "a number", float: "a number"}.get(type(self.scalar), "text")

    def at(self, step: str | int) -> "Node | None":
        """Return the entry or item *step*, or None."""
        if self.entries is not None and isinstance(step, str):
            pair = self.entries.get(step)
            return pair[1] if pair else None
        if self.items is not None and isinstance(step, int) and 0 <= step < len(self.items):
            return self.items[step]
        return None

    def key(self, step: str | int) -> "Node | None":
        """Return where the key *step* itself stands."""
        pair = self.entries.get(step) if self.entries is not None and isinstance(step, str) else None
        return pair[0] if pair else None

    def text(self, key: str) -> str | None:
        """Return the text under *key*, or None."""
        found = self.at(key)
        return found.scalar if found is not None and isinstance(found.scalar, str) else None

    def pairs(self) -> "Iterator[tuple[str, Node]]":
        """Yield the entries of a mapping; nothing for anything else."""
        for key, (_, value) in (self.entries or {}).items():
            yield key, value

    def sequence(self, key: str) -> "Sequence[Node]":
        """Return the items under *key*; nothing if there is no list."""
        found = self.at(key)
        return found.items if found is not None and found.items is not None else ()

    def as_json(self) -> str:
        """Return the value as JSON, which pydantic reads strictly."""
        return json.dumps(self.plain)


@dataclass(slots=True)
class Marks:
    """Where each value of a file stands, and the findings so far."""

    place: str
    root: Node
    findings: list[Finding] = field(default_factory=list)
    _told: set[tuple[int, int, Code]] = field(default_factory=set)

    def node(self, path: Path) -> Node:
        """Return the node at *path*, or the nearest one above it."""
        node = self.root
        for step in path:
            below = node.at(step)
            if below is None:
                break
            node = below
        return node

    def report(self, node: Node, code: Code, message: str) -> None:
        """Add a finding at *node*, once per place and code; nothing about what is broken anyway."""
        told = (node.line, node.column, code)
        if not node.broken and told not in self._told:
            self._told.add(told)
            self.findings.append(Finding(self.place, node.line, node.column, code, message))

    def report_at(self, path: Path, code: Code, message: str) -> None:
        """Add a finding at *path*."""
        self.report(self.node(path), code, message)

    def refuse_if_any(self) -> None:
        """Raise what was found."""
        if self.findings:
            raise RunbookRefused(self.findings)


def nowhere(place: str = "runbook") -> Marks:
    """Return marks for values that were not read from a file."""
    return Marks(place, Node(1, 1, entries={}))


def read(data: bytes, place: str) -> Marks:
    """Return the marked values of *data* with the findings so far. Raise RunbookRefused where nothing can be read."""
    return _Reader(data, place).read()


class _Reader:
    """One reading of one file."""

    def __init__(self, data: bytes, place: str) -> None:
        self.marks = Marks(place, Node(1, 1))
        self._data = data

    def read(self) -> Marks:
        text = self._text()
        events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        try:
            self._read_documents(events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self._stop(
                line, column, Code.NOT_YAML, f"not readable as YAML: {error.problem or error.context}. {_advice(error)}"
            )
        except yaml.YAMLError as error:
            why = getattr(error, "reason", "") or "a character that no text file holds"
            self._stop(1, 1, Code.NOT_YAML, f"not readable as YAML: {why}. Remove control characters.")
        return self.marks

    def _stop(self, line: int, column: int, code: Code, message: str) -> None:
        raise RunbookRefused([*self.marks.findings, Finding(self.marks.place, line, column, code, message)])

    def _text(self) -> str:
        size = len(self._data)
        if size > MAX_BYTES:
            self._stop(1, 1, Code.TOO_LARGE, f"{size // 1024} KB, and a runbook has at most 256 KB. Split it by phase.")
        try:
            return self._data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            before = self._data[: error.start]
            line = before.count(b"\n") + 1
            column = error.start - (before.rfind(b"\n") + 1) + 1
            byte = self._data[error.start]
            self._stop(line, column, Code.NOT_UTF8, f"byte 0x{byte:02X} is not UTF-8 text. Save the file as UTF-8.")
            raise

    def _read_documents(self, events: Iterator[Any]) -> None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    line, _ = _position(event)
                    self._stop(
                        line, 1, Code.MANY_DOCUMENTS, "a second document begins here. Keep one runbook per file."
                    )
                self.marks.root = self._node(next(events), events, 0)
        root = self.marks.root
        if root.entries is None:
            self._stop(
                root.line, root.column, Code.NOT_A_MAPPING, "no keys and values here. Begin with `runbook: name`."
            )

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        node = Node(*_position(event))
        if depth > MAX_DEPTH:
            self._stop(
                node.line, node.column, Code.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels. No runbook needs that."
            )
        if isinstance(event, yaml.AliasEvent):
            self._break(
                node,
                Code.ANCHOR,
                f"*{event.anchor} repeats another part of the file. Write it out: people sign what they read.",
            )
            return node
        unwanted = self._unwanted(event)
        if isinstance(event, yaml.MappingStartEvent):
            self._read_mapping(node, events, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node.items = [self._node(item, events, depth + 1) for item in _until(events, yaml.SequenceEndEvent)]
            for item in node.items:
                self._refuse_null(item, "an item of this list")
        else:
            node.raw, node.scalar, node.quoted = event.value, event.value, not event.implicit[0]
            if event.implicit[0] and not unwanted:
                self._read_plain(node)
        if unwanted:
            self._break(node, *unwanted)
        return node

    def _unwanted(self, event: Any) -> tuple[Code, str] | None:
        if event.anchor is not None:
            return (
                Code.ANCHOR,
                f"&{event.anchor} marks a part to repeat. Write the parts out: people sign what they read.",
            )
        if event.tag is not None:
            return (
                Code.TAG,
                f"the tag {event.tag} asks for another type. Remove it: a runbook is plain text and numbers.",
            )
        return None

    def _break(self, node: Node, code: Code, message: str) -> None:
        self.marks.report(node, code, message)
        node.broken = True

    def _read_mapping(self, node: Node, events: Iterator[Any], depth: int) -> None:
        node.entries = {}
        for event in _until(events, yaml.MappingEndEvent):
            key = self._key(event, events, depth)
            value = self._node(next(events), events, depth + 1)
            if key.broken:
                continue
            if key.raw in node.entries:
                first = node.entries[key.raw][0]
                self._break(
                    key, Code.DUPLICATE_KEY, f'"{key.raw}" is here twice (first in line {first.line}). Keep one.'
                )
                continue
            self._refuse_null(value, f'"{key.raw}"')
            node.entries[key.raw] = (key, value)

    def _refuse_null(self, node: Node, what: str) -> None:
        if node.scalar is None and node.entries is None and node.items is None and not node.broken:
            self._break(node, Code.NO_VALUE, f"{what} has no value. Write one, or remove it.")

    def _key(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        if not isinstance(event, yaml.ScalarEvent):
            key = self._node(event, events, depth + 1)
            self._break(key, Code.ODD_KEY, "a key must be one plain word.")
            key.broken = True
            return key
        key = Node(*_position(event), raw=event.value)
        unwanted = self._unwanted(event)
        if unwanted:
            self._break(key, *unwanted)
        elif event.implicit[0] and event.value == "<<":
            self._break(
                key, Code.MERGE_KEY, "<< copies keys from elsewhere. Write them out: people sign what they read."
            )
        return key

    def _read_plain(self, node: Node) -> None:
        tag = _RESOLVER.resolve(yaml.ScalarNode, node.raw, (True, False)).removeprefix(_PREFIX)
        node.scalar = node.raw
        if tag == "null":
            node.scalar = None
        elif tag == "int" and _INTEGER.fullmatch(node.raw):
            node.scalar = int(node.raw)
        elif tag == "float" and _DECIMAL.fullmatch(node.raw):
            node.scalar = float(node.raw)
        elif tag == "bool" and node.raw in {"true", "false"}:
            node.scalar = node.raw == "true"
        elif tag in {"int", "float", "bool", "timestamp"}:
            self._break(node, Code.UNQUOTED, unquoted(node))


def unquoted(node: Node) -> str:
    """Return the sentence for a scalar that YAML does not read as the text it looks like."""
    return f'{_short(node.raw)} is read by YAML as {_reading(node.raw)}. Put it in quotes if it is text: "{_short(node.raw)}"'


def _reading(raw: str) -> str:
    # Ask YAML itself, so that the sentence is true; some of these cannot be built at all.
    with suppress(ValueError, OverflowError, yaml.YAMLError):
        value = yaml.safe_load(raw) if len(raw) <= 40 else None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return f"the number {value}"
        if value is not None and not isinstance(value, str | float):
            return "a date"
    return "something that is no text"


def _position(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _until(events: Iterator[Any], end: type[Any]) -> Iterable[Any]:
    for event in events:
        if isinstance(event, end):
            return
        yield event


def _advice(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or "")
    if "cannot start any token" in problem:
        return "Indent with spaces, not tabs, and put text that begins with %, @ or ` in quotes."
    if "mapping values are not allowed" in problem:
        return 'Put the text in quotes if it holds ": ".'
    return "Look at the quotes, brackets and indentation just before this place."
