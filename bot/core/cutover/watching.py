"""
Decide what readings and silence mean: criteria met, checks turned, holes opened and closed.

A reading never starts, stops or rolls back anything by itself: it makes a criterion met, and people decide.
"""

import math
from datetime import datetime, timedelta

from bot.core import messages as m
from bot.core.cutover.asked import Asked
from bot.core.cutover.votes import void
from bot.core.errors import Reason, Refused
from bot.core.model import Outcome, Reading, Tick
from bot.core.runbook import Check, NoData, Step, StepKind, Trigger
from bot.core.standing import (
    Colour,
    cell_key,
    cell_state,
    cells_of,
    clock,
    colour,
    open_holes,
    probing,
    relied_on,
    since_silent,
)
from bot.core.state import Hole, RunState, RunStatus, StepStatus
from bot.core.triggers import Judgement, Tally, Verdict

#: A reading may be dated so far ahead of us: dated later, it would hide a silence.
_AHEAD = timedelta(seconds=2)


def accept(asked: Asked, tick: Tick, reading: Reading, epoch: int) -> None:
    """Raise Refused unless *reading* answers *tick* of a run that is being probed, under our lease."""
    run = asked.run
    if epoch != asked.house.epoch:
        raise Refused(
            Reason.WRONG_STATE, f"The reading was taken under lease {epoch}; this is lease {asked.house.epoch}."
        )
    if not probing(run):
        raise Refused(Reason.WRONG_STATE, f"Run {run.run} is not being probed; the reading is not counted.")
    if not any(check.id == tick.check and check.probes(tick.cell) for check in run.plan.checks):
        raise Refused(Reason.WRONG_STATE, f"{tick.check} {tick.cell.key} is no longer measured in run {run.run}.")
    if reading.at > asked.now + _AHEAD:
        raise Refused(
            Reason.BAD_ARGUMENT,
            f"The reading of {reading.check} is dated {reading.at:%H:%M:%S} UTC, and it is {asked.now:%H:%M:%S}.",
        )
    if not all(math.isfinite(value) for value in reading.metrics.values()):
        raise Refused(
            Reason.BAD_ARGUMENT, f"The reading of {reading.check} holds a metric that is not a finite number."
        )
    if (tick.run, tick.check, tick.cell) != (run.run, reading.check, reading.cell):
        raise Refused(
            Reason.BAD_ARGUMENT, f"The reading is of {reading.check} {reading.cell.key}, the tick of {tick.check}."
        )


def after_reading(asked: Asked, reading: Reading) -> list[m.Event]:
    """Return what one more reading, already folded, changes."""
    run = asked.run
    events: list[m.Event] = []
    if reading.outcome.decided:
        events += _hole_closed(run, reading)
    if run.status is RunStatus.RUNNING:
        for trigger in run.plan.triggers:
            if trigger.when.check == reading.check:
                events += _judged(asked, run, trigger, trigger.when.member_of(reading.cell))
    check = run.plan.check(reading.check)
    # Holes just closed decide the colour too, so it is taken from the state after them.
    events += _turned(asked.after(events).run if events else run, check)
    return events


def judgement(run: RunState, trigger: Trigger, member: str, now: datetime) -> Judgement:
    """Return what *trigger* says of *member* at *now*."""
    tally = run.triggers[trigger.id].tallies.get(member, Tally())
    check = run.plan.check(trigger.when.check)
    members = len(run.plan.members(trigger))
    return trigger.when.operator.judge(tally, members, now, check.hole_after)


def _judged(asked: Asked, run: RunState, trigger: Trigger, member: str | None) -> list[m.Event]:
    state = run.triggers[trigger.id]
    fixing = run.fix is not None and run.fix.trigger == trigger.id
    if member is None or member in state.accepted or member in state.met or fixing:
        return []
    said = judgement(run, trigger, member, asked.now)
    if said.verdict is Verdict.MET:
        because = said.because if member == "all" else f"{member}: {said.because}"
        return [met(run, trigger, member, because, said), *against_forward(run, f"rule {trigger.title!r} is met")]
    return _turned_trigger(run, trigger, asked.now)


def met(run: RunState, trigger: Trigger, member: str, because: str, said: Judgement) -> m.TriggerMet:
    """Return the event that latches *trigger*."""
    return m.TriggerMet(
        run=run.run, trigger=trigger.id, member=member, reason=said.reason, because=because, numbers=said.numbers
    )


