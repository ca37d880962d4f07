"""
What follows by itself: steps that begin when what they need is done, deadlines that pass.

Asked again after every change and whenever time is up, until nothing more follows.
"""

from datetime import timedelta

from bot.core import messages as m
from bot.core.cutover.asked import Asked
from bot.core.cutover.steps import begin
from bot.core.cutover.votes import ask_gate, ask_trigger, settle
from bot.core.cutover.watching import holes, proven_fixed, triggers_in_silence
from bot.core.runbook import Step, StepKind
from bot.core.standing import (
    current_steps,
    forward_blocks,
    missing_roles,
    not_clean,
    open_holes,
    ready,
)
from bot.core.state import DecisionState, RunState, RunStatus, StepState, StepStatus
from bot.core.triggers import Verdict


def follow(asked: Asked) -> list[m.Event]:
    """Return the next consequences in the state of *asked*; empty when it is at rest."""
    run = asked.run
    if run.status.over or run.status is RunStatus.OPENED:
        return _digests(asked) if run.started_at else []
    return (
        holes(asked)
        or triggers_in_silence(asked)
        or _asked_for_triggers(asked)
        or _settled(asked)
        or _deadlines(asked)
        or _fix_over(asked)
        or _steps_end(asked)
        or _steps_begin(asked)
        or _late(asked)
        or _over(run)
        or _digests(asked)
    )


def _asked_for_triggers(asked: Asked) -> list[m.Event]:
    run = asked.run
    if run.status is not RunStatus.RUNNING:
        return []
    for trigger in run.plan.triggers:
        open_about = any(d.opened.subject == "trigger" and d.opened.about == trigger.id for d in run.open_decisions)
        fixing = run.fix is not None and run.fix.trigger == trigger.id
        if run.triggers[trigger.id].met and not open_about and not fixing:
            return [ask_trigger(asked, trigger)]
    return []


def _settled(asked: Asked) -> list[m.Event]:
    for decision in asked.run.open_decisions:
        events = settle(asked, decision)
        if events:
            return events
    return []


def _deadlines(asked: Asked) -> list[m.Event]:
    """Nobody decided in time: pause, call the next people, set a new deadline. Never roll back, never go."""
    run = asked.run
    for decision in run.open_decisions:
        if decision.deadline is None or asked.now < decision.deadline:
            continue
        passed = m.DeadlinePassed(
            run=run.run,
            number=decision.number,
            passed=decision.deadline,
            deadline=asked.now + _time_for(run, decision),
            called=_not_voted(run, decision),
        )
        pause = m.Paused(run=run.run, reason=f"decision {decision.number} was not taken in time")
        return [passed] if run.paused is not None or run.status is not RunStatus.RUNNING else [passed, pause]
    return []


def _time_for(run: RunState, decision: DecisionState) -> timedelta:
    first = (decision.opened.deadline or decision.opened_at) - decision.opened_at
    return max(first, timedelta(minutes=1))


def _not_voted(run: RunState, decision: DecisionState) -> tuple[str, ...]:
    roles = [role for offer in decision.opened.offers for role in offer.policy.roles]
    people = [person for role in roles for person in run.plan.roles[role].everyone]
    return tuple(person for person in dict.fromkeys(people) if person not in decision.votes)


def _fix_over(asked: Asked) -> list[m.Event]:
    run = asked.run
    if run.fix is None or asked.now < run.fix.until:
        return []
    trigger = run.plan.trigger(run.fix.trigger)
    cleared = proven_fixed(run, trigger, asked.now)
    return [m.FixEnded(run=run.run, number=run.fix.number, trigger=trigger.id, cleared=cleared)]


def _steps_end(asked: Asked) -> list[m.Event]:
    run = asked.run
    for step in current_steps(run):
        state = run.steps[step.id]
        if state.status is StepStatus.RUNNING and _ended(asked, run, step, state):
            return [m.StepFinished(run=run.run, step=step.id, attempt=state.attempt, detail=_detail(run, step))]
    return []


