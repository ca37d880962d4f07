"""
Time that stands still until it is told to go on: the Clock and the Timer of rehearsals and tests.

Decides only the order in which calls come: by the time they are due, then by the order in which they were
asked for. Knows nothing of what the calls do, and never waits in real time.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from bot.core.model import Utc

log = structlog.get_logger()


class VirtualClock:
    """A clock that shows the time it was set to."""

    speed: float = 1.0

    def __init__(self, start: Utc) -> None:
        self._now = start

    def now(self) -> Utc:
        """Return the time."""
        return self._now

    def set(self, when: Utc) -> None:
        """Go on to *when*. Raise ValueError for a time that is past: time never goes back."""
        if when < self._now:
            raise ValueError(f"it is {self._now.isoformat()} already; {when.isoformat()} is past")
        self._now = when


@dataclass(slots=True)
class _Call:
    """One thing to call: at *due*, and again every *span* where there is one."""

    due: Utc
    order: int
    call: Callable[[Utc], None]
    span: timedelta | None = None


class VirtualTimer:
    """The Timer port over a `VirtualClock`: nothing is called but by `advance_to_next` and `run_until`."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._calls: dict[str, _Call] = {}
        self._order = 0
        self._closed = False

    def at(self, key: str, when: Utc, call: Callable[[], None]) -> None:
        """Call once at *when*, at once where that is past; a new call with the same key replaces the old one."""
        self._put(key, _Call(when, self._next_order(), lambda _: call()))

    def every(self, key: str, span: timedelta, call: Callable[[Utc], None], *, offset: timedelta) -> None:
        """Call each *span* with the time it was due, first after *offset*; same key replaces."""
        if span <= timedelta(0):
            raise ValueError(f"every {span} would never let time go on")
        self._put(key, _Call(self._clock.now() + offset, self._next_order(), call, span))

    def cancel(self, key: str) -> None:
        """Forget *key*, if it is there."""
        self._calls.pop(key, None)

    def close(self) -> None:
        """Stop calling."""
        self._closed = True
        self._calls.clear()

    @property
    def next_at(self) -> Utc | None:
        """When something is called next, or None if nothing ever will."""
        due = min((call.due for call in self._calls.values()), default=None)
        return None if due is None else max(due, self._clock.now())

    def advance_to_next(self) -> bool:
        """Go on to the next time at which something is due, and call all of it. False: nothing ever will be."""
        when = self.next_at
        if when is None:
            return False
        self._clock.set(when)
        due = sorted((c.due, c.order, key) for key, c in self._calls.items() if c.due <= when)
        for _, order, key in due:
            call = self._calls.get(key)
            # One that came before may have cancelled or replaced it.
            if call is not None and call.order == order:
                self._make(key, call)
        return True

    async def run_until(self, when: Utc, settle: Callable[[], Awaitable[None]]) -> None:
        """Go on to *when*, call everything due until then, and let it *settle* before time goes on each time."""
        await settle()
        while (due := self.next_at) is not None and due <= when:
            self.advance_to_next()
            await settle()
        self._clock.set(when)

    def _put(self, key: str, call: _Call) -> None:
        if not self._closed:
            self._calls[key] = call

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    def _make(self, key: str, call: _Call) -> None:
        """Make one call; one that fails is told, and takes nothing else with it."""
        due = call.due
        if call.span is None:
            del self._calls[key]
        else:
            call.due += call.span
        try:
            call.call(due)
        except Exception:  # as APScheduler does: one bad call does not stop the others
            log.exception("timer call failed", job=key)
