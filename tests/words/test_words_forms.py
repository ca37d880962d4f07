"""A form asks what a verb needs, and comes to the line that a person could have typed."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk.models.views import View

from bot.room.viewkit import check_view, fill
from bot.words.modals import KINDS, command_line, faults, modal

NightIn = Callable[[str], Any]


def _form(night: Any, kind: str, args: str = "") -> dict[str, Any]:
    view = modal(kind, night.run, night.now, args)
    assert check_view(view) == []
    View(**view).validate_json()
    assert json.loads(view["private_metadata"])["run"] == "w1"
    return view


def _filled(view: dict[str, Any], **typed: str) -> dict[str, Any]:
    values, _ = fill(view, typed)
    return {**view, "state": {"values": values}}


@pytest.mark.parametrize(
    ("kind", "args", "typed", "line"),
    [
        ("fix-first", "2 B", {"owner": "noc-a", "minutes": "15"}, "decide 2 B @noc-a 15m"),
        ("continue", "2 C", {"reason": "one small\nnetwork"}, "decide 2 C because one small network"),
        ("go-back", "", {"typed": "port back", "reason": "calls fail"}, "port-back because calls fail"),
        ("port-back", "", {"typed": "PORT-BACK", "reason": "calls fail"}, "port-back because calls fail"),
        ("reason", "2", {"reason": "mno-b confirms"}, "reason 2 mno-b confirms"),
        ("fail", "prepare", {"reason": "wrong file"}, "fail prepare because wrong file"),
    ],
)
def test_a_filled_form_is_a_line(night_in: NightIn, kind: str, args: str, typed: dict[str, str], line: str) -> None:
    filled = _filled(_form(night_in("failing"), kind, args), **typed)
    assert faults(filled) == {}
    assert command_line(filled) == line


def test_before_the_switch_the_same_form_is_an_undo(night_in: NightIn) -> None:
    filled = _filled(_form(night_in("started"), "go-back"), typed="undo", reason="not staffed")
    assert faults(filled) == {}
    assert command_line(filled) == "undo because not staffed"


def test_going_back_wants_its_word_written(night_in: NightIn) -> None:
    filled = _filled(_form(night_in("failing"), "go-back"), typed="yes", reason="calls fail")
    assert faults(filled) == {"typed": "Write PORT BACK here, or close this form. Nothing has been done."}


@pytest.mark.parametrize(
    ("kind", "args", "missing"),
    [
        ("fix-first", "2 B", {"owner"}),
        ("continue", "2 C", {"reason"}),
        ("go-back", "", {"typed", "reason"}),
        ("reason", "2", {"reason"}),
        ("fail", "prepare", {"reason"}),
    ],
)
def test_what_is_missing_is_told_at_its_place(night_in: NightIn, kind: str, args: str, missing: set[str]) -> None:
    view = _form(night_in("failing"), kind, args)
    blank = {
        block["block_id"]: " " for block in view["blocks"] if block.get("element", {}).get("type") == "plain_text_input"
    }
    assert set(faults(_filled(view, **blank))) == missing


def test_the_fixer_is_a_listed_person_and_the_time_is_at_most_what_was_signed(night_in: NightIn) -> None:
    view = _form(night_in("failing"), "fix-first", "2 B")
    owner, length = (block["element"] for block in view["blocks"] if block["type"] == "input")
    assert {option["value"] for option in owner["options"]} == {
        "lead",
        "deputy",
        "noc-a",
        "noc-b",
        "partner-a",
        "guest",
    }
    assert owner["options"][-1]["value"] == "guest"
    assert [option["value"] for option in length["options"]] == ["5", "10", "15", "20"]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("args", ["", "2 B", "99 Z", "prepare", "nonsense"])
def test_no_form_breaks_on_odd_words(night_in: NightIn, kind: str, args: str) -> None:
    _form(night_in("failing"), kind, args)
