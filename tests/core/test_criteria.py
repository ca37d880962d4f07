"""What is signed: the digest moves with every promise and with nothing else; the sentences say the promises."""

from pathlib import Path

import pytest

from bot.core.criteria import agreed, criteria_digest, plain_diff, read_checks, sentences
from bot.core.reading_yaml import load
from bot.core.runbook import Policy, Runbook
from bot.core.triggers import Rate

TEXT = (Path(__file__).parents[2] / "runbooks" / "number-portability-cutover.yaml").read_text(encoding="utf-8")


def plan(*changes: tuple[str, str]) -> Runbook:
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return load(text.encode())


def digest(*changes: tuple[str, str]) -> str:
    return criteria_digest(plan(*changes), {"http.npdb": "aa"}, None)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("bad: 0.90", "bad: 0.80"), id="a trigger's limit"),
        pytest.param(("no_data: cannot-tell", "no_data: met"), id="what silence means"),
        pytest.param(("options: [go-back, fix-first, continue]", "options: [fix-first, continue]"), id="an option"),
        pytest.param(("every: 2m", "every: 3m"), id="how often a check is taken"),
        pytest.param(("timeout: 30s", "timeout: 40s"), id="a check's timeout"),
        pytest.param(("answer_within: 10s, audio", "answer_within: 20s, audio"), id="a limit of the service"),
        pytest.param(("origin: [mno-a, mno-b, donor, fixed]", "origin: [mno-a, mno-b, donor]"), id="a cell"),
        pytest.param(('controls: {number: ["+447700900901"]}', 'controls: {number: ["+447700900902"]}'), id="a control"),
        pytest.param(("for: 90m, checks: all", "for: 95m, checks: all"), id="how long is watched"),
        pytest.param(("for: 90m, checks: all", "for: 90m, checks: [data]"), id="what is watched"),
        pytest.param(("must: {checks: all, last: 10m}", "must: {checks: all, last: 5m}"), id="a gate's entry"),
        pytest.param(("go: {one_of_each: [cutover-lead, network-ops]", "go: {one_of_each: [cutover-lead, care-lead]"), id="a policy"),
        pytest.param(("people: [noc-a, noc-b]", "people: [noc-a]"), id="a role"),
        pytest.param(('"{npdb}/port-back"', '"{npdb}/port-back-now"'), id="the way back"),
        pytest.param(("    point_of_no_return: true\n", ""), id="the point of no return"),
        pytest.param(("T04:00:00", "T03:30:00"), id="the window"),
        pytest.param(("timezone: Europe/London", "timezone: Europe/London\nmateriality: {calls: '1'}"), id="materiality"),
    ],
)  # fmt: skip
def test_the_digest_moves_with_each_promise(change: tuple[str, str]) -> None:
    assert digest(change) != digest()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("# The night", "# That night"), id="a comment"),
        pytest.param(("title: Number portability cutover, wave 1", "title: The night"), id="the run's title"),
        pytest.param(("title: Switch the routing", "title: Switch"), id="a step's title"),
        pytest.param(("title: Port the numbers back", "title: Port back"), id="a rollback step's title"),
        pytest.param(("timeout: 30s", "timeout: 30s\n    gap: 6m"), id="a default written out"),
        pytest.param(("good: 0.98, bad: 0.90", "bad: 0.9, good: 0.980"), id="another spelling"),
        pytest.param(("every: 30m, to:", "every: 45m, to:"), id="a digest's rhythm"),
    ],
)
def test_the_digest_stays_for_what_nobody_promised(change: tuple[str, str]) -> None:
    assert digest(change) == digest()


def test_the_digest_holds_the_deployment_and_the_scenario() -> None:
    prints = {"http.npdb": "aa"}
    as_signed = criteria_digest(plan(), prints, None)
    assert criteria_digest(plan(), {"http.npdb": "bb"}, None) != as_signed
    assert criteria_digest(plan(), prints, {"name": "demo", "speed": 60.0}) != as_signed
    assert criteria_digest(plan(), dict(prints), None) == as_signed


