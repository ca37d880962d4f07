"""
The forms: what is asked before a verb is said, and the verb line that a filled-in form means.

`modal` makes a form, `faults` says what is wrong with what was filled in, `command_line` turns it into
the line a person could have typed. Nothing is decided here; the verb decides again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.core.runbook import OptionName
from bot.core.standing import word_for_back
from bot.core.state import RunState
from bot.words.message import Block, section
from bot.words.naming import at, check_name, listed, mark, minutes, option_name, trigger_title
from bot.words.phrases import say
from bot.words.safe import Said, cut, said

View = dict[str, Any]

#: Each form by the word that an `ask` button carries, and by the verbs that open it.
KINDS: Mapping[str, str] = {
    "fix-first": "fix-first",
    "continue": "continue",
    "go-back": "go-back",
    "undo": "go-back",
    "port-back": "go-back",
    "reason": "reason",
    "fail": "fail",
}
_LONGEST_FIX = timedelta(minutes=20)
_MINUTES = (5, 10, 15, 20, 30, 45, 60)
_MOST_PEOPLE = 100
_MOST_REASON = 300
_CONFIRMED = re.compile(r"[\s\-_]+")


def modal(kind: str, run: RunState, now: datetime, args: str = "") -> View:
    """
    Return the form *kind* for *run*. Raise KeyError when there is none of that name.

    *args* are the words after the kind on the button: `7 B` for fix-first and continue, `7` for
    reason, a step for fail; a go-back form needs none.
    """
    kind = KINDS[kind]
    match kind:
        case "fix-first":
            title, submit, blocks = say("form-fix"), say("form-fix-submit"), _fix_first(run, now, args)
        case "continue":
            title, submit, blocks = say("form-continue"), say("form-continue-submit"), _go_on(run, args)
        case "go-back":
            back = word_for_back(run)
            args = back
            title = say("form-port-back") if back == "port-back" else say("form-undo")
            submit, blocks = say("form-back-submit"), _go_back(run, back)
        case "fail":
            title, submit, blocks = say("form-fail"), say("form-fail-submit"), _fail(run, args)
        case _:
            title, submit, blocks = say("form-reason"), say("form-reason-submit"), _reason(run, args)
    return {
        "type": "modal",
        "callback_id": "verb",
        "title": _plain(title, 24),
        "submit": _plain(submit, 24),
        "close": _plain(say("form-close"), 24),
        "private_metadata": json.dumps({"kind": kind, "run": run.run, "args": args}),
        "blocks": [section([mark(run)]), *blocks],
    }


def _fix_first(run: RunState, now: datetime, args: str) -> list[Block]:
    number, letter = _two(args)
    decision = run.decisions.get(number)
    offer = decision.offer(letter) if decision else None
    longest = minutes(offer.policy.at_most) if offer and offer.policy.at_most else minutes(_LONGEST_FIX)
    choices = [m for m in _MINUTES if m < longest] + [longest]
    until = at(run, now + timedelta(minutes=longest), now)
    people = sorted(run.people, key=lambda person: (not run.plan.roles_of(person), run.name(person)))[:_MOST_PEOPLE]
    owners = [_choice(run.name(person), person) for person in people]
    lengths = [_choice(say("choice-minutes", minutes=m), str(m)) for m in choices]
    return [
        section([say("form-fix-means", number=number, minutes=longest, until=until)]),
        _input("owner", say("ask-owner"), {"type": "static_select", "options": owners}),
        _input("minutes", say("ask-minutes"), {"type": "static_select", "options": lengths, "initial_option": lengths[-1]}),
    ]  # fmt: skip


def _go_on(run: RunState, args: str) -> list[Block]:
    number, _ = _two(args)
    decision = run.decisions.get(number)
    about = decision.opened.question if decision else ""
    return [section([say("form-continue-means", number=number, question=about)]), _because(say("ask-why"))]


def _go_back(run: RunState, word: str) -> list[Block]:
    steps = listed([step.name for step in run.plan.rollback]) or say("no-steps")
    name = option_name(OptionName.GO_BACK, no_return=run.no_return)
    means = say("means-port-back", steps=steps) if word == "port-back" else say("means-undo", steps=steps)
    lines = [means, say("form-back-votes")]
    met = [trigger for trigger in run.plan.triggers if run.triggers[trigger.id].met]
    if met:
        titles = listed([trigger_title(trigger) for trigger in met])
        lines.append(say("form-back-met", titles=titles, checks=listed([check_name(c) for c in run.plan.checks])))
    typed: Block = {"type": "plain_text_input", "max_length": 30}
    return [section(lines), _input("typed", say("ask-typed", word=name), typed), _because(say("ask-why"))]


def _fail(run: RunState, args: str) -> list[Block]:
    step = next((step.name for step in (*run.plan.steps, *run.plan.rollback) if step.id == args), args)
    return [section([say("form-fail-means", step=step)]), _because(say("ask-what-happened"))]


def _reason(run: RunState, args: str) -> list[Block]:
    number, _ = _two(args)
    decision = run.decisions.get(number)
    about = decision.opened.question if decision else ""
    return [section([say("form-reason-means", number=number, question=about)]), _because(say("ask-why"))]


def _because(label: Said) -> Block:
    return _input("reason", label, {"type": "plain_text_input", "multiline": True, "max_length": _MOST_REASON})


def _two(args: str) -> tuple[int, str]:
    number, _, letter = args.strip().partition(" ")
    return (int(number) if number.isdecimal() else 0), letter


def _input(name: str, label: Said, element: Block) -> Block:
    return {
        "type": "input",
        "block_id": name,
        "label": _plain(label, 2000),
        "element": {**element, "action_id": name},
    }


def _choice(text: str, value: str) -> Block:
    return {"text": _plain(said(text), 75), "value": value}


def _plain(text: Said, most: int) -> Block:
    return {"type": "plain_text", "text": cut(text, most)}


def command_line(view: Mapping[str, Any]) -> str:
    """Return the verb line that the filled-in *view* means, as a person would type it."""
    meta, filled = _meta(view), _filled(view)
    because = " ".join(filled.get("reason", "").split())
    match meta["kind"]:
        case "fix-first":
            return f"decide {meta['args']} @{filled.get('owner', '')} {filled.get('minutes', '')}m"
        case "continue":
            return f"decide {meta['args']} because {because}"
        case "reason":
            return f"reason {_two(meta['args'])[0]} {because}"
        case "fail":
            return f"fail {meta['args']} because {because}"
        case _:
            return f"{meta['args']} because {because}"


def faults(view: Mapping[str, Any]) -> dict[str, str]:
    """Return, by block, what is missing or wrong in the filled-in *view*; empty when it may be sent."""
    meta, filled = _meta(view), _filled(view)
    wrong: dict[str, str] = {}
    for block in view.get("blocks", ()):
        if block.get("type") == "input" and not filled.get(block["block_id"], "").strip():
            wrong[block["block_id"]] = say("fault-reason") if block["block_id"] == "reason" else say("fault-empty")
    typed = filled.get("typed", "")
    if "typed" not in wrong and "typed" in filled and _folded(typed) != _folded(meta["args"]):
        wrong["typed"] = say("fault-typed", word=meta["args"].replace("-", " ").upper())
    return wrong


def _folded(word: str) -> str:
    return _CONFIRMED.sub(" ", word).strip().casefold()


def _meta(view: Mapping[str, Any]) -> dict[str, str]:
    meta: dict[str, str] = json.loads(view["private_metadata"])
    return meta


def _filled(view: Mapping[str, Any]) -> dict[str, str]:
    return dict(_answers(view["state"]["values"]))


def _answers(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[tuple[str, str]]:
    for block, elements in values.items():
        for entry in elements.values():
            chosen = entry.get("selected_option")
            yield block, (chosen["value"] if chosen else entry.get("value")) or ""
