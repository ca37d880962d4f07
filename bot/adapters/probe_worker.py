"""
The probe worker: takes ticks from the bot, measures, brings readings back.

Opens no database and knows no run. What it is given to measure with is handed in.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import aiohttp
import structlog

from bot.adapters.clock import FastClock
from bot.adapters.prober import Brought, Leased, Taken
from bot.core.errors import SwitchroomError
from bot.core.model import Reading, Tick
from bot.core.ports import Clock

log = structlog.get_logger()

#: How long to wait before asking again when the bot is there and does not answer, in real seconds.
AGAIN_S = 1.0
#: How often readings are brought before they are given up: their ticks are missed then, and recorded as such.
TRIES = 5
Take = Callable[[Tick, Clock], Awaitable[Reading]]


class BotGone(SwitchroomError):
    """Nobody listens there any more, or somebody who does not know our token."""


class ProbeWorker:
    """Asks the bot at *url* for ticks and measures each with *take*, at most *most* at once."""

    def __init__(self, url: str, token: str, take: Take, *, most: int = 64) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._take = take
        self._room = asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken: list[tuple[Taken, int]] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Measure until cancelled. Raise BotGone when the bot is no longer there."""
        timeout = aiohttp.ClientTimeout(total=40)
        async with aiohttp.ClientSession(self._url, headers=self._headers, timeout=timeout) as session:
            halves = [asyncio.create_task(self._lease_all(session)), asyncio.create_task(self._bring_all(session))]
            try:
                # A worker that measures and brings nothing back must not go on: both halves live, or it ends.
                ended, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
                for half in ended:
                    half.result()
            finally:
                ending = [*halves, *self._tasks]
                for task in ending:
                    task.cancel()
                await asyncio.gather(*ending, return_exceptions=True)

    async def _lease_all(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self._work(await self._lease(session))

    async def _work(self, leased: Leased | None) -> None:
        for tick in leased.ticks if leased else ():
            await self._room.acquire()
            task = asyncio.create_task(self._measure(tick, leased))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _lease(self, session: aiohttp.ClientSession) -> Leased | None:
        try:
            return Leased.model_validate_json(await _asked(session, "/probes/lease", ""))
        except (aiohttp.ClientError, TimeoutError) as error:
            log.info("the bot does not answer", error=type(error).__name__)
            await asyncio.sleep(AGAIN_S)
            return None

    async def _measure(self, tick: Tick, leased: Leased | None) -> None:
        try:
            if leased is None:
                return
            start, since, speed = leased.clock
            clock = FastClock(datetime.fromisoformat(start), datetime.fromisoformat(since), speed)
            reading = await self._take(tick, clock)
            self._taken.append((Taken(tick=tick, reading=reading), leased.epoch))
            self._news.set()
        finally:
            self._room.release()

    async def _bring_all(self, session: aiohttp.ClientSession) -> None:
        """Bring what was measured since the last time, all at once."""
        while True:
            await self._news.wait()
            self._news.clear()
            taken, self._taken = self._taken, []
            for epoch in {epoch for _, epoch in taken}:
                readings = tuple(one for one, under in taken if under == epoch)
                await self._bring(session, Brought(readings=readings, epoch=epoch))

    async def _bring(self, session: aiohttp.ClientSession, brought: Brought) -> None:
        body = brought.model_dump_json()
        for _ in range(TRIES):
            try:
                await _asked(session, "/probes/readings", body)
            except BotGone:
                return  # the lease learns of it too, and ends this worker
            except aiohttp.ClientResponseError as error:
                if 400 <= error.status < 500:
                    await self._bring_apart(session, brought, error.status)
                    return
                log.info("the bot did not take readings", error=type(error).__name__)
                await asyncio.sleep(AGAIN_S)
            except (aiohttp.ClientError, TimeoutError) as error:
                log.info("the bot did not take readings", error=type(error).__name__)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _bring_apart(self, session: aiohttp.ClientSession, brought: Brought, status: int) -> None:
        """Bring refused readings one by one, so that a bad one costs only itself."""
        if len(brought.readings) > 1:
            for one in brought.readings:
                await self._bring(session, Brought(readings=(one,), epoch=brought.epoch))
            return
        for one in brought.readings:
            log.warning("the bot refused a reading, it is lost", tick=one.tick.id, status=status)


async def _asked(session: aiohttp.ClientSession, path: str, body: str) -> bytes:
    try:
        async with session.post(path, data=body) as response:
            if response.status == 401:
                raise BotGone("the bot there does not know our token")
            response.raise_for_status()
            return await response.read()
    except aiohttp.ClientConnectorError as error:
        raise BotGone("nobody listens where the bot was") from error
