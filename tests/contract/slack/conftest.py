"""A whole war room: the real service on SQLite, the real outbox, the real bolt app, the embedded room, its people."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.clock import WallClock
from bot.adapters.slack.adapter import SlackSettings, run_slack
from bot.adapters.slack.connection import Watch, web_client
from bot.adapters.slack.pace import Pace
from bot.adapters.sql import open_store
from bot.core.deployment import Deployment, parse_deployment
from bot.outbox import Outbox
from bot.room import RoomChannel, RoomConfig, RoomPerson, RoomUser, RunningRoom, start_room
from bot.room.config import Timing
from bot.service import Service
from bot.verbs import Desk
from tests.contract.slack.evening import (
    DEPLOYMENT,
    EXEC,
    FAST,
    ROOM,
    WATCH,
    Dice,
    Evening,
    NoTargets,
    Shelf,
    StartBot,
    Switch,
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[RunningRoom]:
    users = (
        RoomUser(id="U0LENA", name="lena", real_name="Lena", title="cutover-lead"),
        RoomUser(id="U0DEV", name="dev", real_name="Dev", title="deputy"),
        RoomUser(id="U0NOOR", name="noor", real_name="Noor", title="network-ops"),
        RoomUser(id="U0GUEST", name="guest", real_name="Gus", title="guest"),
    )
    config = RoomConfig(
        users=users,
        channels=(RoomChannel(id=ROOM, name="cutover-night"), RoomChannel(id=EXEC, name="executive")),
        database=tmp_path / "room.sqlite",
        switches=True,
        timing=Timing(pace=20),
    )
    running = await start_room(config)
    yield running
    await running.close()


@pytest.fixture
def deployment() -> Deployment:
    return parse_deployment(DEPLOYMENT.encode(), "deployment.yaml")


@pytest.fixture
async def start_bot(room: RunningRoom, deployment: Deployment, sqlite_url: str) -> AsyncIterator[StartBot]:
    """Start a process of the bot on the same ledger and room; the one before must have died."""
    async with AsyncExitStack() as everything:

        async def start(pace: Pace = FAST, watch: Watch = WATCH, *, deliver: bool = True) -> Evening:
            stack = await everything.enter_async_context(AsyncExitStack())
            store = open_store(sqlite_url)
            stack.callback(store.close)
            service = Service(store, WallClock(), Dice(), "0.1.0")
            await asyncio.to_thread(service.start, "test")
            stack.push_async_callback(asyncio.to_thread, service.stop)
            shelf = Shelf()
            desk = Desk(service, store, deployment, shelf)
            settings = SlackSettings(room.bot_token, room.app_token, room.api_url, pace, watch)
            slack = await run_slack(desk, settings)
            stack.push_async_callback(slack.close)
            outbox = Outbox(service, store, slack.room, NoTargets(), {})
            delivering = asyncio.create_task(outbox.run() if deliver else asyncio.sleep(0))

            async def stop() -> None:
                delivering.cancel()
                await asyncio.gather(delivering, return_exceptions=True)

            stack.push_async_callback(stop)
            return Evening(service, store, desk, outbox, slack, room, shelf, stack)

        yield start


@pytest.fixture
async def bot(start_bot: StartBot) -> Evening:
    return await start_bot()


@pytest.fixture
def client(room: RunningRoom) -> AsyncWebClient:
    return web_client(room.bot_token, room.api_url, 5)


@pytest.fixture
async def lena(room: RunningRoom) -> AsyncIterator[RoomPerson]:
    async with RoomPerson(room.url, "U0LENA") as somebody:
        yield somebody


@pytest.fixture
async def noor(room: RunningRoom) -> AsyncIterator[RoomPerson]:
    async with RoomPerson(room.url, "U0NOOR") as somebody:
        yield somebody


@pytest.fixture
async def guest(room: RunningRoom) -> AsyncIterator[RoomPerson]:
    async with RoomPerson(room.url, "U0GUEST") as somebody:
        yield somebody


@pytest.fixture
async def switch(room: RunningRoom, lena: RoomPerson) -> AsyncIterator[Switch]:
    async with httpx.AsyncClient(trust_env=False) as http:

        async def turn(what: dict[str, Any]) -> None:
            answer = await http.post(f"{room.url}switches", json=what, headers={"X-CSRF-Token": lena.csrf})
            assert answer.json() == {"ok": True}

        yield turn