def test_the_digest_is_pinned() -> None:
    """If this fails, signatures of open runs die with the upgrade: raise the form and say so in the changelog."""
    small = load(
        b"""
runbook: a
title: A
phase: readiness
timezone: UTC
roles: {lead: {people: [ana]}}
approvals: {criteria: {one_of_each: [lead]}, go: {one_of_each: [lead]}, go_back: {before: {one_of_each: [lead]},
  after: {one_of_each: [lead]}}, fix_first: {one_of_each: [lead]}, continue: {one_of_each: [lead]}}
steps: [{id: go, kind: gate, approval: go}]
"""
    )
    assert criteria_digest(small, {}, None) == "5a9d32ce39ab0a2ad80713accde4974c2134222ace24ac5393f8da57365cbb20"


def test_a_check_that_nothing_reads_is_no_criterion() -> None:
    only = plan(("checks: all, last: 10m", "checks: [data], last: 10m"), ("checks: all, last: 15m", "checks: [data], last: 15m"),
                ("for: 90m, checks: all", "for: 90m, checks: [data]"))  # fmt: skip
    assert "reconciliation" in [check.id for check in read_checks(plan())]
    assert "reconciliation" not in [check.id for check in read_checks(only)]


def test_the_list_that_people_sign_holds_the_rules_and_what_lets_the_run_go_on() -> None:
    signed = sentences(plan())
    assert signed[0] == (
        "Rule 1. Calls into our numbers fail: when, for any one of mno-a, mno-b, donor, fixed, about 1 in 10 or more fail "
        '(normal: fewer than 1 in 50) in "Calls into our numbers", we go back, fix first or continue. Decided within 10 min. '
        "A healthy network sets this off by mistake in at most 1 night in 200. Owner: network-ops. "
        "From: baseline of the four previous Tuesdays, recorded by soak."
    )
    assert (
        "To go on, Go or not yet: done: Roll call; working, with no hole in the last 10 min: all checks; "
        "cutover-lead and network-ops agree, not who asked."
    ) in signed
    assert "Watching, Validation: all checks for 90 min. A stretch without measurements makes it longer." in signed
    assert signed[-1] == (
        'After "Switch the routing" there is no undo. Porting back is a new port; cutover-lead and mno-partner agree.'
    )


def test_a_gate_that_names_nothing_promises_every_check() -> None:
    silent = sentences(plan((", must: {checks: all, last: 10m}", "")))
    assert silent == sentences(plan())


def test_an_operator_without_words_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def speechless(_: Rate) -> str:
        raise NotImplementedError

    monkeypatch.setattr(Rate, "sentence", speechless)
    assert 'rate {"good":0.98,"bad":0.9,"false_trip":0.005}' in sentences(plan())[0]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(one_of_each=("a", "b", "c")), "a, b and c agree"),
        (Policy(one_of_each=("a",)), "a agrees"),
        (Policy(any=1, of=("a", "b")), "one of a, b agrees"),
        (Policy(any=2, of=("a", "b"), not_requester=True), "2 of a, b agree, not who asked"),
    ],
)
def test_a_policy_is_said_in_words(policy: Policy, words: str) -> None:
    assert agreed(policy) == words


def test_a_change_is_told_in_the_runbooks_own_words() -> None:
    after = plan(
        ("bad: 0.90", "bad: 0.80"),
        ("for: 90m", "for: 2h"),
        ("people: [care]", "people: [care], deputies: [deputy]"),
        ("  - {id: close, kind: gate,", "  - {id: tea, kind: manual, needs: [validate]}\n  - {id: close, kind: gate,"),
    )
    assert plain_diff(plan(), after).splitlines() == [
        "roles.care-lead.deputies added: [deputy]",
        "triggers.inbound-voice-failing.when.rate.bad: 0.9 -> 0.8",
        "steps.validate.for: 90m -> 2h",
        "steps.tea added: kind manual, needs [validate]",
    ]


def test_another_order_of_the_rules_is_told() -> None:
    before = plan()
    after = before.model_copy(update={"triggers": tuple(reversed(before.triggers))})
    assert plain_diff(before, after) == (
        "triggers, new order: care-line-wrong, data-slow, sms-receipts-missing, outbound-voice-failing, inbound-voice-failing"
    )


def test_no_change_is_told_by_nothing() -> None:
    assert plain_diff(plan(), plan(("# The night", "# That night"))) == ""
