"""A run that is being probed, on a clock that stands still: what the tests of ticks and probe workers share."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web

from bot.adapters.prober import HttpProber
from bot.adapters.sql import SqlStore, open_store
from bot.core import messages as m
from bot.core.ledger import decode
from bot.core.model import Actor, Outcome, Reading, Tick, Via
from bot.core.ports import EventRow, Prober, ReadingRow
from bot.rehearsal.virtual import VirtualClock, VirtualTimer
from bot.service import Service
from bot.ticking import Ticking

_Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]
START = datetime(2026, 12, 8, 2, tzinfo=UTC)
LEAD = Actor(person="lead")
RUN = "small-1"
RUNBOOK = """
runbook: small
title: A small evening
phase: readiness
timezone: Europe/London
roles:
  cutover-lead: {people: [lead]}
checks:
  - {id: door, kind: http, every: 1m, timeout: 10s, cells: {origin: [a, b]}, with: {target: door}}
approvals:
  criteria: {one_of_each: [cutover-lead]}
  go: {one_of_each: [cutover-lead]}
  go_back: {before: {any: 1, of: [cutover-lead]}, after: {any: 1, of: [cutover-lead]}}
  fix_first: {any: 1, of: [cutover-lead], at_most: 20m}
  continue: {one_of_each: [cutover-lead]}
steps:
  - {id: look, kind: watch, for: 1h, checks: all}
rollback: [{id: put-back, kind: manual, title: Put it back}]
"""


class Dice:
    """Ids and salts that differ."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def fresh_id(self) -> str:
        return f"c{next(self._count)}"

    def salt(self) -> bytes:
        return next(self._count).to_bytes(16, "big")


class Held:
    """A Prober that holds every tick it is given until the test answers it."""

    def __init__(self) -> None:
        self.ticks: list[tuple[Tick, int]] = []

    async def issue(self, ticks: Sequence[Tick], epoch: int) -> None:
        self.ticks += [(tick, epoch) for tick in ticks]


@dataclass(slots=True)
class Bot:
    """One process of the bot, as far as probes are concerned."""

    service: Service
    store: SqlStore
    clock: VirtualClock
    timer: VirtualTimer
    ticking: Ticking

    async def until(self, when: datetime) -> None:
        """Let time go on to *when*."""
        await self.timer.run_until(when, self.ticking.settled)

    async def passing(self, minutes: float) -> None:
        await self.until(self.clock.now() + timedelta(minutes=minutes))

    async def started(self) -> None:
        """Open, sign and start the run."""
        opened = m.Open(run=RUN, migration="w", place="C0", text=RUNBOOK, people={"lead": "Lena"})
        for order in (opened, m.Sign(run=RUN), m.Start(run=RUN)):
            await self.service.handle(order, LEAD, Via.CLI)
        await asyncio.sleep(0)  # the loop hears of the commit

    async def took(self, tick: Tick, outcome: Outcome = Outcome.PASS, epoch: int | None = None) -> None:
        """Bring the reading of *tick*."""
        await self.ticking.took(tick, reading_of(tick, outcome, self.clock.now()), epoch or self.service.epoch)

    def events(self, kind: type[m.Event]) -> list[m.Event]:
        """Return every event of *kind* in the ledger."""
        rows = [row for row in self.store.rows() if isinstance(row, EventRow) and row.type == kind.__name__]
        return [decode(row)[1] for row in rows]

    def missed(self) -> list[tuple[str, datetime, str]]:
        """Return every tick that the ledger says was missed: cell, time, why."""
        events = [event for event in self.events(m.TicksMissed) if isinstance(event, m.TicksMissed)]
        return [(event.cell, event.first, event.why) for event in events]

    def readings(self) -> list[str]:
        """Return the ticks that have their reading."""
        return [row.tick for row in self.store.rows() if isinstance(row, ReadingRow)]


def reading_of(tick: Tick, outcome: Outcome, at: datetime) -> Reading:
    return Reading(check=tick.check, kind=tick.kind, cell=tick.cell, outcome=outcome, at=at)


@asynccontextmanager
async def bot(url: str, prober: Prober, start: datetime = START) -> AsyncIterator[Bot]:
    """Run one process of the bot until the block ends."""
    async with AsyncExitStack() as stack:
        store = open_store(url)
        stack.callback(store.close)
        clock = VirtualClock(start)
        service = Service(store, clock, Dice(), "0.1.0")
        await asyncio.to_thread(service.start, "test")
        stack.push_async_callback(asyncio.to_thread, service.stop)
        timer = VirtualTimer(clock)
        ticking = Ticking(service, store, timer, prober, clock)
        stack.push_async_callback(ticking.close)
        await ticking.start()
        yield Bot(service, store, clock, timer, ticking)


@asynccontextmanager
async def listening(prober: HttpProber, asked: asyncio.Event | None = None) -> AsyncIterator[str]:
    """Open the probe port and return its address; *asked* is set when somebody asks something."""

    @web.middleware
    async def noted(request: web.Request, handler: _Serve) -> web.StreamResponse:
        if asked is not None:
            asked.set()
        return await handler(request)

    app = web.Application(middlewares=[noted])
    app.add_routes(prober.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
