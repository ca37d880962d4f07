"""
The shapes of what Slack sends to an app: slash commands, clicks, submitted views, events.

Pure, apart from the numbers it is handed. Decides nothing.
"""

from bot.room.answers import Json
from bot.room.config import RoomChannel, RoomConfig, RoomUser


def escaped(text: str) -> str:
    """Return *text* as Slack hands on what people type: its three control characters as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _common(config: RoomConfig, user: RoomUser, trigger_id: str) -> Json:
    return {
        "team": {"id": config.team_id, "domain": "war-room"},
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": config.team_id},
        "api_app_id": config.app_id,
        "token": "room",
        "trigger_id": trigger_id,
        "enterprise": None,
        "is_enterprise_install": False,
    }


def slash_command(
    config: RoomConfig, user: RoomUser, channel: RoomChannel, command: str, text: str, trigger_id: str, hook: str
) -> Json:
    return {
        "token": "room",
        "team_id": config.team_id,
        "team_domain": "war-room",
        "channel_id": channel.id,
        "channel_name": channel.name,
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": escaped(text),
        "api_app_id": config.app_id,
        "is_enterprise_install": "false",
        "response_url": hook,
        "trigger_id": trigger_id,
    }


def message_click(
    config: RoomConfig,
    user: RoomUser,
    channel: RoomChannel,
    message: Json,
    action: Json,
    state: Json,
    trigger_id: str,
    hook: str,
) -> Json:
    """A click in a message; an ephemeral message is named but not shown to the app, as in Slack."""
    ephemeral = bool(message.get("is_ephemeral"))
    container: Json = {
        "type": "message",
        "message_ts": message["ts"],
        "channel_id": channel.id,
        "is_ephemeral": ephemeral,
    }
    if message.get("thread_ts"):
        container["thread_ts"] = message["thread_ts"]
    payload = {
        "type": "block_actions",
        **_common(config, user, trigger_id),
        "container": container,
        "channel": {"id": channel.id, "name": channel.name},
        "state": {"values": state},
        "response_url": hook,
        "actions": [action],
    }
    return payload if ephemeral else {**payload, "message": message}


def view_click(config: RoomConfig, user: RoomUser, view: Json, action: Json, trigger_id: str) -> Json:
    return {
        "type": "block_actions",
        **_common(config, user, trigger_id),
        "container": {"type": "view", "view_id": view["id"]},
        "view": view,
        "actions": [action],
    }


def view_submission(config: RoomConfig, user: RoomUser, view: Json, trigger_id: str) -> Json:
    return {"type": "view_submission", **_common(config, user, trigger_id), "view": view, "response_urls": []}


def view_closed(config: RoomConfig, user: RoomUser, view: Json, *, cleared: bool) -> Json:
    common = _common(config, user, "")
    del common["trigger_id"]
    return {"type": "view_closed", **common, "view": view, "is_cleared": cleared}


def event_callback(config: RoomConfig, event: Json, event_id: str, event_time: int) -> Json:
    return {
        "token": "room",
        "type": "event_callback",
        "team_id": config.team_id,
        "api_app_id": config.app_id,
        "event": event,
        "event_id": event_id,
        "event_time": event_time,
        "event_context": f"4-{event_id}",
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": config.team_id,
                "user_id": config.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
    }
