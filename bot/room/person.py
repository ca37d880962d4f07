"""
Somebody in the room, for scripts and tests: says, clicks, fills in, and waits for what they see.

A person sees what the page would show to them and nothing else, and never sleeps: `wait_for` wakes with the
room's own stream. Knows the page's HTTP interface (`page_door.py`), not the room's inside.

    async with RoomPerson(room.url, "U0LENA") as lena:
        await lena.say("C0ROOM", "/cutover status")
        board = await lena.wait_for(lambda me: me.pinned("C0ROOM"), 5)
        await lena.click(board["ts"], "Decision 7")
        form = await lena.wait_for(lambda me: me.view, 5)
        await lena.submit(form, {"reason": "mno-b confirms old routing"})
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Self, TypeVar

import httpx

from bot.room.answers import Json
from bot.room.guard import CSRF_HEADER
from bot.room.viewkit import elements

T = TypeVar("T")
_TIMEOUT = httpx.Timeout(10.0, read=30.0)


class RoomSaysNo(Exception):
    """The room refused an act, with its sentence; nothing reached the bot."""


class NotSeen(AssertionError):
    """What a person waited for did not come; the text tells what they saw last."""


class RoomPerson:
    """One person with one open page. Use it as an async context manager."""

    def __init__(self, url: str, user_id: str) -> None:
        self.id = user_id
        self.bot: Json = {}
        self.csrf = ""
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False)
        self._channels: dict[str, Json] = {}
        self._messages: dict[str, dict[str, Json]] = {}
        self._ephemerals: dict[str, tuple[str, Json]] = {}
        self._views: list[Json] = []
        self._cursor = ""
        self._changed = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._read_all()
        self._reading = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        await self._http.aclose()

    # what they see

    @property
    def view(self) -> Json | None:
        """The modal on top, or None."""
        return self._views[-1] if self._views else None

    def channels(self) -> list[Json]:
        """Return the channels this person is in: id, name, topic, members, bookmarks."""
        return list(self._channels.values())

    def messages(self, channel: str) -> list[Json]:
        """Return the messages of a channel, threads included, the oldest first."""
        return [message for _, message in sorted(self._messages.get(channel, {}).items())]

    def message(self, ts: str) -> Json | None:
        """Return a message or an ephemeral by its timestamp, wherever it is."""
        for messages in self._messages.values():
            if ts in messages:
                return messages[ts]
        return self._ephemerals[ts][1] if ts in self._ephemerals else None

    def pinned(self, channel: str) -> Json | None:
        """Return the message pinned last: the board."""
        for ts in self._channels.get(channel, {}).get("pins", []):
            if ts in self._messages[channel]:
                return self._messages[channel][ts]
        return None

    def ephemerals(self, channel: str = "") -> list[Json]:
        """Return what only this person was told since the page was opened, the oldest first."""
        seen = sorted(self._ephemerals.items())
        return [message for _, (place, message) in seen if channel in {"", place}]

    # what they do

    async def say(self, channel: str, text: str, *, thread_ts: str = "") -> list[Json]:
        """
        Say something, or give a command when it begins with "/".

        Return the private replies that came with the acknowledgement; later ones come to `ephemerals()`.
        """
        answer = await self._post("say", {"channel": channel, "text": text, "thread_ts": thread_ts})
        return list(answer["replies"])

    async def click(self, ts: str, button: str, value: object = None) -> list[Json]:
        """
        Use the element of message *ts* whose action id, value or label is *button*.

        *value* is what to choose in a menu. Return the private replies of the room itself.
        """
        channel, message = self._find(ts)
        block, element = _named(message, button)
        chosen = element.get("value") if element["type"] == "button" else value
        body = {"channel": channel, "ts": ts, "value": chosen}
        return list((await self._post("click", body | _ids(block, element)))["replies"])

    async def click_in_view(
        self, view: Json, button: str, value: object = None, typed: Mapping[str, object] | None = None
    ) -> str:
        """Use an element of an open modal; return the room's notice, empty when the bot heard it."""
        block, element = _named(view, button)
        chosen = element.get("value") if element["type"] == "button" else value
        body = {"view_id": view["id"], "value": chosen, "typed": dict(typed or {})}
        return str((await self._post("click", body | _ids(block, element))).get("notice", ""))

    async def submit(self, view: Json, values: Mapping[str, object]) -> dict[str, str]:
        """
        Submit a modal with *values* by block id or action id; return its errors by block id, empty when taken.

        A choice is given by its option's value, several as a list.
        """
        answer = await self._post("submit", {"view_id": view["id"], "values": dict(values)})
        if answer.get("notice"):
            raise RoomSaysNo(answer["notice"])
        return dict(answer["errors"])

    async def close_view(self, view: Json) -> None:
        await self._post("close", {"view_id": view["id"]})

    async def react(self, channel: str, ts: str, name: str) -> None:
        await self._post("react", {"channel": channel, "ts": ts, "name": name})

    async def faults(self) -> list[Json]:
        """Return the carrier's switches: id, title, on, description."""
        answer = (await self._http.get("/ui/faults")).json()
        return list(answer["faults"])

    async def set_fault(self, fault: str, *, on: bool) -> None:
        await self._post("faults", {"id": fault, "on": on})

    # waiting

    async def wait_for(self, predicate: Callable[["RoomPerson"], T | None], timeout_s: float = 5.0) -> T:
        """Return the first true answer of *predicate*, asked again whenever this person sees something new."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while True:
                    found = predicate(self)
                    if found:
                        return found
                    await self._changed.wait()
        except TimeoutError:
            raise NotSeen(f"{self.id} did not see it within {timeout_s:g} s. {self._summary()}") from None

    def _summary(self) -> str:
        recent = [message.get("text", "") for channel in self._messages for message in self.messages(channel)[-3:]]
        private = [message.get("text", "") for message in self.ephemerals()[-3:]]
        return f"Last messages: {recent}; private: {private}; open forms: {len(self._views)}; bot: {self.bot}"

    # the wire

    async def _post(self, act: str, body: Json) -> Json:
        body = {"as": self.id, **body}
        answer = await self._http.post(f"/ui/{act}", json=body, headers={CSRF_HEADER: self.csrf})
        if answer.status_code == httpx.codes.FORBIDDEN:  # the room was restarted since
            await self._read_all()
            answer = await self._http.post(f"/ui/{act}", json=body, headers={CSRF_HEADER: self.csrf})
        if not answer.headers.get("content-type", "").startswith("application/json"):
            raise RoomSaysNo(f"{answer.status_code}: {answer.text}")
        told: Json = answer.json()
        if not told["ok"]:
            raise RoomSaysNo(told["error"])
        return told

    async def _read_all(self) -> None:
        answer = await self._http.get("/ui/state", params={"as": self.id})
        answer.raise_for_status()
        state = answer.json()
        async with self._changed:
            self._cursor, self.csrf, self.bot = state["cursor"], state["csrf"], state["bot"]
            self._views = state["views"]
            self._channels = {channel["id"]: channel for channel in state["channels"]}
            for channel in state["channels"]:
                self._messages[channel["id"]] = {message["ts"]: message for message in channel.pop("messages")}
            self._changed.notify_all()

    async def _follow(self) -> None:
        while True:
            with suppress(httpx.TransportError, httpx.HTTPStatusError):
                await self._read_stream()
            self.bot = {**self.bot, "connections": 0}
            await asyncio.sleep(0.1)

    async def _read_stream(self) -> None:
        where = {"as": self.id, "cursor": self._cursor}
        async with self._http.stream("GET", "/ui/events", params=where) as stream:
            stream.raise_for_status()
            kind = ""
            async for line in stream.aiter_lines():
                field, _, text = line.partition(": ")
                if field == "id":
                    self._cursor = text
                elif field == "event":
                    kind = text
                elif field == "data" and kind == "again":
                    await self._read_all()
                elif field == "data":
                    async with self._changed:
                        self._take(kind, json.loads(text))
                        self._changed.notify_all()

    def _take(self, kind: str, body: Json) -> None:
        channel = body.get("channel", "")
        if kind == "message":
            self._messages.setdefault(channel, {})[body["message"]["ts"]] = body["message"]
        elif kind == "deleted":
            self._messages.setdefault(channel, {}).pop(body["ts"], None)
        elif kind == "ephemeral":
            self._ephemerals[body["message"]["ts"]] = (channel, body["message"])
        elif kind == "hushed":
            self._ephemerals.pop(body["ts"], None)
        elif kind in {"pins", "topic", "bookmarks"}:
            self._channels.setdefault(channel, {"id": channel})[kind] = body[kind]
        elif kind == "views":
            self._views = body["views"]
        elif kind in {"bot", "beat"}:
            self.bot = {**self.bot, **body}

    def _find(self, ts: str) -> tuple[str, Json]:
        for channel, messages in self._messages.items():
            if ts in messages:
                return channel, messages[ts]
        if ts in self._ephemerals:
            return self._ephemerals[ts]
        raise NotSeen(f"{self.id} sees no message {ts}. {self._summary()}")


def _ids(block: Json, element: Json) -> Json:
    return {"block_id": block["block_id"], "action_id": element["action_id"]}


def _named(holder: Json, name: str) -> tuple[Json, Json]:
    """Return the element called *name*: by action id, else by value, else by its label."""
    found = list(elements(holder.get("blocks", ())))
    for names in (_action_ids, _values, _labels):
        for block, element in found:
            if name in names(element):
                return block, element
    known = ", ".join(element["action_id"] for _, element in found) or "none"
    raise NotSeen(f"no button {name!r} there; there are: {known}. Text: {holder.get('text', '')!r}")


def _action_ids(element: Json) -> Iterator[str]:
    yield element["action_id"]


def _values(element: Json) -> Iterator[str]:
    yield str(element.get("value") or "")


def _labels(element: Json) -> Iterator[str]:
    yield (element.get("text") or {}).get("text", "")
