"""What a night of power cuts is played with: a bot that can be killed, a target that counts, a room that stays."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import yaml
from aiohttp import web

from bot.rehearsal.stage import _program

CHANNEL = "C0NIGHT"
RUN = "power-cuts-1"
PEOPLE = {"lead": "U0LENA", "noc": "U0NOOR", "scribe": "U0SAM"}
#: The room's limits refill so much faster than Slack's, and the bot's with them.
PACE = 50
_READY_S = 60.0
_HOME = Path(__file__).parents[2]


def _both() -> dict[str, list[str]]:
    return {"one_of_each": ["cutover-lead", "network-ops"]}


def runbook(actions: int) -> str:
    """Return a runbook with so many actions, every other one repeatable, a gate before and one after them."""
    steps: list[dict[str, object]] = [
        {"id": "prepare", "kind": "manual"},
        {"id": "go", "kind": "gate", "approval": "go", "needs": ["prepare"]},
    ]
    names = []
    for number in range(actions):
        repeatable = number % 2 == 1
        names.append(f"{'again' if repeatable else 'once'}-{number}")
        steps.append({
            "id": names[-1], "kind": "action", "needs": ["go"], "repeatable": repeatable,
            "do": {"http": {"post": "{counter}/act"}},
        })  # fmt: skip
    steps.append({"id": "close", "kind": "gate", "approval": "go", "needs": names})
    return yaml.safe_dump(
        {
            "runbook": "power-cuts",
            "title": "A night of power cuts",
            "phase": "readiness",
            "timezone": "Europe/London",
            "roles": {"cutover-lead": {"people": ["lead"], "deputies": ["scribe"]}, "network-ops": {"people": ["noc"]}},
            "checks": [
                {
                    "id": "counter", "kind": "http", "every": "1s", "timeout": "5s", "gap": "10m",
                    "with": {"target": "counter", "path": "/status", "within": "2s", "field": "ok", "is_true": True},
                }
            ],
            "approvals": {
                "criteria": _both(),
                "go": _both(),
                "go_back": {"before": {"any": 1, "of": ["cutover-lead"]}, "after": _both()},
                "fix_first": {"any": 1, "of": ["network-ops"], "at_most": "20m"},
                "continue": _both(),
            },
            "steps": steps,
            "rollback": [{"id": "put-back", "kind": "manual"}],
        },
        sort_keys=False,
    )  # fmt: skip


@dataclass(slots=True)
class Counting:
    """An action's target: counts the calls that reach it, by key, and answers after a while."""

    random: Random
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)

    async def act(self, request: web.Request) -> web.Response:
        self.calls[request.headers["Idempotency-Key"]] += 1
        # Long enough that some calls are cut in the middle.
        await asyncio.sleep(self.random.uniform(0, 1))
        return web.json_response({"detail": "counted"})

    async def status(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})


@asynccontextmanager
async def counting(random: Random) -> AsyncIterator[Counting]:
    """Open the target on a free port."""
    target = Counting(random)
    app = web.Application()
    app.add_routes([web.post("/act", target.act), web.get("/status", target.status)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    target.url = f"http://{host}:{port}"
    try:
        yield target
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Night:
    """Where everything is."""

    folder: Path
    database_url: str
    room_url: str
    target: Counting
    environment: dict[str, str]


@asynccontextmanager
async def night(folder: Path, database_url: str, random: Random, actions: int) -> AsyncIterator[Night]:
    """Set up the room, as a process of its own, the target and the files; no bot yet."""
    async with counting(random) as target:
        books = folder / "runbooks"
        books.mkdir()
        (books / "power-cuts.yaml").write_text(runbook(actions))
        deployment = {
            "deployment": "test",
            "people": {key: {"name": key.title(), "room": [user]} for key, user in PEOPLE.items()},
            "rooms": {"main": {"channel": CHANNEL}},
            "targets": {"http": {"counter": {"url": target.url}}},
        }
        (folder / "deployment.yaml").write_text(yaml.safe_dump(deployment))
        tokens = {"bot_token": "xoxb-room-night", "app_token": "xapp-room-night"}
        config = {
            "users": [{"id": user, "name": key} for key, user in PEOPLE.items()],
            "channels": [{"id": CHANNEL, "name": "night"}],
            "database": str(folder / "room.sqlite"),
            "timing": {"pace": PACE, "ack_s": 1.5},
            **tokens,
        }
        config_file = folder / "room.json"
        config_file.write_text(json.dumps(config))
        config_file.chmod(0o600)
        async with _program("bot.room", str(config_file)) as room:
            environment = {
                **os.environ,
                "SLACK_BOT_TOKEN": tokens["bot_token"],
                "SLACK_APP_TOKEN": tokens["app_token"],
                "SLACK_API_URL": room["api_url"],
                "SLACK_PACE": str(PACE),
                "SWITCHROOM_DATABASE_URL": database_url,
                "SWITCHROOM_DEPLOYMENT": str(folder / "deployment.yaml"),
                "SWITCHROOM_RUNBOOKS": str(books),
                "SWITCHROOM_STATE_DIR": str(folder / "state"),
                "PYTHONPATH": str(_HOME),
            }
            yield Night(folder, database_url, room["url"], target, environment)


class Bots:
    """One bot after the other, each killed by the next word."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def start(self) -> None:
        """Start the next one."""
        self._say("start")

    async def ready(self) -> None:
        """Wait until it says that it is in the room."""
        await self._heard("in the room")

    async def kill(self) -> None:
        """End it as a power cut would."""
        self._say("kill")
        await self._heard("ended")

    async def stop(self) -> None:
        """End it as its operator would."""
        self._say("stop")
        await self._heard("ended")

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())

    async def _heard(self, wanted: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(_READY_S):
            while wanted not in (line := (await self._process.stdout.readline()).decode()):
                assert line, "the bots are gone; see bot.log"


@asynccontextmanager
async def bots(where: Night) -> AsyncIterator[Bots]:
    """Start bots on request, and one probe worker that lives as long as the night."""
    starter = await _start(where, str(Path(__file__).with_name("kill_bot.py")))
    worker = await _start(where, "-m", "bot.cli", "probes")
    try:
        yield Bots(starter)
    finally:
        for process in (worker, starter):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def _start(where: Night, *arguments: str) -> asyncio.subprocess.Process:
    with (where.folder / "bot.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=_HOME, start_new_session=True, env=where.environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
