"""
The proof that nobody changed the ledger: walk it from its first entry and name the first break.

Stored bytes are hashed as they are; JSON is read only where a seal or a time is needed. Readings after the
last seal are not proven yet, and are said to be so. A ledger cut off at its end looks whole from inside:
compare the head with a checkpoint kept outside. Nothing here knows where rows are stored.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from json.encoder import encode_basestring
from typing import Any

from bot.core.ledger import GENESIS, MARK_BYTES, SALT_BYTES, Seal, entry_hash, read_time, reading_hash
from bot.core.messages import ReadingsSealed
from bot.core.model import Utc
from bot.core.ports import EventRow, ReadingRow

_SEAL = ReadingsSealed.__name__


class Fault(StrEnum):
    """The closed ways in which a ledger is broken."""

    CONTENT = "content"  #: an entry's body, salt or hash was changed, or the entry before was taken out
    COLUMNS = "columns"  #: the row says something else than its sealed content
    MISSING = "missing"  #: a position that was given is not there
    ORDER = "order"  #: a position comes twice, or late
    STREAM = "stream"  #: an entry of its stream is missing or comes twice
    READING = "reading"  #: a sealed reading was changed
    SEAL = "seal"  #: the readings are not those that were sealed


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the ledger does not hold, and what is wrong there."""

    position: int
    fault: Fault
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Report:
    """What a walk over the ledger found. `head` is the last entry that holds: compare it with a checkpoint."""

    events: int
    readings: int
    unsealed: int
    position: int
    head: bytes
    first_at: Utc | None
    last_at: Utc | None
    broken: Break | None

    @property
    def sentence(self) -> str:
        """The finding in one line."""
        if self.broken is not None:
            return self.broken.sentence
        if self.first_at is None or self.last_at is None:
            return "The ledger holds no entry."
        span = f"{self.first_at:%Y-%m-%d %H:%M:%S} to {self.last_at:%Y-%m-%d %H:%M:%S} UTC"
        waiting = f" Not yet sealed: {_readings(self.unsealed)}." if self.unsealed else ""
        return (
            f"INTACT: entries 1 to {self.position} ({self.events} events, {_readings(self.readings)}), {span},"
            f" head {self.head.hex()}.{waiting}"
        )


def verify(rows: Iterable[EventRow | ReadingRow]) -> Report:
    """Return what walking *rows*, all of the ledger in order of position, finds; it ends at the first break."""
    walk = _Walk()
    for row in rows:
        broken = walk.step(row)
        if broken is not None:
            return walk.report(broken)
    return walk.report(None)


def first_break(rows: Iterable[EventRow | ReadingRow]) -> Break | None:
    """Return the first place where *rows*, all of the ledger in order of position, do not hold, or None."""
    return verify(rows).broken


