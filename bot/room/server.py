"""
One room, put together and listening: Web API, Socket Mode, response URLs and the page on one loopback port.

Builds the parts and starts them; decides nothing of what they do.
"""

import errno
from dataclasses import dataclass

from aiohttp import web

from bot.core.errors import SettingsRefused
from bot.room.acts import Acts
from bot.room.api import WebApi
from bot.room.clock import RoomClock
from bot.room.config import RoomConfig
from bot.room.events import Events
from bot.room.feed import Feed
from bot.room.frames import FramesLog
from bot.room.guard import Guard, add_headers
from bot.room.hooks import ResponseUrls
from bot.room.page_door import PageDoor
from bot.room.sockets import SocketHub
from bot.room.store import RoomStore
from bot.room.switches import Switches
from bot.room.throttle import Throttle
from bot.room.triggers import Triggers
from bot.room.workspace import Workspace

_MOST_BODY = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunningRoom:
    """A room that listens. `close` ends it; what was said stays in its file."""

    config: RoomConfig
    url: str
    hub: SocketHub
    _runner: web.AppRunner
    _parts: "_Parts"

    @property
    def api_url(self) -> str:
        """What `SLACK_API_URL` must be for a bot to come here."""
        return f"{self.url}api/"

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    @property
    def bot_token(self) -> str:
        return self.config.bot_token

    @property
    def app_token(self) -> str:
        return self.config.app_token

    async def close(self) -> None:
        self._parts.feed.close()
        await self._parts.events.close()
        await self.hub.close()
        await self._runner.cleanup()
        self._parts.store.close()
        self._parts.frames.close()


@dataclass(frozen=True, slots=True)
class _Parts:
    room: Workspace
    store: RoomStore
    feed: Feed
    frames: FramesLog
    hub: SocketHub
    events: Events
    web: web.Application


def _build(config: RoomConfig, clock: RoomClock) -> _Parts:
    store, feed, frames = RoomStore(config.database), Feed(), FramesLog(config.frames_log, clock)
    room = Workspace(config, clock, store, feed)
    hub = SocketHub(config, clock, feed, frames)
    triggers = Triggers(clock.monotonic, config.timing.trigger_s)
    throttle = Throttle(clock.monotonic, config.timing.pace)
    hooks = ResponseUrls(room, frames)
    events = Events(room, hub)
    api = WebApi(room, triggers, hub, throttle, frames)
    guard = Guard(["127.0.0.1", "localhost", "::1", *config.extra_hosts])
    door = PageDoor(room, hub, Acts(room, hub, triggers, hooks, events), guard, frames)
    app = web.Application(middlewares=[guard.middleware()], client_max_size=_MOST_BODY)
    app.on_response_prepare.append(add_headers)
    app.add_routes(door.routes())
    app.add_routes(
        [
            web.route("*", "/api/{method}", api.serve),
            web.post("/respond/{name}", hooks.serve),
            web.get("/link", hub.connect),
        ]
    )
    if config.switches:
        app.add_routes([web.post("/switches", Switches(api, throttle, hub).serve)])
    return _Parts(room, store, feed, frames, hub, events, app)


async def start_room(config: RoomConfig, clock: RoomClock | None = None) -> RunningRoom:
    """Open the room and return when it listens. A port in use is refused with what to do about it."""
    parts = _build(config, clock or RoomClock())
    runner = web.AppRunner(parts.web, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, config.host, config.port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        parts.store.close()
        parts.frames.close()
        raise SettingsRefused(_cannot_listen(config, error)) from error
    port = int(runner.addresses[0][1])
    name = f"[{config.host}]" if ":" in config.host else config.host
    parts.room.base_url = f"http://{name}:{port}"
    return RunningRoom(config, f"{parts.room.base_url}/", parts.hub, runner, parts)


def _cannot_listen(config: RoomConfig, error: OSError) -> str:
    where = f"port {config.port} on {config.host}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"The room cannot open: {where} is in use by another program (perhaps a room that still runs)."
            ' Close that, or choose another: set "port" in the room\'s configuration, 0 takes any free one.'
        )
    return f'The room cannot open {where}: {error.strerror}. Set "port" in the room\'s configuration to another.'
