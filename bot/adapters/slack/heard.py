"""
What came in by Slack, in our words: who said which verb line, where, about which run.

Reads the envelopes of commands, buttons and forms, and writes them for the inbox without their secrets.
Decides whose account it is, not who that person is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.core.model import Via
from bot.words.modals import command_line

Body = Mapping[str, Any]

#: The workspace of the embedded room, whose people are not authenticated: the ledger says so.
ROOM_TEAM = "TROOM"
#: Never written anywhere: they let whoever reads them speak as us.
_SECRETS = frozenset({"token", "response_url", "response_urls", "bot_access_token", "function_data"})
#: Written by us, shown to everybody, and long.
_BULK = frozenset({"message", "state"})


@dataclass(frozen=True, slots=True)
class Heard:
    """One verb line that somebody said, and how to answer that person alone."""

    key: str
    via: Via
    account: str
    user: str
    channel: str
    line: str
    run: str
    kind: str
    response_url: str = ""


def heard(body: Body, home_team: str) -> Heard:
    """Return what *body* says. *home_team* is the workspace that we are a bot of."""
    user = _user(body)
    via, account = _account(body, user, home_team)
    kind = kind_of(body)
    line, run = _line(body, kind)
    return Heard(
        key=f"{kind}:{_unique(body)}",
        via=via,
        account=account,
        user=user,
        channel=str(body.get("channel_id") or (body.get("channel") or {}).get("id") or ""),
        line=line,
        run=run,
        kind=kind,
        response_url=str(body.get("response_url") or ""),
    )


def kind_of(body: Body) -> str:
    """Return `command`, `action` or `form`."""
    if "command" in body:
        return "command"
    return "form" if body.get("type") == "view_submission" else "action"


def without_secrets(body: Body) -> bytes:
    """Return *body* for the inbox: no token, no address that would let a reader answer for us."""
    kept = {name: value for name, value in body.items() if name not in _SECRETS | _BULK}
    return json.dumps(kept, sort_keys=True).encode()


def button(body: Body) -> tuple[str, str]:
    """Return the run and the words of the button that was pressed: its value is `RUN|words`."""
    run, _, words = str(body["actions"][0].get("value") or "").partition("|")
    return run, words


def _line(body: Body, kind: str) -> tuple[str, str]:
    match kind:
        case "command":
            return _unescaped(str(body.get("text") or "")), ""
        case "form":
            view = body["view"]
            return command_line(view), str(json.loads(view["private_metadata"])["run"])
        case _:
            run, words = button(body)
            return words, run


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _user(body: Body) -> str:
    return str(body.get("user_id") or (body.get("user") or {}).get("id") or "")


def _account(body: Body, user: str, home_team: str) -> tuple[Via, str]:
    """An account is a user of the workspace that user is from, which in a shared channel is not ours."""
    theirs = (body.get("user") or {}).get("team_id")
    team = str(theirs or body.get("team_id") or (body.get("team") or {}).get("id") or home_team)
    if home_team == ROOM_TEAM == team:
        return Via.ROOM, f"room:{user}"
    return Via.SLACK, f"slack:{team}/{user}"


def _unique(body: Body) -> str:
    """Return what is the same when the same envelope is told again, and different for the next click."""
    if body.get("trigger_id"):
        return str(body["trigger_id"])
    if body.get("actions"):
        return f"{body['actions'][0].get('action_ts')}:{_user(body)}"
    view = body.get("view") or {}
    return f"{view.get('id')}:{view.get('hash')}:{_user(body)}"
