"""Each fault of a file is told with its place and a remedy, all at once, and nothing else is ever raised."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import checks
from bot.core.codes import Code
from bot.core.editor_schema import json_schema
from bot.core.errors import Finding, RunbookRefused
from bot.core.marked_yaml import MAX_BYTES
from bot.core.reading_yaml import lint, load, marks_of, parse
from bot.core.runbook import Phase, Runbook
from bot.core.triggers import Rate
from checks.units import Duration

BASE = """\
runbook: cohort-1
title: Cohort 1
phase: cohort
requires: [destination-readiness, mediation]
timezone: Europe/London
window: {opens: "2026-12-08T02:00:00", closes: "2026-12-08T04:00:00"}
roles:
  lead: {people: [ana], deputies: [bo]}
  care-lead: {people: [cy]}
checks:
  - id: voice
    kind: voice
    every: 60s
    timeout: 30s
    cells: {origin: [mno-a, mno-b], number: ["+447700900001"]}
    controls: {number: ["+447700900901"]}
    with: {answer_within: 10s}
  - id: status
    kind: http
    every: 5m
    timeout: 10s
    with: {target: platform, path: /status/cohort, field: ready, is_true: true}
triggers:
  - id: voice-failing
    title: Calls fail
    when: {check: voice, per: origin, rate: {good: 0.98, bad: 0.9, false_trip: 0.01}}
    options: [go-back, fix-first]
    decide_within: 10m
    owner: lead
    source: baseline of four weeks
approvals:
  criteria: {one_of_each: [lead, care-lead]}
  go: {one_of_each: [lead]}
  go_back: {before: {any: 1, of: [lead]}, after: {one_of_each: [lead, care-lead]}}
  fix_first: {any: 1, of: [lead], at_most: 20m}
  continue: {one_of_each: [lead, care-lead]}
steps:
  - {id: here, kind: roll-call, roles: [lead, care-lead], within: 15m}
  - {id: go, kind: gate, needs: [here], approval: go}
  - {id: move, kind: action, needs: [go], do: {http: {post: "{platform}/actions/move"}}}
  - {id: look, kind: watch, needs: [move], for: 2h, checks: all}
rollback:
  - {id: back, kind: action, do: {http: {post: "{platform}/actions/back"}}}
digests:
  - {id: executive, every: 4h, to: {channel: C0EXEC}}
"""


class Call(checks.Params):
    """A kind with a limit of its own, beside the shipped kinds whose parameters may grow."""

    answer_within: Duration = 10.0

    def service_limit_s(self) -> float:
        return self.answer_within + 0.6


class Ask(checks.Params):
    """A kind with a word, a path and a condition."""

    target: str
    path: str = ""
    field: str = ""
    is_true: bool = False


class Idle(checks.Params):
    """A kind that can never fail."""

    def has_condition(self) -> bool:
        return False


KINDS: dict[str, type[BaseModel]] = {"voice": Call, "http": Ask, "idle": Idle}


def found(text: str | bytes) -> list[str]:
    """Return the findings of *text* as people read them."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(RunbookRefused) as refused:
        parse(data, "f.yaml", KINDS)
    return [str(finding) for finding in refused.value.findings]


def changed(old: str, new: str, text: str = BASE) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


