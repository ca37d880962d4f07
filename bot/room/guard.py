"""
Who may knock: the `Host` and `Origin` check, the CSRF token, and the headers every answer carries.

Any web page can send a POST to localhost, and a hostile name can be made to point there. Here a click
approves a step, so requests under a foreign name or from a foreign page are refused before anything reads them.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

CSRF_HEADER = "X-CSRF-Token"
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self';"
    " font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PEOPLES_DOORS = ("/ui/", "/switches")

_Door = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """The checks of one room; `csrf` is drawn when it opens."""

    def __init__(self, host_names: Collection[str]) -> None:
        self._host_names = frozenset(name.lower() for name in host_names)
        self.csrf = secrets.token_urlsafe(24)

    def middleware(self) -> Middleware:
        @web.middleware
        async def guarded(request: web.Request, handler: _Door) -> web.StreamResponse:
            refusal = self._refusal(request)
            if refusal:
                return web.json_response({"ok": False, "error": refusal}, status=403)
            return await handler(request)

        return guarded

    def _refusal(self, request: web.Request) -> str:
        if self._name(f"//{request.headers.get('Host', '')}") not in self._host_names:
            return "This room answers to its own address only (Host)."
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.headers["Host"].lower():
            return "This room takes requests from its own page only (Origin)."
        if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"} and request.path != "/":
            return "This room takes requests from its own page only (Sec-Fetch-Site)."
        if request.method == "POST" and request.path.startswith(_PEOPLES_DOORS) and not self._has_token(request):
            return "This page is from before the room was restarted (CSRF); load it again."
        return ""

    def _name(self, address: str) -> str:
        try:
            return (urlsplit(address).hostname or "").lower()
        except ValueError:
            return ""

    def _has_token(self, request: web.Request) -> bool:
        given = request.headers.get(CSRF_HEADER, "")
        return secrets.compare_digest(given.encode(), self.csrf.encode())


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Put the protective headers on *response* before it is sent."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
