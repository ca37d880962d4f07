"""
One transaction in the making: decide, number, seal and fold, in memory.

Everything that one commit will hold is gathered here by the writer. A draft that is thrown away
leaves no trace.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

from pydantic import ValidationError

from bot.core import messages as m
from bot.core.cutover import Seen, decide, evolve, observe, react
from bot.core.errors import Reason, Refused
from bot.core.ledger import GENESIS, Envelope, Seal, canonical, decode, decode_reading, seal
from bot.core.model import MACHINE, Reading, Tick, Utc, Via
from bot.core.ports import Batch, Clock, EffectRow, EventRow, InboxRow, ReadingRow, Snapshot, Store
from bot.core.state import House

#: Readings are sealed at least this often, by the service's clock.
SEAL_EVERY = timedelta(seconds=60)
#: The first ordinal of an effect that goes out anew: no entry has so many effects of its own.
AGAIN = 1_000_000

_BATCH = tuple(Batch.__dataclass_fields__)


class Rolls(Protocol):
    """Where chance comes from: drawn by the writer and handed in."""

    def fresh_id(self) -> str:
        """Return an id that was never used."""
        ...

    def salt(self) -> bytes:
        """Return 16 random bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that was written: an event or a reading, with its place in the ledger."""

    position: int
    at: Utc
    run: str
    event: m.Event | None = None
    reading: Reading | None = None
    person: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class Fold:
    """The folded state with what the chain needs to go on from it."""

    house: House = House()  # noqa: RUF009 - a frozen value, safe to share
    head: bytes = GENESIS
    streams: Mapping[str, int] = field(default_factory=dict)
    unsealed: Seal = field(default_factory=Seal)
    unsealed_since: Utc | None = None

    def seal_due(self) -> Utc | None:
        """Return when the open readings must be sealed, or None if there are none."""
        return self.unsealed_since + SEAL_EVERY if self.unsealed_since is not None else None


@dataclass(frozen=True, slots=True)
class Expected:
    """The names that the work of one batch will ask the store for: one question for all of them."""

    commands: Sequence[str] = ()
    ended: Sequence[str] = ()
    issued: Sequence[str] = ()


class Before:
    """Which names came before: those *expected* are asked for together, any other by itself."""

    def __init__(self, ask: Callable[[Sequence[str]], Collection[str]], expected: Sequence[str]) -> None:
        self._ask = ask
        self._expected = frozenset(expected)
        self._known = frozenset(ask(expected) if expected else ())

    def among(self, names: Sequence[str]) -> frozenset[str]:
        """Return those of *names* that came before."""
        others = [name for name in names if name not in self._expected]
        return self._known.intersection(names).union(self._ask(others) if others else ())


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a draft was. What only grows is cut back to its length."""

    fold: Fold
    lengths: tuple[int, ...]


