"""
The control port: the command line speaks to the running bot here.

Loopback only, one token in a file that only its owner can read. The operating system's user is
mapped to a listed person; anybody else may look and not touch.
"""

import getpass
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.core.errors import SettingsRefused
from bot.core.model import Actor, Via
from bot.verbs import Desk, say

#: Verbs that change nothing: open to whoever can reach the port.
READ_ONLY = frozenset({"help", "status", "ledger"})


class Control:
    """Takes lines from the command line."""

    def __init__(self, desk: Desk, token: str) -> None:
        self._desk = desk
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the control port."""
        return [web.post("/control/say", self._say), web.get("/health", self._health)]

    async def _say(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise web.HTTPUnauthorized(text="The control token is missing or wrong.")
        body = await request.json()
        done, text = await speak(self._desk, body)
        return web.json_response({"done": done, "text": text})

    async def _health(self, _: web.Request) -> web.Response:
        house = self._desk.service.house
        return web.json_response({"position": house.position, "epoch": house.epoch, "runs": len(house.active())})


async def speak(desk: Desk, body: Mapping[str, Any]) -> tuple[bool, str]:
    """Do the line in *body* for its operating system user; return whether it was done, and the answer."""
    line, user = str(body.get("line", "")), str(body.get("user", ""))
    account = f"os:{user}"
    person = desk.deployment.person_of(account)
    if person is None and (line.split() or ["status"])[0] not in READ_ONLY:
        return False, (
            f'Nothing was done: the user "{user}" of this machine is no listed person, so you may only look '
            f"({', '.join(sorted(READ_ONLY))}). To be listed: add os: [{user}] to a person in the deployment file."
        )
    actor = Actor(person=person or "nobody", account=account)
    command_id = str(body["command_id"]) if body.get("command_id") else None
    done, message = await say(
        line, desk, actor, Via.CLI, str(body.get("place", "")), run_id=str(body.get("run", "")), command_id=command_id
    )
    return done, message.text


def whoami() -> str:
    """Return the operating system's user name."""
    return getpass.getuser()


def write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write *content* so that only its owner can read it; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
    beside.replace(path)


def read_private(path: Path) -> dict[str, str] | None:
    """Return what `write_private` wrote, or None where there is no file. Raise SettingsRefused on a bad one."""
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SettingsRefused(
            f"{path} cannot be read ({type(error).__name__}). Remove it and start switchroom again."
        ) from None
    return {str(key): str(value) for key, value in raw.items()}
