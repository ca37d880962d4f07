"""The Web API's `views.*`: opening needs a fresh trigger id, changing needs the view and, if given, its hash."""

from collections.abc import Callable, Mapping

from bot.room.answers import ApiError, Json
from bot.room.args import Args
from bot.room.triggers import Triggers
from bot.room.views import made, open_view, push_view, update_view
from bot.room.workspace import Workspace

ViewMethod = Callable[[Workspace, Triggers, Args], Json]


def _view(args: Args, kind: str) -> Json:
    view = args.structured("view", "invalid_arguments")
    if not isinstance(view, dict) or view.get("type") != kind:
        told = [f"[ERROR] must be a view of type {kind} [json-pointer:/view]"]
        raise ApiError("invalid_arguments", response_metadata={"messages": told})
    return view


def views_open(room: Workspace, triggers: Triggers, args: Args) -> Json:
    trigger = args.required("trigger_id")
    user = triggers.check(trigger)
    whole = open_view(room, user, _view(args, "modal"))
    triggers.spend(trigger)
    return {"view": whole}


def views_push(room: Workspace, triggers: Triggers, args: Args) -> Json:
    trigger = args.required("trigger_id")
    user = triggers.check(trigger)
    whole = push_view(room, user, _view(args, "modal"))
    triggers.spend(trigger)
    return {"view": whole}


def views_update(room: Workspace, _triggers: Triggers, args: Args) -> Json:
    if args.text("external_id"):
        old = room.store.view_by_external_id(args.text("external_id"))
    else:
        old = room.store.view(args.required("view_id"))
    if old is None:
        raise ApiError("not_found")
    if args.text("hash") and args.text("hash") != old["hash"]:
        raise ApiError("hash_conflict")
    return {"view": update_view(room, old, _view(args, "modal"))}


def views_publish(room: Workspace, _triggers: Triggers, args: Args) -> Json:
    user = room.user(args.required("user_id"))
    old = room.store.home(user.id)
    if args.text("hash") and old is not None and args.text("hash") != old["hash"]:
        raise ApiError("hash_conflict")
    whole = made(room, _view(args, "home"))
    if old is not None:
        whole |= {"id": old["id"], "root_view_id": old["id"]}
    room.store.put_home(user.id, whole)
    room.feed.publish("home", {"view": whole}, [user.id])
    return {"view": whole}


METHODS: Mapping[str, ViewMethod] = {
    "views.open": views_open,
    "views.push": views_push,
    "views.update": views_update,
    "views.publish": views_publish,
}