class Draft:
    """One transaction in the making. Not thread-safe: the writer alone holds it."""

    def __init__(
        self,
        fold: Fold,
        clock: Clock,
        rolls: Rolls,
        store: Store,
        epoch: int,
        software: str,
        expected: Expected | None = None,
    ) -> None:
        self._clock = clock
        self._rolls = rolls
        self._store = store
        self._epoch = epoch
        self._software = software
        expected = expected or Expected()
        self._commands = Before(store.known_commands, expected.commands)
        self._ended = Before(store.ended_ticks, expected.ended)
        self._issued = Before(store.issued_ticks, expected.issued)
        self._house = fold.house
        self._head = fold.head
        self._streams = dict(fold.streams)
        self._unsealed = fold.unsealed
        self._unsealed_since = fold.unsealed_since
        self._records: list[Record] = []
        self._seen_commands: dict[str, int] = {}
        self._ended_ticks: dict[str, None] = {}
        self.batch = Batch()

    @property
    def records(self) -> tuple[Record, ...]:
        """What was decided so far, in order."""
        return tuple(self._records)

    @property
    def empty(self) -> bool:
        """True where there is nothing to write."""
        return not any(getattr(self.batch, name) for name in _BATCH)

    def fold(self) -> Fold:
        """Return the state after everything decided so far."""
        return Fold(self._house, self._head, self._streams, self._unsealed, self._unsealed_since)

    def mark(self) -> Mark:
        """Return what `back_to` needs to forget everything decided after now."""
        fold = replace(self.fold(), streams=dict(self._streams))
        return Mark(fold, tuple(len(grown) for grown in self._grown()))

    def back_to(self, mark: Mark) -> None:
        """Forget everything decided after *mark*."""
        fold = mark.fold
        self._house, self._head, self._streams = fold.house, fold.head, dict(fold.streams)
        self._unsealed, self._unsealed_since = fold.unsealed, fold.unsealed_since
        for grown, length in zip(self._grown(), mark.lengths, strict=True):
            if isinstance(grown, dict):
                for name in list(grown)[length:]:
                    del grown[name]
            else:
                del grown[length:]

    def _grown(self) -> Iterator[list[Any] | dict[str, Any]]:
        yield from (self._records, self._seen_commands, self._ended_ticks)
        yield from (getattr(self.batch, name) for name in _BATCH)

    # ------------------------------------------------------------------ orders

    def take(self, order: m.Order, *, inbox: str | None = None, known: bool = False) -> object:
        """
        Decide *order* and add what it makes happen; return its (records, repeated) or the Refused.

        *known* says that the command id may have come before. A refusal is written nowhere, but
        settles the *inbox* row it came from.
        """
        if known and self._came_before(order.command_id):
            self._settle(inbox, "handled")
            return (), True
        now = self._now()
        try:
            self._reject_ended(order.command)
            decision = decide(self._house, order, now)
        except Refused as refusal:
            self._settle(inbox, "refused")
            return refusal
        before = len(self._records)
        if isinstance(order.command, m.RecordReading | m.RecordMiss):
            self._ended_ticks[order.command.tick.id] = None
        if isinstance(order.command, m.RecordReading) and decision.reading is not None:
            self._add_reading(order.command, decision.reading)
        if isinstance(order.command, m.RecordMiss):
            self.batch.missed.append(order.command.tick.id)
        if isinstance(order.command, m.Wake) and self._unsealed.count and self._due(now):
            self._seal(order, now)
        for event in decision.events:
            if event.CITES_EVIDENCE and self._unsealed.count:
                self._seal(order, now)
            self._add(event, order, now)
        self._settle(inbox, "handled")
        if known:
            self._seen_commands[order.command_id] = self._house.position
            self.batch.commands.append((order.command_id, self._house.position))
        return tuple(self._records[before:]), False

    def _now(self) -> Utc:
        """Time never decreases in the ledger, whatever the wall clock does."""
        now = self._clock.now()
        return max(now, self._house.at) if self._house.at is not None else now

    def _due(self, now: Utc) -> bool:
        return self._unsealed_since is not None and now - self._unsealed_since >= SEAL_EVERY

    def _came_before(self, command_id: str) -> bool:
        return command_id in self._seen_commands or bool(self._commands.among((command_id,)))

    def _reject_ended(self, command: m.Command) -> None:
        """A tick ends once: a late or repeated result is refused."""
        if not isinstance(command, m.RecordReading | m.RecordMiss):
            return
        tick = command.tick.id
        if tick in self._ended_ticks or self._ended.among((tick,)):
            raise Refused(Reason.DUPLICATE, f"The measurement of {command.tick.scheduled_at} has its record already.")

    def _settle(self, inbox: str | None, how: str) -> None:
        if inbox is not None:
            self.batch.settled.append((inbox, how))

    # ------------------------------------------------------------------ records

    def _add(self, event: m.Event, order: m.Order, now: Utc) -> None:
        position = self._house.position + 1
        stream = f"run/{event.run}" if event.run else "deployment"
        envelope = Envelope(
            position=position,
            stream=stream,
            stream_position=self._streams.get(stream, 0) + 1,
            type=type(event).__name__,
            version=event.VERSION,
            at=now,
            actor=order.actor,
            via=order.via,
            command_id=order.command_id,
            caused_by=order.caused_by,
            epoch=self._epoch,
            software=self._software,
            data=event.model_dump(mode="json", by_alias=True),
        )
        row = seal(envelope, self._head, self._rolls.salt())
        self.batch.events.append(row)
        self._head = row.hash
        self._streams[stream] = envelope.stream_position
        self._house = evolve(self._house, event, seen_of(envelope, row))
        self.batch.effects.extend(react(self._house, event, position))
        self._records.append(Record(position, now, event.run, event=event, person=order.actor.person, via=order.via))

    def _add_reading(self, command: m.RecordReading, reading: Reading) -> None:
        position = self._house.position + 1
        body = canonical(
            {
                "tick": command.tick.id,
                "epoch": command.epoch,
                "reading": reading.model_dump(mode="json"),
            }
        )
        row = ReadingRow(position, command.run, reading.check, reading.cell.key, command.tick.id, body)
        self.batch.readings.append(row)
        self._unsealed = self._unsealed.add(row)
        self._unsealed_since = self._unsealed_since or reading.at
        self._house = observe(self._house, command.run, reading, position)
        self._records.append(Record(position, reading.at, command.run, reading=reading, via=Via.PROBE))

    def _seal(self, order: m.Order, now: Utc) -> None:
        """Fix the open readings before anything cites them."""
        open_ones = self._unsealed
        sealed = m.ReadingsSealed(
            first=open_ones.first, last=open_ones.last, count=open_ones.count, digest=open_ones.digest
        )
        self._unsealed = Seal()
        self._unsealed_since = None
        self._add(sealed, order.model_copy(update={"actor": MACHINE}), now)

    # ------------------------------------------------------------------ other work of the writer

    def receive(self, row: InboxRow) -> bool:
        """Add an inbox row; False when its key came before."""
        if any(other.key == row.key for other in self.batch.inbox) or self._store.known_inbox(row.key):
            return False
        self.batch.inbox.append(row)
        return True

    def settle(self, key: str, how: str) -> None:
        """Write that an inbox row is dealt with."""
        self.batch.settled.append((key, how))

    def delivered(self, effect: str, key: str, reference: str) -> None:
        """Write that an effect went out."""
        self.batch.delivered.append((effect, key, reference))

    def again(self, effects: Sequence[EffectRow]) -> None:
        """Write that each of *effects*, shown before and gone since, goes out anew. One run, at its last position."""
        self.batch.effects.extend(
            replace(effect, id=f"{effect.position}.{AGAIN + index}") for index, effect in enumerate(effects)
        )

    def postpone(self, effect: str, until: Utc, why: str) -> None:
        """Write that an effect is tried again later."""
        self.batch.postponed.append((effect, until, why))

    def park(self, order: m.Order, effect: str, why: str) -> object:
        """Write that an effect is given up."""
        self.batch.parked.append((effect, why))
        return self.take(order)

    def issue(self, ticks: Sequence[tuple[Tick, Utc]]) -> frozenset[str]:
        """Write that ticks are given out; return the ids that are new."""
        known = self._issued.among([tick.id for tick, _ in ticks])
        fresh = [(tick, ends) for tick, ends in ticks if tick.id not in known]
        self.batch.issued.extend(fresh)
        return frozenset(tick.id for tick, _ in fresh)


