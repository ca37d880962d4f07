"""
Hand ticks to probe workers over loopback HTTP, and take their readings back.

Workers open no database. A tick that was handed out is bound to the lease's epoch; what comes back
under an older one is refused by the service. Knows no kind of check.
"""

import asyncio
import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from aiohttp import web
from pydantic import ValidationError

from bot.adapters.clock import FastClock, WallClock
from bot.core.errors import StoreUnavailable
from bot.core.model import Reading, Tick, Utc, Value
from bot.core.ports import Clock

#: How long a worker's question for work stays open when there is none, in real seconds.
WAIT_S = 20.0
#: How many ticks one answer holds at most.
MOST = 64
#: A tick that nobody took within its timeout and this is missed by then: nobody may be called for it any more.
GRACE_S = 5.0
#: So many ticks wait at most; of more, the oldest are let go, and missed.
KEPT = 10_000

Took = Callable[[Tick, Reading, int], Awaitable[None]]


class Leased(Value):
    """Work for a probe worker: ticks, the epoch they are bound to, and the clock to stamp readings with."""

    ticks: tuple[Tick, ...]
    epoch: int
    clock: tuple[str, str, float]


class Taken(Value):
    """One measurement."""

    tick: Tick
    reading: Reading


class Brought(Value):
    """What a probe worker brings back: what it measured since the last time."""

    readings: tuple[Taken, ...]
    epoch: int


class HttpProber:
    """The Prober port: a queue in memory with two routes. What is lost with it is missed, and recorded as such."""

    def __init__(self, clock: Clock, token: str) -> None:
        self._clock = clock
        self.token = token
        self._waiting: deque[tuple[Tick, int, Utc]] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._took: Took | None = None
        self._worker = asyncio.Event()

    def on_reading(self, took: Took) -> None:
        """Give every reading to *took*."""
        self._took = took

    async def worker_heard(self) -> None:
        """Wait until a probe worker has asked for work."""
        await self._worker.wait()

    async def issue(self, ticks: Sequence[Tick], epoch: int) -> None:
        """Queue *ticks* for a probe worker."""
        self._waiting.extend((tick, epoch, self._ends(tick)) for tick in ticks)
        self._news.set()

    def _ends(self, tick: Tick) -> Utc:
        return self._clock.now() + timedelta(seconds=(tick.timeout_s + GRACE_S) * self._clock.speed)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes that workers call."""
        return [web.post("/probes/lease", self._lease), web.post("/probes/readings", self._readings)]

    def _refuse_strangers(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise web.HTTPUnauthorized(text="The probe token is missing or wrong.")

    async def _lease(self, request: web.Request) -> web.Response:
        self._refuse_strangers(request)
        self._worker.set()
        if not self._waiting:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), WAIT_S)
            except TimeoutError:
                return self._given([], 0)
        if request.transport is None or request.transport.is_closing():
            # A worker that died while it waited must not take work with it.
            return self._given([], 0)
        return self._given(*self._next())

    def _next(self) -> tuple[list[Tick], int]:
        """Take what waits and may still be measured in time, and the newest epoch."""
        now = self._clock.now()
        taken: list[Tick] = []
        epoch = 0
        while self._waiting and len(taken) < MOST:
            tick, epoch, ends = self._waiting.popleft()
            if now < ends:
                taken.append(tick)
        return taken, epoch

    def _given(self, ticks: list[Tick], epoch: int) -> web.Response:
        leased = Leased(ticks=tuple(ticks), epoch=epoch, clock=clock_form(self._clock))
        return web.Response(text=leased.model_dump_json(), content_type="application/json")

    async def _readings(self, request: web.Request) -> web.Response:
        self._refuse_strangers(request)
        try:
            brought = Brought.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=f"Not readings: {error.error_count()} faults") from None
        if self._took is not None:
            # All at once, so that they join one commit.
            told = await asyncio.gather(
                *(self._took(one.tick, one.reading, brought.epoch) for one in brought.readings), return_exceptions=True
            )
            for trouble in told:
                if isinstance(trouble, StoreUnavailable):
                    # What was recorded is refused when it comes again.
                    raise web.HTTPServiceUnavailable(text="Not recorded yet, bring it again.")
                if isinstance(trouble, BaseException):
                    raise trouble
        return web.Response(text="{}", content_type="application/json")


def clock_form(clock: Clock) -> tuple[str, str, float]:
    """Return what makes the same clock in another process: start, real time at the start, speed."""
    if isinstance(clock, FastClock):
        return clock.start.isoformat(), clock.since.isoformat(), clock.speed
    now = WallClock().now().isoformat()
    return now, now, 1.0
