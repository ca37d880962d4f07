"""What is written can be read again, and no byte of it can be changed without being named."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from bot.core.errors import UnknownEntry
from bot.core.ledger import (
    GENESIS,
    SALT_BYTES,
    Envelope,
    Seal,
    canonical,
    decode,
    decode_reading,
    entry_hash,
    readings_digest,
    seal,
)
from bot.core.messages import Event, NoteTaken, ReadingsSealed, ServiceStarted, VoteCast
from bot.core.model import MACHINE, Actor, Cell, Outcome, Reading, Via
from bot.core.ports import EventRow, ReadingRow
from bot.core.proof import Break, Fault, Report, first_break, verify
from bot.core.runbook import OptionName

Row = EventRow | ReadingRow
START = datetime(2026, 12, 8, 2, 0, tzinfo=UTC)
ANA = Actor(person="ana", account="slack:T1/U1")

TEXTS = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


class _Book:
    """A small ledger, written entry by entry as the writer does."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._head = GENESIS
        self._open = Seal()
        self._streams: dict[str, int] = {}

    def event(self, event: Event, actor: Actor = ANA) -> None:
        stream = f"run/{event.run}" if event.run else "deployment"
        position = len(self.rows) + 1
        self._streams[stream] = self._streams.get(stream, 0) + 1
        envelope = _envelope(event, position, stream, self._streams[stream], actor)
        row = seal(envelope, self._head, bytes([position % 256]) * SALT_BYTES)
        self._head = row.hash
        self.rows.append(row)

    def reading(self, value: float = 0.5) -> None:
        position = len(self.rows) + 1
        at = START + timedelta(seconds=position)
        cell = Cell(origin="mno-b", number="+447700900001")
        reading = Reading(
            check="voice-inbound", kind="voice", cell=cell, outcome=Outcome.PASS, at=at, metrics={"setup_s": value}
        )
        tick = f"r1|voice-inbound|{cell.key}|{at.isoformat()}"
        body = canonical({"tick": tick, "epoch": 1, "reading": reading.model_dump(mode="json"), "at": at.isoformat()})
        row = ReadingRow(position, "r1", "voice-inbound", cell.key, tick, body)
        self._open = self._open.add(row)
        self.rows.append(row)

    def seal(self) -> None:
        found, self._open = self._open, Seal()
        self.event(ReadingsSealed(first=found.first, last=found.last, count=found.count, digest=found.digest), MACHINE)


def _envelope(event: Event, position: int, stream: str, stream_position: int, actor: Actor = ANA) -> Envelope:
    return Envelope(
        position=position,
        stream=stream,
        stream_position=stream_position,
        type=type(event).__name__,
        version=event.VERSION,
        at=START + timedelta(seconds=position),
        actor=actor,
        via=Via.SLACK,
        command_id=f"c-{position}",
        caused_by=position - 1 or None,
        epoch=3,
        software="0.1.0",
        data=event.model_dump(mode="json", by_alias=True),
    )


def _book() -> list[Row]:
    """Return events 1, 2, 5, 9, readings 3, 4, 6, 7, seals 8, 12, unsealed 13, 14."""
    book = _Book()
    book.event(ServiceStarted(epoch=3, software="0.1.0"), MACHINE)
    book.event(NoteTaken(run="r1", text='say ,"epoch":9,"position":2 and go'))
    for _ in range(2):
        book.reading()
    book.event(NoteTaken(run="r1", text="bridge open"))
    for _ in range(2):
        book.reading()
    book.seal()
    book.event(VoteCast(run="r1", number=1, person="ana", option=OptionName.GO))
    for _ in range(2):
        book.reading()
    book.seal()
    for _ in range(2):
        book.reading()
    return book.rows


BOOK = tuple(_book())
SEALED = BOOK[:12]


def _flipped(stored: bytes, byte: int, bit: int) -> bytes:
    at = byte % len(stored)
    return stored[:at] + bytes([stored[at] ^ (1 << bit)]) + stored[at + 1 :]


def _changed(row: Row, **columns: Any) -> Row:
    return replace(row, **columns)


def _with(rows: Sequence[Row], index: int, row: Row) -> list[Row]:
    return [*rows[:index], row, *rows[index + 1 :]]


