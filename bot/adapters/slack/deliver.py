"""
The room that the outbox delivers to: posts, replaces and pins messages in Slack's channels.

Decides which message an effect becomes and whether that is new, replaced or there already. A post carries
its key in its metadata, so that one whose answer was lost is found again and not posted twice. Knows
nothing of what the words say.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.pace import Budgets, Pace
from bot.adapters.slack.render import Words
from bot.adapters.slack.trouble import as_outbox, word
from bot.core.deployment import Deployment
from bot.core.errors import StoreUnavailable
from bot.core.ports import EffectRow, Store
from bot.outbox import RoomBusy, RoomRefused, Sent
from bot.service import Service
from bot.words.message import Message
from bot.words.safe import escape

log = structlog.get_logger()

EVENT_TYPE = "switchroom"
#: A lost post is among the newest messages; the history is called rarely (50 times a minute at most).
_LOOK_BACK = 200
_ALARM_TRIES = 5
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})


class SlackRoom:
    """Delivers effects to Slack; see `outbox.Deliverer`. One message at a time in each channel."""

    def __init__(
        self, client: AsyncWebClient, service: Service, store: Store, deployment: Deployment, pace: Pace
    ) -> None:
        self._client = client
        self._service = service
        self._store = store
        self._deployment = deployment
        self._pace = pace
        self._budgets = Budgets(pace)
        self._words = Words(service, store)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._shown: dict[str, str] = {}
        self._ledger = ""

    async def deliver(self, effect: EffectRow, *, plain: bool, maybe_sent: bool) -> Sent:
        """Post or replace what *effect* says. Raise RoomBusy to try later, RoomRefused if it never will."""
        channel = self._deployment.channel_of(effect.place)
        key = _key(effect)
        async with self._turns[channel]:
            ts = await self._known(effect.place, key)
            if ts is None and maybe_sent:
                ts = await self._find(channel, key)
                if ts is not None and effect.kind in {"line", "digest"}:
                    return Sent(key, _reference(channel, ts))
            if ts is not None:
                ts = await self._replace(effect, channel, ts, key, plain=plain)
            if ts is None:
                ts = await self._post(effect, channel, key, plain=plain)
            if effect.kind == "board":
                await self._pin(channel, ts)
        return Sent(key, _reference(channel, ts))

    async def update(self, effect: EffectRow) -> bool:
        """Bring the message of *effect* up to date, where one was posted. False: it was, and is there no more."""
        channel = self._deployment.channel_of(effect.place)
        key = _key(effect)
        async with self._turns[channel]:
            ts = await self._known(effect.place, key)
            return ts is None or await self._replace(effect, channel, ts, key, plain=False) is not None

    async def alarm(self, text: str) -> None:
        """Tell every room. The database is not asked."""
        channels = {room.channel for room in self._deployment.rooms.values()} | set(self._places())
        told = await asyncio.gather(
            *(self._alarm(channel, escape(text)) for channel in sorted(channels)), return_exceptions=True
        )
        for failure in told:
            if isinstance(failure, BaseException):
                raise failure

    def _places(self) -> Iterator[str]:
        try:
            runs = self._service.house.active()
        except StoreUnavailable:
            return
        for run in runs:
            yield self._deployment.channel_of(run.place)

    async def _alarm(self, channel: str, text: str) -> None:
        for left in reversed(range(_ALARM_TRIES)):
            try:
                await self._call_post(channel, "alarm", Message(text, ()), plain=True)
            except RoomBusy as busy:
                # Perhaps it is there already. Said twice is better than not at all: the ledger is down.
                if not left:
                    raise
                await asyncio.sleep(busy.after_s)
            else:
                return

    # ------------------------------------------------------------------ what is there already

    async def _known(self, place: str, key: str) -> str | None:
        """Return the timestamp of the message that the ledger keeps for *key*."""
        try:
            reference = await asyncio.to_thread(self._store.reference, place, key)
        except StoreUnavailable as error:
            raise RoomBusy(str(error), self._pace.trouble_s) from error
        return reference.rpartition(":")[2] if reference else None

    async def _find(self, channel: str, key: str) -> str | None:
        """Return the timestamp of our message with *key* among the newest of *channel*."""
        ledger = await self._ledger_name()
        with as_outbox(self._pace):
            answer = await self._client.conversations_history(
                channel=channel, limit=_LOOK_BACK, include_all_metadata=True
            )
        for message in answer.get("messages") or ():
            metadata = message.get("metadata") or {}
            payload = metadata.get("event_payload") or {}
            if metadata.get("event_type") == EVENT_TYPE and (payload.get("key"), payload.get("ledger")) == (
                key,
                ledger,
            ):
                return str(message["ts"])
        return None

    async def _ledger_name(self) -> str:
        """Return what tells this ledger from another that once spoke in the same channel."""
        if not self._ledger:
            try:
                first = await asyncio.to_thread(lambda: next(self._store.rows(0), None))
            except StoreUnavailable as error:
                raise RoomBusy(str(error), self._pace.trouble_s) from error
            self._ledger = first.hash.hex()[:16] if first is not None and hasattr(first, "hash") else ""
        return self._ledger

    # ------------------------------------------------------------------ what goes out

    async def _post(self, effect: EffectRow, channel: str, key: str, *, plain: bool) -> str:
        # Unsent is the safe answer while the budget is empty: what is urgent then goes first.
        self._wait(self._budgets.post(channel))
        message = await self._render(effect)
        ts = await self._call_post(channel, key, message, plain=plain)
        if key != effect.id:  # a line is never replaced: what it showed need not be remembered
            self._shown[f"{channel} {key}"] = _print(message, plain=plain)
        return ts

    async def _call_post(self, channel: str, key: str, message: Message, *, plain: bool) -> str:
        payload = {"key": key, "ledger": self._ledger if key == "alarm" else await self._ledger_name()}
        with as_outbox(self._pace):
            answer = await self._client.chat_postMessage(
                channel=channel,
                metadata={"event_type": EVENT_TYPE, "event_payload": payload},
                unfurl_links=False,
                unfurl_media=False,
                **_content(message, plain=plain),
            )
        return str(answer["ts"])

    async def _replace(self, effect: EffectRow, channel: str, ts: str, key: str, *, plain: bool) -> str | None:
        """Bring the message at *ts* up to date and return *ts*, or None when it is there no more."""
        message = await self._render(effect)
        shown = _print(message, plain=plain)
        if self._shown.get(f"{channel} {key}") == shown:
            return ts
        self._wait(self._budgets.update(leave=1 if effect.kind == "board" else 0))
        try:
            with as_outbox(self._pace):
                await self._client.chat_update(channel=channel, ts=ts, **_content(message, plain=plain))
        except RoomRefused as refused:
            if isinstance(refused.__cause__, SlackApiError) and word(refused.__cause__) in _GONE:
                return None
            raise
        self._shown[f"{channel} {key}"] = shown
        return ts

    async def _pin(self, channel: str, ts: str) -> None:
        """Pin the board, once for each message of it. A channel that takes no pin has its board all the same."""
        pinned = f"pin {channel} {ts}"
        if pinned in self._shown:
            return
        try:
            with as_outbox(self._pace):
                await self._client.pins_add(channel=channel, timestamp=ts)
        except RoomRefused as refused:
            if not isinstance(refused.__cause__, SlackApiError) or word(refused.__cause__) != "already_pinned":
                log.warning("board not pinned", channel=channel, why=str(refused))
        except RoomBusy as busy:
            raise RoomBusy(str(busy), busy.after_s, maybe_sent=True) from busy
        self._shown[pinned] = "pinned"

    def _wait(self, after_s: float) -> None:
        if after_s:
            raise RoomBusy("paced", after_s)

    async def _render(self, effect: EffectRow) -> Message:
        try:
            return await asyncio.to_thread(self._words.of, effect)
        except StoreUnavailable as error:
            raise RoomBusy(str(error), self._pace.trouble_s) from error
        except Exception as error:
            # A text that cannot be made is a bug of ours: it is parked and shown, and holds up nothing else.
            log.exception("words failed", effect=effect.id, kind=effect.kind)
            raise RoomRefused(f"no words for {effect.kind} {effect.id} ({type(error).__name__})") from error


def _key(effect: EffectRow) -> str:
    """Return what names the message in its place: one for each line, one that stays for what is replaced."""
    match effect.kind:
        case "card" | "card-update":
            return f"{effect.run}/card-{effect.subject}"
        case "doubt":
            return f"{effect.run}/doubt-{effect.subject}"
        case "board":
            return f"{effect.run}/board"
        case _:
            return effect.id


def _reference(channel: str, ts: str) -> str:
    return f"{channel}:{ts}"


def _content(message: Message, *, plain: bool) -> dict[str, Any]:
    return {"text": message.text} if plain or not message.blocks else {"text": message.text, "blocks": message.blocks}


def _print(message: Message, *, plain: bool) -> str:
    return hashlib.sha256(json.dumps(_content(message, plain=plain), sort_keys=True).encode()).hexdigest()
