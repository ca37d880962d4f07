"""
The Events API: what happens in channels, told to the bot, and told again when it does not answer.

At once, after a minute, after five: Slack's three repetitions. Commands and clicks are never repeated.
"""

import asyncio
import secrets

from bot.room.answers import Json
from bot.room.payloads import event_callback
from bot.room.sockets import SocketHub
from bot.room.workspace import Workspace


class Events:
    """Tells subscribed events to the bot; each telling is a task of its own."""

    def __init__(self, room: Workspace, hub: SocketHub) -> None:
        self._room = room
        self._hub = hub
        self._telling: set[asyncio.Task[None]] = set()

    def emit(self, event: Json) -> None:
        if event["type"] not in self._room.config.events:
            return
        now = int(self._room.clock.now())
        payload = event_callback(self._room.config, event, f"Ev{secrets.token_hex(5).upper()}", now)
        task = asyncio.create_task(self._tell(payload))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, payload: Json) -> None:
        delivery = await self._hub.deliver("events_api", payload)
        for attempt, wait_s in enumerate(self._room.config.timing.event_retries_s, start=1):
            if delivery.acked:
                return
            reason = "timeout" if delivery.connected else "connection_failed"
            await asyncio.sleep(wait_s)
            delivery = await self._hub.deliver("events_api", payload, retry=(attempt, reason))

    async def close(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
