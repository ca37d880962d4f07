"""
What a page hears: numbered events to the people who may see them.

Keeps the last events, so that a page whose stream broke for a moment goes on where it stopped; a page
that was away longer, or knew another room process, is told to read everything again.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from bot.room.answers import Json

_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `readers` None means everybody."""

    number: int
    kind: str
    body: Json
    readers: frozenset[str] | None

    def is_for(self, user: str) -> bool:
        return self.readers is None or user in self.readers


class Feed:
    """The room's events, in order. `boot` names this process: numbers of another boot mean nothing."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._waiting: set[asyncio.Event] = set()
        self._closed = False

    @property
    def cursor(self) -> str:
        return f"{self.boot}-{self._number}"

    def publish(self, kind: str, body: Json, readers: Iterable[str] | None = None) -> None:
        self._number += 1
        self._kept.append(Event(self._number, kind, body, None if readers is None else frozenset(readers)))
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            waiting.set()

    def follow(
        self, user: str, cursor: str, beat_s: float, beat: Callable[[], Json]
    ) -> AsyncGenerator[tuple[str, Event]]:
        """
        Yield (cursor, event) for *user* from *cursor* on, and a `beat` when nothing happened for a while.

        Registration happens at the call, so nothing falls between a snapshot and its stream.
        """
        signal = asyncio.Event()
        self._waiting.add(signal)
        return self._follow(user, self._start(cursor), beat_s, beat, signal)

    def _start(self, cursor: str) -> int | None:
        boot, _, number = cursor.partition("-")
        if boot != self.boot or not number.isdecimal():
            return None
        oldest = self._kept[0].number if self._kept else self._number + 1
        return int(number) if int(number) >= oldest - 1 else None

    async def _follow(
        self, user: str, start: int | None, beat_s: float, beat: Callable[[], Json], signal: asyncio.Event
    ) -> AsyncGenerator[tuple[str, Event]]:
        told = self._number if start is None else start
        try:
            if start is None:
                yield self.cursor, Event(told, "again", {}, None)
            yield self._mark(told), Event(told, "beat", beat(), None)
            while not self._closed:
                signal.clear()
                for event in list(self._after(told)):
                    told = event.number
                    if event.is_for(user):
                        yield self._mark(told), event
                if signal.is_set():
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(signal.wait(), beat_s)
                    continue
                yield self._mark(told), Event(told, "beat", beat(), None)
        finally:
            self._waiting.discard(signal)

    def _after(self, number: int) -> Iterator[Event]:
        first = self._kept[0].number if self._kept else 0
        return islice(self._kept, max(0, number + 1 - first), None)

    def _mark(self, number: int) -> str:
        return f"{self.boot}-{number}"
