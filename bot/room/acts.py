"""
What people do in the room: say, click, fill in, close. Each becomes the payload Slack would send.

Decides what the person sees when the bot answers, refuses, is late or is not there. Who a person is, is
not verified here: the page lets anybody act as anybody, and the team id tells the bot so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.room import payloads
from bot.room.answers import ApiError, Json
from bot.room.blockkit import check_blocks
from bot.room.config import RoomChannel, RoomUser
from bot.room.events import Events
from bot.room.hooks import ResponseUrls
from bot.room.methods_chat import react
from bot.room.sockets import Delivery, SocketHub
from bot.room.triggers import Triggers
from bot.room.viewkit import elements, fill, state_of
from bot.room.views import close_view, push_view, update_view
from bot.room.workspace import Workspace

NOT_CONNECTED = "The bot is not connected; nothing was recorded."
LATE = (
    "{what} failed with the error “operation_timeout”: the bot did not answer within 3 seconds."
    " It may have been recorded: look at the board before you do it again."
)
FORM_LATE = "We had some trouble connecting: the bot did not answer within 3 seconds. Your text is kept; try again."
FORM_NOT_CONNECTED = f"{NOT_CONNECTED} Your text is kept; try again when the red bar is gone."
IN_THREAD = "{command} is not supported in threads. Write it in the channel."
UNKNOWN = "{command} is not a valid command here. These are: {known}."
CHANGED = "This message has changed since; nothing was sent. Look at it again."
MOST_TYPED = 8000


class ActRefused(Exception):
    """The room itself cannot do what the person asked; the text says why. Nothing reached the bot."""


@dataclass(frozen=True, slots=True)
class Click:
    """What was clicked, where, and what was chosen there."""

    action_id: str
    channel: str = ""
    ts: str = ""
    view_id: str = ""
    block_id: str = ""
    value: object = None
    #: What stands in the other inputs of the same message or view.
    typed: Mapping[str, object] = field(default_factory=dict)


class Acts:
    """The people's side of one room."""

    def __init__(
        self, room: Workspace, hub: SocketHub, triggers: Triggers, hooks: ResponseUrls, events: Events
    ) -> None:
        self._room = room
        self._hub = hub
        self._triggers = triggers
        self._hooks = hooks
        self._events = events

    def _place(self, user: RoomUser, name: str) -> RoomChannel:
        channel = self._room.channel(name)
        if user.id not in self._room.members(channel):
            raise ActRefused(f"{user.shown} is not in this channel.")
        return channel

    # saying

    async def say(self, user: RoomUser, channel_name: str, text: str, thread_ts: str = "") -> Json:
        """Say something; a text that begins with "/" is a command. Return what the person sees at once."""
        channel = self._place(user, channel_name)
        text = text.strip()
        if not text:
            raise ActRefused("There is nothing to send.")
        if len(text) > MOST_TYPED:
            raise ActRefused(f"This is too long: {len(text)} characters, at most {MOST_TYPED}.")
        if re.match(r"/[a-z]", text):
            return {"replies": await self._command(user, channel, text, thread_ts)}
        return {"message": self._message(user, channel, text, thread_ts), "replies": []}

    def _message(self, user: RoomUser, channel: RoomChannel, text: str, thread_ts: str) -> Json:
        words = self._with_mentions(payloads.escaped(text))
        message: Json = {"user": user.id, "text": words}
        if thread_ts:
            message["thread_ts"] = thread_ts
        posted = self._room.post(channel, message)
        event = {**posted, "channel": channel.id, "event_ts": posted["ts"], "channel_type": "channel"}
        self._events.emit(event)
        if f"<@{self._room.config.bot_user_id}>" in words:
            self._events.emit({**event, "type": "app_mention"})
        return posted

    def _with_mentions(self, text: str) -> str:
        ids = {user.name: user.id for user in self._room.users.values()}
        ids[self._room.config.bot_name] = self._room.config.bot_user_id
        return re.sub(
            r"(?<![\w@])@([a-z0-9._-]*[a-z0-9])",
            lambda found: f"<@{ids[found[1]]}>" if found[1] in ids else found[0],
            text,
        )

    async def _command(self, user: RoomUser, channel: RoomChannel, text: str, thread_ts: str) -> list[Json]:
        command, _, rest = text.partition(" ")
        known = self._room.config.commands
        if command not in known:
            return [self._tell(user, channel, UNKNOWN.format(command=command, known=", ".join(known)), thread_ts)]
        if thread_ts:
            return [self._tell(user, channel, IN_THREAD.format(command=command), thread_ts)]
        payload = payloads.slash_command(
            self._room.config,
            user,
            channel,
            command,
            rest.strip(),
            self._triggers.issue(user.id),
            self._hooks.issue(channel, user.id),
        )
        delivery = await self._hub.deliver("slash_commands", payload)
        if not delivery.acked:
            late = LATE.format(what=command) if delivery.connected else NOT_CONNECTED
            return [self._tell(user, channel, late)]
        return self._answered(user, channel, delivery.payload)

    def _tell(self, user: RoomUser, channel: RoomChannel, text: str, thread_ts: str = "") -> Json:
        message: Json = {"user": "USLACKBOT", "subtype": "room", "text": text}
        return self._room.whisper(channel, user.id, message | ({"thread_ts": thread_ts} if thread_ts else {}))

    def _answered(self, user: RoomUser, channel: RoomChannel, answer: Json) -> list[Json]:
        blocks = answer.get("blocks") or []
        if not answer.get("text") and not blocks:
            return []
        if check_blocks(blocks):
            return [self._tell(user, channel, "The bot's answer could not be shown: invalid_blocks.")]
        message = self._room.say_from_bot(str(answer.get("text") or ""), blocks)
        if answer.get("response_type") == "in_channel":
            return [self._room.post(channel, message)]
        return [self._room.whisper(channel, user.id, message)]

    # clicking

    async def click(self, user: RoomUser, click: Click) -> Json:
        """Use a button, menu or picker. The message or view must still hold it, or have held it just now."""
        if click.view_id:
            return await self._click_view(user, click)
        channel = self._place(user, click.channel)
        ephemeral = self._room.ephemeral(click.ts, user.id)
        candidates = (
            [ephemeral.message]
            if ephemeral is not None
            else [self._room.store.message(channel.id, click.ts), self._room.former(channel, click.ts)]
        )
        for message in candidates:
            found = _element(message or {}, click)
            if message is not None and found is not None:
                return await self._click_message(user, channel, message, found, click)
        raise ActRefused(CHANGED)

    async def _click_message(
        self, user: RoomUser, channel: RoomChannel, message: Json, found: tuple[Json, Json], click: Click
    ) -> Json:
        state, _ = fill(message, {**click.typed, click.action_id: click.value})
        payload = payloads.message_click(
            self._room.config,
            user,
            channel,
            message,
            self._action(*found, click.value),
            state,
            self._triggers.issue(user.id),
            self._hooks.issue(channel, user.id, message["ts"]),
        )
        delivery = await self._hub.deliver("interactive", payload)
        if not delivery.acked:
            late = LATE.format(what="The button") if delivery.connected else NOT_CONNECTED
            return {"replies": [self._tell(user, channel, late, message.get("thread_ts", ""))]}
        return {"replies": []}

    async def _click_view(self, user: RoomUser, click: Click) -> Json:
        view = self._my_view(user, click.view_id)
        found = _element(view, click)
        if found is None:
            raise ActRefused(CHANGED)
        values, _ = fill(view, {**click.typed, click.action_id: click.value})
        shown = {**view, "state": {"values": values}}
        action = self._action(*found, click.value)
        payload = payloads.view_click(self._room.config, user, shown, action, self._triggers.issue(user.id))
        delivery = await self._hub.deliver("interactive", payload)
        return {"replies": [], "notice": "" if delivery.acked else _form_trouble(delivery)}

    def _action(self, block: Json, element: Json, value: object) -> Json:
        action: Json = {
            "type": element["type"],
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "action_ts": self._room.next_ts(),
        }
        if element["type"] == "button":
            return action | {key: element[key] for key in ("text", "value", "style") if key in element}
        return action | state_of(element, value)

    # views

    def _my_view(self, user: RoomUser, view_id: str) -> Json:
        for view in (*self._room.store.stack(user.id), self._room.store.home(user.id)):
            if view is not None and view["id"] == view_id:
                return view
        raise ActRefused("This form is not open any more; nothing was sent.")

    async def submit(self, user: RoomUser, view_id: str, typed: Mapping[str, object]) -> Json:
        """Send a filled-in modal. `errors` (by block id) keep it open; a `notice` says what else went wrong."""
        view = self._my_view(user, view_id)
        values, errors = fill(view, typed)
        if errors:
            return {"errors": errors}
        shown = {**view, "state": {"values": values}}
        payload = payloads.view_submission(self._room.config, user, shown, self._triggers.issue(user.id))
        delivery = await self._hub.deliver("interactive", payload)
        if not delivery.acked:
            return {"errors": {}, "notice": _form_trouble(delivery)}
        return self._submitted(user, view, delivery.payload)

    def _submitted(self, user: RoomUser, view: Json, answer: Json) -> Json:
        action = answer.get("response_action")
        if action == "errors":
            known = {block.get("block_id") for block in view["blocks"] if block.get("type") == "input"}
            errors = {key: str(text) for key, text in dict(answer.get("errors") or {}).items() if key in known}
            return {"errors": errors, "notice": "" if errors else "The bot's answer could not be shown."}
        try:
            if action == "update":
                update_view(self._room, view, answer["view"])
            elif action == "push":
                push_view(self._room, user.id, answer["view"])
            elif action == "clear":
                self._room.set_stack(user.id, [])
            elif self._room.store.view(view["id"]):
                close_view(self._room, user.id, view["id"])
        except ApiError as refusal:
            return {"errors": {}, "notice": f"The bot's answer could not be shown: {refusal.word}."}
        return {"errors": {}}

    async def close(self, user: RoomUser, view_id: str) -> Json:
        """Close a modal; one with `clear_on_close` takes the whole stack with it."""
        view = self._my_view(user, view_id)
        cleared = bool(view.get("clear_on_close"))
        if cleared:
            self._room.set_stack(user.id, [])
        else:
            close_view(self._room, user.id, view_id)
        if view.get("notify_on_close"):
            await self._hub.deliver("interactive", payloads.view_closed(self._room.config, user, view, cleared=cleared))
        return {}

    # the rest

    def open_home(self, user: RoomUser) -> Json:
        event = {"type": "app_home_opened", "user": user.id, "tab": "home", "channel": f"D{user.id[1:]}"}
        self._events.emit({**event, "event_ts": self._room.next_ts()})
        return {"view": self._room.store.home(user.id)}

    def react(self, user: RoomUser, channel_name: str, ts: str, name: str) -> Json:
        channel = self._place(user, channel_name)
        react(self._room, channel, ts, name, user.id)
        item = {"type": "message", "channel": channel.id, "ts": ts}
        event = {"type": "reaction_added", "user": user.id, "reaction": name, "item": item}
        self._events.emit({**event, "event_ts": self._room.next_ts()})
        return {}


def _form_trouble(delivery: Delivery) -> str:
    return FORM_LATE if delivery.connected else FORM_NOT_CONNECTED


def _element(holder: Json, click: Click) -> tuple[Json, Json] | None:
    for block, element in elements(holder.get("blocks", ())):
        if element.get("action_id") == click.action_id and click.block_id in {"", block.get("block_id")}:
            return block, element
    return None
