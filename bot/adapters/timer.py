"""
Call back when time has come, with APScheduler.

Its memory store only: our tick table owns the schedule, and a shared job store runs jobs twice. No
grace time, because a late call is still a call: what it is late for is recorded by who is called.
"""

from collections.abc import Callable
from datetime import UTC, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from structlog import get_logger

from bot.adapters.clock import WallClock
from bot.core.model import Utc
from bot.core.ports import Clock

log = get_logger()

#: The shortest real span between two calls of `every`: below this a probe would only measure itself.
SHORTEST_S = 0.2


class ApsTimer:
    """The Timer port on the running event loop. Spans and times are those of *clock*."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": False, "max_instances": 3}
        )
        self._scheduler.add_listener(_failed, EVENT_JOB_ERROR)
        self._scheduler.start()

    def at(self, key: str, when: Utc, call: Callable[[], None]) -> None:
        """Call once at *when*; a new call with the same key replaces the old one."""
        wall = _wall(self._clock, when)
        self._scheduler.add_job(_soon(call), "date", run_date=wall, id=key, replace_existing=True)

    def every(self, key: str, span: timedelta, call: Callable[[Utc], None], *, offset: timedelta) -> None:
        """Call each *span* with the time it was due, first after *offset*; same key replaces."""
        first = self._clock.now() + offset
        seconds = max(SHORTEST_S, span.total_seconds() / self._clock.speed)
        self._scheduler.add_job(
            _on_grid(call, first, span),
            "interval",
            seconds=seconds,
            start_date=_wall(self._clock, first),
            id=key,
            replace_existing=True,
        )

    def cancel(self, key: str) -> None:
        """Forget *key*, if it is there."""
        try:
            self._scheduler.remove_job(key)
        except JobLookupError:
            return

    def close(self) -> None:
        """Stop calling. Closing twice is no fault: whoever gives up in the middle closes what there is."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


def _on_grid(call: Callable[[Utc], None], first: Utc, span: timedelta) -> Callable[[], object]:
    """Give each call the time it was due at, on the grid, however late it comes."""
    due = first

    async def on_loop() -> None:
        nonlocal due
        this, due = due, due + span
        call(this)

    return on_loop


def _soon(call: Callable[[], None]) -> Callable[[], object]:
    """Make *call* run on the loop: APScheduler gives plain functions to a thread."""

    async def on_loop() -> None:
        call()

    return on_loop


def _wall(clock: Clock, when: Utc) -> Utc:
    """Return the wall time at which *clock* shows *when*."""
    from_now = (when - clock.now()) / clock.speed
    return WallClock().now() + max(from_now, timedelta(0))


def _failed(event: JobExecutionEvent) -> None:
    log.error("timer call failed", job=event.job_id, error=repr(event.exception))