def against_forward(run: RunState, cause: str) -> list[m.Event]:
    """Return the voiding of every forward vote that is open: the verdict has turned against it."""
    return [event for decision in run.open_decisions for event in void(run, decision, cause, only_forward=True)]


def overall(run: RunState, trigger: Trigger, now: datetime) -> tuple[Verdict, str]:
    """Return the verdict over all members: met, else cannot tell if any cannot, else not met."""
    state = run.triggers[trigger.id]
    if state.met:
        return Verdict.MET, state.because
    for member in run.plan.members(trigger):
        if member in state.accepted:
            continue
        said = judgement(run, trigger, member, now)
        if said.verdict is Verdict.CANNOT_TELL:
            return Verdict.CANNOT_TELL, said.because if member == "all" else f"{member}: {said.because}"
    return Verdict.NOT_MET, "every part of it is measured and within the limit"


def _turned_trigger(run: RunState, trigger: Trigger, now: datetime) -> list[m.Event]:
    before = run.triggers[trigger.id].verdict
    after, because = overall(run, trigger, now)
    if after is before or Verdict.MET in {before, after}:
        return []
    return [m.TriggerTurned(run=run.run, trigger=trigger.id, before=before, after=after, because=because)]


def triggers_in_silence(asked: Asked) -> list[m.Event]:
    """Return what time alone does to the criteria: silence makes them unclear, or met where the runbook says so."""
    run = asked.run
    if run.status is not RunStatus.RUNNING:
        return []
    events: list[m.Event] = []
    for trigger in run.plan.triggers:
        events += _silent_met(asked, run, trigger) or _turned_trigger(run, trigger, asked.now)
    return events


def _silent_met(asked: Asked, run: RunState, trigger: Trigger) -> list[m.Event]:
    """`no_data: met`: a member that was silent for the check's gap is met, and people are asked."""
    state = run.triggers[trigger.id]
    if trigger.no_data is not NoData.MET or run.armed_at is None or run.fix is not None:
        return []
    check = run.plan.check(trigger.when.check)
    for member in run.plan.members(trigger):
        tally = state.tallies.get(member, Tally())
        silent = asked.now - max(tally.last_at or run.armed_at, run.armed_at)
        if silent > check.hole_after and member not in (*state.met, *state.accepted):
            because = f"{member}: nothing measured for {int(silent.total_seconds())} s, and the rule counts that as met"
            said = Judgement(verdict=Verdict.MET, reason="no-data", because=because)
            return [met(run, trigger, member, because, said), *against_forward(run, f"rule {trigger.title!r} is met")]
    return []


def _turned(run: RunState, check: Check) -> list[m.Event]:
    before = Colour(run.colours.get(check.id, Colour.WAITING))
    after = colour(run, check)
    if after is before:
        return []
    return [m.CheckTurned(run=run.run, check=check.id, before=before, after=after, because=_because(run, check, after))]


def _because(run: RunState, check: Check, after: Colour) -> str:
    cells = list(cells_of(run, check))
    match after:
        case Colour.FAILING:
            worst = max(cells, key=lambda cell: cell.failing)
            return f"{worst.cell}: {worst.detail}"
        case Colour.UNMEASURED:
            worst = max(cells, key=lambda cell: cell.broken)
            return f"{worst.cell}: {worst.detail}" if worst.broken else "silent"
        case _:
            passed = sum(cell.passed for cell in cells)
            return f"{passed} of {passed + sum(cell.failed for cell in cells)} passed"


def holes(asked: Asked) -> list[m.Event]:
    """Return the holes that silence has opened in cells that a watch or a gate under way relies on."""
    run = asked.run
    if not probing(run):
        return []
    known = {(hole.check, hole.cell) for hole in open_holes(run)}
    events: list[m.Event] = []
    for check in relied_on(run):
        for cell in cells_of(run, check):
            since = since_silent(run, check, cell)
            if since is None or (check.id, cell.cell) in known or asked.now - since <= check.hole_after:
                continue
            events.append(m.HoleOpened(run=run.run, check=check.id, cell=cell.cell, since=since))
    if events:
        events += against_forward(run, "a check has a hole")
        after = asked.after(events).run
        for check in relied_on(run):
            events += _turned(after, check)
    return events


