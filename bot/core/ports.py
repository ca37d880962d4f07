"""
The outside world as the core and the service see it: few methods each.

Every implementation passes the same contract tests (`tests/contract`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol

from bot.core.model import Tick, Utc


class Lane(StrEnum):
    """Lanes are independent; a lane that waits does not hold up another. Most urgent first."""

    ROLLBACK = "rollback"
    DECISION = "decision"
    ALERT = "alert"  #: a failing check, a hole, trouble of our own
    STEP = "step"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class EventRow:
    """
    One entry of the ledger as stored. `body` is what was sealed, never rewritten.

    `hash` = SHA-256(domain || previous hash || SHA-256(salt || body)), see `core/ledger.py`.
    """

    position: int
    stream: str
    stream_position: int
    type: str
    body: bytes
    salt: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """One reading as stored; `tick` makes it unique."""

    position: int
    run: str
    check: str
    cell: str
    tick: str
    body: bytes


@dataclass(frozen=True, slots=True)
class EffectRow:
    """
    One thing to deliver. `id` is `<position>.<ordinal>`, so it is the same whenever it is made again.

    With `replaces`, only the newest effect of that key in its place counts: an older one not yet
    delivered is dropped (the board).
    """

    id: str
    position: int
    run: str
    lane: Lane
    place: str
    kind: str
    subject: str
    replaces: str = ""
    attempts: int = 0
    not_before: Utc | None = None


@dataclass(frozen=True, slots=True)
class InboxRow:
    """What came in by a door that must answer within seconds, as it came. `key` makes it count once."""

    key: str
    door: str
    received_at: Utc
    payload: bytes


@dataclass(slots=True)
class Batch:
    """Everything one transaction holds. Empty lists are no work."""

    inbox: list[InboxRow] = field(default_factory=list)
    settled: list[tuple[str, str]] = field(default_factory=list)  #: (inbox key, "handled" | "refused" | "withdrawn")
    commands: list[tuple[str, int]] = field(default_factory=list)  #: (command id, position of its first record or 0)
    events: list[EventRow] = field(default_factory=list)
    readings: list[ReadingRow] = field(default_factory=list)
    effects: list[EffectRow] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)  #: tick ids that ended without a reading
    delivered: list[tuple[str, str, str]] = field(default_factory=list)  #: (effect id, reference key, reference)
    postponed: list[tuple[str, Utc, str]] = field(default_factory=list)  #: (effect id, not before, why)
    parked: list[tuple[str, str]] = field(default_factory=list)  #: (effect id, why)
    issued: list[tuple[Tick, Utc]] = field(default_factory=list)  #: (tick, lease ends)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folded state, a cache that may be deleted at any time."""

    position: int
    software: str
    digest: str
    body: bytes


class Store(Protocol):
    """The ledger and its tables. Methods block; only the writer thread writes."""

    def acquire(self, owner: str) -> int:
        """Take the lease and return its epoch, one more than ever before. Raise StoreUnavailable if held."""
        ...

    def renew(self) -> None:
        """Keep the lease. Raise StaleEpoch when another process has it."""
        ...

    def release(self) -> None:
        """Give the lease up."""
        ...

    def commit(self, batch: Batch) -> None:
        """
        Write *batch* in one transaction under our epoch, or nothing of it.

        Raise StaleEpoch when the epoch moved on, StoreUnavailable when the database did not take it.
        Issued ticks and inbox keys that exist already are left as they are. A reading or miss for a tick
        that has a terminal record raises StoreUnavailable: the writer asks `ended_ticks` first. A tick that
        was never issued is ended by its reading.
        """
        ...

    def rows(self, after: int = 0) -> Iterator[EventRow | ReadingRow]:
        """Return events and readings in order of position, from *after* (exclusive)."""
        ...

    def head(self) -> tuple[int, bytes]:
        """Return the last event's (position, hash), or (0, genesis)."""
        ...

    def newest(self, count: int) -> Sequence[EventRow]:
        """Return the newest *count* events, oldest first, however many readings lie between them."""
        ...

    def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, if any."""
        ...

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep *snapshot* and forget older ones."""
        ...

    def known_command(self, command_id: str) -> int | None:
        """Return where a command was recorded before (0: it changed nothing), or None."""
        ...

    def known_commands(self, ids: Sequence[str]) -> Mapping[str, int]:
        """Return those of *ids* that were recorded before, with where: one question for a whole batch."""
        ...

    def unsettled(self) -> Sequence[InboxRow]:
        """Return inbox rows that were recorded and not handled, oldest first."""
        ...

    def known_inbox(self, key: str) -> bool:
        """Return whether that key was recorded before."""
        ...

    def due_effects(self, now: Utc, limit: int) -> Sequence[EffectRow]:
        """Return undelivered effects, urgent lanes first, oldest first within a lane."""
        ...

    def reference(self, place: str, key: str) -> str | None:
        """Return the outside reference (a message's channel and ts) kept for *key* in *place*."""
        ...

    def issued_ticks(self, ids: Sequence[str]) -> frozenset[str]:
        """Return those of *ids* that are already issued or ended."""
        ...

    def ended_ticks(self, ids: Sequence[str]) -> frozenset[str]:
        """Return those of *ids* that have a terminal record."""
        ...

    def open_ticks(self) -> Sequence[tuple[Tick, Utc]]:
        """Return ticks without a terminal record, with the end of their lease."""
        ...

    def readings(self, run: str, check: str, limit: int) -> Sequence[ReadingRow]:
        """Return the newest readings of a check, newest first."""
        ...

    def parked(self) -> Sequence[tuple[EffectRow, str]]:
        """Return effects that were given up, with the reason."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class Clock(Protocol):
    """Where `now` comes from. A rehearsal's clock may run faster than the wall."""

    speed: float

    def now(self) -> Utc:
        """Return the time, aware UTC."""
        ...


class Timer(Protocol):
    """Calls back when time has come, on the event loop. Spans are in the clock's own time."""

    def at(self, key: str, when: Utc, call: Callable[[], None]) -> None:
        """Call once at *when*; a new call with the same key replaces the old one."""
        ...

    def every(self, key: str, span: timedelta, call: Callable[[Utc], None], *, offset: timedelta) -> None:
        """Call each *span* with the time it was due, first after *offset*; same key replaces."""
        ...

    def cancel(self, key: str) -> None:
        """Forget *key*, if it is there."""
        ...

    def close(self) -> None:
        """Stop calling."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What an action's target said. `unknown`: it may or may not have happened."""

    outcome: str  #: "done", "failed" or "unknown"
    detail: str


class Runner(Protocol):
    """Performs an action against a listed target."""

    async def perform(self, target: str, path: str, body: Mapping[str, Any], key: str, timeout_s: float) -> Answer:
        """Send once with *key* as the idempotency key. Never raises for what the target does."""
        ...


class Prober(Protocol):
    """Takes ticks, gives readings back by `service.handle`."""

    async def issue(self, ticks: Sequence[Tick], epoch: int) -> None:
        """Queue *ticks* for a probe worker."""
        ...
