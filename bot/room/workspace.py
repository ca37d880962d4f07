"""
The workspace: who is there, which channels, and what happens to a message.

Keeps Slack's rules about messages, threads, pins and ephemerals; who calls (the bot's API or a person's
page) and how it arrives is not known here. A change is written first, then told to the pages.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.room.answers import ApiError, Json
from bot.room.clock import RoomClock
from bot.room.config import RoomChannel, RoomConfig, RoomUser
from bot.room.feed import Feed
from bot.room.store import RoomStore

#: A click that crosses an update in flight still reaches the bot for this long, as with Slack.
CROSSING_S = 30.0
_EPHEMERALS_KEPT = 500


@dataclass(slots=True)
class _Former:
    """What a message looked like before its last update."""

    message: Json
    at: float


@dataclass(slots=True)
class Ephemeral:
    """A message for one person's open page; it is nowhere else."""

    channel: str
    user: str
    message: Json = field(default_factory=dict)


def with_ids(blocks: Iterable[Json]) -> list[Json]:
    """
    Return *blocks* with the block and action ids that Slack makes up where none are given.

    They follow from content and place, so that an update that changes one line leaves the rest of a page alone.
    """
    return [_with_ids(dict(block), f"{index}") for index, block in enumerate(blocks)]


def _with_ids(block: Json, place: str) -> Json:
    block.setdefault("block_id", _made_up(block, place))
    for key in ("accessory", "element"):
        if isinstance(block.get(key), dict) and block[key].get("type") != "image":
            block[key] = {"action_id": _made_up(block[key], place), **block[key]}
    if block.get("type") == "actions":
        block["elements"] = [
            {"action_id": _made_up(element, f"{place}.{index}"), **element}
            for index, element in enumerate(block["elements"])
        ]
    return block


def _made_up(part: Json, place: str) -> str:
    seed = f"{place} {json.dumps(part, sort_keys=True)}"
    return hashlib.sha256(seed.encode()).hexdigest()[:8]


