"""In every state every message keeps Slack's limits, says where it stands, and names no number."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.models.blocks import Block

from bot.core import messages as m
from bot.core.criteria import sentences
from bot.core.cutover import Seen, evolve
from bot.core.cutover.react import _LINES
from bot.core.model import Outcome
from bot.core.state import House, StepStatus
from bot.room.blockkit import check_blocks
from bot.words import answers, board, card, digest, lines
from bot.words.message import Message, Press, buttons, message

NASTY = "<!channel> *bold* `tick` \u202e +44 7700 900 123 / 234101234567890 & 8944100030000001234 " + "x" * 900
REHEARSAL = m.Scenario(name="stale-routing", speed=60)


def _everything(night: Any) -> Iterator[tuple[str, Message]]:
    house, run, now = night.house, night.run, night.now
    yield "board", board.board(house, run, now)
    for decision in run.decisions.values():
        yield f"card {decision.number}", card.card(house, run, decision, now)
    for step, state in run.steps.items():
        if state.status is StepStatus.IN_DOUBT:
            yield f"doubt {step}", card.doubt(run, step, now)
    if run.started_at is not None:
        yield "digest", digest.digest(house, run, "executive", now)
    for person in ("", "lead", "noc-a", "guest"):
        yield f"status {person}", answers.status(house, run, now, person)
    for what in ("criteria", "opened", "welcome"):
        yield what, answers.here_is(what, run, now)
    for event, after, at, person in night.told:
        if type(event) in _LINES:
            yield type(event).__name__, lines.line(after, after.runs["w1"], event, at, person, "slack")


def _slack_takes(blocks: tuple[dict[str, Any], ...]) -> None:
    given = json.loads(json.dumps(blocks))
    assert check_blocks(given) == []
    for block in given:
        parsed = Block.parse(block)
        assert parsed is not None
        assert parsed.to_dict() == block


def test_slack_takes_every_message_in_every_state(night: Any) -> None:
    for what, said in _everything(night):
        assert said.text, what
        assert len(said.text) <= 4000, what
        _slack_takes(said.blocks)


def test_no_message_shows_a_number(night: Any) -> None:
    for what, said in _everything(night):
        shown = said.text + json.dumps(said.blocks)
        assert "7700900" not in re.sub(r"[^\d]", "", shown), what
        assert "undefined" not in shown.lower()


SHIPPED = sorted(path for path in Path("runbooks").glob("*.yaml") if ".deployment." not in path.name)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_runbook_that_ships_can_be_spoken_of(path: Path) -> None:
    opened = m.RunOpened(
        run="w1",
        migration="M1",
        place="C1",
        text=path.read_text(),
        runbook_sha256="",
        criteria_digest="4c1d",
        criteria=(),
    )
    at = datetime(2026, 12, 8, 2, 0, tzinfo=UTC)
    house = evolve(House(), opened, Seen(1, at, "lead", "", "slack"))
    house = house.model_copy(
        update={"runs": {"w1": house.runs["w1"].model_copy(update={"criteria": sentences(house.runs["w1"].plan)})}}
    )
    for position, event in enumerate((None, m.RunStarted(run="w1")), start=2):
        house = evolve(house, event, Seen(position, at, "lead", "", "slack")) if event else house
        run = house.runs["w1"]
        for said in (board.board(house, run, at), answers.status(house, run, at), answers.criteria(run, at)):
            _slack_takes(said.blocks)
            assert "7700900" not in re.sub(r"\D", "", said.text)
        assert len(board.board(house, run, at).text.splitlines()) <= 11
        assert all(f"\n{n}. " in answers.criteria(run, at).text for n, _ in enumerate(run.criteria, start=1))


def test_a_board_has_at_most_twelve_lines_with_its_buttons(night: Any) -> None:
    shown = board.board(night.house, night.run, night.now)
    assert len(shown.text.splitlines()) + 1 <= 12


def test_live_is_the_first_word_of_the_board(night: Any) -> None:
    first = board.board(night.house, night.run, night.now).text.splitlines()[0]
    assert re.match(r"^[✖▲?✔] LIVE · .+ · Number portability, wave 1$", first)


@pytest.mark.parametrize("state", ["opened", "at_gate", "failing", "in_doubt", "rolled_back"])
def test_every_message_of_a_rehearsal_says_so_first(new_night: type[Any], state: str) -> None:
    night = new_night(REHEARSAL)
    getattr(night, state, lambda: night)()
    for what, said in _everything(night):
        assert re.match(r"^([✖▲?✔] )?\W?REHEARSAL", said.text), (what, said.text)


def test_what_people_and_probes_write_is_never_shown_as_they_wrote_it(new_night: type[Any]) -> None:
    night = new_night().watching()
    night.says("lead", m.Note(text=NASTY)).says("lead", m.AddTask(text=NASTY, person="noc-a"))
    for _ in range(3):
        night.later(60).reads("voice-inbound", "mno-b", Outcome.FAIL, NASTY)
    night.says("lead", m.CastVote(number=night.decision.number, option="A", reason=NASTY)).says(
        "noc-a", m.Pause(reason=NASTY)
    )
    house = night.house.model_copy(update={"parked": {"1.0": NASTY}})
    night.house = house
    for what, said in _everything(night):
        shown = said.text + json.dumps(said.blocks, ensure_ascii=False)
        assert "<!" not in shown.replace("<!date^", ""), what
        assert "\u202e" not in shown, what
        assert "900 123" not in shown, what
        assert "23410123" not in shown, what
        assert "894410" not in shown, what
        _slack_takes(said.blocks)
    assert len(board.board(night.house, night.run, night.now).text.splitlines()) <= 11


def test_a_board_with_more_than_fits_keeps_the_worst_and_counts_the_rest(new_night: type[Any]) -> None:
    night = new_night().watching()
    night.reads("sms", "carrier-c", Outcome.FAIL, "74 s, limit 60 s").reads(
        "sms", "carrier-c", Outcome.FAIL, "74 s, limit 60 s"
    )
    for _ in range(3):
        night.later(60).reads("voice-inbound", "mno-b", Outcome.FAIL, "503").reads(
            "voice-inbound", "mno-b", Outcome.FAIL, "503", control=True
        )
    night.later(400).says("noc-a", m.Pause(reason="stop"))
    night.house = night.house.model_copy(update={"parked": {"1.0": "channel is archived"}})
    text = board.board(night.house, night.run, night.now).text.splitlines()
    assert len(text) <= 11
    assert text[1].startswith("✖ Calls into our numbers fail")
    assert any(row.startswith("…and ") and row.endswith("more lines: `/cutover status`") for row in text)
    assert any(row.startswith("Doing now") for row in text)


def test_lines_that_do_not_fit_are_counted() -> None:
    said = message([f"line {n} " + "x" * 90 for n in range(60)])
    _slack_takes(said.blocks)
    assert re.search(r"…and \d+ more$", said.blocks[0]["text"]["text"])


def test_one_endless_line_is_cut() -> None:
    said = message(["&amp;" * 2000])
    _slack_takes(said.blocks)


def test_a_run_that_offers_nothing_has_no_row_of_buttons() -> None:
    assert buttons("w1", []) == ()


def test_only_going_back_is_red(night_in: Callable[[str], Any]) -> None:
    night = night_in("failing")
    for said in (
        board.board(night.house, night.run, night.now),
        card.card(night.house, night.run, night.decision, night.now),
    ):
        for button in next(block for block in said.blocks if block["type"] == "actions")["elements"]:
            assert (button.get("style") == "danger") == ("ort back" in button["text"]["text"])


def test_a_button_carries_the_run_and_what_it_does() -> None:
    (row,) = buttons("w1", [Press("Pause", "say", "pause"), Press("Fail…", "ask", "fail prepare")])
    assert [(b["action_id"], b["value"]) for b in row["elements"]] == [
        ("say-1", "w1|pause"),
        ("ask-2", "w1|fail prepare"),
    ]
