"""
The Web API's `chat.*`, `pins.*`, `reactions.*` and `bookmarks.*`: what the bot writes into channels.

Holds Slack's rules of posting and updating; the workspace holds what a message is.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from bot.room.answers import ApiError, Json, refused_payload
from bot.room.args import Args
from bot.room.blockkit import check_blocks
from bot.room.config import RoomChannel
from bot.room.workspace import Workspace, with_ids

POST_TEXT = 40_000
UPDATE_TEXT = 4_000
_METADATA_BYTES = 16_384
_PINS = 100

Method = Callable[[Workspace, Args], Json]


def _place(room: Workspace, args: Args) -> RoomChannel:
    return room.channel(args.required("channel"))


def _blocks(args: Args) -> list[Json] | None:
    """Return the checked blocks, None when the argument was not given at all."""
    blocks = args.structured("blocks", "invalid_blocks_format")
    if blocks is None:
        return None
    faults = check_blocks(blocks)
    if faults:
        raise refused_payload("invalid_blocks", faults, "/blocks")
    return list(blocks)


def _metadata(args: Args) -> Json | None:
    metadata = args.structured("metadata", "metadata_must_be_sent_as_json")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise ApiError("invalid_metadata_format")
    if not metadata:
        return {}
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise ApiError("invalid_metadata_format")
    if len(json.dumps(metadata).encode()) > _METADATA_BYTES:
        raise ApiError("metadata_too_large")
    return metadata


def post_message(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    blocks, metadata, text = _blocks(args), _metadata(args), args.text("text")
    if not text and not blocks:
        raise ApiError("no_text")
    message = room.say_from_bot(text[:POST_TEXT], blocks or ())
    if metadata:
        message["metadata"] = metadata
    if args.text("thread_ts"):
        message["thread_ts"] = args.text("thread_ts")
        if args.flag("reply_broadcast"):
            message["subtype"] = "thread_broadcast"
    posted = room.post(channel, message)
    return {"channel": channel.id, "ts": posted["ts"], "message": posted}


def update(room: Workspace, args: Args) -> Json:
    """Blocks replace without an "(edited)" mark; text alone drops the old blocks and is marked."""
    channel = _place(room, args)
    old = room.message(channel, args.required("ts"))
    if old.get("bot_id") != room.config.bot_id:
        raise ApiError("cant_update_message")
    blocks, metadata, text = _blocks(args), _metadata(args), args.text("text")
    if not text and not blocks:
        raise ApiError("no_text")
    if len(text) > UPDATE_TEXT:
        raise ApiError("msg_too_long")
    message = {key: value for key, value in old.items() if key not in {"blocks", "edited"}}
    message["text"] = text or (old["text"] if blocks else "")
    if blocks:
        message["blocks"] = with_ids(blocks)
    else:
        message["edited"] = {"user": room.config.bot_user_id, "ts": room.next_ts()}
    if metadata is not None:
        message.pop("metadata", None)
        message |= {"metadata": metadata} if metadata else {}
    room.replace(channel, message)
    return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": message}


def delete(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    ts = args.required("ts")
    if room.message(channel, ts).get("bot_id") != room.config.bot_id:
        raise ApiError("cant_delete_message")
    room.delete(channel, ts)
    return {"channel": channel.id, "ts": ts}


def post_ephemeral(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    user_id = args.required("user")
    if user_id not in room.members(channel):
        raise ApiError("user_not_in_channel")
    blocks, text = _blocks(args), args.text("text")
    if not text and not blocks:
        raise ApiError("no_text")
    message = room.say_from_bot(text[:POST_TEXT], blocks or ())
    if args.text("thread_ts"):
        message["thread_ts"] = args.text("thread_ts")
    return {"message_ts": room.whisper(channel, user_id, message)["ts"]}


def get_permalink(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    ts = args.required("message_ts")
    room.message(channel, ts)
    link = f"{room.base_url}/archives/{channel.id}/p{ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


def pins_add(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    ts = args.text("timestamp")
    if not ts:
        raise ApiError("no_item_specified")
    if len(room.pins(channel)) >= _PINS:
        raise ApiError("too_many_pins")
    room.pin(channel, ts, room.config.bot_user_id)
    return {}


def pins_remove(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    if not args.text("timestamp"):
        raise ApiError("no_item_specified")
    room.unpin(channel, args.text("timestamp"))
    return {}


def pins_list(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    items = [
        {
            "type": "message",
            "channel": channel.id,
            "created": int(at),
            "created_by": by,
            "message": {**room.message(channel, ts), "pinned_to": [channel.id]},
        }
        for ts, at, by in room.store.pins(channel.id)
    ]
    return {"items": items}


def reactions_add(room: Workspace, args: Args) -> Json:
    channel = _place(room, args)
    react(room, channel, args.required("timestamp"), args.required("name").strip(":"), room.config.bot_user_id)
    return {}


def react(room: Workspace, channel: RoomChannel, ts: str, name: str, user: str) -> None:
    """Add one person's reaction; a second time is refused."""
    message = room.message(channel, ts)
    reactions = {reaction["name"]: reaction["users"] for reaction in message.get("reactions", [])}
    users = reactions.setdefault(name, [])
    if user in users:
        raise ApiError("already_reacted")
    users.append(user)
    message["reactions"] = [{"name": each, "users": those, "count": len(those)} for each, those in reactions.items()]
    room.replace(channel, message)


def bookmarks_add(room: Workspace, args: Args) -> Json:
    channel = room.channel(args.required("channel_id"))
    link = args.text("link")
    if args.required("type") != "link":
        raise ApiError("invalid_bookmark_type")
    if urlsplit(link).scheme not in {"http", "https"}:
        raise ApiError("invalid_link")
    bookmark = {
        "id": f"Bk{secrets.token_hex(5).upper()}",
        "channel_id": channel.id,
        "title": args.required("title"),
        "type": "link",
        "link": link,
        "emoji": args.text("emoji"),
    }
    room.store.put_bookmark(bookmark)
    marks = {"channel": channel.id, "bookmarks": room.store.bookmarks(channel.id)}
    room.feed.publish("bookmarks", marks, room.members(channel))
    return {"bookmark": bookmark}


def bookmarks_list(room: Workspace, args: Args) -> Json:
    return {"bookmarks": room.store.bookmarks(room.channel(args.required("channel_id")).id)}


METHODS: Mapping[str, Method] = {
    "chat.postMessage": post_message,
    "chat.update": update,
    "chat.delete": delete,
    "chat.postEphemeral": post_ephemeral,
    "chat.getPermalink": get_permalink,
    "pins.add": pins_add,
    "pins.remove": pins_remove,
    "pins.list": pins_list,
    "reactions.add": reactions_add,
    "bookmarks.add": bookmarks_add,
    "bookmarks.list": bookmarks_list,
}
