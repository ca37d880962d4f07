"""
The rules of the migration playbook that can be read off a runbook.

Each rule is a question about values with a code, the phases it is for, and a remedy. It finds what somebody
forgot; it does not decide how good a plan is. Three rules are binding (`codes.BINDING`): without them no run
is opened. The others are said by `lint`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from bot.core.codes import Code
from bot.core.errors import Finding
from bot.core.marked_yaml import Marks, Path, nowhere
from bot.core.runbook import Check, Phase, Policy, Runbook, Step, StepKind
from bot.core.spans import shown
from bot.core.triggers import Consecutive, Rate, Threshold

Faults = Iterator[tuple[Path, str]]

#: Phases in which subscribers or money move.
_MOVING = frozenset({Phase.COHORT, Phase.PARALLEL, Phase.BSS, Phase.PORTABILITY})
_LONGEST_WINDOW = timedelta(hours=2)
_SHORTEST_WATCH = timedelta(minutes=90)
_RECONCILE_EVERY = timedelta(hours=4)
_PARALLEL_FOR = timedelta(weeks=4)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: for which phases, and what it finds."""

    code: Code
    phases: frozenset[Phase]
    find: Callable[[Runbook], Faults]


def rules(runbook: Runbook, marks: Marks | None = None) -> tuple[Finding, ...]:
    """Return what the playbook says against *runbook*, at the places that *marks* knows."""
    report = nowhere(runbook.runbook) if marks is None else marks
    before = len(report.findings)
    for rule in RULES:
        if runbook.phase in rule.phases:
            for path, message in rule.find(runbook):
                report.report_at(path, rule.code, message)
    return tuple(report.findings[before:])


def _requires(wanted: str, why: str) -> Callable[[Runbook], Faults]:
    def find(runbook: Runbook) -> Faults:
        if wanted not in runbook.requires:
            yield ("requires",), f"{why} Add {wanted} to requires."

    return find


def ancestors(runbook: Runbook, step: Step) -> tuple[Step, ...]:
    """Return every step that must be done before *step*."""
    steps = {each.id: each for each in runbook.steps}
    found: dict[str, Step] = {}
    waiting = list(step.needs)
    while waiting:
        name = waiting.pop()
        if name in steps and name not in found:
            found[name] = steps[name]
            waiting.extend(steps[name].needs)
    return tuple(found.values())


def _switches(runbook: Runbook) -> tuple[tuple[int, Step], ...]:
    return tuple((index, step) for index, step in enumerate(runbook.steps) if step.point_of_no_return)


def _demand(policy: Policy) -> int:
    return len(policy.one_of_each) or policy.any


def _no_return(runbook: Runbook) -> Faults:
    switches = _switches(runbook)
    if runbook.phase is Phase.PORTABILITY and not switches:
        yield ("steps",), "ported numbers do not come back by an undo. Mark the switch with point_of_no_return: true."
    for index, _ in switches[1:]:
        yield (
            ("steps", index),
            f"a second point of no return after {switches[0][1].id}. Plan each switch as a run of its own.",
        )
    for index, step in switches:
        if not any(runbook.step(need).kind is StepKind.GATE for need in step.needs):
            yield (
                ("steps", index),
                f"no gate stands right before {step.id}, which cannot be undone. Put one into its needs.",
            )
    back = runbook.approvals.go_back
    if switches and (back.after == back.before or _demand(back.after) < _demand(back.before)):
        message = "after the point of no return, going back is a negotiated port back. Give go_back.after its own, stronger policy."
        yield ("approvals", "go_back", "after"), message


def _roll_call(runbook: Runbook) -> Faults:
    for index, switch in _switches(runbook):
        present = {
            role for step in ancestors(runbook, switch) if step.kind is StepKind.ROLL_CALL for role in step.roles
        }
        if not (
            any("network" in role for role in present) and any("partner" in role or "mno" in role for role in present)
        ):
            message = (
                f"no roll call of network operations and the MNO partner before {switch.id}. Add one to its needs."
            )
            yield ("steps", index), message


