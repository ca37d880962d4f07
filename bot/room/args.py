"""
The arguments of one Web API call, wherever the client put them: query, form or JSON body.

The SDK sends some methods with arguments only in the query, some as a form, some as JSON; structured
arguments inside a form are JSON text. Nothing here knows what a method wants.
"""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.room.answers import ApiError, Json


async def arguments_of(request: web.Request) -> "Args":
    """Merge query, form and JSON body; the body wins."""
    merged: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            raise ApiError("invalid_json") from None
        if not isinstance(body, dict):
            raise ApiError("json_not_object")
        merged |= body
    elif request.method == "POST":
        merged |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    return Args(merged)


class Args:
    """Read-only arguments with Slack's refusals for what is missing or malformed."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = {key: value for key, value in given.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def as_json(self) -> Json:
        return dict(self._given)

    def text(self, name: str, default: str = "") -> str:
        return str(self._given.get(name, default))

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            told = [f"[ERROR] missing required field: {name}"]
            raise ApiError("invalid_arguments", response_metadata={"messages": told})
        return value

    def flag(self, name: str) -> bool:
        return str(self._given.get(name, "")).lower() in {"1", "true"}

    def number(self, name: str, default: int, most: int) -> int:
        try:
            return max(1, min(most, int(self._given.get(name, default))))
        except ValueError:
            raise ApiError("invalid_limit") from None

    def structured(self, name: str, refusal: str) -> Any:
        """Return a JSON argument, parsed where it came as text; None when absent; *refusal* when broken."""
        value = self._given.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(refusal) from None