FAULTS: list[tuple[Code, str, str, str]] = [
    (Code.NOT_YAML, "roles:\n", "roles: [\n", "9:3: E103 not readable as YAML: did not find expected ',' or ']'. Look at the quotes, brackets and indentation just before this place."),
    (Code.NOT_YAML, "title: Cohort 1", "title: \tCohort: 1", '2:15: E103 not readable as YAML: mapping values are not allowed in this context. Put the text in quotes if it holds ": ".'),
    (Code.NOT_YAML, "  lead: {", "\tlead: {", "8:1: E103 not readable as YAML: found character that cannot start any token. Indent with spaces, not tabs, and put text that begins with %, @ or ` in quotes."),
    (Code.NOT_YAML, "Cohort 1", "Cohort \x07", "1:1: E103 not readable as YAML: control characters are not allowed. Remove control characters."),
    (Code.MANY_DOCUMENTS, "digests:", "---\ndigests:", "44:1: E104 a second document begins here. Keep one runbook per file."),
    (Code.NOT_A_MAPPING, BASE, "[a, b]", "1:1: E105 no keys and values here. Begin with `runbook: name`."),
    (Code.DUPLICATE_KEY, "title: Cohort 1", "runbook: other", '2:1: E106 "runbook" is here twice (first in line 1). Keep one.'),
    (Code.ANCHOR, "{people: [cy]}", "&x {people: [cy]}", "9:14: E107 &x marks a part to repeat. Write the parts out: people sign what they read."),
    (Code.TAG, "title: Cohort 1", "title: !!str Cohort 1", "2:8: E108 the tag tag:yaml.org,2002:str asks for another type. Remove it: a runbook is plain text and numbers."),
    (Code.MERGE_KEY, "  care-lead: {people: [cy]}", "  <<: {people: [cy]}\n  care-lead: {people: [cy]}", "9:3: E109 << copies keys from elsewhere. Write them out: people sign what they read."),
    (Code.UNQUOTED, '"+447700900001"', "+447700900001", '15:46: E110 +447700900001 is read by YAML as the number 447700900001. Put it in quotes if it is text: "+447700900001"'),
    (Code.UNQUOTED, "every: 60s", "every: 22:30", '13:12: E110 22:30 is read by YAML as the number 1350. Put it in quotes if it is text: "22:30"'),
    (Code.UNQUOTED, "people: [cy]", "people: [no]", '9:24: E110 no is read by YAML as false. Put it in quotes if it is text: "no"'),
    (Code.UNQUOTED, "title: Cohort 1", "title: 1.10", '2:8: E110 1.10 is read by YAML as the number 1.1. Put it in quotes if it is text: "1.10"'),
    (Code.UNQUOTED, '"2026-12-08T02:00:00"', "2026-12-08T02:00:00", '6:17: E110 2026-12-08T02:00:00 is read by YAML as a date. Put it in quotes if it is text: "2026-12-08T02:00:00"'),
    (Code.UNQUOTED, "good: 0.98", "good: 0x1F", '26:52: E110 0x1F is read by YAML as the number 31. Put it in quotes if it is text: "0x1F"'),
    (Code.UNQUOTED, "good: 0.98", "good: .nan", '26:52: E110 .nan is read by YAML as something that is no text. Put it in quotes if it is text: ".nan"'),
    (Code.NO_VALUE, "title: Cohort 1", "title:", '2:7: E111 "title" has no value. Write one, or remove it.'),
    (Code.TOO_DEEP, "title: Cohort 1", f"title: {'[' * 30}x{']' * 30}", "2:32: E112 nested deeper than 24 levels. No runbook needs that."),
    (Code.ODD_KEY, "title: Cohort 1", "title: Cohort 1\n[a]: b", "3:1: E113 a key must be one plain word."),
    (Code.MISSING, "    every: 60s\n", "", '11:5: E201 "every" is missing in check "voice". Write it, for example: every: 60s'),
    (Code.MISSING, "    when: {check: voice, per: origin, rate: {good: 0.98, bad: 0.9, false_trip: 0.01}}\n", "", '24:5: E201 "when" is missing in trigger "voice-failing". Write it.'),
    (Code.NO_VALUE, "checks: all", "checks: [voice, ~]", "41:69: E111 an item of this list has no value. Write one, or remove it."),
    (Code.UNKNOWN_KEY, "deputies: [bo]", "depties: [bo]", '8:25: E202 unknown key "depties" in role "lead". Did you mean "deputies"?'),
    (Code.UNKNOWN_KEY, "answer_within: 10s", "anser_within: 10s", '17:12: E202 unknown key "anser_within" in check "voice". Did you mean "answer_within"?'),
    (Code.WRONG_TYPE, "people: [cy]", "people: cy", "9:23: E203 people must be a list, like [one, two], found text."),
    (Code.WRONG_TYPE, "false_trip: 0.01", 'false_trip: "0.01"', "26:80: E203 false_trip must be a number, found text."),
    (Code.NOT_A_CHOICE, "phase: cohort", "phase: cohorts", '3:8: E204 phase: "cohorts" is not possible here. Did you mean "cohort"?'),
    (Code.NOT_A_CHOICE, "checks: all", "checks: al", '41:61: E204 checks: "al" is not possible here. Did you mean "all"?'),
    (Code.NOT_A_CHOICE, "rate: {", "rat: {", '26:39: E204 unknown operator "rat". Did you mean "rate"?'),
    (Code.NOT_A_CHOICE, ", rate: {good: 0.98, bad: 0.9, false_trip: 0.01}", "", '26:11: E204 no operator in trigger "voice-failing". Write one of rate, consecutive, threshold.'),
    (Code.NOT_A_CHOICE, "false_trip: 0.01}", "false_trip: 0.01}, consecutive: {failures: 3}", '26:87: E204 a second operator "consecutive". Write a trigger for each.'),
    (Code.BAD_VALUE, "every: 60s", "every: 60", "13:12: E205 every: 60 is not a duration: write a number and its unit in quotes or plain, like 90s, 15m, 4h or 7d."),
    (Code.BAD_VALUE, "go: {one_of_each: [lead]}", "go: {one_of_each: [lead], any: 1}", "33:7: E205 go: write either one_of_each: [role, ...] or any: n with of: [role, ...]."),
    (Code.BAD_NAME, "id: voice\n", "id: Voice 1\n", '11:9: E206 "Voice 1" is no name. Use lower-case letters, digits and hyphens, at most 63, like "voice-inbound".'),
    (Code.BAD_NAME, '"{platform}/actions/move"', '"http://10.0.0.1/move"', '40:61: E206 "http://10.0.0.1/move" is no address of a listed target. Write {key}/path, like "{npdb}/activate".'),
    (Code.OUT_OF_RANGE, "bad: 0.9,", "bad: 1.9,", "26:63: E207 bad: must be less than 1, found 1.9."),
    (Code.OUT_OF_RANGE, "people: [cy]", "people: []", "9:23: E207 people: must have at least 1 item."),
    (Code.OUT_OF_RANGE, "every: 60s", "every: 0s", "13:12: E207 every must be more than 0s."),
    (Code.NO_SUCH_STEP, "needs: [here]", "needs: [her]", '39:34: E301 no step "her" in this runbook. Did you mean "here" (line 38)?'),
    (Code.NO_SUCH_STEP, "needs: [here]", "needs: [back]", '39:34: E301 "back" is on the other list: steps and rollback steps do not wait for each other. Remove it.'),
    (Code.NO_SUCH_ROLE, "owner: lead", "owner: leed", '29:12: E302 no role "leed" in this runbook. Did you mean "lead" (line 8)?'),
    (Code.NO_SUCH_ROLE, "go: {one_of_each: [lead]}", "go: {one_of_each: [boss]}", '33:22: E302 no role "boss" in this runbook. Known here: lead, care-lead.'),
    (Code.NO_SUCH_ROLE, "steps:\n", "  tie_breaker: leader\nsteps:\n", '37:16: E302 no role "leader" in this runbook. Did you mean "lead" (line 8)?'),
    (Code.NO_SUCH_CHECK, "check: voice,", "check: voise,", '26:19: E303 trigger "voice-failing" watches no check of this runbook: "voise". Did you mean "voice" (line 11)?'),
    (Code.NO_SUCH_CHECK, "approval: go}", "approval: go, must: {checks: [statu]}}", '39:71: E303 no check "statu" in this runbook. Did you mean "status" (line 18)?'),
    (Code.TWICE, "id: status", "id: voice", '18:9: E304 a second check "voice" (first in line 11). Give each its own id.'),
    (Code.TWICE, "id: back", "id: move", '43:10: E304 a second step "move" (first in line 40). Give each its own id.'),
    (Code.TWICE, "[mno-a, mno-b]", "[mno-a, mno-a]", '15:29: E304 "mno-a" is in this list twice. Keep one.'),
    (Code.CYCLE, "roles: [lead, care-lead], within", "needs: [look], roles: [lead, care-lead], within", "38:10: E305 these steps wait for each other and none can start: here -> look -> move -> go -> here. Remove one of the needs."),
    (Code.CYCLE, "requires: [destination-readiness, ", "requires: [cohort-1, ", '4:12: E305 "cohort-1" requires itself. Remove it.'),
    (Code.NO_SUCH_KIND, "kind: http", "kind: htpp", '19:11: E306 no kind of check "htpp" here. Did you mean "http"?'),
    (Code.NO_POLICY, "  continue: {one_of_each: [lead, care-lead]}\n", "", "32:3: E307 no policy says who approves continue. Write it under approvals."),
    (Code.UNSIGNABLE, "    owner: lead\n", "", '24:5: E401 "owner" is missing in trigger "voice-failing": nobody could sign it. Name the role that answers for it: owner: network-ops'),
    (Code.UNSIGNABLE, "    source: baseline of four weeks\n", "", '24:5: E401 "source" is missing in trigger "voice-failing": nobody could sign it. Say where its numbers come from, like: source: baseline of four Tuesdays, recorded by soak'),
    (Code.UNSIGNABLE, "source: baseline of four weeks", 'source: " "', '30:13: E401 "source" is empty in trigger "voice-failing": nobody could sign it. Say where its numbers come from.'),
    (Code.NO_CONDITION, BASE[BASE.index("kind: http") : BASE.index("triggers:")], "kind: idle\n    every: 5m\n    timeout: 10s\n", '18:5: E402 nothing can make it fail in check "status". Give it a limit or a condition.'),
    (Code.SHORT_TIMEOUT, "timeout: 30s", "timeout: 10s", '14:14: E403 timeout 10s is not above the service limits of 10.6 s in check "voice": a slow service would look like a broken probe. Write more than 10.6s.'),
    (Code.SHORT_WATCH, "phase: cohort", "phase: portability", "41:49: E404 1h is too short to watch a portability cutover. Write at least 90m: faults at origins show late."),
    (Code.INCOMPLETE_STEP, ", approval: go", "", '39:5: E405 a gate needs "approval" in step "go". Write approval: go'),
    (Code.INCOMPLETE_STEP, ', do: {http: {post: "{platform}/actions/move"}}', "", '40:5: E405 an action needs "do" in step "move". Write do: {http: {post: "{npdb}/activate"}}'),
    (Code.INCOMPLETE_STEP, ", for: 2h", "", '41:5: E405 a watch needs "for" in step "look". Write for: 90m'),
    (Code.INCOMPLETE_STEP, "roles: [lead, care-lead], within", "roles: [], within", "38:40: E405 a roll-call of nobody. Name the roles that must answer."),
    (Code.MISPLACED, "needs: [here], ", "needs: [here], for: 2h, ", '39:41: E406 "for" has no place in a gate in step "go". It belongs to a watch.'),
    (Code.MISPLACED, "id: back, kind: action, ", "id: back, kind: gate, approval: go, ", "43:22: E406 a gate has no place in rollback: going back waits for nobody. Use manual or action."),
    (Code.WINDOW_TIME, "2026-12-08T02:00:00", "2026-12-08T02:00:00Z", '6:17: E407 "2026-12-08T02:00:00Z" is no local time. Write the wall clock of the run\'s zone: "2026-12-08T02:00:00"'),
    (Code.WINDOW_TIME, "2026-12-08T02:00:00", "2026-03-29T01:30:00", "6:17: E407 2026-03-29T01:30:00 does not exist: the clocks skip it in Europe/London that night. Choose another hour."),
    (Code.WINDOW_TIME, "2026-12-08T02:00:00", "2026-10-25T01:30:00", "6:17: E407 2026-10-25T01:30:00 comes twice: the clocks are set back in Europe/London that night. Choose another hour."),
    (Code.WINDOW_ORDER, "2026-12-08T04:00:00", "2026-12-08T02:00:00", "6:48: E408 the window closes at 2026-12-08T02:00:00, not after it opens at 2026-12-08T02:00:00. Move one."),
    (Code.UNKNOWN_ZONE, "Europe/London", "Europe/Londn", '5:11: E409 no time zone "Europe/Londn". Did you mean "Europe/London"?'),
    (Code.UNKNOWN_ZONE, "Europe/London", "london", '5:11: E409 no time zone "london". Did you mean "Europe/London"?'),
    (Code.EMERGENCY_NUMBER, '"+447700900001"', '"999"', '15:46: E410 999 reaches an emergency or crisis line in check "voice". Probes never call one: remove it.'),
    (Code.EMERGENCY_NUMBER, '"+447700900001"', '"sip:112@mno-a"', '15:46: E410 sip:112@mno-a reaches an emergency or crisis line in check "voice". Probes never call one: remove it.'),
    (Code.NO_ROLLBACK, 'rollback:\n  - {id: back, kind: action, do: {http: {post: "{platform}/actions/back"}}}\n', "", '27:15: E411 go-back is offered in trigger "voice-failing", and rollback has no step. Write one, or do not offer it.'),
    (Code.NO_MEMBERS, "check: voice, per", "check: status, per", '26:32: E412 per: origin, and check "status" has no origins. Use per: cell or per: pooled.'),
    (Code.BAD_CELLS, "[mno-a, mno-b]", "[]", '15:21: E413 origin is an empty list in check "voice": there would be nothing to measure. Remove it or fill it.'),
    (Code.BAD_CELLS, "[mno-a, mno-b]", "[mno/a]", '15:22: E413 "mno/a" cannot name a cell. Leave out spaces, "/" and "|", and write at least one letter.'),
    (Code.BAD_CELLS, "[mno-a, mno-b]", f"[{', '.join(f'n{n}' for n in range(2001))}]", '15:12: E413 2001 cells in check "voice", at most 2000. Split the check or shorten an axis.'),
    (Code.SHORT_GAP, "timeout: 30s", "timeout: 30s\n    gap: 60s", "15:10: E414 gap 60s is not above every 60s: there would always be a hole. Leave it out for 3 x every."),
    (Code.UNREACHABLE_POLICY, "care-lead: {people: [cy]}", "care-lead: {people: [ana]}\n  third: {people: [bo]}", ""),
    (Code.UNREACHABLE_POLICY, "fix_first: {any: 1", "fix_first: {any: 3", "35:14: E415 any 3 of 2 people can never be reached. List more people or ask for fewer."),
    (Code.ADDRESS, "path: /status/cohort", 'path: "/http://x"', '22:36: E416 an address has no place in a runbook in check "status". Name a key of the deployment file\'s targets.'),
    (Code.ADDRESS, 'move"}', 'move", json: {token: abc}}', '40:102: E416 "token" looks like a secret in step "move". It belongs into the deployment file, by reference.'),
    (Code.CONTROL_MEASURED, "+447700900901", "+447700900001", '16:15: E417 mno-a/+447700900001 is measured and a control at once in check "voice". A control is a number that does not move.'),
    (Code.NO_STEPS, BASE[BASE.index("steps:") : BASE.index("rollback:")], "steps: []\n", "37:8: E418 a plan without steps. Write at least one."),
]  # fmt: skip


