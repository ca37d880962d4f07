"""A room on a free port, the unchanged bolt app connected to it, and two people."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.room import RoomChannel, RoomConfig, RoomGroup, RoomPerson, RoomUser, RunningRoom, start_room
from bot.room.clock import RoomClock

ROOM = "C0ROOM"
OpenRoom = Callable[..., Awaitable[RunningRoom]]
ConnectBot = Callable[[RunningRoom, AsyncApp], Awaitable[AsyncSocketModeHandler]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def room_config(tmp_path: Path) -> Callable[..., RoomConfig]:
    def make(**changes: Any) -> RoomConfig:
        plain: dict[str, Any] = {
            "users": (
                RoomUser(id="U0LENA", name="lena", real_name="Lena", title="cutover-lead"),
                RoomUser(id="U0NOOR", name="noor", real_name="Noor", title="network-ops"),
            ),
            "channels": (
                RoomChannel(id=ROOM, name="cutover-night", topic="wave 1"),
                RoomChannel(id="C0LEAD", name="leads", members=("U0LENA",)),
            ),
            "groups": (RoomGroup(id="S0OPS", handle="ops", users=("U0NOOR",)),),
            "database": tmp_path / "room.sqlite",
            "switches": True,
            "frames_log": tmp_path / "frames.jsonl",
        }
        return RoomConfig(**{**plain, **changes})

    return make


@pytest.fixture
async def open_room(room_config: Callable[..., RoomConfig]) -> AsyncIterator[OpenRoom]:
    async with AsyncExitStack() as stack:

        async def start(clock: RoomClock | None = None, **changes: Any) -> RunningRoom:
            running = await start_room(room_config(**changes), clock)
            stack.push_async_callback(running.close)
            return running

        yield start


@pytest.fixture
async def room(open_room: OpenRoom) -> RunningRoom:
    return await open_room()


def web_client(room: RunningRoom) -> AsyncWebClient:
    return AsyncWebClient(token=room.bot_token, base_url=room.api_url, retry_handlers=[])


@pytest.fixture
def client(room: RunningRoom) -> AsyncWebClient:
    return web_client(room)


@pytest.fixture
def app(client: AsyncWebClient) -> AsyncApp:
    return AsyncApp(client=client, raise_error_for_unhandled_request=False)


@pytest.fixture
async def connect() -> AsyncIterator[ConnectBot]:
    """Connect a bolt app as the product does; everything is closed afterwards."""
    handlers: list[AsyncSocketModeHandler] = []

    async def start(room: RunningRoom, app: AsyncApp) -> AsyncSocketModeHandler:
        before = room.hub.connections
        handler = AsyncSocketModeHandler(app, room.app_token, ping_interval=1)
        handlers.append(handler)
        await handler.connect_async()  # type: ignore[no-untyped-call]  # the SDK does not annotate it
        async with asyncio.timeout(5), RoomPerson(room.url, room.config.users[0].id) as person:
            await person.wait_for(lambda me: me.bot["connections"] > before)
        return handler

    yield start
    for handler in handlers:
        await handler.client.close()  # type: ignore[no-untyped-call]  # as above


@pytest.fixture
async def lena(room: RunningRoom) -> AsyncIterator[RoomPerson]:
    async with RoomPerson(room.url, "U0LENA") as person:
        yield person


@pytest.fixture
async def noor(room: RunningRoom) -> AsyncIterator[RoomPerson]:
    async with RoomPerson(room.url, "U0NOOR") as person:
        yield person


@pytest.fixture
async def switch(room: RunningRoom, lena: RoomPerson) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[None]]]:
    async with httpx.AsyncClient(trust_env=False) as http:

        async def turn(what: dict[str, Any]) -> None:
            answer = await http.post(f"{room.url}switches", json=what, headers={"X-CSRF-Token": lena.csrf})
            assert answer.json() == {"ok": True}

        yield turn
