"""
Modals and home tabs: which views Slack would refuse, and what a filled-in form is.

Pure. `check_view` answers faults as `blockkit` does; `fill` turns what a person typed into Slack's
`state.values`, or into the inline errors that Slack's own client shows before anything is sent.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from bot.room.answers import Json
from bot.room.blockkit import check_blocks
from bot.room.blockkit_elements import Fault, check_text, unknown_fields

MOST_BYTES = 250_000
STACK = 3
_FIELDS = frozenset(
    {
        "type",
        "title",
        "submit",
        "close",
        "blocks",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
        "submit_disabled",
    }
)
MISSING = "Please fill in this field."


def is_too_large(view: Json) -> bool:
    return len(json.dumps(view).encode()) > MOST_BYTES


def check_view(view: Json) -> list[Fault]:
    """Return every fault of *view*, a modal or a home tab."""
    kind = view.get("type")
    if kind not in {"modal", "home"}:
        return [f"/type: unsupported type: {kind}"]
    faults = [*unknown_fields(view, _FIELDS, "")]
    if kind == "modal":
        faults += check_text(view.get("title"), "/title", most=24, plain=True)
        for key in ("submit", "close"):
            if view.get(key) is not None:
                faults += check_text(view[key], f"/{key}", most=24, plain=True)
        if view.get("submit") is None and any(_is_input(block) for block in view.get("blocks") or ()):
            faults.append("/submit: missing required field: submit")
    faults += _lengths(view)
    return [*faults, *(f"/blocks{fault}" for fault in check_blocks(view.get("blocks"), view=True))]


def _lengths(view: Json) -> Iterator[Fault]:
    for key, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if len(str(view.get(key) or "")) > most:
            yield f"/{key}: must be less than {most + 1} characters"


def _is_input(block: object) -> bool:
    return isinstance(block, Mapping) and block.get("type") == "input"


def elements(blocks: Iterable[Json]) -> Iterator[tuple[Json, Json]]:
    """Yield each interactive element with the block that holds it."""
    for block in blocks:
        for key in ("element", "accessory"):
            if isinstance(block.get(key), dict) and block[key].get("action_id"):
                yield block, block[key]
        if block.get("type") == "actions":
            for element in block.get("elements", ()):
                yield block, element


def fill(view: Json, typed: Mapping[str, object]) -> tuple[Json, dict[str, str]]:
    """
    Return (`state.values`, inline errors by block id) of *view* filled in with *typed*.

    Keys of *typed* are block ids or action ids. What is not typed keeps its initial value.
    """
    values: Json = {}
    errors: dict[str, str] = {}
    for block, element in elements(view.get("blocks", ())):
        if element.get("type") in {"button", "overflow"}:
            continue
        block_id, action_id = block["block_id"], element["action_id"]
        given = typed.get(block_id, typed.get(action_id, _initial(element)))
        values.setdefault(block_id, {})[action_id] = state_of(element, given)
        if block.get("type") == "input":
            fault = _unmet(element, given, optional=bool(block.get("optional")))
            if fault:
                errors[block_id] = fault
    return values, errors


def _initial(element: Json) -> object:
    for key in ("initial_value", "initial_user", "initial_users", "initial_date", "initial_time"):
        if element.get(key) is not None:
            value: object = element[key]
            return value
    if element.get("initial_option"):
        return element["initial_option"]["value"]
    if element.get("initial_options"):
        return [option["value"] for option in element["initial_options"]]
    return None


def state_of(element: Json, given: object) -> Json:
    """Return the state entry of *element* when *given* was chosen or typed."""
    kind = element["type"]
    if kind in {"static_select", "radio_buttons", "overflow"}:
        return {"type": kind, "selected_option": _option(element, given)}
    if kind in {"multi_static_select", "checkboxes"}:
        chosen = [_option(element, value) for value in _listed(given)]
        return {"type": kind, "selected_options": [option for option in chosen if option]}
    if kind == "multi_users_select":
        return {"type": kind, "selected_users": _listed(given)}
    key = {"users_select": "selected_user", "datepicker": "selected_date", "timepicker": "selected_time"}
    return {"type": kind, key.get(kind, "value"): str(given) if given not in {None, ""} else None}


def _listed(given: object) -> list[object]:
    if given is None or given == "":
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _option(element: Json, value: object) -> Json | None:
    groups = element.get("option_groups") or [{"options": element.get("options", ())}]
    for group in groups:
        for option in group["options"]:
            if option["value"] == value:
                found: Json = option
                return found
    return None


def _unmet(element: Json, given: object, *, optional: bool) -> str:
    if not _listed(given):
        return "" if optional else MISSING
    state = state_of(element, given)
    if "selected_option" in state and state["selected_option"] is None:
        return "Choose one of the options."
    if element["type"] == "plain_text_input":
        return _length_fault(element, len(str(given)))
    if element["type"] == "number_input":
        return _number_fault(element, str(given))
    return ""


def _length_fault(element: Json, length: int) -> str:
    least, most = element.get("min_length") or 0, element.get("max_length") or 3000
    if length < least:
        return f"Write at least {least} characters; this has {length}."
    if length > most:
        return f"Write at most {most} characters; this has {length}."
    return ""


def _number_fault(element: Json, given: str) -> str:
    try:
        number = float(given)
    except ValueError:
        return "Write a number."
    if not element.get("is_decimal_allowed") and not number.is_integer():
        return "Write a whole number."
    least, most = element.get("min_value"), element.get("max_value")
    if least is not None and number < float(least):
        return f"The smallest number is {least}."
    if most is not None and number > float(most):
        return f"The largest number is {most}."
    return ""
