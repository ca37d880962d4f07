"""
Response URLs: five messages within thirty minutes of one act, to the place where it was done.

Decides whether an address may still be used, and does what Slack does with what is sent there.
"""

import secrets
from dataclasses import dataclass

from aiohttp import web

from bot.room.answers import ApiError, Json, refused_payload
from bot.room.args import Args, arguments_of
from bot.room.blockkit import check_blocks
from bot.room.config import RoomChannel
from bot.room.frames import FramesLog
from bot.room.workspace import Workspace

_KEPT = 1000


@dataclass(slots=True)
class _Hook:
    channel: RoomChannel
    user: str
    message_ts: str
    issued: float
    left: int


class ResponseUrls:
    """The addresses given out lately."""

    def __init__(self, room: Workspace, frames: FramesLog) -> None:
        self._room = room
        self._frames = frames
        self._hooks: dict[str, _Hook] = {}

    def issue(self, channel: RoomChannel, user: str, message_ts: str = "") -> str:
        """Return an address that answers *user* in *channel*; *message_ts* is the message acted on, if any."""
        name = secrets.token_urlsafe(18)
        uses = self._room.config.timing.response_url_uses
        self._hooks[name] = _Hook(channel, user, message_ts, self._room.clock.monotonic(), uses)
        if len(self._hooks) > _KEPT:
            del self._hooks[next(iter(self._hooks))]
        return f"{self._room.base_url}/respond/{name}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        args = await arguments_of(request)
        self._frames.note("web", "in", "response_url", args.as_json())
        try:
            self.use(request.match_info["name"], args)
        except ApiError as refusal:
            status = 404 if refusal.word in {"used_url", "expired_url"} else 400
            return web.json_response(refusal.body(), status=status)
        return web.Response(text="ok")

    def use(self, name: str, args: Args) -> None:
        hook = self._hooks.get(name)
        if hook is None or self._room.clock.monotonic() - hook.issued > self._room.config.timing.response_url_s:
            raise ApiError("expired_url")
        if hook.left < 1:
            raise ApiError("used_url")
        self._apply(hook, args)
        hook.left -= 1

    def _apply(self, hook: _Hook, args: Args) -> None:
        if args.flag("delete_original"):
            self._delete_original(hook)
            return
        blocks = args.structured("blocks", "invalid_blocks_format") or []
        faults = check_blocks(blocks)
        if faults:
            raise refused_payload("invalid_blocks", faults, "/blocks")
        if not blocks and not args.text("text"):
            raise ApiError("no_text")
        message = self._room.say_from_bot(args.text("text"), blocks)
        if args.text("thread_ts"):
            message["thread_ts"] = args.text("thread_ts")
        if args.flag("replace_original") and hook.message_ts:
            self._replace_original(hook, message)
        elif args.text("response_type") == "in_channel":
            self._room.post(hook.channel, message)
        else:
            self._room.whisper(hook.channel, hook.user, message)

    def _replace_original(self, hook: _Hook, message: Json) -> None:
        ephemeral = self._room.ephemeral(hook.message_ts, hook.user)
        if ephemeral is not None:
            self._room.rewhisper(ephemeral, message)
        else:
            old = self._room.message(hook.channel, hook.message_ts)
            kept = {key: value for key, value in old.items() if key not in {"blocks", "edited"}}
            self._room.replace(hook.channel, kept | message)

    def _delete_original(self, hook: _Hook) -> None:
        ephemeral = self._room.ephemeral(hook.message_ts, hook.user)
        if ephemeral is not None:
            self._room.hush(ephemeral)
        elif hook.message_ts:
            self._room.delete(hook.channel, hook.message_ts)
