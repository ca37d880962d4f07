"""
The door of the Web API: who calls, how often, and which method answers.

Accepts GET and POST for every method, as the SDK uses both. Refusals are HTTP 200 with `ok: false`,
except for too many calls (429).
"""

import asyncio
from collections import Counter

from aiohttp import web

from bot.room import methods_chat, methods_read, methods_views
from bot.room.answers import ApiError, Json, RateLimited
from bot.room.args import Args, arguments_of
from bot.room.frames import FramesLog
from bot.room.sockets import SocketHub
from bot.room.throttle import Throttle
from bot.room.triggers import Triggers
from bot.room.workspace import Workspace

_PLAIN = {**methods_chat.METHODS, **methods_read.METHODS}


class WebApi:
    """`/api/METHOD` of one room."""

    def __init__(
        self, room: Workspace, triggers: Triggers, hub: SocketHub, throttle: Throttle, frames: FramesLog
    ) -> None:
        self._room = room
        self._triggers = triggers
        self._hub = hub
        self._throttle = throttle
        self._frames = frames
        self._cuts = 0
        self._failing: Counter[str] = Counter()

    def cut_after_commit(self, posts: int) -> None:
        """Do the next *posts* calls of chat.postMessage and drop the connection instead of answering."""
        self._cuts = posts

    def fail(self, method: str, calls: int) -> None:
        """Answer the next *calls* of *method* with `internal_error`, nothing done."""
        self._failing[method] = calls

    async def serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        try:
            args = await arguments_of(request)
            self._frames.note("web", "in", method, args.as_json())
            answer = {"ok": True, **self._answer(method, args, request)}
        except RateLimited as refusal:
            self._frames.note("web", "out", method, refusal.body())
            return web.json_response(refusal.body(), status=429, headers={"Retry-After": str(refusal.retry_after)})
        except ApiError as refusal:
            answer = refusal.body()
        self._frames.note("web", "out", method, answer)
        if self._cuts and answer["ok"] and method == "chat.postMessage":
            self._cuts -= 1
            return await _drop(request)
        return web.json_response(answer)

    def _answer(self, method: str, args: Args, request: web.Request) -> Json:
        known = method in _PLAIN or method in methods_views.METHODS or method == "apps.connections.open"
        if not known:
            raise ApiError("unknown_method", req_method=method)
        self._authorise(method, args, request)
        self._throttle.spend(method, args.text("channel"))
        if self._failing[method] > 0:
            self._failing[method] -= 1
            raise ApiError("internal_error")
        if method == "apps.connections.open":
            return {"url": self._socket_url()}
        if method in methods_views.METHODS:
            return methods_views.METHODS[method](self._room, self._triggers, args)
        return _PLAIN[method](self._room, args)

    def _authorise(self, method: str, args: Args, request: web.Request) -> None:
        if method == "api.test":
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token if scheme.lower() == "bearer" else args.text("token")
        if not token:
            raise ApiError("not_authed")
        config = self._room.config
        wanted, other = config.bot_token, config.app_token
        if method == "apps.connections.open":
            wanted, other = other, wanted
        if token != wanted:
            raise ApiError("not_allowed_token_type" if token == other else "invalid_auth")

    def _socket_url(self) -> str:
        base = self._room.base_url.replace("http", "ws", 1)
        return f"{base}/link?ticket={self._hub.issue_ticket()}&app_id={self._room.config.app_id}"


async def _drop(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    await asyncio.sleep(0)
    return web.Response()