def unnoticed(asked: Asked, reading: Reading) -> list[m.Event]:
    """Return the hole that *reading*, not yet folded, ends before anybody was woken to see it."""
    run = asked.run
    check = run.plan.check(reading.check)
    cell = cell_state(run, check.id, reading.cell)
    since = since_silent(run, check, cell)
    if not reading.outcome.decided or reading.cell.control or since is None or reading.at - since <= check.hole_after:
        return []
    if check not in relied_on(run) or any((hole.check, hole.cell) == (check.id, cell.cell) for hole in open_holes(run)):
        return []
    opened = m.HoleOpened(run=run.run, check=check.id, cell=cell.cell, since=since)
    return [opened, *against_forward(run, "a check has a hole")]


def _hole_closed(run: RunState, reading: Reading) -> list[m.Event]:
    for hole in open_holes(run):
        if (hole.check, hole.cell) == (reading.check, reading.cell.key):
            closed = m.HoleClosed(run=run.run, check=hole.check, cell=hole.cell, since=hole.since, until=reading.at)
            return [closed, *_extended(run, hole, reading.at)]
    return []


def _extended(run: RunState, hole: Hole, until: datetime) -> list[m.Event]:
    """A hole makes a watch that relies on the cell longer; stretches that overlap count once."""
    events: list[m.Event] = []
    for step in run.plan.steps:
        state = run.steps[step.id]
        watched = step.kind is StepKind.WATCH and state.status is StepStatus.RUNNING
        if not watched or state.started_at is None or hole.check not in {c.id for c in run.plan.checks_of(step.checks)}:
            continue
        extended = watch_end(run, step, hole, until)
        if state.until is not None and extended > state.until:
            longer = (extended - state.until).total_seconds()
            events.append(m.WatchExtended(run=run.run, step=step.id, until=extended, seconds=longer))
    return events


def watch_end(run: RunState, step: Step, closing: Hole, until: datetime) -> datetime:
    """Return when the watch *step* ends: its time after its start, plus the union of its holes."""
    started = run.steps[step.id].started_at
    if started is None or step.for_ is None:
        raise ValueError(f"{step.id} is not a watch under way")
    checks = {check.id for check in run.plan.checks_of(step.checks)}
    spans = sorted(
        (max(hole.since, started), hole.until or until)
        for hole in (*run.holes, closing)
        if hole.check in checks and (hole.until or until) > started
    )
    end = started + step.for_
    covered = started
    for since, upto in spans:
        since = max(since, covered)  # noqa: PLW2901 - the part of this stretch that no earlier one covered
        if upto > since:
            end += upto - since
            covered = upto
    return end


def missed(asked: Asked, command: m.RecordMiss) -> list[m.Event]:
    """A tick ended without a reading: recorded and shown; it is no hole by itself."""
    tick = command.tick
    at = tick.scheduled_at
    return [
        m.TicksMissed(
            run=asked.run.run, check=tick.check, cell=tick.cell.key, first=at, last=at, count=1, why=command.why
        )
    ]


def missed_while_down(run: RunState, now: datetime) -> list[m.Event]:
    """Return the measurements that nobody took while no process had the lease."""
    events: list[m.Event] = []
    if not probing(run):
        return events
    for check in run.plan.checks:
        cells = check.all_cells()
        heard = [run.cells[key].at for cell in cells if (key := cell_key(check.id, cell.key)) in run.cells]
        last = max((at for at in heard if at is not None), default=run.started_at)
        if last is None or (lost := int((now - last) / check.every)) < 1:
            continue
        events.append(
            m.TicksMissed(
                run=run.run,
                check=check.id,
                cell="all",
                first=last + check.every,
                last=now,
                count=lost * len(cells),
                why=f"switchroom was not running from {clock(run, last)} to {clock(run, now)}",
            )
        )
    return events


def proven_fixed(run: RunState, trigger: Trigger, now: datetime) -> bool:
    """Return whether every member that had met *trigger* is measured since, not met, and passing in each cell."""
    check = run.plan.check(trigger.when.check)
    since = run.decisions[run.fix.number].ended_at if run.fix is not None else None
    for member in run.triggers[trigger.id].met:
        if judgement(run, trigger, member, now).verdict is not Verdict.NOT_MET:
            return False
        cells = [cell for cell in check.measured_cells() if trigger.when.member_of(cell) == member]
        states = [run.cells.get(cell_key(check.id, cell.key)) for cell in cells]
        if any(
            state is None or state.decided is not Outcome.PASS or _before(state.decided_at, since) for state in states
        ):
            return False
    return True


def _before(at: datetime | None, since: datetime | None) -> bool:
    return at is None or (since is not None and at < since)
