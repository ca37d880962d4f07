"""When something is due next, so that the timer wakes the service no earlier and no later."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from bot.core.runbook import StepKind
from bot.core.standing import cells_of, current_steps, open_holes, probing, relied_on, since_silent
from bot.core.state import House, RunState, RunStatus, StepStatus
from bot.core.triggers import Tally

#: Silence is longer than the gap only after it; a moment later is soon enough.
_AFTER = timedelta(milliseconds=1)
#: A watch whose time is up, and that something still holds, is looked at this often.
_AGAIN = timedelta(seconds=30)


def next_due(house: House, now: datetime) -> datetime | None:
    """Return the earliest time after *now* at which something follows by itself, or None."""
    times = [when for run in house.active() for when in _times(run, now) if when > now]
    return min(times, default=None)


def _times(run: RunState, now: datetime) -> Iterator[datetime]:
    if run.status is RunStatus.OPENED:
        return
    for decision in run.open_decisions:
        if decision.deadline is not None:
            yield decision.deadline
    if run.fix is not None:
        yield run.fix.until
    for digest in run.digests.values():
        yield digest.next_at
    for step in current_steps(run):
        state = run.steps[step.id]
        if state.status is not StepStatus.RUNNING or state.started_at is None:
            continue
        if step.kind is StepKind.WATCH and state.until is not None:
            yield state.until if state.until > now else now + _AGAIN
        if step.within is not None and not state.late:
            yield state.started_at + step.within
    if probing(run):
        yield from _silences(run)


def _silences(run: RunState) -> Iterator[datetime]:
    known = {(hole.check, hole.cell) for hole in open_holes(run)}
    for check in relied_on(run):
        for cell in cells_of(run, check):
            since = since_silent(run, check, cell)
            if since is not None and (check.id, cell.cell) not in known:
                yield since + check.hole_after + _AFTER
    for trigger in run.plan.triggers:
        check = run.plan.check(trigger.when.check)
        state = run.triggers[trigger.id]
        for member in run.plan.members(trigger):
            tally = state.tallies.get(member, Tally())
            for last in (tally.last_at or run.armed_at, tally.decided_at or run.armed_at):
                if last is not None:
                    yield last + check.hole_after + _AFTER
