"""
How far a run is: what is under way, what is next and whose it is, what is done.

Each answer is one line, with the command that moves it on where there is one.
"""

from collections.abc import Iterator
from datetime import datetime

from bot.core.cutover.follow import watch_blocks
from bot.core.runbook import Step, StepKind
from bot.core.standing import (
    current_steps,
    missing_roles,
    missing_signatures,
    ready,
    unmet_needs,
)
from bot.core.state import RunState, RunStatus, StepState, StepStatus
from bot.words.found import slots, under_way
from bot.words.naming import (
    at,
    hour,
    listed,
    minutes,
    owner,
    policy,
)
from bot.words.phrases import say
from bot.words.safe import Said, joined, said


def watching(run: RunState, now: datetime) -> Iterator[Said]:
    """Yield each watch under way: until when, how much is done, what keeps it from ending."""
    for step, state in under_way(run):
        if step.kind is not StepKind.WATCH or state.started_at is None or state.until is None:
            continue
        whole, done = state.until - state.started_at, min(now, state.until) - state.started_at
        added = minutes(whole - step.for_) if step.for_ else 0
        yield say(
            "watching",
            until=at(run, state.until, now),
            done=minutes(done),
            whole=minutes(whole),
            added=say("watch-added", minutes=added) if added else "",
            held=_held(run, step) if now >= state.until else "",
        )


def _held(run: RunState, step: Step) -> Said:
    blocks = watch_blocks(run, step)
    return say("watch-held", why=listed(blocks, "; ")) if blocks else Said("")


def doing(run: RunState, now: datetime) -> Iterator[Said]:
    """Yield what is under way, with its owner and what ends it."""
    for step, state in under_way(run):
        match step.kind:
            case StepKind.MANUAL:
                yield say("doing-manual", step=step.name, owner=owner(step), id=step.id, late=_late(state))
            case StepKind.ACTION:
                yield say("doing-action", step=step.name, attempt=state.attempt)
            case StepKind.ROLL_CALL:
                roles = joined(", ", missing_roles(run, step))
                yield say("doing-roll-call", step=step.name, roles=roles, late=_late(state))
            case StepKind.GATE if state.asked is not None and state.asked in run.decisions:
                yield say("doing-gate", step=step.name, number=state.asked)
            case StepKind.GATE:
                yield say("doing-gate-again", step=step.name, id=step.id)
            case StepKind.WATCH:
                yield say("doing-watch", step=step.name)
    for key, task in run.tasks.items():
        if task.done_at is None:
            by = say("task-by", by=hour(run, task.by, now)) if task.by else ""
            yield say("doing-task", text=said(task.text, 80), person=run.name(task.person), by=by, id=key)


def _late(state: StepState) -> Said:
    return say("late") if state.late else Said("")


def coming(run: RunState, *, commands: bool = True) -> Said:
    """Return what comes next and whose it is, with the *commands* that start it; empty where nothing does."""
    if run.status is RunStatus.OPENED:
        return _before_start(run, commands=commands)
    left_over = [step for step in current_steps(run) if run.steps[step.id].status is StepStatus.WAITING]
    if not left_over or run.status.over:
        return Said("")
    step = next((step for step in left_over if ready(run, step)), left_over[0])
    gate = step.kind is StepKind.GATE
    who = policy(run.plan.approvals.go) if gate else owner(step)
    if not ready(run, step):
        name = step.name if _begins_itself(step) and not gate else say("next-of", step=step.name, owner=who)
        return say("next-after", step=name, needs=listed(unmet_needs(run, step)))
    if not gate and (_begins_itself(step) or run.status is RunStatus.GOING_BACK):
        return say("next-itself", step=step.name)
    if gate or not commands:
        return say("next-of", step=step.name, owner=who)
    return say("next-by-hand", step=step.name, owner=who, id=step.id)


def _before_start(run: RunState, *, commands: bool) -> Said:
    missing = missing_signatures(run)
    if not commands:
        return say("next-signed-by", roles=slots(missing)) if missing else say("next-starts")
    return say("next-sign") if missing else say("next-start")


def _begins_itself(step: Step) -> bool:
    return step.kind in {StepKind.WATCH, StepKind.ROLL_CALL} or step.start == "auto"


def finished(run: RunState, now: datetime) -> Said:
    """Return the finished steps folded into one line; empty where there are none."""
    settled = [run.steps[step.id] for step in run.plan.steps if run.steps[step.id].status.settled]
    times = [state.started_at or state.ended_at for state in settled]
    begun, ended = [t for t in times if t], [state.ended_at for state in settled if state.ended_at]
    if not begun or not ended:
        return Said("")
    first, last = hour(run, min(begun), now), hour(run, max(ended), now)
    skipped = sum(run.steps[step.id].status is StepStatus.SKIPPED for step in run.plan.steps)
    left_out = say("of-them-skipped", count=skipped) if skipped else ""
    return say("finished", done=len(settled), all=len(run.plan.steps), first=first, last=last, skipped=left_out)
