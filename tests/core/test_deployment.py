"""The deployment file is the allow-list: one account is one person, no secret is written out, nothing unlisted is named."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import checks
from bot.core.codes import Code
from bot.core.deployment import Deployment, missing_targets, named_entries, parse_deployment, refuse_missing
from bot.core.errors import RunbookRefused
from bot.core.model import Cell
from bot.core.reading_yaml import load, marks_of

BASE = """\
deployment: north
migration: wave-1
people:
  ana: {name: Ana, slack: [T1/U1, T2/U9], os: [ana], phone: "+447700900123"}
  bo: {name: Bo, room: [U0BO]}
rooms:
  main: {channel: C0CUTOVER}
targets:
  sip:
    mno-a: {host: 192.0.2.1, username: probe, password_env: MNO_A_PASSWORD}
    home: {host: 127.0.0.1, password: practice}
  http:
    npdb: {url: "https://npdb.example", token_env: NPDB_TOKEN}
"""
PLAN = """\
runbook: a
title: A
phase: readiness
timezone: UTC
roles: {lead: {people: [ana], deputies: [bo]}}
checks:
  - {id: calls, kind: voice, every: 60s, timeout: 30s, cells: {origin: [mno-a, mno-b], number: ["+447700900001"]}}
  - {id: state, kind: http, every: 60s, timeout: 10s, with: {target: npbd}}
approvals:
  criteria: {one_of_each: [lead]}
  go: {one_of_each: [lead]}
  go_back: {before: {one_of_each: [lead]}, after: {one_of_each: [lead]}}
  fix_first: {one_of_each: [lead]}
  continue: {one_of_each: [lead]}
steps:
  - {id: move, kind: action, do: {http: {post: "{npdb}/activate"}}}
digests:
  - {id: executive, every: 30m, to: {channel: main}}
