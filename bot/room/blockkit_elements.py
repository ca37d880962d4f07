"""
The Block Kit checker's smaller parts: texts, identifiers, options, confirm dialogs and interactive elements.

Pure. `blockkit.py` says which block may hold which element; this file says what each element must be.
"""

from collections.abc import Iterable, Mapping
from typing import Any

#: `/0/text/text: must be less than 3001 characters`
Fault = str

_TEXT_FIELDS = {
    "plain_text": frozenset({"type", "text", "emoji"}),
    "mrkdwn": frozenset({"type", "text", "verbatim"}),
}
_SELECTS = frozenset({"static_select", "multi_static_select", "users_select", "multi_users_select"})
_PICKERS = frozenset({"datepicker", "timepicker", "radio_buttons", "checkboxes"})
ACTION_ELEMENTS = _SELECTS | _PICKERS | {"button", "overflow"}
SECTION_ELEMENTS = ACTION_ELEMENTS | {"image"}
CONTEXT_ELEMENTS = frozenset({"image"})
INPUT_ELEMENTS = _SELECTS | _PICKERS | {"plain_text_input", "number_input", "email_text_input", "url_text_input"}

_COMMON = frozenset({"type", "action_id"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "button": frozenset({"text", "value", "url", "style", "confirm", "accessibility_label"}),
    "overflow": frozenset({"options", "confirm"}),
    "static_select": frozenset(
        {"placeholder", "options", "option_groups", "initial_option", "confirm", "focus_on_load"}
    ),
    "multi_static_select": frozenset(
        {
            "placeholder",
            "options",
            "option_groups",
            "initial_options",
            "confirm",
            "max_selected_items",
            "focus_on_load",
        }
    ),
    "users_select": frozenset({"placeholder", "initial_user", "confirm", "focus_on_load"}),
    "multi_users_select": frozenset({"placeholder", "initial_users", "confirm", "max_selected_items", "focus_on_load"}),
    "radio_buttons": frozenset({"options", "initial_option", "confirm", "focus_on_load"}),
    "checkboxes": frozenset({"options", "initial_options", "confirm", "focus_on_load"}),
    "datepicker": frozenset({"placeholder", "initial_date", "confirm", "focus_on_load"}),
    "timepicker": frozenset({"placeholder", "initial_time", "confirm", "focus_on_load", "timezone"}),
    "plain_text_input": frozenset(
        {
            "placeholder",
            "initial_value",
            "multiline",
            "min_length",
            "max_length",
            "dispatch_action_config",
            "focus_on_load",
        }
    ),
    "number_input": frozenset(
        {
            "placeholder",
            "initial_value",
            "is_decimal_allowed",
            "min_value",
            "max_value",
            "dispatch_action_config",
            "focus_on_load",
        }
    ),
    "email_text_input": frozenset({"placeholder", "initial_value", "dispatch_action_config", "focus_on_load"}),
    "url_text_input": frozenset({"placeholder", "initial_value", "dispatch_action_config", "focus_on_load"}),
    "image": frozenset({"image_url", "slack_file", "alt_text"}),
}
_MOST_OPTIONS = {"overflow": 5, "radio_buttons": 10, "checkboxes": 10}


def unknown_fields(thing: Mapping[str, Any], known: Iterable[str], at: str) -> list[Fault]:
    """Return a fault for each key that Slack does not know there."""
    return [f"{at}: invalid additional property: {key}" for key in sorted(set(thing) - set(known))]


def check_id(thing: Mapping[str, Any], key: str, at: str) -> Iterable[Fault]:
    """An identifier may be left out; if given it has 1 to 255 characters."""
    value = thing.get(key)
    if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= 255):
        yield f"{at}/{key}: must be between 1 and 255 characters"


def check_text(text: object, at: str, *, most: int, plain: bool = False) -> Iterable[Fault]:
    """A text object: present, of a kind allowed there, neither empty nor too long."""
    if not isinstance(text, Mapping):
        yield f"{at}: must provide an object"
        return
    kind = text.get("type")
    if kind not in _TEXT_FIELDS or (plain and kind != "plain_text"):
        yield f"{at}/type: must be one of: {'plain_text' if plain else 'plain_text, mrkdwn'}"
        return
    yield from unknown_fields(text, _TEXT_FIELDS[kind], at)
    words = text.get("text")
    if not isinstance(words, str) or not words:
        yield f"{at}/text: must be more than 0 characters"
    elif len(words) > most:
        yield f"{at}/text: must be less than {most + 1} characters"


