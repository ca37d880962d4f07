"""A card says what is known, what each letter means and who is missing; a decision leaves one line."""

from collections.abc import Callable
from typing import Any

import pytest

from bot.core import messages as m
from bot.core.model import Outcome
from bot.words.card import card, doubt

NightIn = Callable[[str], Any]


def _card(night: Any, number: int = 0) -> Any:
    decision = night.run.decisions[number] if number else night.decision
    return card(night.house, night.run, decision, night.now)


def _buttons(shown: Any) -> list[dict[str, Any]]:
    return [element for block in shown.blocks if block["type"] == "actions" for element in block["elements"]]


def test_the_card_of_a_met_rule(night_in: NightIn) -> None:
    assert _card(night_in("failing")).text == (
        "✖ LIVE · DECISION 2 · DECIDE BY 02:15 London (10 min)\n"
        "Calls into our numbers fail: mno-b: 3 failed in a row; signed limit: 3\n"
        "Rule 1, signed 01:50 by cutover-lead, network-ops, mno-partner\n"
        "mno-b: 3 of 5 failed since 02:01: 404 Not Found after 0.1 s, an answer was due in 10 s: "
        "not found, the signature of stale routing (mno-b)\n"
        "All other networks: 4/4 good\n"
        'Likely cause: mno-b still routes to the old network ("not found")\n'
        "mno-b itself works: 4/4 control calls good\n"
        "Who is hit: Calls into our numbers, mno-b\n"
        "Other checks: SMS 4/4\n"
        "Since then: Calls into our numbers 0 of 1 failed\n"
        "A  PORT BACK  a new port of every moved number to where it came from (Port the numbers back). "
        "It takes time and cannot be stopped once it is sent. "
        "Needs cutover-lead (Ana or Bo) AND mno-partner (Eve)  `/cutover decide 2 A`\n"
        "B  FIX FIRST  name an owner and a time, at most 20 min. If it is not fixed then, this question comes back. "
        "Needs cutover-lead or network-ops (Ana or Cy or Di or Bo)  `/cutover decide 2 B @owner 20m`\n"
        "C  CONTINUE  accept the failure. Needs a reason, goes into the override list. "
        "Needs cutover-lead (Ana or Bo) AND network-ops (Cy or Di) AND mno-partner (Eve)  `/cutover decide 2 C because …`\n"
        "No decision by 02:15 London: steps are paused, what fails keeps failing, the next people are called. "
        "Nothing goes back or forward by itself\n"
        "Given: none"
    )


def test_each_button_has_its_letter_its_command_and_its_way(night_in: NightIn) -> None:
    shown = _card(night_in("failing"))
    assert [(b["text"]["text"], b["action_id"], b["value"]) for b in _buttons(shown)] == [
        ("A Port back", "say-1", "w1|decide 2 A"),
        ("B Fix first…", "ask-2", "w1|fix-first 2 B"),
        ("C Continue…", "ask-3", "w1|continue 2 C"),
    ]
    assert [b for b in _buttons(shown) if "confirm" in b] == [b for b in _buttons(shown) if b.get("style") == "danger"]
    for letter in "ABC":
        assert f"`/cutover decide 2 {letter}" in shown.text


def test_new_readings_do_not_change_the_evidence(night_in: NightIn) -> None:
    night = night_in("failing")
    before = _card(night).text.splitlines()
    night.later(60).reads("voice-inbound", "mno-b", Outcome.FAIL, "503 busy").reads(
        "voice-inbound", "mno-a", Outcome.PASS
    )
    after = _card(night).text.splitlines()
    assert [row for row in after if row not in before] == [
        "✖ LIVE · DECISION 2 · DECIDE BY 02:15 London (9 min)",
        "Since then: Calls into our numbers 1 of 3 failed",
    ]


def test_a_vote_shows_who_is_still_missing(night_in: NightIn) -> None:
    night = night_in("failing").later(60)
    night.says("lead", m.CastVote(number=2, option="A", reason="mno-b confirms old routing"))
    text = _card(night).text
    assert 'Given: A Ana (cutover-lead) 02:06 "mno-b confirms old routing"' in text
    assert "once it is sent. Needs mno-partner (Eve)  `/cutover decide 2 A`" in text


def test_a_cause_is_named_only_where_the_evidence_says_it(new_night: type[Any]) -> None:
    night = new_night().watching()
    for _ in range(3):
        night.later(60).reads("voice-inbound", "mno-b", Outcome.FAIL, "no answer in 10 s, limit 10 s")
        night.reads("voice-inbound", "mno-b", Outcome.FAIL, "no answer in 10 s", control=True)
    text = _card(night, 2).text
    assert "Likely cause" not in text
    assert "Control numbers from mno-b fail too (2/4 good): the cause may lie outside this move" in text


def test_a_long_good_time_before_does_not_clear_a_control_that_fails_now(new_night: type[Any]) -> None:
    night = new_night().watching()
    for _ in range(30):
        night.later(60).all_pass()
    for _ in range(3):
        night.later(60).reads("voice-inbound", "mno-b", Outcome.FAIL, "503", control=True)
        night.reads("voice-inbound", "mno-b", Outcome.FAIL, "503")
    assert "mno-b itself works" not in _card(night, 2).text
    assert "Control numbers from mno-b fail too" in _card(night, 2).text