@pytest.mark.parametrize(("code", "old", "new", "expected"), FAULTS, ids=[f"{f[0]}-{n}" for n, f in enumerate(FAULTS)])
def test_each_fault_is_told_with_its_place_and_a_remedy(code: Code, old: str, new: str, expected: str) -> None:
    text = changed(old, new)
    if code is Code.SHORT_WATCH:
        text = changed("for: 2h", "for: 1h", text)
    if code is Code.UNREACHABLE_POLICY and not expected:
        text = changed("[lead, care-lead]", "[lead, care-lead, third]", text)
        expected = (
            "33:13: E415 3 different people must agree, and these roles have only 2. List more people or deputies."
        )
    findings = found(text)
    assert f"f.yaml:{expected}" in findings
    assert f" {code} " in expected


def test_every_code_of_a_runbook_has_its_text_tested() -> None:
    untested = {
        Code.TOO_LARGE,
        Code.NOT_UTF8,
        Code.NO_SUCH_TARGET,
        Code.NO_SUCH_PERSON,
        Code.NO_SUCH_ROOM,
    }  # below, or elsewhere
    wanted = {code for code in Code if code[0] == "E" and code[1] in "1234"} - untested
    assert wanted == {code for code, *_ in FAULTS}


def test_a_file_over_256_kb_is_refused_unread() -> None:
    assert found(b"\xff" * (MAX_BYTES + 1024)) == [
        "f.yaml:1:1: E101 257 KB, and a runbook has at most 256 KB. Split it by phase."
    ]


