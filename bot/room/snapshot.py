"""
What a page reads when it opens: everything one person may see, and the number the stream goes on from.

Knows no HTTP. Ephemerals are not part of it: a reload loses them, as in Slack.
"""

from bot.room.answers import Json
from bot.room.config import RoomChannel, RoomUser
from bot.room.sockets import SocketHub
from bot.room.workspace import Workspace

_MESSAGES = 300


def people(room: Workspace) -> list[Json]:
    return [
        {"id": user.id, "name": user.name, "real_name": user.shown, "title": user.title, "tz": user.tz}
        for user in room.users.values()
    ]


def snapshot(room: Workspace, hub: SocketHub, user: RoomUser, csrf: str) -> Json:
    config = room.config
    return {
        "cursor": room.feed.cursor,
        "csrf": csrf,
        "me": user.id,
        "people": people(room),
        "bot": {"id": config.bot_user_id, "name": config.bot_name, **hub.status()},
        "team": config.team_name,
        "commands": config.commands,
        "hints": config.hints,
        "rehearsal": config.rehearsal,
        "carrier": bool(config.carrier_url),
        "beat_s": config.timing.beat_s,
        "channels": [_channel(room, channel) for channel in room.channels_of(user.id)],
        "views": room.store.stack(user.id),
        "home": room.store.home(user.id),
    }


def _channel(room: Workspace, channel: RoomChannel) -> Json:
    top = room.store.messages(channel.id, limit=_MESSAGES)
    pins = room.pins(channel)
    shown = {message["ts"]: message for message in top}
    for ts in pins:
        pinned = room.store.message(channel.id, ts)
        if pinned is not None:
            shown[ts] = pinned
    for message in [message for message in shown.values() if message.get("reply_count")]:
        shown |= {reply["ts"]: reply for reply in room.store.replies(channel.id, message["ts"])}
    return {
        "id": channel.id,
        "name": channel.name,
        "direct": channel.id.startswith("D"),
        "topic": room.topic(channel),
        "members": room.members(channel),
        "pins": pins,
        "bookmarks": room.store.bookmarks(channel.id),
        "messages": [shown[ts] for ts in sorted(shown)],
    }
