"""
The Block Kit checker: which blocks Slack would refuse, and where.

Pure. A fault is `/0/text/text: why`, a JSON pointer below `blocks` and Slack's kind of sentence. The limits
are Slack's published ones; what Slack never wrote down (a repeated action_id) is refused, the safer side.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bot.room.blockkit_elements import (
    ACTION_ELEMENTS,
    CONTEXT_ELEMENTS,
    INPUT_ELEMENTS,
    SECTION_ELEMENTS,
    Fault,
    check_element,
    check_id,
    check_text,
    unknown_fields,
)

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
_MESSAGE_TYPES = frozenset(
    {"section", "divider", "header", "image", "actions", "context", "rich_text", "input", "markdown"}
)
_VIEW_TYPES = _MESSAGE_TYPES - {"markdown"}
_RICH_PARTS = frozenset({"rich_text_section", "rich_text_preformatted", "rich_text_quote", "rich_text_list"})

_Check = Callable[[Mapping[str, Any], str], Iterable[Fault]]


def check_blocks(blocks: object, *, view: bool = False) -> list[Fault]:
    """Return every fault of *blocks*, none when Slack would take them."""
    if not isinstance(blocks, list):
        return [": must be a list of blocks"]
    most = VIEW_BLOCKS if view else MESSAGE_BLOCKS
    if len(blocks) > most:
        return [f": no more than {most} items allowed"]
    faults: list[Fault] = []
    for index, block in enumerate(blocks):
        faults += _check_block(block, f"/{index}", view=view)
    return [*faults, *_repeated(blocks, "block_id", "")]


def _check_block(block: object, at: str, *, view: bool) -> list[Fault]:
    if not isinstance(block, Mapping):
        return [f"{at}: must be an object"]
    kind = block.get("type")
    if kind not in (_VIEW_TYPES if view else _MESSAGE_TYPES):
        return [f"{at}/type: unsupported type: {kind}"]
    fields, check = _BLOCKS[str(kind)]
    return [
        *unknown_fields(block, {"type", "block_id", *fields}, at),
        *check_id(block, "block_id", at),
        *check(block, at),
    ]


def _section(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    text, fields, accessory = block.get("text"), block.get("fields"), block.get("accessory")
    if text is None and not fields:
        yield f"{at}: must provide text or fields"
    if text is not None:
        yield from check_text(text, f"{at}/text", most=3000)
    if fields is not None:
        if not isinstance(fields, list) or not 1 <= len(fields) <= 10:
            yield f"{at}/fields: must have between 1 and 10 items"
        else:
            for index, field in enumerate(fields):
                yield from check_text(field, f"{at}/fields/{index}", most=2000)
    if accessory is not None:
        yield from check_element(accessory, f"{at}/accessory", SECTION_ELEMENTS)


def _header(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    yield from check_text(block.get("text"), f"{at}/text", most=150, plain=True)


def _markdown(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    text = block.get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= 12_000:
        yield f"{at}/text: must be between 1 and 12000 characters"


def _nothing(_block: Mapping[str, Any], _at: str) -> Iterable[Fault]:
    return ()


def _actions(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
        yield f"{at}/elements: must have between 1 and 25 items"
        return
    for index, element in enumerate(elements):
        yield from check_element(element, f"{at}/elements/{index}", ACTION_ELEMENTS)
    yield from _repeated(elements, "action_id", f"{at}/elements")


def _context(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
        yield f"{at}/elements: must have between 1 and 10 items"
        return
    for index, element in enumerate(elements):
        kind = element.get("type") if isinstance(element, Mapping) else None
        if kind in {"mrkdwn", "plain_text"}:
            yield from check_text(element, f"{at}/elements/{index}", most=3000)
        else:
            yield from check_element(element, f"{at}/elements/{index}", CONTEXT_ELEMENTS)


def _image(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    if block.get("title") is not None:
        yield from check_text(block["title"], f"{at}/title", most=2000, plain=True)
    if not block.get("image_url") and not block.get("slack_file"):
        yield f"{at}/image_url: missing required field: image_url"
    alt = block.get("alt_text")
    if not isinstance(alt, str) or not 1 <= len(alt) <= 2000:
        yield f"{at}/alt_text: must be between 1 and 2000 characters"


def _input(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    yield from check_text(block.get("label"), f"{at}/label", most=2000, plain=True)
    yield from check_element(block.get("element"), f"{at}/element", INPUT_ELEMENTS)
    if block.get("hint") is not None:
        yield from check_text(block["hint"], f"{at}/hint", most=2000, plain=True)


def _rich_text(block: Mapping[str, Any], at: str) -> Iterable[Fault]:
    parts = block.get("elements")
    if not isinstance(parts, list) or not parts:
        yield f"{at}/elements: must have at least 1 item"
        return
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in _RICH_PARTS:
            yield f"{at}/elements/{index}/type: unsupported type: {kind}"
        elif not isinstance(part.get("elements"), list):
            yield f"{at}/elements/{index}/elements: must be a list"


_BLOCKS: Mapping[str, tuple[frozenset[str], _Check]] = {
    "section": (frozenset({"text", "fields", "accessory", "expand"}), _section),
    "divider": (frozenset(), _nothing),
    "header": (frozenset({"text"}), _header),
    "image": (frozenset({"image_url", "slack_file", "alt_text", "title"}), _image),
    "actions": (frozenset({"elements"}), _actions),
    "context": (frozenset({"elements"}), _context),
    "rich_text": (frozenset({"elements"}), _rich_text),
    "input": (frozenset({"label", "element", "hint", "optional", "dispatch_action"}), _input),
    "markdown": (frozenset({"text"}), _markdown),
}


def _repeated(things: Sequence[object], key: str, at: str) -> list[Fault]:
    seen: set[str] = set()
    faults: list[Fault] = []
    for index, thing in enumerate(things):
        value = thing.get(key) if isinstance(thing, Mapping) else None
        if not isinstance(value, str):
            continue
        if value in seen:
            faults.append(f"{at}/{index}/{key}: `{key}` {value} already exists")
        seen.add(value)
    return faults