def test_bytes_that_are_not_utf8_are_told_by_place() -> None:
    assert found(b"runbook: a\ntitle: \xe9t\xe9\n") == [
        "f.yaml:2:8: E102 byte 0xE9 is not UTF-8 text. Save the file as UTF-8."
    ]


def test_an_alias_is_refused_and_what_it_hides_is_not_guessed_at() -> None:
    text = changed("people: [cy]", "people: *x", changed("people: [ana]", "people: &x [ana]"))
    assert [line.split(" ")[1] for line in found(text)] == ["E107", "E107"]
    assert "f.yaml:2:4: E107 *x repeats another part of the file. Write it out: people sign what they read." in found(
        "a: &x b\nc: *x\n"
    )


def test_all_faults_come_at_once_and_in_the_order_of_the_file() -> None:
    text = changed("phase: cohort", "phase: cohorts")
    text = changed("kind: voice", "kind: voic", text)
    text = changed("needs: [here]", "needs: [her]", text)
    assert [line.split(" ")[1] for line in found(text)] == ["E204", "E306", "E301"]


def test_one_wrong_value_in_a_check_does_not_hide_the_kinds_own_findings() -> None:
    text = changed("every: 60s", "every: soon", changed("answer_within: 10s", "answer_within: 40s"))
    assert [line.split(" ")[1] for line in found(text)] == ["E205", "E403"]


