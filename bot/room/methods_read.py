"""
The Web API's reading half: `auth.*`, `conversations.*`, `users.*`, `usergroups.*`.

Answers what the workspace holds, in Slack's shapes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from bot.room.answers import ApiError, Json
from bot.room.args import Args
from bot.room.config import RoomChannel, RoomUser
from bot.room.methods_chat import Method
from bot.room.workspace import Workspace


def api_test(_room: Workspace, args: Args) -> Json:
    if args.text("error"):
        raise ApiError(args.text("error"), args=args.as_json())
    return {"args": args.as_json()}


def auth_test(room: Workspace, _args: Args) -> Json:
    config = room.config
    return {
        "url": f"{room.base_url}/",
        "team": config.team_name,
        "user": config.bot_name,
        "team_id": config.team_id,
        "user_id": config.bot_user_id,
        "bot_id": config.bot_id,
        "is_enterprise_install": False,
    }


# conversations


def _channel_json(room: Workspace, channel: RoomChannel) -> Json:
    direct = channel.id.startswith("D")
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not direct,
        "is_im": direct,
        "is_private": channel.members is not None,
        "is_archived": False,
        "is_member": True,
        "context_team_id": room.config.team_id,
        "num_members": len(room.members(channel)) + 1,
        "topic": {"value": room.topic(channel), "creator": room.config.bot_user_id, "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def conversations_info(room: Workspace, args: Args) -> Json:
    return {"channel": _channel_json(room, room.channel(args.required("channel")))}


def conversations_list(room: Workspace, _args: Args) -> Json:
    channels = [_channel_json(room, room.channel(channel.id)) for channel in room.config.channels]
    return {"channels": channels, "response_metadata": {"next_cursor": ""}}


def conversations_open(room: Workspace, args: Args) -> Json:
    users = args.required("users").split(",")
    if len(users) != 1:
        raise ApiError("not_enough_users")
    return {"channel": {"id": room.channel(room.user(users[0]).id).id}}


def conversations_history(room: Workspace, args: Args) -> Json:
    """Newest first; metadata only when asked for."""
    channel = room.channel(args.required("channel"))
    limit = args.number("limit", 100, 999)
    latest = args.text("cursor") or args.text("latest") or "9"
    found = room.store.messages(
        channel.id,
        oldest=args.text("oldest"),
        latest=latest,
        inclusive=args.flag("inclusive"),
        limit=limit + 1,
    )
    more = len(found) > limit
    page = found[:limit]
    answer: Json = {"messages": _shown(page, args), "has_more": more, "pin_count": len(room.pins(channel))}
    if more:
        answer["response_metadata"] = {"next_cursor": page[-1]["ts"]}
    return answer


def conversations_replies(room: Workspace, args: Args) -> Json:
    channel = room.channel(args.required("channel"))
    parent = room.store.message(channel.id, args.required("ts"))
    if parent is None:
        raise ApiError("thread_not_found")
    replies = room.store.replies(channel.id, parent["ts"])
    return {"messages": _shown([parent, *replies], args), "has_more": False}


def _shown(messages: list[Json], args: Args) -> list[Json]:
    if args.flag("include_all_metadata"):
        return messages
    return [{key: value for key, value in message.items() if key != "metadata"} for message in messages]


def conversations_members(room: Workspace, args: Args) -> Json:
    channel = room.channel(args.required("channel"))
    members = [*room.members(channel), room.config.bot_user_id]
    return {"members": members, "response_metadata": {"next_cursor": ""}}


def conversations_set_topic(room: Workspace, args: Args) -> Json:
    channel = room.channel(args.required("channel"))
    topic = args.text("topic")
    if len(topic) > 250:
        raise ApiError("too_long")
    room.set_topic(channel, topic)
    return {"channel": _channel_json(room, channel)}


def conversations_join(room: Workspace, args: Args) -> Json:
    return {"channel": _channel_json(room, room.channel(args.required("channel")))}


# people


def user_json(room: Workspace, user: RoomUser) -> Json:
    bot = user.id == room.config.bot_user_id
    offset = datetime.fromtimestamp(room.clock.now(), UTC).astimezone(ZoneInfo(user.tz)).utcoffset()
    return {
        "id": user.id,
        "team_id": room.config.team_id,
        "name": user.name,
        "deleted": False,
        "real_name": user.shown,
        "tz": user.tz,
        "tz_offset": int(offset.total_seconds()) if offset else 0,
        "is_bot": bot,
        "is_app_user": False,
        "is_restricted": user.guest,
        "is_ultra_restricted": False,
        "is_stranger": False,
        "profile": {"real_name": user.shown, "display_name": user.name, "title": user.title},
    }


def _bot(room: Workspace) -> RoomUser:
    return RoomUser(id=room.config.bot_user_id, name=room.config.bot_name)


def users_info(room: Workspace, args: Args) -> Json:
    user_id = args.required("user")
    user = _bot(room) if user_id == room.config.bot_user_id else room.user(user_id)
    return {"user": user_json(room, user)}


def users_list(room: Workspace, _args: Args) -> Json:
    members = [user_json(room, user) for user in (*room.users.values(), _bot(room))]
    return {"members": members, "cache_ts": int(room.clock.now()), "response_metadata": {"next_cursor": ""}}


def usergroups_users_list(room: Workspace, args: Args) -> Json:
    wanted = args.required("usergroup")
    for group in room.config.groups:
        if group.id == wanted:
            return {"users": list(group.users)}
    raise ApiError("no_such_subteam")


METHODS: Mapping[str, Method] = {
    "api.test": api_test,
    "auth.test": auth_test,
    "conversations.info": conversations_info,
    "conversations.list": conversations_list,
    "conversations.open": conversations_open,
    "conversations.history": conversations_history,
    "conversations.replies": conversations_replies,
    "conversations.members": conversations_members,
    "conversations.setTopic": conversations_set_topic,
    "conversations.join": conversations_join,
    "users.info": users_info,
    "users.list": users_list,
    "usergroups.users.list": usergroups_users_list,
}
