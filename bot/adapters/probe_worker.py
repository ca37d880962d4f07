"""
The probe worker: takes ticks from the bot, measures, brings readings back.

Opens no database and knows no run. What it is given to measure with is handed in.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import httpx
import structlog

from bot.adapters.clock import FastClock
from bot.adapters.prober import Brought, Leased
from bot.core.model import Reading, Tick
from bot.core.ports import Clock

log = structlog.get_logger()

#: How long to wait before asking again when the bot does not answer, in real seconds.
AGAIN_S = 1.0
Take = Callable[[Tick, Clock], Awaitable[Reading]]


class ProbeWorker:
    """Asks the bot at *url* for ticks and measures each with *take*, at most *most* at once."""

    def __init__(self, url: str, token: str, take: Take, *, most: int = 64) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=most + 2)
        self._client = httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=40, limits=limits)
        self._take = take
        self._room = asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Measure for ever; cancel to stop."""
        try:
            while True:
                leased = await self._lease()
                for tick in leased.ticks if leased else ():
                    await self._room.acquire()
                    task = asyncio.create_task(self._measure(tick, leased))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._client.aclose()

    async def _lease(self) -> Leased | None:
        try:
            response = await self._client.post("/probes/lease")
            response.raise_for_status()
        except httpx.HTTPError as error:
            log.info("the bot does not answer", error=type(error).__name__)
            await asyncio.sleep(AGAIN_S)
            return None
        return Leased.model_validate_json(response.content)

    async def _measure(self, tick: Tick, leased: Leased | None) -> None:
        try:
            if leased is None:
                return
            start, since, speed = leased.clock
            clock = FastClock(datetime.fromisoformat(start), datetime.fromisoformat(since), speed)
            reading = await self._take(tick, clock)
            await self._bring(Brought(tick=tick, reading=reading, epoch=leased.epoch))
        finally:
            self._room.release()

    async def _bring(self, brought: Brought) -> None:
        """Bring a reading back, trying again for as long as the bot's lease on it may hold."""
        for _ in range(5):
            try:
                response = await self._client.post(
                    "/probes/readings", content=brought.model_dump_json(), headers={"Content-Type": "application/json"}
                )
                response.raise_for_status()
            except httpx.HTTPError as error:
                log.info("the bot did not take a reading", error=type(error).__name__)
                await asyncio.sleep(AGAIN_S)
            else:
                return
