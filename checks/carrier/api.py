"""
The HTTP side of the simulated carrier: faults, number portability, statuses, actions, and the subscribers' site.

Only programs of this machine may use the control address: a request with a foreign Host or Origin is refused, so
that no web page can switch a fault. This file maps addresses to the parts behind them and decides nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from checks.carrier.faults import Faults, NoSuchFault
from checks.carrier.figures import Figures
from checks.carrier.npdb import Act, Npdb, Order, OrderConflict

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

SITE_TEXT = "Welcome to the portal of your mobile service"
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


class Api:
    """The handlers of the control address."""

    def __init__(self, faults: Faults, npdb: Npdb, figures: Figures) -> None:
        self._faults = faults
        self._npdb = npdb
        self._figures = figures

    def application(self) -> web.Application:
        """Return the application with every route."""
        app = web.Application(middlewares=[_local_only, _plain_errors])
        app.add_routes(
            [
                web.get("/faults", self._list_faults),
                web.post("/faults", self._switch_fault),
                web.post("/npdb/{act:activate|port-back}", self._order),
                web.get("/npdb/state", self._npdb_state),
                web.post("/npdb/settings", self._npdb_settings),
                web.get("/reconciliation", self._reconciliation),
                web.get("/status/{name:[a-z0-9-]+}", self._status),
                web.post("/status/{name:[a-z0-9-]+}", self._set_status),
                web.get("/actions", self._list_actions),
                web.post("/actions/{name:[a-z0-9-]+}", self._act),
            ]
        )
        return app

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response(self._faults.listing())

    async def _switch_fault(self, request: web.Request) -> web.Response:
        body = await _body(request)
        fault, on = body.get("id"), body.get("on")
        if not isinstance(fault, str) or not isinstance(on, bool):
            return _refused(400, 'send {"id": "origin-fails", "on": true}')
        try:
            listed = self._faults.switch(fault, on)
        except NoSuchFault as error:
            return _refused(404, str(error))
        return web.json_response({"ok": True, "id": listed, "on": on})

    async def _order(self, request: web.Request) -> web.Response:
        act: Act = "activate" if request.match_info["act"] == "activate" else "port-back"
        try:
            order = Order.model_validate(await _body(request))
        except ValidationError as error:
            fault = error.errors()[0]
            return _refused(400, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
        if not await self._answers(request):
            return _refused(504, "the database did not answer")
        try:
            return web.json_response(await self._npdb.order(act, order, request.headers.get("Idempotency-Key", "")))
        except OrderConflict as error:
            return _refused(422, str(error))

    async def _npdb_state(self, request: web.Request) -> web.Response:
        if not await self._answers(request):
            return _refused(504, "the database did not answer")
        return web.json_response(self._npdb.state())

    async def _npdb_settings(self, request: web.Request) -> web.Response:
        takes = (await _body(request)).get("takes_s")
        if isinstance(takes, bool) or not isinstance(takes, int | float) or not 0 <= takes <= 3600:
            return _refused(400, 'send {"takes_s": 0.2}, at most 3600')
        self._npdb.takes_s = float(takes)
        return web.json_response({"ok": True, "takes_s": self._npdb.takes_s})

    async def _answers(self, request: web.Request) -> bool:
        """Wait while the database hangs; False when the client gave up, whose order must then not be done."""
        while self._faults.active("npdb-timeout"):
            if request.transport is None or request.transport.is_closing():
                return False
            await asyncio.sleep(0.05)
        return request.transport is not None and not request.transport.is_closing()

    async def _reconciliation(self, _: web.Request) -> web.Response:
        return web.json_response(self._figures.reconciliation(_stamp()))

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self._figures.status(request.match_info["name"], _stamp()))

    async def _set_status(self, request: web.Request) -> web.Response:
        self._figures.overwrite(request.match_info["name"], await _body(request))
        return web.json_response(self._figures.status(request.match_info["name"], _stamp()))

    async def _list_actions(self, _: web.Request) -> web.Response:
        return web.json_response(self._figures.actions)

    async def _act(self, request: web.Request) -> web.Response:
        body = await _body(request)
        key = request.headers.get("Idempotency-Key", "") or str(body.get("key", ""))
        answer = self._figures.act(request.match_info["name"], key, body, _stamp())
        if answer is None:
            return _refused(422, f"the key {key!r} was used for another action")
        return web.json_response(answer)


def site(domain: str) -> web.Application:
    """Return the site that data sessions open."""

    async def home(_: web.Request) -> web.Response:
        return web.Response(
            text=f"<!doctype html><title>{domain}</title><p>{SITE_TEXT}.</p>\n", content_type="text/html"
        )

    app = web.Application()
    app.add_routes([web.get("/", home), web.get("/portal", home)])
    return app


@web.middleware
async def _local_only(request: web.Request, handler: Serve) -> web.StreamResponse:
    origin = request.headers.get("Origin")
    if (request.url.host or "") not in _LOCAL:
        return _refused(403, "this address serves its own machine only")
    if origin is not None and origin != f"http://{request.host}":
        return _refused(403, "requests from web pages of another origin are refused")
    return await handler(request)


@web.middleware
async def _plain_errors(request: web.Request, handler: Serve) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refused(error.status, error.text or error.reason)


async def _body(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        body = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"ok": False, "error": why}, status=status)


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 - the simulated systems live on the wall clock, outside the product