def seen_of(envelope: Envelope, row: EventRow) -> Seen:
    """Return the part of an envelope that the fold needs."""
    actor = envelope.actor
    return Seen(envelope.position, envelope.at, actor.person, actor.account, envelope.via.value, row.hash.hex())


# ---------------------------------------------------------------------- folding from the store


def restore(store: Store, software: str) -> Fold:
    """Fold the ledger: from the kept snapshot where it fits this software, and the records after it."""
    fold = _from_snapshot(store, software) or Fold()
    return folded(store.rows(fold.house.position), fold)


def folded(rows: Iterable[EventRow | ReadingRow], fold: Fold) -> Fold:
    """Return *fold* after *rows*, which follow it without a gap. Raise UnknownEntry for another release's."""
    for row in rows:
        fold = _with_row(fold, row)
    return fold


def _with_row(fold: Fold, row: EventRow | ReadingRow) -> Fold:
    if isinstance(row, ReadingRow):
        reading = decode_reading(row)
        house = observe(fold.house, row.run, reading, row.position)
        return replace(
            fold, house=house, unsealed=fold.unsealed.add(row), unsealed_since=fold.unsealed_since or reading.at
        )
    envelope, event = decode(row)
    house = evolve(fold.house, event, seen_of(envelope, row))
    streams = {**fold.streams, envelope.stream: envelope.stream_position}
    if isinstance(event, m.ReadingsSealed):
        return Fold(house, row.hash, streams)
    return replace(fold, house=house, head=row.hash, streams=streams)


def snapshot_of(fold: Fold, software: str) -> Snapshot:
    """Return the folded state as a cache."""
    body = json.dumps(
        {
            "house": fold.house.model_dump(mode="json", by_alias=True),
            "head": fold.head.hex(),
            "streams": dict(fold.streams),
            "unsealed_from": fold.unsealed.first if fold.unsealed.count else None,
        }
    ).encode()
    return Snapshot(fold.house.position, software, hashlib.sha256(body).hexdigest(), body)


def _from_snapshot(store: Store, software: str) -> Fold | None:
    """Return the kept state, or None where there is none, it is another release's, or it is damaged."""
    kept = store.snapshot()
    if kept is None or kept.software != software or hashlib.sha256(kept.body).hexdigest() != kept.digest:
        return None
    try:
        raw = json.loads(kept.body)
        fold = Fold(House.model_validate(raw["house"]), bytes.fromhex(raw["head"]), raw["streams"])
    except (ValidationError, KeyError, ValueError):
        return None
    return fold if raw["unsealed_from"] is None else _with_open_readings(store, fold, raw["unsealed_from"])


def _with_open_readings(store: Store, fold: Fold, first: int) -> Fold:
    """The snapshot holds what the open readings did; only their seal is taken up again."""
    for row in store.rows(first - 1):
        if row.position > fold.house.position:
            break
        if isinstance(row, ReadingRow):
            at = decode_reading(row).at
            fold = replace(fold, unsealed=fold.unsealed.add(row), unsealed_since=fold.unsealed_since or at)
    return fold
