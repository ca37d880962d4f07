"""
Keep the schedule: when is which cell measured next, and what was missed.

Ticks lie on a grid that starts with the run, spread so that cells do not fire together. The tick
table makes each unique, so that a restart takes up the grid where it was; what did not happen is
recorded, never coalesced silently.
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta

import structlog

from bot.core import messages as m
from bot.core.errors import Reason, Refused, StoreUnavailable
from bot.core.model import MACHINE, Cell, Reading, Tick, Utc, Via
from bot.core.ports import Clock, Prober, Store, Timer
from bot.core.runbook import Check
from bot.core.standing import probing
from bot.core.state import RunState
from bot.service import Commit, Service

log = structlog.get_logger()

#: Real seconds that a probe worker may take beyond a check's own timeout.
GRACE_S = 5.0


class Ticking:
    """Arms the timer for every cell of every run that is being probed, and wakes the service when something is due."""

    def __init__(self, service: Service, store: Store, timer: Timer, prober: Prober, clock: Clock) -> None:
        self._service = service
        self._store = store
        self._timer = timer
        self._prober = prober
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._stepped_at: Utc | None = None  #: since the clock stepped, the grid begins there
        self._armed: dict[str, str] = {}  #: run -> the runbook its cells were armed from
        self._keys: dict[str, list[str]] = {}
        self._open: dict[str, tuple[Tick, Utc]] = {}  #: cell of a run -> the tick given out and not ended
        self._watching = False
        self._tasks: set[asyncio.Task[None]] = set()
        service.on_commit(self._committed)

    async def start(self) -> None:
        """Take up the schedule: what an earlier process gave out and never heard of is missed."""
        for tick, _ in await asyncio.to_thread(self._store.open_ticks):
            await self._miss(tick, "switchroom was restarted before the measurement came back")
        self._sync()

    async def close(self) -> None:
        """Stop giving out ticks."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until everything begun so far is done: a clock that stands still goes on only then."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _committed(self, commit: Commit) -> None:
        asked = [r.event for r in commit.records if isinstance(r.event, m.CheckRequested)]
        stepped = any(isinstance(r.event, m.ClockStepped) for r in commit.records)
        self._loop.call_soon_threadsafe(self._after, asked, stepped)

    def _after(self, asked: list[m.CheckRequested], stepped: bool = False) -> None:
        if stepped:
            self._anew()
        self._sync()
        for event in asked:
            run = self._service.house.runs[event.run]
            check = run.plan.check(event.check)
            for cell in check.all_cells():
                tick = self._tick(run, check, cell, self._clock.now())
                # One that is under way answers the question too; a second one would hide it when it is lost.
                if _cell(tick) not in self._open:
                    self._give(tick)

    def _anew(self) -> None:
        """The clock stepped: what waits for a time of the old one would wait for as long as it went back."""
        now = self._stepped_at = self._clock.now()
        for run in list(self._armed):
            self._disarm(run)
        self._armed.clear()
        self._open = {cell: (tick, self._ends(tick)) for cell, (tick, _) in self._open.items()}
        self._watching = False
        if self._open:
            self._watch_for_end(min(ends for _, ends in self._open.values()))
        self._timer.at("wake", now, self._wake)

    def _sync(self) -> None:
        """Arm what should be probed and is not, disarm what should not be, and set the next wake."""
        house = self._service.house
        for run in house.runs.values():
            wanted = run.sha256 if probing(run) else ""
            if self._armed.get(run.run, "") != wanted:
                self._disarm(run.run)
                self._armed[run.run] = wanted
                if wanted:
                    self._arm(run)
        due = self._service.next_due()
        if due is not None:
            self._timer.at("wake", due, self._wake)

    def _wake(self) -> None:
        self._spawn(self._woken())

    async def _woken(self) -> None:
        try:
            await self._service.handle(m.Wake(), MACHINE, Via.TIMER)
        except StoreUnavailable as error:
            log.warning("could not wake", why=str(error))
            self._timer.at("wake", self._clock.now() + timedelta(seconds=5), self._wake)
        else:
            self._sync()

    def _arm(self, run: RunState) -> None:
        if run.started_at is None:
            return
        slots = [(check, cell) for check in run.plan.checks for cell in check.all_cells()]
        now = self._clock.now()
        for index, (check, cell) in enumerate(slots):
            offset = check.every * (index / len(slots))
            # Not the old grid after a step: the times that come twice were given out already.
            first = _on_grid((self._stepped_at or run.started_at) + offset, check.every, now)
            key = f"{run.run}|{check.id}|{cell.key}"
            self._keys.setdefault(run.run, []).append(key)
            self._timer.every(key, check.every, _Due(self, run.run, check, cell), offset=first - now)

    def _disarm(self, run: str) -> None:
        for key in self._keys.pop(run, []):
            self._timer.cancel(key)

    def due(self, run_id: str, check: Check, cell: Cell, at: Utc) -> None:
        """A cell's time has come. A measurement still under way is not doubled: this one is missed."""
        run = self._service.house.runs[run_id]
        if not probing(run):
            return
        tick = self._tick(run, check, cell, at)
        before = self._open.get(_cell(tick))
        if before is None:
            self._give(tick)
        else:
            self._spawn(self._miss(tick, "the measurement before was still under way"))

    def _watch_for_end(self, ends: Utc) -> None:
        if not self._watching:
            self._watching = True
            self._timer.at("overdue", ends, self._overdue)

    def _overdue(self) -> None:
        """Record as missed what no probe worker brought back in time."""
        self._watching = False
        now = self._clock.now()
        for cell, (tick, ends) in list(self._open.items()):
            if ends <= now:
                del self._open[cell]
                self._spawn(self._miss(tick, "the probe worker did not bring it back in time"))
        if self._open:
            self._watch_for_end(min(ends for _, ends in self._open.values()))

    def _tick(self, run: RunState, check: Check, cell: Cell, at: Utc) -> Tick:
        return Tick(
            run=run.run,
            check=check.id,
            kind=check.kind,
            cell=cell,
            scheduled_at=at,
            timeout_s=check.timeout.total_seconds(),
            params=check.with_,
        )

    def _ends(self, tick: Tick) -> Utc:
        return self._clock.now() + timedelta(seconds=(tick.timeout_s + GRACE_S) * self._clock.speed)

    def _give(self, tick: Tick) -> None:
        ends = self._ends(tick)
        self._open[_cell(tick)] = (tick, ends)
        self._watch_for_end(ends)
        self._spawn(self._given(tick, ends))

    async def _given(self, tick: Tick, ends: Utc) -> None:
        """Write the tick, then queue it: one that another process gave out is left alone."""
        try:
            fresh = await self._service.issue([(tick, ends)])
        except StoreUnavailable as error:
            log.warning("tick not given out", tick=tick.id, why=str(error))
            self._open.pop(_cell(tick), None)
            return
        if tick.id in fresh:
            await self._prober.issue([tick], self._service.epoch)
        else:
            self._open.pop(_cell(tick), None)

    async def took(self, tick: Tick, reading: Reading, epoch: int) -> None:
        """A probe worker brought a reading back. Raise StoreUnavailable when it must bring it again."""
        command = m.RecordReading.model_construct(run=tick.run, tick=tick, reading=reading, epoch=epoch)
        try:
            await self._service.handle(command, MACHINE, Via.PROBE)
        except Refused as refusal:
            log.info("reading not counted", tick=tick.id, why=refusal.sentence)
            if refusal.reason is not Reason.DUPLICATE:
                await self._miss(tick, refusal.sentence)  # every tick that was given out has its end in the ledger
        except StoreUnavailable as error:
            log.warning("reading not recorded yet", tick=tick.id, why=str(error))
            raise
        if (under_way := self._open.get(_cell(tick))) is not None and under_way[0].id == tick.id:
            del self._open[_cell(tick)]

    async def _miss(self, tick: Tick, why: str) -> None:
        command = m.RecordMiss(run=tick.run, tick=tick, why=why)
        try:
            await self._service.handle(command, MACHINE, Via.TIMER)
        except (Refused, StoreUnavailable) as error:
            log.info("miss not recorded", tick=tick.id, why=str(error))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Due:
    """What the timer calls for one cell."""

    __slots__ = ("cell", "check", "run", "ticking")

    def __init__(self, ticking: Ticking, run: str, check: Check, cell: Cell) -> None:
        self.ticking = ticking
        self.run = run
        self.check = check
        self.cell = cell

    def __call__(self, at: Utc) -> None:
        self.ticking.due(self.run, self.check, self.cell, at)


def _cell(tick: Tick) -> str:
    return f"{tick.run}|{tick.check}|{tick.cell.key}"


def _on_grid(start: Utc, every: timedelta, now: Utc) -> Utc:
    """Return the first point of the grid from *start* that is not before *now*."""
    if start >= now:
        return start
    steps = -((start - now) // every)
    return start + steps * every
