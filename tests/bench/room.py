"""
Slash command to ack through the embedded room, under load, against a bare bolt app that idles.

Both sides: the same room process, the same person, one command after the other; the time is what the person
waits, from sending to the room's answer. Ours has 200 cells to measure each second (`http` and `data`, by the real
probe worker against the simulated carrier) and writes each command down, synchronised, before it acks. Then the
bot is killed and started again, and the time until a new reading is on the board is taken.

    python tests/bench/room.py
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.adapters.sql import open_store
from bot.core.ports import ReadingRow, Store
from bot.rehearsal.stage import Casting, Stage, stage
from bot.room import RoomPerson

COMMANDS = 300
HTTP_CELLS, DATA_CELLS = 160, 40
CHANNEL = "C0CUTOVER"
_WARM_S = 6.0
_PACE = 100
_BOTH = {"one_of_each": ["cutover-lead", "network-ops"]}


def _runbook() -> str:
    def cells(count: int) -> dict[str, list[str]]:
        return {"origin": [f"probe-{number}" for number in range(count)]}

    checks = [
        {
            "id": "destination", "kind": "http", "every": "1s", "timeout": "10s", "gap": "10m", "cells": cells(HTTP_CELLS),
            "with": {"target": "platform", "path": "/status/destination", "within": "5s", "field": "ready", "is_true": True},
        },
        {
            "id": "data", "kind": "data", "every": "1s", "timeout": "20s", "gap": "10m", "cells": cells(DATA_CELLS),
            "with": {"site": "internet", "first_byte_within": "5s"},
        },
    ]  # fmt: skip
    return json.dumps({
        "runbook": "bench", "title": "Two hundred readings a second", "phase": "readiness", "timezone": "Europe/London",
        "roles": {"cutover-lead": {"people": ["lead"]}, "network-ops": {"people": ["noc-a"]}},
        "checks": checks,
        "approvals": {
            "criteria": dict(_BOTH), "go": dict(_BOTH), "go_back": {"before": dict(_BOTH), "after": dict(_BOTH)},
            "fix_first": {"any": 1, "of": ["network-ops"], "at_most": "20m"}, "continue": dict(_BOTH),
        },
        "steps": [{"id": "prepare", "kind": "manual"}],
        "rollback": [{"id": "put-back", "kind": "manual"}],
    })  # fmt: skip


def _environment(built: Stage, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "SLACK_BOT_TOKEN": built.bot_token,
        "SLACK_APP_TOKEN": built.app_token,
        "SLACK_API_URL": built.api_url,
        "SLACK_PACE": str(_PACE),
        "SWITCHROOM_DATABASE_URL": f"sqlite:///{folder / 'ledger.sqlite'}",
        "SWITCHROOM_DEPLOYMENT": str(built.deployment_file),
        "SWITCHROOM_RUNBOOKS": str(folder),
        "SWITCHROOM_STATE_DIR": str(folder / "state"),
    }


@asynccontextmanager
async def _program(environment: dict[str, str], *arguments: str) -> AsyncIterator[None]:
    """Run a program that says one line when it is ready, and end it at once afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        if process.stdout is None or not await asyncio.wait_for(process.stdout.readline(), 60):
            raise RuntimeError(f"{arguments} did not start")
        yield
    finally:
        process.kill()
        await process.wait()


async def _bare() -> None:
    """Be a bolt app that does nothing but ack."""
    app = AsyncApp(token=os.environ["SLACK_BOT_TOKEN"])
    app.client.base_url = os.environ["SLACK_API_URL"]

    async def acked(ack: AsyncAck) -> None:
        await ack()

    app.command("/cutover")(acked)
    await AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"]).connect_async()  # type: ignore[no-untyped-call]  # the SDK does not annotate it
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def _waits(person: RoomPerson) -> list[float]:
    waits = []
    for number in range(COMMANDS):
        began = time.perf_counter()
        replies = await person.say(CHANNEL, f"/cutover note {number}")
        waits.append(time.perf_counter() - began)
        if replies:
            raise RuntimeError(f"not acknowledged: {replies}")
    return waits


async def _started(lead: RoomPerson, noc: RoomPerson) -> None:
    for person, line in ((lead, "open bench"), (lead, "sign"), (noc, "sign"), (lead, "start")):
        seen = len(person.ephemerals())
        await person.say(CHANNEL, f"/cutover {line}")
        await person.wait_for(lambda me, seen=seen: len(me.ephemerals()) > seen, 20)  # type: ignore[misc]  # bound now
        if "Nothing was" in (told := person.ephemerals()[-1]["text"]):
            raise RuntimeError(told)


def _readings(store: Store, after: int) -> tuple[int, int]:
    """Return how many readings there are after a position, and the last position."""
    rows = list(store.rows(after))
    return sum(isinstance(row, ReadingRow) for row in rows), rows[-1].position if rows else after


async def _until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not found():  # noqa: ASYNC110 - another process works
            await asyncio.sleep(0.02)


async def _measure(folder: Path) -> dict[str, float]:
    (folder / "bench.yaml").write_text(_runbook())
    people = (files("runbooks") / "demo.deployment.yaml").read_bytes()
    async with stage(Casting(folder=folder, people=people, titles={}, pace=_PACE)) as built:
        environment = _environment(built, folder)
        async with RoomPerson(built.room_url, "U0LEAD") as lead, RoomPerson(built.room_url, "U0NOCA") as noc:
            async with _program(environment, __file__, "bare"):
                await _waits(lead)  # warm
                bare = await _waits(lead)
            serve = ("-m", "bot.cli", "serve")
            async with _program(environment, *serve):
                await _started(lead, noc)
                store = open_store(environment["SWITCHROOM_DATABASE_URL"], read_only=True)
                await asyncio.sleep(_WARM_S)
                _, before = _readings(store, 0)
                began = time.perf_counter()
                ours = await _waits(lead)
                took = time.perf_counter() - began
                read, last = _readings(store, before)
            restarted = time.perf_counter()
            board = lead.pinned(CHANNEL)
            async with _program(environment, *serve):
                await _until(lambda: _readings(store, last)[0] > 0)
                stored = time.perf_counter() - restarted
                await lead.wait_for(lambda me: me.pinned(CHANNEL) != board, 60)
                shown = time.perf_counter() - restarted
            store.close()
    return {
        "ratio": _p99(ours) / _p99(bare),
        "loaded_p99_ms": _p99(ours) * 1000,
        "bare_p99_ms": _p99(bare) * 1000,
        "loaded_p50_ms": statistics.median(ours) * 1000,
        "bare_p50_ms": statistics.median(bare) * 1000,
        "readings_per_s": read / took,
        "first_reading_s": stored,
        "first_board_s": shown,
    }


def _p99(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[98]


if __name__ == "__main__":
    if sys.argv[1:] == ["bare"]:
        asyncio.run(_bare())
    else:
        with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as made:
            sys.stdout.write(json.dumps(asyncio.run(_measure(Path(made)))) + "\n")
