"""
Socket Mode: tickets, connections, envelopes and their three seconds.

One envelope goes to one connection and waits for its answer there. Knows nothing of what an envelope says.
"""

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from itertools import count

from aiohttp import WSMsgType, web

from bot.room.answers import Json
from bot.room.clock import RoomClock
from bot.room.config import RoomConfig
from bot.room.feed import Feed
from bot.room.frames import FramesLog

MOST_CONNECTIONS = 10
_HEARTBEAT_S = 15.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an envelope: nobody there, no answer in time, or answered with `payload`."""

    connected: bool
    acked: bool = False
    payload: Json = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Link:
    """One connection of the bot. A deaf one takes no part any more, but nobody has noticed."""

    socket: web.WebSocketResponse
    heard: float
    deaf: bool = False


class SocketHub:
    """The bot's connections to this room."""

    def __init__(self, config: RoomConfig, clock: RoomClock, feed: Feed, frames: FramesLog) -> None:
        self._config = config
        self._clock = clock
        self._feed = feed
        self._frames = frames
        self._tickets: dict[str, float] = {}
        self._links: list[_Link] = []
        self._turn = count()
        self._greeted = 0
        self._waiting: dict[str, asyncio.Future[Json]] = {}

    @property
    def connections(self) -> int:
        return len(self._live())

    def status(self) -> Json:
        """Return how many connections there are, how many there ever were, and how long the bot is silent."""
        heard = [link.heard for link in self._live()]
        silent = self._clock.monotonic() - max(heard) if heard else None
        return {
            "connections": len(heard),
            "greeted": self._greeted,
            "heard_s": None if silent is None else round(silent, 1),
        }

    def _live(self) -> list[_Link]:
        return [link for link in self._links if not link.socket.closed]

    # connecting

    def issue_ticket(self) -> str:
        ticket = secrets.token_urlsafe(18)
        self._tickets[ticket] = self._clock.monotonic()
        return ticket

    def _take_ticket(self, ticket: str) -> bool:
        issued = self._tickets.pop(ticket, None)
        return issued is not None and self._clock.monotonic() - issued <= self._config.timing.ticket_s

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends. A ticket opens one connection only."""
        if not self._take_ticket(request.query.get("ticket", "")):
            raise web.HTTPForbidden(text="this Socket Mode URL was used before or is too old; ask for a new one")
        socket = web.WebSocketResponse(autoping=False, heartbeat=_HEARTBEAT_S)
        await socket.prepare(request)
        if len(self._live()) >= MOST_CONNECTIONS:
            await self._send(socket, {"type": "disconnect", "reason": "too_many_websockets", "debug_info": {}})
            await socket.close()
            return socket
        link = _Link(socket, self._clock.monotonic())
        self._links.append(link)
        self._greeted += 1
        await self._send(socket, self._hello())
        self._tell()
        try:
            await self._listen(link)
        finally:
            self._links.remove(link)
            self._tell()
        return socket

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._links),
            "connection_info": {"app_id": self._config.app_id},
            "debug_info": {"host": "switchroom", "build_number": 1, "approximate_connection_time": 18060},
        }

    def _tell(self) -> None:
        self._feed.publish("bot", self.status())

    async def _listen(self, link: _Link) -> None:
        async for message in link.socket:
            if link.deaf:
                continue
            link.heard = self._clock.monotonic()
            if message.type is WSMsgType.PING:
                await link.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._answered(message.data)

    def _answered(self, text: str) -> None:
        try:
            frame = json.loads(text)
        except ValueError:
            return
        self._frames.note("socket", "in", "ack", frame)
        waiting = self._waiting.get(str(frame.get("envelope_id")))
        if waiting is not None and not waiting.done():
            waiting.set_result(frame.get("payload") or {})

    # delivering

    async def deliver(self, kind: str, payload: Json, *, retry: tuple[int, str] | None = None) -> Delivery:
        """Send one envelope to one connection and wait for its answer."""
        live = self._live()
        if not live:
            return Delivery(connected=False)
        link = live[next(self._turn) % len(live)]
        envelope_id = secrets.token_hex(16)
        envelope: Json = {
            "type": kind,
            "envelope_id": envelope_id,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if retry is not None:
            envelope |= {"retry_attempt": retry[0], "retry_reason": retry[1]}
        waiting = self._waiting[envelope_id] = asyncio.get_running_loop().create_future()
        try:
            if not link.deaf:
                await self._send(link.socket, envelope)
            answer = await asyncio.wait_for(waiting, self._config.timing.ack_s)
        except (TimeoutError, ConnectionError):
            return Delivery(connected=True)
        finally:
            del self._waiting[envelope_id]
        return Delivery(connected=True, acked=True, payload=answer)

    async def _send(self, socket: web.WebSocketResponse, frame: Json) -> None:
        self._frames.note("socket", "out", str(frame["type"]), frame)
        await socket.send_json(frame)

    # trouble on request

    async def rotate(self) -> None:
        """Ask every connection to come again, as Slack does every few hours."""
        for link in self._live():
            frame = {"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "switchroom"}}
            await self._send(link.socket, frame)

    def deafen(self, *, deaf: bool) -> None:
        """Make the connections of this moment deaf (no pong, no envelope, no ack), or cure them."""
        for link in self._links:
            link.deaf = deaf

    async def close(self) -> None:
        for link in list(self._links):
            await link.socket.close()
