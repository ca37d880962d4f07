"""
One message: its blocks, and the same in plain text for telephones and screen readers.

Keeps within Slack's limits by leaving out lines and saying how many. Knows blocks, not runs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.words.phrases import say
from bot.words.safe import Said, cut

Block = dict[str, Any]

SECTION_CHARS = 2900  #: Slack takes 3000
TEXT_CHARS = 3800  #: chat.update refuses more than 4000
_LABEL_CHARS = 75
_VALUE_CHARS = 2000
_BOLD = re.compile(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])")


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is the fallback, the worst thing first; `blocks` are what Slack shows."""

    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Press:
    """
    A button. `say` does the verb line *does* as if it was typed; `ask` opens the form of that name first.

    With `sure`, people are asked once more in those words, and the button is red.
    """

    label: str
    kind: Literal["say", "ask"]
    does: str
    sure: str = ""
    red: bool = False


def section(lines: Sequence[str]) -> Block:
    """Return *lines* (at least one, safe already) as one block."""
    text = "\n".join(fitting(lines, SECTION_CHARS))
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def sections(lines: Sequence[str]) -> tuple[Block, ...]:
    """Return *lines* in as many blocks as they need: nothing that people sign may be left out."""
    groups: list[list[str]] = [[]]
    for line in lines:
        if groups[-1] and sum(len(one) + 1 for one in groups[-1]) + len(line) > SECTION_CHARS:
            groups.append([])
        groups[-1].append(line)
    return tuple(section(group) for group in groups)


def context(line: str) -> Block:
    """Return *line* as small print."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": cut(line, SECTION_CHARS), "verbatim": True}]}


def buttons(run: str, presses: Sequence[Press]) -> tuple[Block, ...]:
    """Return a row of buttons that concern *run*; no block where there are none."""
    if not presses:
        return ()
    return ({"type": "actions", "elements": [_button(run, n, press) for n, press in enumerate(presses, start=1)]},)


def _button(run: str, number: int, press: Press) -> Block:
    button: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": cut(press.label, _LABEL_CHARS)},
        "action_id": f"{press.kind}-{number}",
        "value": f"{run}|{press.does}"[:_VALUE_CHARS],
    }
    if press.sure or press.red:
        button["style"] = "danger"
    if press.sure:
        button["confirm"] = {
            "title": {"type": "plain_text", "text": cut(press.label, 100)},
            "text": {"type": "mrkdwn", "text": cut(press.sure, 300)},
            "confirm": {"type": "plain_text", "text": say("confirm-yes")},
            "deny": {"type": "plain_text", "text": say("confirm-no")},
            "style": "danger",
        }
    return button


def message(lines: Sequence[str], small: str = "", row: tuple[Block, ...] = ()) -> Message:
    """Return *lines* with small print below them and a row of buttons at the end."""
    shown = [*lines, *([small] if small else [])]
    text = "\n".join(fitting([plain(line) for line in shown], TEXT_CHARS))
    return Message(text, (section(lines), *((context(small),) if small else ()), *row))


def plain(line: str) -> Said:
    """Return *line* without its marks of bold type."""
    return Said(_BOLD.sub(r"\1", line))


def fitting(lines: Sequence[str], most_chars: int, most_lines: int = 1000) -> list[Said]:
    """Return as many of *lines* as fit; the last one then says how many more there are."""
    whole = [cut(line, most_chars) for line in lines]
    if len(whole) <= most_lines and sum(len(line) + 1 for line in whole) <= most_chars:
        return whole
    kept: list[Said] = []
    room = most_chars - len(say("more", count=len(whole))) - 1
    for line in whole[: most_lines - 1]:
        if len(line) + 1 > room and kept:
            break
        kept.append(cut(line, max(room, 1)))
        room -= len(kept[-1]) + 1
    return [*kept, say("more", count=len(whole) - len(kept))]