def _found(rows: Sequence[Row]) -> Break:
    found = first_break(rows)
    assert found is not None
    return found


# -------------------------------------------------------------------------------- canonical JSON


@given(value=JSON)
def test_canonical_is_what_the_library_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_written_as_the_library_writes_it(value: float) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [1e16, 1e-4, 9.999e-5, 1e15, 1e21, 1e-7, -0.0, 5e-324, 1.7976931348623157e308, 3.0])
def test_floats_at_the_edges_are_written_as_the_library_writes_them(value: float) -> None:
    assert canonical(value) == rfc8785.dumps(value)
    assert canonical(-value) == rfc8785.dumps(-value)


def test_keys_are_sorted_by_utf_16_not_by_code_point() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), math.nan, math.inf, "\ud800", {1: 2}, {"a": {None: 1}}, {1, 2}, {"\ud800": 1}, START]
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each refusal has its own text, the library's
        canonical(value)


def test_enums_are_written_as_their_values() -> None:
    assert canonical({Outcome.PASS: OptionName.GO}) == b'{"pass":"go"}'


# ------------------------------------------------------------------------------ writing and reading


def test_an_entry_is_read_as_it_was_written() -> None:
    event = VoteCast(run="r1", number=7, person="ana", option=OptionName.FIX_FIRST, owner="nia", minutes=12.5)
    envelope = _envelope(event, 4, "run/r1", 2)
    row = seal(envelope, GENESIS, b"s" * SALT_BYTES)
    assert decode(row) == (envelope, event)
    assert (row.position, row.stream, row.stream_position, row.type) == (4, "run/r1", 2, "VoteCast")


@given(text=TEXTS, account=TEXTS, stream=TEXTS, software=TEXTS)
def test_the_body_is_canonical_whatever_it_holds(text: str, account: str, stream: str, software: str) -> None:
    envelope = _envelope(NoteTaken(run="r1", text=text), 1, stream, 1, Actor(person="ana", account=account))
    row = seal(replace(envelope, software=software), GENESIS, bytes(SALT_BYTES))
    assert row.body == rfc8785.dumps(json.loads(row.body))
    assert first_break([row]) is None


def test_an_entrys_hash_follows_the_one_before_its_salt_and_its_body() -> None:
    envelope = _envelope(NoteTaken(text="x"), 1, "deployment", 1)
    hashes = {
        seal(envelope, GENESIS, bytes(SALT_BYTES)).hash,
        seal(envelope, bytes(32), bytes(SALT_BYTES)).hash,
        seal(envelope, GENESIS, b"s" * SALT_BYTES).hash,
        seal(replace(envelope, software="0.1.1"), GENESIS, bytes(SALT_BYTES)).hash,
    }
    assert len(hashes) == 4


def test_a_salt_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a salt has 16 bytes; this one has 4"):
        seal(_envelope(NoteTaken(text="x"), 1, "deployment", 1), GENESIS, b"salt")


def test_an_entry_of_an_unknown_type_names_who_wrote_it() -> None:
    envelope = replace(_envelope(NoteTaken(text="x"), 1, "deployment", 1), type="TeaMade", software="0.9.2")
    with pytest.raises(UnknownEntry, match=r"TeaMade; switchroom 0\.9\.2 wrote it"):
        decode(seal(envelope, GENESIS, bytes(SALT_BYTES)))


def test_a_reading_is_read_as_it_was_written() -> None:
    row = BOOK[2]
    assert isinstance(row, ReadingRow)
    assert decode_reading(row).metrics == {"setup_s": 0.5}


def test_a_seal_is_a_value_that_adding_does_not_change() -> None:
    readings = [row for row in BOOK if isinstance(row, ReadingRow)]
    empty = Seal()
    one = empty.add(readings[0])
    two = one.add(readings[1])
    assert (empty.count, one.count, two.count) == (0, 1, 2)
    assert (two.first, two.last) == (3, 4)
    assert two.digest == readings_digest(readings[:2])
    assert len({empty.digest, one.digest, two.digest, readings_digest(readings[1::-1])}) == 4


