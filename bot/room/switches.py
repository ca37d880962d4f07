"""
Trouble on request, for tests: exists only where the configuration says `switches`.

    POST /switches {"cut_after_commit": 2}      the next posts are done, then the connection drops
                   {"too_many": 3}              the next calls are answered 429
                   {"fail": {"users.info": 2}}  the next calls of a method are answered internal_error
                   {"rotate": true}             every socket is asked to come again
                   {"deaf": true}               the sockets of this moment neither hear nor answer; false cures them
"""

from aiohttp import web

from bot.room.api import WebApi
from bot.room.sockets import SocketHub
from bot.room.throttle import Throttle


class Switches:
    """The hands on the room's faults."""

    def __init__(self, api: WebApi, throttle: Throttle, hub: SocketHub) -> None:
        self._api = api
        self._throttle = throttle
        self._hub = hub

    async def serve(self, request: web.Request) -> web.StreamResponse:
        wanted = await request.json()
        unknown = sorted(set(wanted) - {"cut_after_commit", "too_many", "fail", "rotate", "deaf"})
        if unknown:
            return web.json_response({"ok": False, "error": f"no such switch: {', '.join(unknown)}"}, status=400)
        self._api.cut_after_commit(int(wanted.get("cut_after_commit", 0)))
        self._throttle.storm(int(wanted.get("too_many", 0)))
        for method, calls in dict(wanted.get("fail") or {}).items():
            self._api.fail(method, int(calls))
        if wanted.get("rotate"):
            await self._hub.rotate()
        if "deaf" in wanted:
            self._hub.deafen(deaf=bool(wanted["deaf"]))
        return web.json_response({"ok": True})