def test_a_decision_leaves_one_line_without_buttons(night_in: NightIn) -> None:
    night = night_in("going-back")
    shown = _card(night)
    digest = night.run.criteria_digest[:4]
    assert shown.text == (
        'DECISION 2, 02:06 London: A, PORT BACK. Ana (cutover-lead) 02:06 "mno-b confirms old routing" · '
        f"Eve (mno-partner) 02:06. Evidence {digest}-{night.decision.opened.evidence_at}."
    )
    assert _buttons(shown) == []


def test_a_fix_leaves_its_owner_and_time(night_in: NightIn) -> None:
    assert "B, FIX FIRST. Di fixes it until 02:20. Ana (cutover-lead) 02:05." in _card(night_in("fixing")).text


def test_a_decision_that_was_replaced_says_by_which(night_in: NightIn) -> None:
    night = night_in("failing")
    night.says("lead", m.Amend(text=night_text(night), reason="a new owner"))
    assert _card(night, 2).text == (
        "DECISION 2, 02:05 London: ended without a choice (the runbook changed). Decision 3 replaced it."
    )


def night_text(night: Any) -> str:
    opened = next(event for event, *_ in night.told if isinstance(event, m.RunOpened))
    return opened.text


def test_voided_votes_are_told_with_their_cause(night_in: NightIn) -> None:
    night = night_in("at-gate")
    night.says("lead", m.CastVote(number=1, option="A"))
    for _ in range(3):
        night.later(60).reads("voice-inbound", "mno-b", Outcome.FAIL, "503")
    shown = _card(night, 1).text
    assert "No longer counted: Ana (rule 'Calls into our numbers fail' is met)" in shown


def test_a_gate_asks_go_and_shows_what_must_be_true(night_in: NightIn) -> None:
    shown = _card(night_in("at-gate"))
    assert shown.text == (
        "▲ LIVE · DECISION 1\n"
        "Go for the switch: go? yes / not yet\n"
        "Must be true: SMS work now, without a gap in the last 5 min\n"
        "✔ True at 02:00 London: SMS 11/11\n"
        "A  GO  go on to the next step. Needs cutover-lead (Ana) AND network-ops (Cy or Di)  `/cutover decide 1 A`\n"
        "B  NOT YET  nothing starts. The question can be asked again. "
        "Needs cutover-lead or network-ops (Ana or Cy or Di or Bo)  `/cutover decide 1 B`\n"
        "Given: none\n"
        "Bo asked or started it, so another person must agree"
    )
    assert [b["text"]["text"] for b in _buttons(shown)] == ["A Yes, go", "B Not yet"]


def test_a_gate_that_is_blocked_says_why(night_in: NightIn) -> None:
    night = night_in("at-gate").later(60).reads("sms", "carrier-c", Outcome.FAIL, "74 s, limit 60 s")
    text = _card(night).text
    assert "✖ Not true at 02:01 London (1):\n  SMS carrier-c, number ending 001: 74 s, limit 60 s" in text


def test_before_the_switch_going_back_is_an_undo(night_in: NightIn) -> None:
    night = night_in("started").says("partner-a", m.GoBack(word="undo", reason="not staffed"))
    shown = _card(night)
    assert "A  UNDO  take back what was done" in shown.text
    assert _buttons(shown)[0]["text"]["text"] == "A Undo"
    assert "port" not in _buttons(shown)[0]["confirm"]["text"]["text"].lower()


def test_a_step_in_doubt_says_what_was_sent_and_asks_what_happened(night_in: NightIn) -> None:
    night = night_in("in-doubt")
    shown = doubt(night.run, "switch-routing", night.now)
    assert shown.text == (
        '✖ LIVE · IN DOUBT: "Switch the routing", since 02:01 London. Nobody knows whether it happened\n'
        "Sent: POST {npdb}/activate, key w1/switch-routing/1. What we know: no answer in 30 s\n"
        "Look at the target first (network-ops). Nothing that needs this step starts until you say what happened:\n"
        "Done  it happened  `/cutover done switch-routing`\n"
        "Retry  it did not happen, send it again under a new key (sending it twice may do harm)  `/cutover retry switch-routing`\n"
        "Fail  it did not happen and must not be sent again  `/cutover fail switch-routing because …`"
    )
    assert [(b["text"]["text"], b["value"]) for b in _buttons(shown)] == [
        ("Done", "w1|done switch-routing"),
        ("Retry", "w1|retry switch-routing"),
        ("Fail…", "w1|fail switch-routing"),
    ]


def test_a_doubt_that_is_settled_has_no_buttons(night_in: NightIn) -> None:
    night = night_in("in-doubt").says("noc-a", m.Done(step="switch-routing"))
    shown = doubt(night.run, "switch-routing", night.now)
    assert shown.text == '"Switch the routing" is no longer in doubt: done.'
    assert _buttons(shown) == []


@pytest.mark.parametrize("state", ["failing", "at-gate", "resuming", "asked-to-go-back"])
def test_nobody_is_asked_to_approve(night_in: NightIn, state: str) -> None:
    assert "approve" not in _card(night_in(state)).text.lower()


def test_the_deadline_is_told_on_the_readers_own_clock_too(night_in: NightIn) -> None:
    shown = _card(night_in("failing"))
    assert "<!date" not in shown.text
    small = shown.blocks[-1]["elements"][0]["text"]
    assert f"<!date^{int(night_in('failing').decision.deadline.timestamp())}^{{time}}|02:15 UTC> on your clock" in small
