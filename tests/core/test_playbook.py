"""Each rule of the playbook finds what somebody forgot, at its place, and lets a sound plan pass."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from bot.core.codes import BINDING, Code
from bot.core.errors import Finding, RunbookRefused
from bot.core.playbook import RULES, rules
from bot.core.reading_yaml import lint, load, marks_of, parse

HERE = Path(__file__).parents[2] / "runbooks"
PORT, PARALLEL, BSS = "number-portability-cutover", "parallel-operations", "bss-cutover"


class Anything(BaseModel):
    """Parameters of a kind that takes everything: these tests are about the plan."""

    model_config = ConfigDict(extra="allow")


ANY: dict[str, type[BaseModel]] = dict.fromkeys(("voice", "sms", "data", "ivr", "http"), Anything)


def text_of(name: str, *changes: tuple[str, str]) -> str:
    text = (HERE / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def said(name: str, *changes: tuple[str, str]) -> list[tuple[str, str]]:
    """Return (code, message) of what the playbook says against a changed shipped runbook."""
    return [(finding.code, finding.message) for finding in rules(load(text_of(name, *changes).encode()))]


CASES: list[tuple[Code, str, list[tuple[str, str]], str]] = [
    (Code.READINESS_FIRST, PORT, [("[destination-readiness, mediation,", "[mediation,")], "Nothing moves until the destination is ready. Add destination-readiness to requires."),
    (Code.MEDIATION_FIRST, PORT, [("readiness, mediation,", "readiness,")], "Mediation is validated before subscribers or billing move. Add mediation to requires."),
    (Code.COHORTS, "subscriber-cohort", [("needs: [enter-2]", "needs: [watch-1]")], "move-2 moves a cohort without an entry gate. Put a gate into its needs."),
    (Code.STABILISATION, BSS, [("subscriber-cohort, ", "")], "BSS cutover comes after the subscribers. Add subscriber-cohort to requires."),
    (Code.STABILISATION, BSS, [("    needs: [stabilise]\n", "")], "no stabilisation before switch-bss: subscriber moves and BSS cutover never overlap. Add a watch."),
    (Code.INTEGRATIONS_FIRST, BSS, [(", api-integrations]", "]")], "Every integration moves before BSS. Add api-integrations to requires."),
    (Code.DUAL_WRITE, PARALLEL, [("id: dual-write", "id: both"), ("check: dual-write", "check: both"), ("/status/dual-write", "/status/both")], "nothing measures the writing to both sides. Add a check of lag, conflicts and order, with dual-write in its id."),
    (Code.RECONCILE, PARALLEL, [("every: 4h\n    timeout", "every: 6h\n    timeout")], "reconciliation every 6h; both sides drift apart unseen. Write 4h or less."),
    (Code.FINANCE_GATE, PARALLEL, [("owner: finance\n    approval", "owner: network-ops\n    approval")], "no bill run is released without finance. Add a gate with owner: finance."),
    (Code.PARALLEL_PERIOD, PARALLEL, [("for: 28d", "for: 14d")], "both sides run in parallel for at least four weeks. Add a watch with for: 28d or more."),
    (Code.NO_RETURN, PORT, [("    point_of_no_return: true\n", "")], "ported numbers do not come back by an undo. Mark the switch with point_of_no_return: true."),
    (Code.NO_RETURN, PORT, [("needs: [go]", "needs: [roll-call]")], "no gate stands right before switch-routing, which cannot be undone. Put one into its needs."),
    (Code.NO_RETURN, PORT, [("after: {one_of_each: [cutover-lead, mno-partner]}", "after: {any: 1, of: [cutover-lead, network-ops]}")], "after the point of no return, going back is a negotiated port back. Give go_back.after its own, stronger policy."),
    (Code.ROLL_CALL, PORT, [("roles: [cutover-lead, network-ops, mno-partner, care-lead]", "roles: [cutover-lead, network-ops]")], "no roll call of network operations and the MNO partner before switch-routing. Add one to its needs."),
    (Code.WINDOW, PORT, [("T04:00:00", "T05:00:00")], "a window of 3h, at most 2h. Shorten it."),
    (Code.WINDOW, PORT, [("needs: [switch-routing], for: 90m", "needs: [roll-call], for: 90m")], "nobody watches for 90m after switch-routing. Add a watch that needs it."),
    (Code.COVERAGE, PORT, [("origin: [carrier-c, carrier-d]", "origin: [carrier-c]"), ("direction: outbound", "direction: inbound")], "a portability cutover is not validated without voice outbound, SMS on two carriers. Add the checks."),
    (Code.SIGNATORIES, PORT, [("criteria: {one_of_each: [cutover-lead, network-ops,", "criteria: {one_of_each: [cutover-lead,")], '"network-ops" owns trigger "inbound-voice-failing" and does not sign. Add it to approvals.criteria.one_of_each.'),
    (Code.CONSERVATIVE, PORT, [("bad: 0.90, false_trip: 0.005", "bad: 0.90, false_trip: 0.1")], "false_trip 0.1: more than 1 good night in 20 would set it off. Write 0.05 or less."),
    (Code.CONSERVATIVE, PORT, [("failures: 2", "failures: 1")], "one failure would set it off, and one failure is often the probe. Write at least 2."),
    (Code.CONSERVATIVE, PORT, [("min_samples: 5", "min_samples: 2")], "2 samples say little about a quantile. Write at least 5."),
    (Code.CARE, PORT, [("care-lead", "front-desk")], "customer care must know which system counts. Add a role for it, like care-lead."),
    (Code.DIGEST, PORT, [("digests:\n  - {id: executive, every: 30m, to: {channel: executive}}\n", "")], "no digest: people outside the room would ask in it. Add digests with an audience, a rhythm and a place."),
    (Code.COMPLETION, "completion", [("go: {one_of_each: [cutover-lead, finance, care-lead]}", "go: {one_of_each: [cutover-lead, care-lead]}")], "complete means two clean billing cycles, and finance says so. Add finance to the policy."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "name", "changes", "message"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)]
)
def test_each_rule_finds_what_was_forgotten(
    code: Code, name: str, changes: list[tuple[str, str]], message: str
) -> None:
    assert (code, message) in said(name, *changes)


def test_every_rule_has_a_case() -> None:
    assert (
        {rule.code for rule in RULES} == {code for code in Code if code.startswith("PB")} == {case[0] for case in CASES}
    )


@pytest.mark.parametrize("path", sorted(HERE.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_runbooks_keep_every_rule(path: Path) -> None:
    if not path.name.endswith(".deployment.yaml"):
        assert rules(load(path.read_bytes())) == ()


def test_a_finding_of_the_playbook_stands_where_the_words_are() -> None:
    text = text_of(PORT, ("T04:00:00", "T06:00:00"))
    (finding,) = rules(load(text.encode()), marks_of(text.encode(), "f.yaml"))
    line = next(n for n, row in enumerate(text.splitlines(), start=1) if row.startswith("window:"))
    assert finding == Finding("f.yaml", line, 9, Code.WINDOW, "a window of 4h, at most 2h. Shorten it.")


def test_no_run_is_opened_against_a_binding_rule() -> None:
    assert set(BINDING) == {Code.NO_RETURN, Code.WINDOW, Code.SIGNATORIES}
    text = text_of(PORT, ("T04:00:00", "T05:00:00"))
    with pytest.raises(RunbookRefused, match="PB15 a window of 3h"):
        parse(text.encode(), "f.yaml", ANY)


def test_a_rule_that_does_not_bind_is_said_by_lint_only() -> None:
    text = text_of(PORT, ("digests:\n  - {id: executive, every: 30m, to: {channel: executive}}\n", "")).encode()
    assert [finding.code for finding in lint(text, "f.yaml", ANY)] == [Code.DIGEST]
    parse(text, "f.yaml", ANY)
