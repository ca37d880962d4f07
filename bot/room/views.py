"""
Modals as Slack keeps them: a stack of at most three per person, each with an id, a hash and a root.

Knows what opening, pushing, updating and closing do to the stack; not who asked.
"""

import secrets

from bot.room.answers import ApiError, Json, refused_payload
from bot.room.viewkit import STACK, check_view, is_too_large
from bot.room.workspace import Workspace, with_ids


def made(room: Workspace, view: Json, *, previous: Json | None = None) -> Json:
    """Return *view* checked and dressed with the fields Slack adds; refuse it in Slack's words otherwise."""
    if is_too_large(view):
        raise ApiError("view_too_large")
    faults = check_view(view)
    if faults:
        raise refused_payload("invalid_arguments", faults, "/view")
    view_id = f"V{secrets.token_hex(5).upper()}"
    return {
        "private_metadata": "",
        "callback_id": "",
        "external_id": "",
        "clear_on_close": False,
        "notify_on_close": False,
        "submit": None,
        "close": None,
        **view,
        "blocks": with_ids(view["blocks"]),
        "id": view_id,
        "team_id": room.config.team_id,
        "app_id": room.config.app_id,
        "bot_id": room.config.bot_id,
        "state": {"values": {}},
        "hash": _fresh_hash(room),
        "root_view_id": previous["root_view_id"] if previous else view_id,
        "previous_view_id": previous["id"] if previous else None,
    }


def _fresh_hash(room: Workspace) -> str:
    return f"{int(room.clock.now())}.{secrets.token_hex(4)}"


def open_view(room: Workspace, user: str, view: Json) -> Json:
    """A new modal replaces whatever stack the person had."""
    whole = made(room, view)
    room.set_stack(user, [whole])
    return whole


def push_view(room: Workspace, user: str, view: Json) -> Json:
    stack = room.store.stack(user)
    if not stack:
        raise ApiError("not_found")
    if len(stack) >= STACK:
        raise ApiError("push_limit_reached")
    whole = made(room, view, previous=stack[-1])
    room.set_stack(user, [*stack, whole])
    return whole


def update_view(room: Workspace, old: Json, view: Json) -> Json:
    """Replace the content of *old* and keep its place in the stack."""
    fresh = made(room, view)
    kept = {key: old[key] for key in ("id", "root_view_id", "previous_view_id")}
    whole = {**fresh, **kept}
    user = room.store.view_owner(old["id"])
    room.set_stack(user, [whole if view["id"] == old["id"] else view for view in room.store.stack(user)])
    return whole


def close_view(room: Workspace, user: str, view_id: str) -> None:
    """Close one modal and those above it."""
    stack = room.store.stack(user)
    places = [place for place, view in enumerate(stack) if view["id"] == view_id]
    if places:
        room.set_stack(user, stack[: places[0]])
