"""
The stage of a demo: the room, the simulated carrier, the people and the clock, as processes and files.

Both programs outlive the bot and keep their addresses, so that a bot that dies and comes back finds
everything as it was. Nothing here knows what a run is.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import yaml

from bot.core.deployment import Deployment, parse_deployment
from bot.core.errors import SettingsRefused
from bot.core.model import Utc
from bot.core.reading_yaml import load

#: How long a program of the stage may take to say that it is ready, in real seconds.
READY_S = 30.0
_PROGRAMS = {
    "bot.room": "The war room (another port: --port N)",
    "checks.carrier": "The simulated carrier",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    room_url: str
    api_url: str
    bot_token: str
    app_token: str
    carrier: str
    deployment: Deployment
    deployment_file: Path


@dataclass(frozen=True, slots=True)
class Casting:
    """What a stage is set up with."""

    folder: Path
    people: bytes  #: a deployment file without targets
    titles: Mapping[str, str]  #: person -> role shown beside the name
    hints: tuple[str, ...] = ()
    port: int = 0
    pace: float = 1.0


@asynccontextmanager
async def stage(casting: Casting) -> AsyncIterator[Stage]:
    """Set the stage up, and strike it when the block ends. Raise SettingsRefused when a program does not start."""
    casting.folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        # The addresses of last time, if there was one: what was signed about the targets still holds.
        ports = casting.folder / "carrier.json"
        before = (str(ports),) if ports.exists() else ()
        carrier = await stack.enter_async_context(_program("checks.carrier", *before))
        ports.write_text(json.dumps({"ports": carrier["ports"]}))
        people = yaml.safe_load(casting.people)
        deployment_file = casting.folder / "deployment.yaml"
        deployment_file.write_text(yaml.safe_dump({**people, "targets": carrier["targets"]}, sort_keys=False))
        deployment = parse_deployment(deployment_file.read_bytes(), str(deployment_file))
        config = _room_config(casting, deployment, carrier["control"])
        config_file = casting.folder / "room.json"
        _write_private(config_file, json.dumps(config))
        room = await stack.enter_async_context(_program("bot.room", str(config_file)))
        yield Stage(
            room["url"],
            room["api_url"],
            config["bot_token"],
            config["app_token"],
            carrier["control"],
            deployment,
            deployment_file,
        )


def _room_config(casting: Casting, deployment: Deployment, carrier: str) -> dict[str, Any]:
    users = [
        {"id": person.room[0], "name": key, "real_name": person.name, "title": casting.titles.get(key, "")}
        for key, person in deployment.people.items()
        if person.room
    ]
    channels = [{"id": room.channel, "name": name} for name, room in deployment.rooms.items()]
    return {
        "users": users,
        "channels": channels,
        "bot_token": f"xoxb-room-{secrets.token_urlsafe(24)}",
        "app_token": f"xapp-room-{secrets.token_urlsafe(24)}",
        "database": str(casting.folder / "room.sqlite"),
        "port": casting.port,
        "carrier_url": carrier,
        "rehearsal": True,
        "hints": casting.hints,
        "timing": {"pace": casting.pace},
    }


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


@asynccontextmanager
async def _program(module: str, *arguments: str) -> AsyncIterator[dict[str, Any]]:
    """Run `python -m module` until the block ends, and return the JSON line that it says when ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        if process.stdout is None:
            raise SettingsRefused(f"{module} has no output to read")
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_S)
        except TimeoutError:
            raise SettingsRefused(
                f"{_PROGRAMS[module]} did not start within {READY_S:g} s; its own message is above."
            ) from None
        if not line:
            raise SettingsRefused(
                f"{_PROGRAMS[module]} did not start (exit {await process.wait()}); its own message is above."
            )
        yield json.loads(line)
    finally:
        await _strike(process)


async def _strike(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()


def opening_time(text: bytes, before: timedelta) -> Utc:
    """Return the time *before* the window of the runbook in *text* opens: where a rehearsal's clock starts."""
    runbook = load(text)
    if runbook.window is None:
        raise SettingsRefused(f"{runbook.runbook} has no window, so a rehearsal does not know when to start.")
    opens = runbook.window.opens.replace(tzinfo=runbook.zone)
    return opens.astimezone(UTC) - before
