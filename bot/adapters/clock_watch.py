"""
Notice when the wall clock steps: it is held against the monotonic clock, which never does.

Tells the service once for each change. Whether a step matters is decided in the core.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from bot.adapters.clock import WallClock
from bot.core import messages as m
from bot.core.errors import Refused, StoreUnavailable
from bot.core.model import MACHINE, Utc, Via
from bot.service import Service

log = structlog.get_logger()

#: How often the clocks are held against each other, in real seconds.
EVERY_S = 5.0
#: A difference that people must hear of, in seconds; the same bound as for opening a window.
MATTERS_S = 2.0
_WALL = WallClock()


class ClockWatch:
    """Holds the wall clock against the monotonic one since it was made."""

    def __init__(
        self, service: Service, wall: Callable[[], Utc] = _WALL.now, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._wall = wall
        self._steady = steady
        self._begun = (wall(), steady())
        self._told = 0.0

    def off_s(self) -> float:
        """Return by how many seconds the wall clock has stepped; above zero, it is ahead."""
        wall, steady = self._begun
        return (self._wall() - wall).total_seconds() - (self._steady() - steady)

    async def look(self) -> None:
        """Tell the service, if there is a change that matters since it was told last."""
        off = self.off_s()
        if abs(off - self._told) <= MATTERS_S:
            return
        try:
            await self._service.handle(m.ReportClock(off_s=round(off, 1)), MACHINE, Via.TIMER)
        except (Refused, StoreUnavailable) as error:
            log.warning("clock not reported", why=str(error))
        else:
            self._told = off

    async def run(self) -> None:
        """Look for ever; cancel to stop."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()