def _window(runbook: Runbook) -> Faults:
    if runbook.window is None:
        yield (
            (),
            "a portability cutover has a window of at most 2h, in the lowest traffic. Write window: {opens: ..., closes: ...}",
        )
    elif runbook.window.closes - runbook.window.opens > _LONGEST_WINDOW:
        yield ("window",), f"a window of {shown(runbook.window.closes - runbook.window.opens)}, at most 2h. Shorten it."
    for index, switch in _switches(runbook):
        watches = [step for step in runbook.steps if step.kind is StepKind.WATCH and switch in ancestors(runbook, step)]
        if not any(step.for_ is not None and step.for_ >= _SHORTEST_WATCH for step in watches):
            yield ("steps", index), f"nobody watches for 90m after {switch.id}. Add a watch that needs it."


def _coverage(runbook: Runbook) -> Faults:
    def of(kind: str) -> list[Check]:
        return [check for check in runbook.checks if check.kind == kind]

    directions = {check.with_.get("direction", "inbound") for check in of("voice")}
    carriers = {carrier for check in of("sms") for carrier in ([check.with_.get("carrier")] if check.with_.get("carrier") else check.cells.origin)}  # fmt: skip
    missing = [words for words, is_there in (
        ("voice inbound", "inbound" in directions),
        ("voice outbound", "outbound" in directions),
        ("SMS on two carriers", len(carriers) >= 2),
        ("data", bool(of("data"))),
        ("IVR", bool(of("ivr"))),
    ) if not is_there]  # fmt: skip
    if missing:
        yield ("checks",), f"a portability cutover is not validated without {', '.join(missing)}. Add the checks."


def _signatories(runbook: Runbook) -> Faults:
    signing = set(runbook.approvals.criteria.one_of_each)
    for index, trigger in enumerate(runbook.triggers):
        if trigger.owner not in signing:
            message = f'"{trigger.owner}" owns trigger "{trigger.id}" and does not sign. Add it to approvals.criteria.one_of_each.'
            yield ("triggers", index, "owner"), message


def _conservative(runbook: Runbook) -> Faults:
    if not runbook.triggers:
        yield (), "no criterion says when to go back. Define at least one trigger before the event."
    for index, trigger in enumerate(runbook.triggers):
        judge, place = trigger.when.operator, ("triggers", index, "when")
        if isinstance(judge, Rate) and judge.false_trip > 0.05:
            yield (
                (*place, "rate", "false_trip"),
                f"false_trip {judge.false_trip:g}: more than 1 good night in 20 would set it off. Write 0.05 or less.",
            )
        elif isinstance(judge, Consecutive) and judge.failures < 2:
            yield (
                (*place, "consecutive", "failures"),
                "one failure would set it off, and one failure is often the probe. Write at least 2.",
            )
        elif isinstance(judge, Threshold) and judge.min_samples < 5:
            yield (
                (*place, "threshold", "min_samples"),
                f"{judge.min_samples} samples say little about a quantile. Write at least 5.",
            )


def _digest(runbook: Runbook) -> Faults:
    if not runbook.digests:
        yield (
            (),
            "no digest: people outside the room would ask in it. Add digests with an audience, a rhythm and a place.",
        )


def _cohorts(runbook: Runbook) -> Faults:
    for index, step in enumerate(runbook.steps):
        if step.kind is StepKind.ACTION and not any(runbook.step(need).kind is StepKind.GATE for need in step.needs):
            yield ("steps", index), f"{step.id} moves a cohort without an entry gate. Put a gate into its needs."


def _stabilised(runbook: Runbook) -> Faults:
    yield from _requires("subscriber-cohort", "BSS cutover comes after the subscribers.")(runbook)
    for index, step in enumerate(runbook.steps):
        if step.kind is StepKind.ACTION and not any(each.kind is StepKind.WATCH for each in ancestors(runbook, step)):
            yield (
                ("steps", index),
                f"no stabilisation before {step.id}: subscriber moves and BSS cutover never overlap. Add a watch.",
            )