class _Walk:
    """How far the walk is. Each check returns the break it found, or None."""

    def __init__(self) -> None:
        self._position = 0
        self._head = GENESIS
        self._events = 0
        self._readings = 0
        self._streams: dict[str, int] = {}
        self._open: list[ReadingRow] = []
        self._chained: list[bytes] = [GENESIS]
        self._first: EventRow | None = None
        self._last: EventRow | None = None

    def step(self, row: EventRow | ReadingRow) -> Break | None:
        """Take one row."""
        broken = self._in_order(row) or (None if isinstance(row, ReadingRow) else self._event(row))
        if broken is not None:
            return broken
        self._position = row.position
        if isinstance(row, ReadingRow):
            self._readings += 1
            self._open.append(row)
            self._chained.append(reading_hash(self._chained[-1], row))
        return None

    def report(self, broken: Break | None) -> Report:
        """Return what was found so far."""
        return Report(
            events=self._events,
            readings=self._readings,
            unsealed=len(self._open),
            position=self._position,
            head=self._head,
            first_at=_time_of(self._first),
            last_at=_time_of(self._last),
            broken=broken,
        )

    def _in_order(self, row: EventRow | ReadingRow) -> Break | None:
        wanted = self._position + 1
        if row.position > wanted:
            gap = "it is missing" if row.position == wanted + 1 else f"it is missing, and all up to {row.position - 1}"
            what = f"BROKEN at entry {wanted}: {gap}; the next is {row.position} ({_named(row)})."
            return Break(wanted, Fault.MISSING, what + self._intact(wanted - 1))
        if row.position < wanted:
            what = f"BROKEN at entry {row.position} ({_named(row)}): it comes again, after entry {self._position}."
            return Break(row.position, Fault.ORDER, what + self._intact(self._position))
        return None

    def _event(self, row: EventRow) -> Break | None:
        if len(row.salt) != SALT_BYTES or entry_hash(self._head, row.salt, row.body) != row.hash:
            return self._broken(row, Fault.CONTENT, "its content no longer matches its seal")
        differing = _differing_column(row)
        if differing:
            return self._broken(row, Fault.COLUMNS, f"its column {differing} says something else than its content")
        if row.stream_position != self._streams.get(row.stream, 0) + 1:
            before = self._streams.get(row.stream, 0)
            fault = f"it is number {row.stream_position} of {row.stream}, and the one before was number {before}"
            return self._broken(row, Fault.STREAM, fault)
        broken = self._sealing(row) if row.type == _SEAL else None
        if broken is None:
            self._head = row.hash
            self._events += 1
            self._streams[row.stream] = row.stream_position
            self._first = self._first or row
            self._last = row
        return broken

    def _sealing(self, row: EventRow) -> Break | None:
        """Compare the readings since the last seal with what *row* sealed."""
        sealed, found = _content(row)["data"], self._found()
        if (sealed["first"], sealed["last"], sealed["count"]) != (found.first, found.last, found.count):
            here = f"{found.count} from {found.first} to {found.last}" if found.count else "none"
            wanted = f"{_readings(sealed['count'])} from {sealed['first']} to {sealed['last']}"
            return self._broken(row, Fault.SEAL, f"it sealed {wanted}, and there are {here}")
        if sealed["digest"] != found.digest:
            return self._changed_reading(row, sealed["digest"])
        self._open, self._chained = [], [GENESIS]
        return None

    def _found(self) -> Seal:
        """Return the seal that the readings found would have."""
        if not self._open:
            return Seal()
        marks = b"".join(chained[:MARK_BYTES] for chained in self._chained[1:])
        return Seal(self._open[0].position, self._open[-1].position, len(self._open), self._chained[-1], marks)

    def _changed_reading(self, seal: EventRow, digest: str) -> Break:
        """Name the first reading whose mark differs; marks may agree by chance, then all of them."""
        marks, width = digest.partition(".")[2], 2 * MARK_BYTES
        for index, row in enumerate(self._open):
            if marks[width * index : width * (index + 1)] != self._chained[index + 1][:MARK_BYTES].hex():
                what = (
                    f"BROKEN at reading {row.position} ({_named(row)}): its content no longer matches"
                    f" the seal at entry {seal.position}."
                )
                return Break(row.position, Fault.READING, what + _all_intact(row.position - 1))
        first, last = self._open[0].position, self._open[-1].position
        what = f"BROKEN at readings {first} to {last}: one of them no longer matches the seal at entry {seal.position}."
        return Break(first, Fault.READING, what + _all_intact(first - 1))

    def _broken(self, row: EventRow, fault: Fault, what: str) -> Break:
        sentence = f"BROKEN at entry {row.position} ({_named(row)}): {what}."
        return Break(row.position, fault, sentence + self._intact(row.position - 1))

    def _intact(self, last: int) -> str:
        """Return what still holds; readings that no seal has fixed are named apart."""
        waiting = f" {_readings(len(self._open))} among them had no seal yet." if self._open else ""
        return _all_intact(last) + waiting


def _readings(count: int) -> str:
    return f"{count} reading" if count == 1 else f"{count} readings"


def _all_intact(last: int) -> str:
    return {0: "", 1: " Entry 1 is intact."}.get(last, f" Entries 1 to {last} are intact.")


def _named(row: EventRow | ReadingRow) -> str:
    """Return what *row* is and its time, where that can still be read. No number of a subscriber."""
    at = _time_of(row)
    name = row.type if isinstance(row, EventRow) else f"a reading of {row.check}"
    return f"{name}, {at:%H:%M:%S} UTC" if at else name


def _time_of(row: EventRow | ReadingRow | None) -> Utc | None:
    content = _content(row) if row is not None else {}
    reading = content.get("reading")
    at = content.get("at") or (reading.get("at") if isinstance(reading, dict) else None)
    try:
        return read_time(at) if isinstance(at, str) else None
    except ValueError:
        return None


def _content(row: EventRow | ReadingRow) -> dict[str, Any]:
    """Return the body as JSON, or nothing where it no longer is."""
    try:
        content = json.loads(row.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _differing_column(row: EventRow) -> str | None:
    """
    Return the column that does not say what the content says, or None.

    Canonical keys are sorted, so everything after the last `,"epoch":` is the envelope's own, whatever
    the event's data hold; and a quote inside a string is escaped, so these texts are found nowhere else.
    """
    own = row.body[row.body.rfind(b',"epoch":') + 1 :]
    place = f',"stream":{encode_basestring(row.stream)},"stream_position":{row.stream_position},"type":"{row.type}",'
    if f',"position":{row.position},'.encode() in own and place.encode() in own:
        return None
    content = _content(row)
    names = ("position", "stream", "stream_position", "type")
    return next((name for name in names if content.get(name) != getattr(row, name)), "body")
