"""
Perform an action against a listed target over HTTP.

One request, no redirects, no retry: whether it is sent again is decided elsewhere. Tells apart what
certainly did not happen from what nobody knows.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from bot.core.errors import SettingsRefused
from bot.core.ports import Answer

#: The target could not be reached at all: nothing was sent, so nothing has happened.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
#: So many bytes of an answer are read.
MOST = 64 * 1024


class HttpRunner:
    """The Runner port over one HTTP client."""

    def __init__(self, tokens: Mapping[str, Callable[[], str]] | None = None) -> None:
        """Take the bearer token of each target that wants one, looked up at the call; it is kept nowhere."""
        self._tokens = tokens or {}
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False)

    async def perform(self, target: str, path: str, body: Mapping[str, Any], key: str, timeout_s: float) -> Answer:
        """POST *body* to *target* + *path* once, with *key* as its Idempotency-Key."""
        url = target.rstrip("/") + path
        # Not compressed: a few bytes on the wire must not become a flood in memory.
        headers = {"Idempotency-Key": key, "Accept-Encoding": "identity"}
        token = self._tokens.get(target)
        if token is not None:
            try:
                headers["Authorization"] = f"Bearer {token()}"
            except SettingsRefused as missing:
                return Answer("failed", f"nothing was sent: {missing}")
        sending = self._client.stream("POST", url, json=dict(body), headers=headers, timeout=timeout_s)
        try:
            async with sending as response:
                return _said(response, await _beginning(response))
        except _NOT_SENT as error:
            return Answer("failed", f"could not be reached, nothing was sent ({type(error).__name__})")
        except httpx.TimeoutException:
            return Answer("unknown", f"no answer within {timeout_s:g} s; it may or may not have happened")
        except httpx.HTTPError as error:
            return Answer("unknown", f"the answer was lost ({type(error).__name__}); it may or may not have happened")

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()


async def _beginning(response: httpx.Response) -> bytes:
    """Return what the target said, up to a bound: nobody reads more, and it may never end."""
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= MOST:
            break
    return body[:MOST]


def _said(response: httpx.Response, body: bytes) -> Answer:
    if response.is_success:
        return Answer("done", _detail(body) or "accepted")
    if response.is_server_error:
        # The request was read: a 500 or 504 may come from a gateway after the work was done behind it.
        return Answer("unknown", f"answered {response.status_code}; it may or may not have happened")
    return Answer("failed", f"refused with {response.status_code}: {_detail(body)}"[:300])


def _detail(body: bytes) -> str:
    """Return the target's own short sentence, if it gave one; never a raw body."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):  # no JSON, no text, a number too long or brackets too deep
        return ""
    said = raw.get("detail") or raw.get("message") if isinstance(raw, dict) else None
    # Half a character, cut in the middle by the target, could be written nowhere.
    return said[:200].encode("utf-8", "replace").decode() if isinstance(said, str) else ""