def _ended(asked: Asked, run: RunState, step: Step, state: StepState) -> bool:
    match step.kind:
        case StepKind.ROLL_CALL:
            return not missing_roles(run, step)
        case StepKind.WATCH:
            return state.until is not None and asked.now >= state.until and not watch_blocks(run, step)
        case _:
            return False


def watch_blocks(run: RunState, step: Step) -> tuple[str, ...]:
    """Return why the watch *step* may not end, whatever the time; empty when it may."""
    watched = run.plan.checks_of(step.checks)
    checks = {check.id for check in watched}
    blocks = list(forward_blocks(run))
    blocks += [f"{check.title or check.id}: {why}" for check in watched for why in not_clean(run, check)]
    blocks += [f"{hole.check} {hole.cell}: not measured now" for hole in open_holes(run) if hole.check in checks]
    blocks += [
        f"rule {trigger.title!r} cannot be told"
        for trigger in run.plan.triggers
        if trigger.when.check in checks and run.triggers[trigger.id].verdict is Verdict.CANNOT_TELL
    ]
    return tuple(blocks)


def _detail(run: RunState, step: Step) -> str:
    if step.kind is StepKind.WATCH:
        cells = [cell for cell in run.cells.values() if not cell.control]
        clean = sum(cell.passed for cell in cells)
        return f"{clean} of {clean + sum(cell.failed for cell in cells)} checks passed"
    return ", ".join(run.name(person) for person in run.present)


def _steps_begin(asked: Asked) -> list[m.Event]:
    run = asked.run
    if run.status is RunStatus.GOING_BACK:
        return _next_back(run)
    for step in run.plan.steps:
        state = run.steps[step.id]
        if step.kind is StepKind.GATE and state.status is StepStatus.RUNNING and state.asked is None:
            return [ask_gate(asked, step)]
        by_itself = step.kind in {StepKind.GATE, StepKind.WATCH, StepKind.ROLL_CALL} or step.start == "auto"
        if state.status is not StepStatus.WAITING or not by_itself or not ready(run, step) or step.point_of_no_return:
            continue
        if not forward_blocks(run):
            return [begin(run, step)]
    return []


def _next_back(run: RunState) -> list[m.Event]:
    """
    Rollback steps run one after the other, in their order; a manual one waits for its person.

    They begin when no action of the way forward is under way, or what it moves would come after what brings it
    back; and nothing is rolled back while nobody knows whether such an action happened.
    """
    forward = [run.steps[step.id].status for step in run.plan.steps if step.kind is StepKind.ACTION]
    if StepStatus.RUNNING in forward:
        return []
    for step in run.plan.rollback:
        status = run.steps[step.id].status
        if status is StepStatus.WAITING:
            return [begin(run, step)]
        if not status.settled:
            return []
    return [] if StepStatus.IN_DOUBT in forward else [m.RolledBack(run=run.run)]


def _late(asked: Asked) -> list[m.Event]:
    run = asked.run
    for step in current_steps(run):
        state = run.steps[step.id]
        if state.status is not StepStatus.RUNNING or state.late or step.within is None or state.started_at is None:
            continue
        if step.kind in {StepKind.ROLL_CALL, StepKind.MANUAL} and asked.now >= state.started_at + step.within:
            return [m.StepLate(run=run.run, step=step.id, missing=missing_roles(run, step))]
    return []


def _over(run: RunState) -> list[m.Event]:
    """A run is complete only in calm: no rule met, no decision open, nobody fixing, not paused."""
    every_step = all(run.steps[step.id].status.settled for step in run.plan.steps)
    return [m.RunCompleted(run=run.run)] if every_step and not forward_blocks(run) else []


def _digests(asked: Asked) -> list[m.Event]:
    run = asked.run
    for digest in run.plan.digests:
        state = run.digests.get(digest.id)
        if state is None or not (state.urgent or (asked.now >= state.next_at and not run.status.over)):
            continue
        return [
            m.DigestDue(
                run=run.run,
                digest=digest.id,
                number=state.number + 1,
                cause=state.urgent,
                next_at=asked.now + digest.every,
            )
        ]
    return []