def check_element(element: object, at: str, allowed: Iterable[str]) -> Iterable[Fault]:
    """An interactive element (or image) that may stand there."""
    if not isinstance(element, Mapping):
        yield f"{at}: must provide an object"
        return
    kind = str(element.get("type"))
    if kind not in set(allowed):
        yield f"{at}/type: unsupported type: {kind}"
        return
    common = {"type"} if kind == "image" else _COMMON
    yield from unknown_fields(element, common | _FIELDS[kind], at)
    yield from check_id(element, "action_id", at)
    if kind == "button":
        yield from _button(element, at)
    elif kind == "image":
        yield from _image(element, at)
    else:
        yield from _chooser(element, kind, at)
    if element.get("confirm") is not None:
        yield from _confirm(element["confirm"], f"{at}/confirm")


def _button(element: Mapping[str, Any], at: str) -> Iterable[Fault]:
    yield from check_text(element.get("text"), f"{at}/text", most=75, plain=True)
    if element.get("style") not in {None, "primary", "danger"}:
        yield f"{at}/style: must be one of: primary, danger"
    yield from _at_most(element, "value", 2000, at)
    yield from _at_most(element, "url", 3000, at)
    yield from _at_most(element, "accessibility_label", 75, at)


def _image(element: Mapping[str, Any], at: str) -> Iterable[Fault]:
    if not element.get("alt_text"):
        yield f"{at}/alt_text: must be more than 0 characters"
    if not element.get("image_url") and not element.get("slack_file"):
        yield f"{at}/image_url: missing required field: image_url"


def _chooser(element: Mapping[str, Any], kind: str, at: str) -> Iterable[Fault]:
    if element.get("placeholder") is not None:
        yield from check_text(element["placeholder"], f"{at}/placeholder", most=150, plain=True)
    if "options" in _FIELDS[kind]:
        yield from _all_options(element, kind, at)
    if kind == "plain_text_input":
        yield from _input_lengths(element, at)
    if kind == "number_input" and not isinstance(element.get("is_decimal_allowed"), bool):
        yield f"{at}/is_decimal_allowed: missing required field: is_decimal_allowed"


def _all_options(element: Mapping[str, Any], kind: str, at: str) -> Iterable[Fault]:
    groups = element.get("option_groups")
    if groups is None:
        yield from _options(element.get("options"), f"{at}/options", most=_MOST_OPTIONS.get(kind, 100), kind=kind)
        return
    if not isinstance(groups, list) or not 1 <= len(groups) <= 100:
        yield f"{at}/option_groups: must have between 1 and 100 items"
        return
    for index, group in enumerate(groups):
        place = f"{at}/option_groups/{index}"
        if not isinstance(group, Mapping):
            yield f"{place}: must provide an object"
            continue
        yield from check_text(group.get("label"), f"{place}/label", most=75, plain=True)
        yield from _options(group.get("options"), f"{place}/options", most=100, kind=kind)


def _options(options: object, at: str, *, most: int, kind: str) -> Iterable[Fault]:
    if not isinstance(options, list) or not 1 <= len(options) <= most:
        yield f"{at}: must have between 1 and {most} items"
        return
    rich = kind in {"radio_buttons", "checkboxes"}
    for index, option in enumerate(options):
        place = f"{at}/{index}"
        if not isinstance(option, Mapping):
            yield f"{place}: must provide an object"
            continue
        yield from unknown_fields(option, {"text", "value", "description", "url"}, place)
        yield from check_text(option.get("text"), f"{place}/text", most=75, plain=not rich)
        value = option.get("value")
        if not isinstance(value, str) or not 1 <= len(value) <= 150:
            yield f"{place}/value: must be between 1 and 150 characters"
        if option.get("description") is not None:
            yield from check_text(option["description"], f"{place}/description", most=75, plain=not rich)


def _input_lengths(element: Mapping[str, Any], at: str) -> Iterable[Fault]:
    least, most = element.get("min_length"), element.get("max_length")
    if least is not None and not 0 <= least <= 3000:
        yield f"{at}/min_length: must be between 0 and 3000"
    if most is not None and not 1 <= most <= 3000:
        yield f"{at}/max_length: must be between 1 and 3000"
    yield from _at_most(element, "initial_value", 3000, at)


def _confirm(confirm: object, at: str) -> Iterable[Fault]:
    if not isinstance(confirm, Mapping):
        yield f"{at}: must provide an object"
        return
    yield from unknown_fields(confirm, {"title", "text", "confirm", "deny", "style"}, at)
    yield from check_text(confirm.get("title"), f"{at}/title", most=100, plain=True)
    yield from check_text(confirm.get("text"), f"{at}/text", most=300)
    yield from check_text(confirm.get("confirm"), f"{at}/confirm", most=30, plain=True)
    yield from check_text(confirm.get("deny"), f"{at}/deny", most=30, plain=True)
    if confirm.get("style") not in {None, "primary", "danger"}:
        yield f"{at}/style: must be one of: primary, danger"


def _at_most(thing: Mapping[str, Any], key: str, most: int, at: str) -> Iterable[Fault]:
    value = thing.get(key)
    if value is not None and (not isinstance(value, str) or len(value) > most):
        yield f"{at}/{key}: must be less than {most + 1} characters"