def test_a_sound_runbook_is_read_with_its_values_and_spans() -> None:
    runbook = parse(BASE.encode(), "f.yaml", KINDS)
    assert runbook.phase is Phase.COHORT
    assert runbook.check("voice").every.total_seconds() == 60
    assert runbook.check("voice").with_ == {"answer_within": "10s"}
    assert isinstance(runbook.trigger("voice-failing").when.operator, Rate)
    assert runbook.members(runbook.trigger("voice-failing")) == ("mno-a", "mno-b")


def test_the_ledgers_text_is_read_to_the_same_values_without_kinds() -> None:
    assert load(BASE.encode()) == parse(BASE.encode(), "f.yaml", KINDS)


def test_a_malformed_text_in_the_ledger_is_refused() -> None:
    with pytest.raises(RunbookRefused, match="ledger:3:8: E204"):
        load(changed("phase: cohort", "phase: cohorts").encode())


def test_load_takes_text_that_a_later_rule_would_refuse() -> None:
    load(changed("timeout: 30s", "timeout: 1s").encode())


def test_a_byte_order_mark_changes_nothing() -> None:
    assert load(b"\xef\xbb\xbf" + BASE.encode()) == load(BASE.encode())


def test_a_runbook_is_its_own_json_form() -> None:
    runbook = load(BASE.encode())
    assert Runbook.model_validate_json(runbook.model_dump_json(by_alias=True)) == runbook


