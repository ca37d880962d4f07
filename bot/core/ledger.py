"""
The hash chain: how an entry is written, sealed and read.

An entry's `hash` covers its body, its salt and the hash of the entry before. Readings have no chain of
their own: a `ReadingsSealed` entry fixes those since the seal before. What is stored is what is hashed,
so checking never writes JSON again; the check itself is `core/proof.py`. Nothing here knows where rows
are stored.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any

import rfc8785

from bot.core.messages import Event
from bot.core.model import Actor, Reading, Utc, Via
from bot.core.ports import EventRow, ReadingRow
from bot.core.upcast import lift

#: What is hashed begins with what it is, so that one kind of content never passes for another.
_ENTRY = b"switchroom/entry/1\0"
_READING = b"switchroom/reading/1\0"

#: The hash before the first entry.
GENESIS = hashlib.sha256(b"switchroom/genesis/1\0").digest()
#: Fixed, so that no byte can move between salt and body.
SALT_BYTES = 16
#: How much of each reading's hash a seal keeps, so that a changed reading can be named.
MARK_BYTES = 3

_LARGEST_INT = 2**53 - 1


def canonical(value: object) -> bytes:
    """
    Return *value* as canonical JSON (RFC 8785). Raise ValueError for what has no such form.

    Plain types are written here, three times as fast; whatever is not certain to come out the same (very
    large and very small floats, other types, every refusal) is left to the library.
    """
    return _text(value).encode()


def _text(value: Any) -> str:
    return _WRITERS.get(type(value), _by_library)(value)


def _by_library(value: Any) -> str:
    return rfc8785.dumps(value).decode()


def _object(value: dict[str, Any]) -> str:
    if all(type(key) is str and key.isascii() for key in value):
        keys = sorted(value)
    elif all(isinstance(key, str) for key in value):
        # The order is that of UTF-16 code units, which of ASCII is the plain one.
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    else:
        raise ValueError("the keys of a JSON object are strings")
    return "{" + ",".join([f"{encode_basestring(key)}:{_text(value[key])}" for key in keys]) + "}"


def _array(value: Sequence[Any]) -> str:
    return "[" + ",".join([_text(item) for item in value]) + "]"


def _float(value: float) -> str:
    # Within these bounds, and only there, Python and ECMAScript write the same shortest digits.
    return repr(value).removesuffix(".0") if 1e-4 <= abs(value) < 1e16 else _by_library(value)


def _int(value: int) -> str:
    return repr(value) if -_LARGEST_INT <= value <= _LARGEST_INT else _by_library(value)


#: By exact type: a subclass (an enum) may print itself otherwise, and is left to the library.
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    dict: _object,
    list: _array,
    tuple: _array,
    float: _float,
    int: _int,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event's data with where, when, by whom, by which door and by which release it was written."""

    position: int
    stream: str
    stream_position: int
    type: str
    version: int
    at: Utc
    actor: Actor
    via: Via
    command_id: str
    caused_by: int | None
    epoch: int
    software: str
    data: dict[str, Any]


def seal(envelope: Envelope, previous_hash: bytes, salt: bytes) -> EventRow:
    """Return *envelope* as a row of the ledger that follows the entry with *previous_hash*."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes; this one has {len(salt)}")
    body = _body(envelope)
    return EventRow(
        position=envelope.position,
        stream=envelope.stream,
        stream_position=envelope.stream_position,
        type=envelope.type,
        body=body,
        salt=salt,
        hash=entry_hash(previous_hash, salt, body),
    )


def _body(envelope: Envelope) -> bytes:
    """Return the canonical JSON of *envelope*. The keys stand here in their order, because this runs for every entry."""
    quoted, actor = encode_basestring, envelope.actor
    return (
        f'{{"actor":{{"account":{quoted(actor.account)},"person":{quoted(actor.person)}}}'
        f',"at":"{_written(envelope.at)}"'
        f',"caused_by":{_text(envelope.caused_by)}'
        f',"command_id":{quoted(envelope.command_id)}'
        f',"data":{_text(envelope.data)}'
        f',"epoch":{_int(envelope.epoch)}'
        f',"position":{_int(envelope.position)}'
        f',"software":{quoted(envelope.software)}'
        f',"stream":{quoted(envelope.stream)}'
        f',"stream_position":{_int(envelope.stream_position)}'
        f',"type":{quoted(envelope.type)}'
        f',"version":{_int(envelope.version)}'
        f',"via":{quoted(envelope.via.value)}}}'
    ).encode()


def entry_hash(previous_hash: bytes, salt: bytes, body: bytes) -> bytes:
    """Return SHA-256(domain || previous hash || SHA-256(salt || body)): the body may go, and the chain still holds."""
    return hashlib.sha256(_ENTRY + previous_hash + hashlib.sha256(salt + body).digest()).digest()


def decode(row: EventRow) -> tuple[Envelope, Event]:
    """Return what *row* says, its event lifted to this release. Raise UnknownEntry where that cannot be."""
    written = json.loads(row.body)
    envelope = Envelope(
        **{
            **written,
            "at": read_time(written["at"]),
            "actor": Actor.model_construct(**written["actor"]),
            "via": Via(written["via"]),
        }
    )
    return envelope, lift(envelope.type, envelope.version, envelope.data, envelope.software)


def decode_reading(row: ReadingRow) -> Reading:
    """Return the reading of *row*."""
    return Reading.model_validate(json.loads(row.body)["reading"])


def _written(at: datetime) -> str:
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def read_time(text: str) -> Utc:
    """Return the time that an entry's `at` says."""
    return datetime.fromisoformat(text).astimezone(UTC)


def reading_hash(previous: bytes, row: ReadingRow) -> bytes:
    """Return the hash of a reading after *previous*: its position, its columns (sizes first) and its body."""
    sizes = f"{row.position},{len(row.run)},{len(row.check)},{len(row.cell)},{len(row.tick)};"
    names = f"{sizes}{row.run}{row.check}{row.cell}{row.tick}"
    return hashlib.sha256(_READING + previous + names.encode() + row.body).digest()


@dataclass(frozen=True, slots=True)
class Seal:
    """
    The readings since the last seal, as far as they go: `add` each, then write a `ReadingsSealed` of it.

    Each reading is hashed with the hash of the one before. `marks` keeps a few bytes of each step: the
    first that differs names the reading that was changed.
    """

    first: int = 0
    last: int = 0
    count: int = 0
    chained: bytes = GENESIS
    marks: bytes = b""

    def add(self, row: ReadingRow) -> "Seal":
        """Return the seal with one more reading: its position, its columns and its body."""
        chained = reading_hash(self.chained, row)
        return Seal(
            self.first or row.position, row.position, self.count + 1, chained, self.marks + chained[:MARK_BYTES]
        )

    @property
    def digest(self) -> str:
        """What the seal holds: the last hash, and the marks."""
        return f"{self.chained.hex()}.{self.marks.hex()}"


def readings_digest(rows: Iterable[ReadingRow]) -> str:
    """Return the digest that a seal over *rows* holds."""
    sealed = Seal()
    for row in rows:
        sealed = sealed.add(row)
    return sealed.digest
