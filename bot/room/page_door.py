"""
The door of the page: its files, its state, its stream, and what people do there.

The same small HTTP interface serves scripted people (`bot/room/person.py`). Every POST names who acts
(`as`) and carries the CSRF token; answers are `{"ok": true, ...}` or `{"ok": false, "error": a sentence}`.

    GET  /ui/state?as=U          what this person sees, with `csrf` and `cursor`
    GET  /ui/events?as=U&cursor= server-sent events from there on
    POST /ui/say                 {as, channel, text, thread_ts?} -> {replies, message?}
    POST /ui/click               {as, channel, ts | view_id, action_id, block_id?, value?, typed?} -> {replies}
    POST /ui/submit              {as, view_id, values} -> {errors, notice?}
    POST /ui/close               {as, view_id}
    POST /ui/react               {as, channel, ts, name}
    POST /ui/home                {as} -> {view}
    GET  /ui/faults, POST /ui/faults {id, on}   the carrier's switches, passed on
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from bot.room.acts import ActRefused, Acts, Click
from bot.room.answers import ApiError, Json
from bot.room.config import RoomUser
from bot.room.frames import FramesLog
from bot.room.guard import Guard
from bot.room.snapshot import people, snapshot
from bot.room.sockets import SocketHub
from bot.room.workspace import Workspace

PAGE = Path(__file__).parent / "page"
_CARRIER_TIMEOUT = ClientTimeout(total=5)
#: Slack's words for what can go wrong while a person acts, as a sentence.
_SENTENCES = {
    "user_not_found": "Nobody here has this name; choose who you act as.",
    "channel_not_found": "There is no such channel.",
    "message_not_found": "This message is gone.",
    "thread_not_found": "This thread is gone.",
    "already_reacted": "You reacted with this already.",
}

_Act = Callable[[RoomUser, Json], Awaitable[Json]]


class PageDoor:
    """The HTTP side of the page of one room."""

    def __init__(self, room: Workspace, hub: SocketHub, acts: Acts, guard: Guard, frames: FramesLog) -> None:
        self._room = room
        self._hub = hub
        self._acts = acts
        self._guard = guard
        self._frames = frames

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._index),
            web.get("/archives/{channel}/{message}", self._permalink),
            web.get("/page/{file}", self._file),
            web.get("/ui/people", self._people),
            web.get("/ui/state", self._state),
            web.get("/ui/events", self._events),
            web.post("/ui/say", self._act(self._say)),
            web.post("/ui/click", self._act(self._click)),
            web.post("/ui/submit", self._act(self._submit)),
            web.post("/ui/close", self._act(self._close)),
            web.post("/ui/react", self._act(self._react)),
            web.post("/ui/home", self._act(self._home)),
            web.get("/ui/faults", self._faults),
            web.post("/ui/faults", self._switch_fault),
        ]

    # files

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in {path.name for path in PAGE.iterdir()}:
            raise web.HTTPNotFound
        return web.FileResponse(PAGE / name)

    async def _permalink(self, request: web.Request) -> web.StreamResponse:
        channel, digits = request.match_info["channel"], request.match_info["message"].removeprefix("p")
        raise web.HTTPFound(f"/?channel={channel}&ts={digits[:-6]}.{digits[-6:]}")

    # reading

    async def _people(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True, "people": people(self._room)})

    def _reader(self, request: web.Request) -> RoomUser:
        try:
            return self._room.user(request.query.get("as", ""))
        except ApiError as refusal:
            raise web.HTTPNotFound(text=_SENTENCES[refusal.word]) from None

    async def _state(self, request: web.Request) -> web.StreamResponse:
        state = snapshot(self._room, self._hub, self._reader(request), self._guard.csrf)
        return web.json_response({"ok": True, **state})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        user = self._reader(request)
        cursor = request.headers.get("Last-Event-ID") or request.query.get("cursor", "")
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        follow = self._room.feed.follow(user.id, cursor, self._room.config.timing.beat_s, self._hub.status)
        await stream.prepare(request)
        # a page that is gone reads on from its cursor when it comes back
        async with aclosing(follow) as events:
            with suppress(ConnectionError):
                async for mark, event in events:
                    body = json.dumps(event.body, ensure_ascii=False)
                    await stream.write(f"id: {mark}\nevent: {event.kind}\ndata: {body}\n\n".encode())
        return stream

    # acting

    def _act(self, act: _Act) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def door(request: web.Request) -> web.StreamResponse:
            try:
                body = await _body(request)
                self._frames.note("page", "in", request.path, body)
                user = self._room.user(str(body.get("as") or ""))
                return web.json_response({"ok": True, **await act(user, body)})
            except KeyError as missing:
                return web.json_response({"ok": False, "error": f"missing: {missing.args[0]}"}, status=400)
            except ActRefused as refusal:
                return web.json_response({"ok": False, "error": str(refusal)})
            except ApiError as refusal:
                return web.json_response({"ok": False, "error": _SENTENCES.get(refusal.word, refusal.word)})

        return door

    async def _say(self, user: RoomUser, body: Json) -> Json:
        return await self._acts.say(user, str(body["channel"]), str(body["text"]), str(body.get("thread_ts") or ""))

    async def _click(self, user: RoomUser, body: Json) -> Json:
        click = Click(
            action_id=str(body["action_id"]),
            channel=str(body.get("channel") or ""),
            ts=str(body.get("ts") or ""),
            view_id=str(body.get("view_id") or ""),
            block_id=str(body.get("block_id") or ""),
            value=body.get("value"),
            typed=dict(body.get("typed") or {}),
        )
        return await self._acts.click(user, click)

    async def _submit(self, user: RoomUser, body: Json) -> Json:
        return await self._acts.submit(user, str(body["view_id"]), dict(body.get("values") or {}))

    async def _close(self, user: RoomUser, body: Json) -> Json:
        return await self._acts.close(user, str(body["view_id"]))

    async def _react(self, user: RoomUser, body: Json) -> Json:
        return self._acts.react(user, str(body["channel"]), str(body["ts"]), str(body["name"]))

    async def _home(self, user: RoomUser, _body: Json) -> Json:
        return self._acts.open_home(user)

    # the carrier's switches

    async def _faults(self, _request: web.Request) -> web.StreamResponse:
        return await self._carrier("GET", None)

    async def _switch_fault(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        return await self._carrier("POST", {"id": str(body["id"]), "on": bool(body["on"])})

    async def _carrier(self, method: str, body: Json | None) -> web.StreamResponse:
        if not self._room.config.carrier_url:
            return web.json_response({"ok": False, "error": "This room has no carrier to switch."}, status=404)
        address = f"{self._room.config.carrier_url.rstrip('/')}/faults"
        try:
            async with (
                ClientSession(timeout=_CARRIER_TIMEOUT) as session,
                session.request(method, address, json=body) as answer,
            ):
                answer.raise_for_status()
                text = await answer.text()
        except (ClientError, TimeoutError):
            return web.json_response({"ok": False, "error": "The simulated carrier does not answer."}, status=502)
        if method == "POST":
            self._room.feed.publish("faults", {})
        return web.json_response({"ok": True, "faults": _parsed(text)})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


async def _body(request: web.Request) -> Json:
    """Return the JSON object of a page's POST; a missing key further on is a malformed request too."""
    try:
        body = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="not a JSON object")
    return body