class Workspace:
    """The state of one room."""

    def __init__(self, config: RoomConfig, clock: RoomClock, store: RoomStore, feed: Feed) -> None:
        self.config = config
        self.clock = clock
        self.store = store
        self.feed = feed
        self.base_url = ""
        self.users = {user.id: user for user in config.users}
        self._channels = {channel.id: channel for channel in config.channels}
        self._names = {channel.name: channel.id for channel in config.channels}
        self._topics = store.topics()
        self._ephemerals: dict[str, Ephemeral] = {}
        self._former: dict[tuple[str, str], _Former] = {}
        self._last_ts = store.last_ts()

    # who and where

    def next_ts(self) -> str:
        """Return a timestamp later than every one before, so that it can name a message."""
        second, micro = divmod(int(self.clock.now() * 1e6), 1_000_000)
        ts = f"{second:010d}.{micro:06d}"
        if ts <= self._last_ts:
            second, micro = divmod(int(self._last_ts.replace(".", "")) + 1, 1_000_000)
            ts = f"{second:010d}.{micro:06d}"
        self._last_ts = ts
        return ts

    def user(self, user_id: str) -> RoomUser:
        if user_id not in self.users:
            raise ApiError("user_not_found")
        return self.users[user_id]

    def channel(self, name: str) -> RoomChannel:
        """Return the channel by id or name; a user id means the direct messages with that person."""
        bare = name.removeprefix("#")
        found = self._channels.get(bare) or self._channels.get(self._names.get(bare, ""))
        if found is not None:
            return found
        person = self.users.get(bare) or self.users.get(f"U{bare[1:]}" if bare.startswith("D") else "")
        if person is None:
            raise ApiError("channel_not_found")
        return RoomChannel(id=f"D{person.id[1:]}", name=person.name, members=(person.id,))

    def channels_of(self, user_id: str) -> list[RoomChannel]:
        """Return the channels *user_id* is in; direct messages once the bot has written there."""
        mine = [channel for channel in self._channels.values() if user_id in self.members(channel)]
        direct = self.channel(f"D{user_id[1:]}")
        return [*mine, direct] if self.store.messages(direct.id, limit=1) else mine

    def members(self, channel: RoomChannel) -> tuple[str, ...]:
        return tuple(self.users) if channel.members is None else channel.members

    def topic(self, channel: RoomChannel) -> str:
        return self._topics.get(channel.id, channel.topic)

    def set_topic(self, channel: RoomChannel, topic: str) -> None:
        self.store.set_topic(channel.id, topic)
        self._topics[channel.id] = topic
        self._tell("topic", channel, {"topic": topic})

    def _tell(self, kind: str, channel: RoomChannel, body: Json) -> None:
        self.feed.publish(kind, {"channel": channel.id, **body}, self.members(channel))

    # messages

    def message(self, channel: RoomChannel, ts: str) -> Json:
        found = self.store.message(channel.id, ts)
        if found is None:
            raise ApiError("message_not_found")
        return found

    def post(self, channel: RoomChannel, message: Json) -> Json:
        """Write *message* at the end of the channel, or of its thread, and return it with its timestamp."""
        thread_ts = message.get("thread_ts")
        parent = self.store.message(channel.id, thread_ts) if thread_ts else None
        if thread_ts and parent is None:
            raise ApiError("thread_not_found")
        message = {"type": "message", "ts": self.next_ts(), "team": self.config.team_id, **message}
        self.store.put_message(channel.id, message)
        if parent is not None:
            self._grow_thread(channel, parent, message)
        self._tell("message", channel, {"message": message})
        return message

    def _grow_thread(self, channel: RoomChannel, parent: Json, reply: Json) -> None:
        users = [user for user in parent.get("reply_users", []) if user != reply.get("user")]
        parent |= {
            "thread_ts": parent["ts"],
            "reply_count": parent.get("reply_count", 0) + 1,
            "reply_users": [*users, reply.get("user")],
            "latest_reply": reply["ts"],
        }
        self.store.put_message(channel.id, parent)
        self._tell("message", channel, {"message": parent})

    def replace(self, channel: RoomChannel, message: Json) -> None:
        """Put *message* in the place of the one with its timestamp."""
        former = self.message(channel, message["ts"])
        self._former[channel.id, message["ts"]] = _Former(former, self.clock.monotonic())
        self.store.put_message(channel.id, message)
        self._tell("message", channel, {"message": message})

    def former(self, channel: RoomChannel, ts: str) -> Json | None:
        """Return the message as it was before its last update, while a click on that may be on its way."""
        former = self._former.get((channel.id, ts))
        if former is None or self.clock.monotonic() - former.at > CROSSING_S:
            return None
        return former.message

    def delete(self, channel: RoomChannel, ts: str) -> None:
        message = self.message(channel, ts)
        self.store.delete_message(channel.id, ts)
        parent = self.store.message(channel.id, message.get("thread_ts") or "")
        if parent is not None and parent["ts"] != ts:
            parent["reply_count"] = max(0, parent.get("reply_count", 1) - 1)
            self.store.put_message(channel.id, parent)
            self._tell("message", channel, {"message": parent})
        self._tell("deleted", channel, {"ts": ts})

    # ephemerals

    def whisper(self, channel: RoomChannel, user_id: str, message: Json) -> Json:
        """Show *message* to one person's open pages; nothing keeps it."""
        whole = {"type": "message", "ts": self.next_ts(), "is_ephemeral": True, **message}
        self._ephemerals[whole["ts"]] = Ephemeral(channel.id, user_id, whole)
        if len(self._ephemerals) > _EPHEMERALS_KEPT:
            del self._ephemerals[next(iter(self._ephemerals))]
        self.feed.publish("ephemeral", {"channel": channel.id, "message": whole}, [user_id])
        return whole

    def ephemeral(self, ts: str, user_id: str) -> Ephemeral | None:
        found = self._ephemerals.get(ts)
        return found if found is not None and found.user == user_id else None

    def rewhisper(self, ephemeral: Ephemeral, message: Json) -> None:
        ephemeral.message = {**message, "ts": ephemeral.message["ts"], "type": "message", "is_ephemeral": True}
        body = {"channel": ephemeral.channel, "message": ephemeral.message}
        self.feed.publish("ephemeral", body, [ephemeral.user])

    def hush(self, ephemeral: Ephemeral) -> None:
        ts = ephemeral.message["ts"]
        self._ephemerals.pop(ts, None)
        self.feed.publish("hushed", {"channel": ephemeral.channel, "ts": ts}, [ephemeral.user])

    # pins

    def pin(self, channel: RoomChannel, ts: str, by: str) -> None:
        self.message(channel, ts)
        if not self.store.pin(channel.id, ts, self.clock.now(), by):
            raise ApiError("already_pinned")
        self._tell("pins", channel, {"pins": self.pins(channel)})

    def unpin(self, channel: RoomChannel, ts: str) -> None:
        if not self.store.unpin(channel.id, ts):
            raise ApiError("no_pin")
        self._tell("pins", channel, {"pins": self.pins(channel)})

    def pins(self, channel: RoomChannel) -> list[str]:
        """Return the timestamps of the pinned messages, the newest pin first."""
        return [ts for ts, _, _ in self.store.pins(channel.id)]

    # views

    def set_stack(self, user_id: str, views: list[Json]) -> None:
        self.store.put_stack(user_id, views)
        self.feed.publish("views", {"views": views}, [user_id])

    def say_from_bot(self, text: str, blocks: Iterable[Json] = ()) -> Json:
        """Return the frame of a message by the bot."""
        whole = with_ids(blocks)
        message: Json = {
            "user": self.config.bot_user_id,
            "bot_id": self.config.bot_id,
            "app_id": self.config.app_id,
            "text": text,
        }
        return message | {"blocks": whole} if whole else message