def test_lint_adds_the_playbook_where_it_applies_and_parse_only_what_binds() -> None:
    text = changed("criteria: {one_of_each: [lead, care-lead]}", "criteria: {one_of_each: [care-lead]}")
    text = changed("digests:\n  - {id: executive, every: 4h, to: {channel: C0EXEC}}\n", "", text)
    assert [finding.code for finding in lint(text.encode(), "f.yaml", KINDS)] == [Code.DIGEST, Code.SIGNATORIES]
    assert [line.split(" ")[1] for line in found(text)] == [Code.SIGNATORIES]


def test_lint_of_an_unreadable_file_returns_its_faults() -> None:
    assert [finding.code for finding in lint(b"a: [", "f.yaml", KINDS)] == [Code.NOT_YAML]


def test_marks_tell_where_a_value_stands() -> None:
    node = marks_of(BASE.encode(), "f.yaml").node(("steps", 3, "for"))
    assert (node.line, node.column, node.raw) == (41, 49, "2h")


# --------------------------------------------------------------------------------- whatever comes in

TAME = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HOSTILE = "{}[]:,-&*!|>'\"%@`#?<\t\n 0159:abyno~=.+_xTZ/\x00\u2028\ufeff"


def refusal(data: bytes, place: str, kinds: dict[str, type[BaseModel]]) -> tuple[Finding, ...]:
    try:
        parse(data, place, kinds)
    except RunbookRefused as refused:
        return refused.findings
    return ()


