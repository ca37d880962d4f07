"""
The control port: the command line speaks to the running bot here.

Loopback only, one token in a file that only its owner can read: whoever holds it is the operating
system's user that the bot runs as, whatever they call themselves. That user is mapped to a listed
person; one who is none may look and not touch.
"""

import hmac
import os
import pwd
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.core.model import Actor, Via
from bot.verbs import Desk, say

#: Verbs that change nothing: open to whoever can reach the port.
READ_ONLY = frozenset({"help", "status", "ledger"})


class Control:
    """Takes lines from the command line; *user* owns the file that *token* is read from."""

    def __init__(self, desk: Desk, token: str, user: str) -> None:
        self._desk = desk
        self._token = token
        self._user = user

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the control port."""
        return [web.post("/control/say", self._say), web.get("/health", self._health)]

    async def _say(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise web.HTTPUnauthorized(text="The control token is missing or wrong.")
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise web.HTTPBadRequest(text='Send {"line": "status"}.')
        done, text = await speak(self._desk, self._user, body)
        return web.json_response({"done": done, "text": text})

    async def _health(self, _: web.Request) -> web.Response:
        house = self._desk.service.house
        return web.json_response({"position": house.position, "epoch": house.epoch, "runs": len(house.active())})


async def speak(desk: Desk, user: str, body: Mapping[str, Any]) -> tuple[bool, str]:
    """Do the line in *body* for the operating system's *user*; return whether it was done, and the answer."""
    line = str(body.get("line", ""))
    account = f"os:{user}"
    person = desk.deployment.person_of(account)
    if person is None and not only_looks(line):
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


def only_looks(line: str) -> bool:
    """Return whether *line* changes nothing, whoever says it."""
    return (line.split() or ["status"])[0] in READ_ONLY


def whoami() -> str:
    """Return the operating system's user that this process is; never what the environment claims."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        return str(os.geteuid())