# ----------------------------------------------------------------------------------------- the proof


def test_a_ledger_that_nobody_changed_is_intact() -> None:
    last = BOOK[11]
    assert isinstance(last, EventRow)
    assert verify(BOOK) == Report(
        events=6,
        readings=8,
        unsealed=2,
        position=14,
        head=last.hash,
        first_at=START + timedelta(seconds=1),
        last_at=START + timedelta(seconds=12),
        broken=None,
    )
    assert verify(BOOK).sentence == (
        "INTACT: entries 1 to 14 (6 events, 8 readings), 2026-12-08 02:00:01 to 2026-12-08 02:00:12 UTC,"
        f" head {last.hash.hex()}. Not yet sealed: 2 readings."
    )


def test_an_empty_ledger_is_no_break() -> None:
    assert verify([]).sentence == "The ledger holds no entry."
    assert verify([]).head == GENESIS


@given(
    index=st.integers(0, 11), part=st.sampled_from(["body", "salt", "hash"]), byte=st.integers(0), bit=st.integers(0, 7)
)
def test_any_bit_changed_anywhere_is_found_and_named(index: int, part: str, byte: int, bit: int) -> None:
    row = SEALED[index]
    part = part if isinstance(row, EventRow) else "body"
    changed = _changed(row, **{part: _flipped(getattr(row, part), byte, bit)})
    found = _found(_with(BOOK, index, changed))
    assert found.position == row.position
    assert found.fault is (Fault.CONTENT if isinstance(row, EventRow) else Fault.READING)
    assert f" {row.position} (" in found.sentence


@pytest.mark.parametrize("index", [2, 3, 5, 6, 9, 10])
@pytest.mark.parametrize("column", ["run", "check", "cell", "tick"])
def test_a_changed_column_of_a_sealed_reading_is_found_and_named(index: int, column: str) -> None:
    row = BOOK[index]
    found = _found(_with(BOOK, index, _changed(row, **{column: f"{getattr(row, column)}x"})))
    assert (found.position, found.fault) == (row.position, Fault.READING)


@pytest.mark.parametrize(
    ("column", "value"), [("stream", "run/r2"), ("stream_position", 9), ("type", "VoteVoided"), ("type", 'x","')]
)
@pytest.mark.parametrize("index", [0, 1, 8, 11])
def test_a_changed_column_of_an_entry_is_found_and_named(index: int, column: str, value: object) -> None:
    row = BOOK[index]
    found = _found(_with(BOOK, index, _changed(row, **{column: value})))
    assert (found.position, found.fault) == (row.position, Fault.COLUMNS)
    assert f"its column {column} says something else than its content" in found.sentence


@pytest.mark.parametrize("index", range(12))
def test_a_missing_entry_is_found_and_named(index: int) -> None:
    found = _found([*BOOK[:index], *BOOK[index + 1 :]])
    assert (found.position, found.fault) == (index + 1, Fault.MISSING)


@pytest.mark.parametrize("index", range(12))
def test_an_entry_that_comes_twice_is_found_and_named(index: int) -> None:
    found = _found([*BOOK[: index + 1], *BOOK[index:]])
    assert (found.position, found.fault) == (index + 1, Fault.ORDER)


@pytest.mark.parametrize("index", range(11))
def test_entries_in_another_order_are_found(index: int) -> None:
    swapped = [*BOOK[:index], BOOK[index + 1], BOOK[index], *BOOK[index + 2 :]]
    assert _found(swapped).position == index + 1


@pytest.mark.parametrize("index", [i for i, row in enumerate(SEALED) if i != 11])
def test_a_gap_closed_by_renumbering_is_found(index: int) -> None:
    renumbered: list[Row] = [replace(row, position=row.position - 1) for row in BOOK[index + 1 :]]
    assert first_break([*BOOK[:index], *renumbered]) is not None


def test_an_entry_left_out_of_its_stream_is_found_even_with_a_good_chain() -> None:
    event, head, rows = NoteTaken(run="r1", text="x"), GENESIS, []
    for position, stream_position in ((1, 1), (2, 3)):
        rows.append(seal(_envelope(event, position, "run/r1", stream_position), head, bytes(SALT_BYTES)))
        head = rows[-1].hash
    found = _found(rows)
    assert (found.position, found.fault) == (2, Fault.STREAM)
    assert "it is number 3 of run/r1, and the one before was number 1" in found.sentence