def _speaks_of(check: Check, *words: str) -> bool:
    text = " ".join(
        [check.id, check.title, str(check.with_.get("target", "")), str(check.with_.get("path", ""))]
    ).lower()
    return any(word in text for word in words)


def _dual_write(runbook: Runbook) -> Faults:
    if not any(_speaks_of(check, "dual-write", "sync") for check in runbook.checks):
        yield (
            ("checks",),
            "nothing measures the writing to both sides. Add a check of lag, conflicts and order, with dual-write in its id.",
        )


def _reconcile(runbook: Runbook) -> Faults:
    jobs = [(index, check) for index, check in enumerate(runbook.checks) if _speaks_of(check, "reconcil")]
    if not jobs:
        yield ("checks",), "no reconciliation. Add a check of it at least every 4h, with reconciliation in its id."
    elif all(check.every > _RECONCILE_EVERY for _, check in jobs):
        index, check = jobs[0]
        yield (
            ("checks", index, "every"),
            f"reconciliation every {shown(check.every)}; both sides drift apart unseen. Write 4h or less.",
        )


def _parallel_period(runbook: Runbook) -> Faults:
    if not any(
        step.kind is StepKind.WATCH and step.for_ is not None and step.for_ >= _PARALLEL_FOR for step in runbook.steps
    ):
        yield ("steps",), "both sides run in parallel for at least four weeks. Add a watch with for: 28d or more."


def _finance_gate(runbook: Runbook) -> Faults:
    if not any(
        step.kind is StepKind.GATE and step.owner is not None and "finance" in step.owner for step in runbook.steps
    ):
        yield ("steps",), "no bill run is released without finance. Add a gate with owner: finance."


def _care(runbook: Runbook) -> Faults:
    if not any("care" in role for role in runbook.roles):
        yield ("roles",), "customer care must know which system counts. Add a role for it, like care-lead."


def _completion(runbook: Runbook) -> Faults:
    if not any("finance" in role for role in runbook.approvals.go.roles):
        yield (
            ("approvals", "go"),
            "complete means two clean billing cycles, and finance says so. Add finance to the policy.",
        )


ALL = frozenset(Phase)
#: Every rule, in the playbook's order.
RULES: tuple[Rule, ...] = (
    Rule(
        Code.READINESS_FIRST,
        ALL - {Phase.READINESS},
        _requires("destination-readiness", "Nothing moves until the destination is ready."),
    ),
    Rule(
        Code.MEDIATION_FIRST,
        _MOVING,
        _requires("mediation", "Mediation is validated before subscribers or billing move."),
    ),
    Rule(Code.COHORTS, frozenset({Phase.COHORT}), _cohorts),
    Rule(Code.STABILISATION, frozenset({Phase.BSS}), _stabilised),
    Rule(
        Code.INTEGRATIONS_FIRST,
        frozenset({Phase.BSS}),
        _requires("api-integrations", "Every integration moves before BSS."),
    ),
    Rule(Code.DUAL_WRITE, frozenset({Phase.PARALLEL}), _dual_write),
    Rule(Code.RECONCILE, frozenset({Phase.PARALLEL}), _reconcile),
    Rule(Code.FINANCE_GATE, frozenset({Phase.PARALLEL, Phase.BSS}), _finance_gate),
    Rule(Code.PARALLEL_PERIOD, frozenset({Phase.PARALLEL}), _parallel_period),
    Rule(Code.NO_RETURN, ALL, _no_return),
    Rule(Code.ROLL_CALL, ALL, _roll_call),
    Rule(Code.WINDOW, frozenset({Phase.PORTABILITY}), _window),
    Rule(Code.COVERAGE, frozenset({Phase.PORTABILITY}), _coverage),
    Rule(Code.SIGNATORIES, ALL, _signatories),
    Rule(Code.CONSERVATIVE, ALL, _conservative),
    Rule(Code.CARE, frozenset({Phase.COHORT, Phase.BSS, Phase.PORTABILITY}), _care),
    Rule(Code.DIGEST, ALL, _digest),
    Rule(Code.COMPLETION, frozenset({Phase.COMPLETION}), _completion),
)