"""


class Calls(checks.Params):
    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        return (("sip", cell.origin),)


class Asks(checks.Params):
    target: str

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        return (("http", self.target) if not cell.origin else ("http", ""),)


KINDS: dict[str, type[BaseModel]] = {"voice": Calls, "http": Asks}


def changed(old: str, new: str, text: str = BASE) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


def found(text: str) -> list[str]:
    with pytest.raises(RunbookRefused) as refused:
        parse_deployment(text.encode(), "d.yaml")
    return [str(finding) for finding in refused.value.findings]


def north() -> Deployment:
    return parse_deployment(BASE.encode(), "d.yaml")


def missing(text: str = PLAN, *, marked: bool = True) -> list[str]:
    marks = marks_of(text.encode(), "r.yaml") if marked else None
    return [str(finding) for finding in missing_targets(load(text.encode()), KINDS, north(), marks)]


def test_an_account_leads_to_its_person_and_an_unlisted_one_to_nobody() -> None:
    deployment = north()
    assert deployment.person_of("slack:T2/U9") == "ana"
    assert deployment.person_of("os:ana") == "ana"
    assert deployment.person_of("room:U0BO") == "bo"
    assert deployment.person_of("slack:T1/U0BO") is None
    assert deployment.person_of("os:root") is None


def test_names_and_rooms_are_found_by_key_and_a_channel_id_is_itself() -> None:
    assert north().names() == {"ana": "Ana", "bo": "Bo"}
    assert north().channel_of("main") == "C0CUTOVER"
    assert north().channel_of("C0OTHER") == "C0OTHER"


def test_a_secret_by_reference_reaches_the_probes_as_a_reference() -> None:
    targets = north().targets
    assert targets["sip"]["mno-a"]["password"] == {"env": "MNO_A_PASSWORD"}
    assert targets["http"]["npdb"]["token"] == {"env": "NPDB_TOKEN"}
    assert targets["sip"]["home"]["password"] == "practice"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("room: [U0BO]", "slack: [T1/U1]", "5:26: E501 slack:T1/U1 is listed for ana already (line 4). One account is one person: remove it here."),
        ("password_env: MNO_A_PASSWORD", "password: hunter2", "10:47: E502 a secret is written out for sip.mno-a. Name an environment variable: password_env: MNO_A_PASSWORD"),
        ("token_env: NPDB_TOKEN", "token: abc", "13:41: E502 a secret is written out for http.npdb. Name an environment variable: token_env: NPDB_TOKEN"),
        ("password_env: MNO_A_PASSWORD", "password_env: hunter2", "10:61: E206 password_env names an environment variable, in capitals, like MNO_A_PASSWORD."),
        ("password_env: MNO_A_PASSWORD", "password: 12345", "10:47: E502 a secret is written out for sip.mno-a. Name an environment variable: password_env: MNO_A_PASSWORD"),
        ("https://npdb", "https://me:pw@npdb", "13:17: E502 a password stands in the address of http.npdb. Take it out, and name an environment variable: token_env: NPDB_TOKEN"),
        ("slack: [T1/U1, T2/U9]", "slack: [ana]", '4:28: E205 slack[0]: "ana" is not spelled as one: write it like T012AB3CD/U045EF6GH (workspace, then user).'),
        ('"+447700900123"', "+447700900123", '4:61: E110 +447700900123 is read by YAML as the number 447700900123. Put it in quotes if it is text: "+447700900123"'),
        ('"+447700900123"', '"07700900123"', '4:61: E205 phone: "07700900123" is not spelled as one: write it like "+447700900123", in quotes.'),
        ("room: [U0BO]", "rooms: [U0BO]", '5:18: E202 unknown key "rooms" in person "bo". Did you mean "room"?'),
        ("channel: C0CUTOVER", 'channel: "#cutover"', '7:19: E205 channel: "#cutover" is not spelled as one: write it like C0CUTOVER, the channel\'s id.'),
        ("deployment: north\n", "", '1:1: E201 "deployment" is missing. Write it.'),
    ],
)  # fmt: skip
def test_each_fault_of_a_deployment_file_is_told_with_its_place(old: str, new: str, expected: str) -> None:
    assert found(changed(old, new)) == [f"d.yaml:{expected}"]


def test_a_target_that_is_not_listed_is_told_at_its_own_place() -> None:
    assert missing() == [
        'r.yaml:7:80: E308 no target sip.mno-b in deployment "north". Did you mean "mno-a"?',
        'r.yaml:8:70: E308 no target http.npbd in deployment "north". Did you mean "npdb"?',
    ]


def test_an_actions_target_a_person_and_a_room_must_be_listed_too() -> None:
    text = changed("{npdb}/activate", "{ndpb}/activate", changed("npbd", "npdb", changed(", mno-b]", "]", PLAN)))
    text = changed("deputies: [bo]", "deputies: [boo]", changed("channel: main", "channel: maine", text))
    assert missing(text) == [
        'r.yaml:16:48: E308 no target http.ndpb in deployment "north". Did you mean "npdb"?',
        'r.yaml:5:42: E309 no person "boo" in deployment "north". Did you mean "bo"?',
        'r.yaml:18:47: E310 no room "maine" in deployment "north". Did you mean "main"?',
    ]


def test_without_the_file_the_findings_name_the_runbook() -> None:
    assert missing(marked=False)[0].startswith("a:1:1: E308 no target sip.mno-b")


def test_a_run_with_an_unlisted_target_is_refused() -> None:
    with pytest.raises(RunbookRefused, match=Code.NO_SUCH_TARGET):
        refuse_missing(load(PLAN.encode()), KINDS, north())


def test_a_runbook_names_its_targets_and_its_people() -> None:
    assert named_entries(load(PLAN.encode()), KINDS) == {
        "people.ana", "people.bo", "sip.mno-a", "sip.mno-b", "http.npbd", "http.npdb"
    }  # fmt: skip


def test_a_fingerprint_moves_with_its_entry_and_only_with_it() -> None:
    names = frozenset({"sip.mno-a", "people.bo", "sip.nowhere"})
    before = north().fingerprints(names)
    assert set(before) == {"sip.mno-a", "people.bo"}
    moved = parse_deployment(changed("192.0.2.1", "192.0.2.2").encode(), "d.yaml").fingerprints(names)
    assert moved["sip.mno-a"] != before["sip.mno-a"]
    assert moved["people.bo"] == before["people.bo"]


def test_a_written_out_secret_does_not_enter_a_fingerprint() -> None:
    names = frozenset({"sip.home"})
    other = parse_deployment(changed("practice", "other").encode(), "d.yaml")
    assert other.fingerprints(names) == north().fingerprints(names)


def test_the_people_of_the_demo_are_read() -> None:
    path = Path(__file__).parents[2] / "runbooks" / "demo.deployment.yaml"
    demo = parse_deployment(path.read_bytes(), path.name)
    assert demo.person_of("room:U0LEAD") == "lead"
    assert demo.rooms["executive"].channel == "C0EXEC"
    assert set(demo.people) == {"lead", "deputy", "noc-a", "noc-b", "partner-a", "partner-b", "care", "finance", "exec"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.integers(0, len(BASE)),
    length=st.integers(0, 60),
    put=st.text("{}[]:,-&*!|>'\"%@#\n 09aT/\x00", max_size=12),
)
def test_any_wound_ends_in_findings_or_a_deployment(start: int, length: int, put: str) -> None:
    try:
        deployment = parse_deployment((BASE[:start] + put + BASE[start + length :]).encode(), "d.yaml")
    except RunbookRefused as refused:
        told = len(refused.findings)
    else:
        told = len(deployment.fingerprints(frozenset({"sip.mno-a"}))) + 1
    assert told