@pytest.mark.parametrize(
    "wrong", [{"first": 4}, {"last": 5}, {"count": 1}, {"digest": "00"}, {"digest": ""}, {"digest": "no.marks"}]
)
def test_a_seal_that_does_not_match_its_readings_is_found(wrong: dict[str, Any]) -> None:
    book = _Book()
    for _ in range(3):
        book.reading()
    readings = [row for row in book.rows if isinstance(row, ReadingRow)]
    right = {"first": 1, "last": 3, "count": 3, "digest": readings_digest(readings)}
    book.event(ReadingsSealed.model_validate(right | wrong), MACHINE)
    assert _found(book.rows).fault in {Fault.SEAL, Fault.READING}


def test_a_reading_changed_where_its_mark_agrees_by_chance_is_told_by_its_seal() -> None:
    book = _Book()
    for _ in range(2):
        book.reading()
    marks = readings_digest([row for row in book.rows if isinstance(row, ReadingRow)]).partition(".")[2]
    book.event(ReadingsSealed(first=1, last=2, count=2, digest=f"{'0' * 64}.{marks}"), MACHINE)
    assert _found(book.rows).sentence == (
        "BROKEN at readings 1 to 2: one of them no longer matches the seal at entry 3."
    )


@given(index=st.sampled_from([12, 13]), byte=st.integers(0), bit=st.integers(0, 7))
def test_a_reading_without_a_seal_is_never_a_break(index: int, byte: int, bit: int) -> None:
    row = BOOK[index]
    report = verify(_with(BOOK, index, replace(row, body=_flipped(row.body, byte, bit))))
    assert report.broken is None
    assert "Not yet sealed: 2 readings" in report.sentence


def test_bytes_moved_between_salt_and_body_are_found() -> None:
    row = BOOK[1]
    assert isinstance(row, EventRow)
    moved = replace(row, salt=row.salt + row.body[:1], body=row.body[1:])
    head = BOOK[0].hash if isinstance(BOOK[0], EventRow) else b""
    assert entry_hash(head, moved.salt, moved.body) == moved.hash
    assert _found(_with(BOOK, 1, moved)).fault is Fault.CONTENT


def test_a_break_reads_as_a_person_needs_it() -> None:
    vote, reading = BOOK[8], BOOK[5]
    assert isinstance(vote, EventRow)
    assert _found(_with(BOOK, 8, replace(vote, salt=b"0" * SALT_BYTES))).sentence == (
        "BROKEN at entry 9 (VoteCast, 02:00:09 UTC): its content no longer matches its seal. Entries 1 to 8 are intact."
    )
    assert _found(_with(BOOK, 8, replace(vote, body=b"?"))).sentence == (
        "BROKEN at entry 9 (VoteCast): its content no longer matches its seal. Entries 1 to 8 are intact."
    )
    changed = replace(reading, body=reading.body.replace(b'"pass"', b'"fail"'))
    assert _found(_with(BOOK, 5, changed)).sentence == (
        "BROKEN at reading 6 (a reading of voice-inbound, 02:00:06 UTC): its content no longer matches the seal"
        " at entry 8. Entries 1 to 5 are intact."
    )
    assert _found(BOOK[:3] + BOOK[5:]).sentence == (
        "BROKEN at entry 4: it is missing, and all up to 5; the next is 6 (a reading of voice-inbound, 02:00:06 UTC)."
        " Entries 1 to 3 are intact. 1 reading among them had no seal yet."
    )
    assert _found(BOOK[1:]).sentence.startswith("BROKEN at entry 1: it is missing; the next is 2 (NoteTaken")
    assert verify(_with(BOOK, 8, replace(vote, body=b"?"))).sentence.startswith("BROKEN at entry 9")


def test_no_break_shows_a_subscribers_number() -> None:
    for index in range(12):
        row = SEALED[index]
        assert "7700" not in _found(_with(BOOK, index, replace(row, body=_flipped(row.body, 5, 0)))).sentence
