"""
What follows from where things stand: who may, what blocks, which colour.

Questions about one run, answered with what was found. The deciding code asks them before it lets
anything pass, and the words ask the same ones, so that the board cannot say what a gate would deny.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from bot.core.approvals import count
from bot.core.model import Cell, Outcome, Utc
from bot.core.runbook import Check, Entry, Step, StepKind
from bot.core.state import CellState, DecisionState, Hole, House, RunState, RunStatus, StepStatus


class Colour(StrEnum):
    """The state of a check as people see it; always shown with its word and symbol."""

    WAITING = "waiting"
    WORKING = "working"
    FAILING = "failing"
    UNMEASURED = "unmeasured"


#: So many failures in a row in one cell turn a check red; one alone may be a lost packet.
FAILING_AFTER = 2
#: So many readings in a row that decide nothing, and the check is called unmeasured.
UNMEASURED_AFTER = 3
#: A wall clock that is further off than this, in seconds, opens no window and passes no gate.
CLOCK_OFF_S = 2.0


def cell_key(check: str, cell: str) -> str:
    """Return the key of a cell of a check in `RunState.cells`."""
    return f"{check}|{cell}"


def cells_of(run: RunState, check: Check, *, controls: bool = False) -> Iterator[CellState]:
    """Yield the state of each measured cell of *check*; a cell never heard of is yielded empty."""
    for cell in check.control_cells() if controls else check.measured_cells():
        yield cell_state(run, check.id, cell)


def cell_state(run: RunState, check: str, cell: Cell) -> CellState:
    """Return the state of one cell; empty where nothing was heard of it."""
    found = run.cells.get(cell_key(check, cell.key))
    return found or CellState(check=check, cell=cell.key, origin=cell.origin, control=cell.control)


def colour(run: RunState, check: Check) -> Colour:
    """
    Return the colour of *check*, changing only on clear evidence.

    Failing from two failures in a row in any cell until every cell passes again; unmeasured from
    three readings in a row without a verdict, or an open hole.
    """
    cells = list(cells_of(run, check))
    before = Colour(run.colours.get(check.id, Colour.WAITING))
    if any(cell.failing >= FAILING_AFTER for cell in cells):
        return Colour.FAILING
    if any(cell.broken >= UNMEASURED_AFTER for cell in cells) or any(
        hole.check == check.id for hole in open_holes(run)
    ):
        return Colour.UNMEASURED
    if cells and all(cell.decided is Outcome.PASS and cell.broken == 0 for cell in cells):
        return Colour.WORKING
    return before


def not_clean(run: RunState, check: Check) -> tuple[str, ...]:
    """
    Return why *check* is not clean while its colour says so; empty when it is.

    A cell whose failure people accepted ("continue") is left out: it is in the override list instead.
    """
    if run.colours.get(check.id) not in {Colour.FAILING, Colour.UNMEASURED}:
        return ()
    return tuple(
        f"{cell.cell}: {cell.detail or 'not measured'}"
        for cell in cells_of(run, check)
        if (cell.failing or cell.broken) and not _accepted(run, check, cell)
    )


def _accepted(run: RunState, check: Check, cell: CellState) -> bool:
    return any(
        trigger.when.member_of(measured) in run.triggers[trigger.id].accepted
        for trigger in run.plan.triggers
        if trigger.when.check == check.id
        for measured in check.measured_cells()
        if measured.key == cell.cell
    )


def open_holes(run: RunState) -> tuple[Hole, ...]:
    """Return the holes that are still open."""
    return tuple(hole for hole in run.holes if hole.until is None)


def relied_on(run: RunState) -> tuple[Check, ...]:
    """Return the checks that a watch or a gate relies on, under way or still to come: its window looks back."""
    wanted: dict[str, Check] = {}
    for step in run.plan.steps:
        if not run.steps[step.id].status.settled and step.kind in {StepKind.WATCH, StepKind.GATE}:
            for check in run.plan.checks_of(gate_entry(step).checks if step.kind is StepKind.GATE else step.checks):
                wanted[check.id] = check
    return tuple(wanted.values())


def gate_entry(step: Step) -> Entry:
    """Return what *step* (a gate) wants to be true; every check, when the runbook does not say."""
    return step.must or Entry()


def probing(run: RunState) -> bool:
    """Return whether the checks of *run* are being taken."""
    return run.status in {RunStatus.RUNNING, RunStatus.GOING_BACK}


def since_silent(run: RunState, check: Check, cell: CellState) -> Utc | None:  # noqa: ARG001 - asked with the check at hand, as its siblings are
    """Return since when *cell* is silent at most: its last verdict, or the arming of the checks."""
    started = run.started_at
    return cell.decided_at or started if cell.decided_at is None or started is None else max(cell.decided_at, started)


def gate_blocks(run: RunState, step: Step, now: datetime) -> tuple[str, ...]:
    """Return every reason why *step* (a gate) may not pass at *now*, worst first; empty when it may."""
    blocks = list(forward_blocks(run))
    entry = gate_entry(step)
    for check in run.plan.checks_of(entry.checks):
        blocks.extend(check_blocks(run, check, entry.last, now))
    return tuple(blocks)


def check_blocks(run: RunState, check: Check, last: timedelta, now: datetime) -> Iterator[str]:
    """Yield why *check* does not show enough: not measured, not passing, or a hole in the last *last*."""
    name = check.title or check.id
    for cell in cells_of(run, check):
        if cell.decided_at is None:
            yield f"{name} {cell.cell}: not measured yet"
        elif run.armed_at is not None and cell.decided_at < run.armed_at:
            # The switch changed the network: what was measured before it proves nothing.
            yield f"{name} {cell.cell}: not measured since {clock(run, run.armed_at)}"
        elif cell.decided is not Outcome.PASS:
            yield f"{name} {cell.cell}: {cell.detail or 'failing'}"
        elif now - cell.decided_at > check.hole_after:
            yield f"{name} {cell.cell}: no measurement since {clock(run, cell.decided_at)}"
    for hole in run.holes:
        if hole.check == check.id and (hole.until is None or hole.until > now - last):
            ended = clock(run, hole.until) if hole.until else "now"
            yield f"{name} {hole.cell}: no measurement from {clock(run, hole.since)} to {ended}"


def forward_blocks(run: RunState, *, settling: str = "", resuming: bool = False) -> tuple[str, ...]:
    """
    Return every reason why nothing may go forward now; empty when it may.

    *settling* is a step whose own doubt people are about to settle, *resuming* leaves out the pause itself.
    """
    blocks: list[str] = []
    if run.status is not RunStatus.RUNNING:
        blocks.append(
            {RunStatus.OPENED: "the run is not started", RunStatus.GOING_BACK: "the run is going back"}.get(
                run.status, "the run is over"
            )
        )
    if run.paused is not None and not resuming:
        blocks.append(f"paused by {run.name(run.paused_by)}" + (f": {run.paused}" if run.paused else ""))
    blocks.extend(
        f"decision {decision.number} is open"
        for decision in run.open_decisions
        if decision.opened.subject in {"trigger", "go-back"}
    )
    blocks.extend(
        f"rule {trigger.title!r} is met"
        for trigger in run.plan.triggers
        if run.triggers[trigger.id].met
        and (run.fix is None or run.fix.trigger != trigger.id)
        and not any(d.opened.about == trigger.id for d in run.open_decisions)
    )
    if run.fix is not None:
        blocks.append(f"{run.name(run.fix.owner)} is fixing until {clock(run, run.fix.until)}")
    blocks.extend(
        f"step {run.plan.step(step_id).name!r} is in doubt"
        for step_id, state in run.steps.items()
        if state.status is StepStatus.IN_DOUBT and step_id != settling
    )
    unsigned = missing_signatures(run) if run.status is RunStatus.RUNNING else ()
    if unsigned:
        blocks.append(f"the criteria are not signed by {', '.join(' or '.join(slot) for slot in unsigned)}")
    return tuple(blocks)


def clock_blocks(house: House) -> tuple[str, ...]:
    """Return why nothing may go forward on the time of this machine; empty when its clock is right."""
    if abs(house.clock_off_s) <= CLOCK_OFF_S:
        return ()
    why = f"the clock of this machine has stepped by {house.clock_off_s:g} s, so no time here can be trusted"
    return (f"{why}; set it right (timedatectl), then restart switchroom",)


def ready(run: RunState, step: Step) -> bool:
    """Return whether everything *step* needs is done or skipped."""
    return all(run.steps[need].status.settled for need in step.needs)


def unmet_needs(run: RunState, step: Step) -> tuple[str, ...]:
    """Return the names of the steps that *step* still waits for."""
    return tuple(run.plan.step(need).name for need in step.needs if not run.steps[need].status.settled)


def missing_roles(run: RunState, step: Step) -> tuple[str, ...]:
    """Return the roles of a roll-call that nobody has answered for."""
    here = answered(run)
    return tuple(role for role in step.roles if not any(person in here for person in run.plan.roles[role].everyone))


def answered(run: RunState) -> Mapping[str, Utc]:
    """Return who answered the roll call, and when: each roll call that is done begins a new one."""
    calls = [run.steps[step.id].ended_at for step in run.plan.steps if step.kind is StepKind.ROLL_CALL]
    since = max((ended for ended in calls if ended is not None), default=None)
    return {person: at for person, at in run.present.items() if since is None or at > since}


def missing_signatures(run: RunState) -> tuple[tuple[str, ...], ...]:
    """Return, for each signature still wanted, the roles that could give it; empty when all are there."""
    return count(run.plan.approvals.criteria, run.plan.roles, tuple(run.signers), None).missing


def may_own(run: RunState, step: Step, person: str) -> bool:
    """Return whether *person* may start and finish *step*: its owner's role, or any role where none owns it."""
    roles = run.plan.roles_of(person)
    return step.owner in roles if step.owner else bool(roles)


def word_for_back(run: RunState) -> Literal["undo", "port-back"]:
    """Return what going back is called now."""
    return "port-back" if run.no_return else "undo"


def clock(run: RunState, when: datetime) -> str:
    """Return *when* as people of the run say it: `02:41`, in the run's own zone."""
    return when.astimezone(run.plan.zone).strftime("%H:%M")


def decision_for(run: RunState, step_id: str) -> DecisionState | None:
    """Return the open decision about a gate, if one is asked."""
    return next(
        (d for d in run.open_decisions if d.opened.subject == "gate" and d.opened.about == step_id),
        None,
    )


def current_steps(run: RunState) -> tuple[Step, ...]:
    """Return the steps of the way the run is going now: the plan, or the rollback."""
    return run.plan.rollback if run.status is RunStatus.GOING_BACK else run.plan.steps