def survives(data: bytes) -> None:
    """Reading ends in a runbook or in findings, whatever *data* is."""
    for place, kinds in (("f.yaml", KINDS), ("g.yaml", {})):
        findings = refusal(data, place, kinds)
        assert all(finding.line >= 1 and finding.column >= 1 for finding in findings)


@TAME
@given(st.binary(max_size=200))
@example(b"[" * 5000)
@example(b"a: " + b"9" * 5000)
@example(b"a: 1e999\nb: 2026-99-99\nc: 1_0:99\n")
def test_any_bytes_end_in_findings(data: bytes) -> None:
    survives(data)


@TAME
@given(st.text(alphabet=HOSTILE, max_size=120))
def test_any_text_of_yaml_signs_ends_in_findings(text: str) -> None:
    survives(text.encode("utf-8", "surrogatepass"))


@TAME
@given(start=st.integers(0, len(BASE)), length=st.integers(0, 80), put=st.text(alphabet=HOSTILE, max_size=20))
def test_any_wound_in_a_runbook_ends_in_findings_or_a_runbook(start: int, length: int, put: str) -> None:
    survives((BASE[:start] + put + BASE[start + length :]).encode("utf-8", "surrogatepass"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for step, inner in below for place in places(inner, (*path, step)))]


PLAIN = marks_of(BASE.encode(), "f.yaml").root.plain


@TAME
@given(place=st.sampled_from(places(PLAIN)[1:]), value=JSON)
def test_any_value_at_any_place_ends_in_findings_or_a_runbook(place: tuple[str | int, ...], value: Any) -> None:
    plain = json.loads(json.dumps(PLAIN))
    holder = plain
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    survives(json.dumps(plain).encode())


# ------------------------------------------------------------------------------------ for editors


def test_the_editors_schema_knows_each_key_operator_and_kind() -> None:
    defs = json_schema(KINDS)["$defs"]
    assert {"check", "per", "rate", "consecutive", "threshold"} == set(defs["When"]["properties"])
    assert {rule["if"]["properties"]["kind"]["const"] for rule in defs["Check"]["allOf"]} == set(KINDS)
    assert "with" in defs["Check"]["properties"]
    assert "for" in defs["Step"]["properties"]


def test_the_editors_schema_takes_spans_and_times_as_they_are_written() -> None:
    text = json.dumps(json_schema(KINDS))
    assert '"format": "duration"' not in text
    assert '"format": "date-time"' not in text
    assert json_schema()["$defs"]["Window"]["properties"]["opens"]["pattern"].startswith("^")


def test_every_reference_of_the_editors_schema_leads_somewhere() -> None:
    schema = json_schema(KINDS)
    wanted = {part.split('"')[0] for part in json.dumps(schema).split("#/$defs/")[1:]}
    assert wanted <= set(schema["$defs"])
