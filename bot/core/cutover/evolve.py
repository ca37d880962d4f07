"""
Fold events and readings into state.

One arm for each event; a test holds that none is missing. Nothing is judged here: a verdict is an
event that carries its numbers, so new code cannot change an old one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import singledispatch
from typing import Any, TypeVar

from bot.core import messages as m
from bot.core.model import Outcome, Reading
from bot.core.reading_yaml import load
from bot.core.runbook import OptionName, Runbook, Step, Trigger
from bot.core.standing import cell_key
from bot.core.state import (
    CellState,
    DecisionState,
    DigestState,
    Fix,
    Hole,
    House,
    Override,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
    TaskState,
    TriggerState,
    VoteState,
)
from bot.core.triggers import Tally, Verdict

_K = TypeVar("_K")
_V = TypeVar("_V")


class Seen:
    """When and by whom an event came: the part of the envelope that the fold needs."""

    __slots__ = ("account", "at", "hash", "person", "position", "via")

    def __init__(self, position: int, at: datetime, person: str, account: str, via: str, hash_: str = "") -> None:
        self.position = position
        self.at = at
        self.person = person
        self.account = account
        self.via = via
        self.hash = hash_  #: of the entry in the chain; empty while it is only being decided


def evolve(house: House, event: m.Event, seen: Seen) -> House:
    """Return *house* after *event*. Raise KeyError when the event is about a run that does not exist."""
    moved: dict[str, Any] = {"position": seen.position, "at": seen.at}
    if seen.hash:
        moved |= {"head": seen.hash, "head_at": seen.position}
    match event:
        case m.ServiceStarted():
            return house.model_copy(update={**moved, "epoch": event.epoch, "clock_off_s": 0.0})
        case m.ClockStepped():
            return house.model_copy(update={**moved, "clock_off_s": event.off_s})
        case m.ReadingsSealed():
            return house.model_copy(update=moved)
        case m.EffectParked():
            return house.model_copy(update={**moved, "parked": {**house.parked, event.effect: event.why}})
        case m.RunOpened():
            run = _opened(event, seen)
        case _:
            run = arm(event, house.runs[event.run], seen)
    run = run.model_copy(update={"last_position": seen.position})
    return house.model_copy(update={**moved, "runs": {**house.runs, run.run: run}})


def observe(house: House, run_id: str, reading: Reading, position: int) -> House:
    """Return *house* after a reading of *run_id*."""
    run = house.runs[run_id]
    run = run.model_copy(
        update={
            "cells": _with(run.cells, cell_key(reading.check, reading.cell.key), _observed(run, reading)),
            "triggers": _tallied(run, reading),
            "last_reading_at": reading.at,
            "last_position": position,
        }
    )
    # A probe's clock may be behind ours: the ledger's time never goes back.
    at = reading.at if house.at is None else max(house.at, reading.at)
    return house.model_copy(update={"position": position, "at": at, "runs": {**house.runs, run_id: run}})


def _observed(run: RunState, reading: Reading) -> CellState:
    key = cell_key(reading.check, reading.cell.key)
    cell = run.cells.get(key) or CellState(
        check=reading.check, cell=reading.cell.key, origin=reading.cell.origin, control=reading.cell.control
    )
    update: dict[str, Any] = {
        "outcome": reading.outcome,
        "at": reading.at,
        "detail": reading.detail,
        "metrics": reading.metrics or cell.metrics,
    }
    if reading.outcome.decided:
        failed = reading.outcome is Outcome.FAIL
        update |= {
            "decided": reading.outcome,
            "decided_at": reading.at,
            "failed": cell.failed + failed,
            "passed": cell.passed + (not failed),
            "failing": cell.failing + 1 if failed else 0,
            "broken": 0,
        }
    else:
        update |= {"errors": cell.errors + 1, "broken": cell.broken + 1}
    return cell.model_copy(update=update)


def _tallied(run: RunState, reading: Reading) -> Mapping[str, TriggerState]:
    changed: dict[str, TriggerState] = {}
    for trigger in run.plan.triggers:
        if trigger.when.check != reading.check:
            continue
        member = trigger.when.member_of(reading.cell)
        state = run.triggers[trigger.id]
        if member is None or member in state.accepted:
            continue
        tally = trigger.when.operator.observe(state.tallies.get(member, Tally()), reading)
        changed[trigger.id] = state.model_copy(update={"tallies": _with(state.tallies, member, tally)})
    return {**run.triggers, **changed} if changed else run.triggers


def _opened(event: m.RunOpened, seen: Seen) -> RunState:
    plan = load(event.text.encode())
    run = RunState(
        run=event.run,
        migration=event.migration,
        place=event.place,
        plan=plan,
        text=event.text,
        sha256=event.runbook_sha256,
        criteria_digest=event.criteria_digest,
        criteria=event.criteria,
        scenario=event.scenario,
        people=event.people,
        deployment=event.deployment,
        opened_at=seen.at,
        opened_by=seen.person,
        steps={step.id: StepState() for step in (*plan.steps, *plan.rollback)},
        triggers={trigger.id: TriggerState() for trigger in plan.triggers},
    )
    return run.model_copy(update=_window(plan))


def _window(plan: Runbook) -> dict[str, Any]:
    if plan.window is None:
        return {}
    return {
        "window_opens": plan.window.opens.replace(tzinfo=plan.zone).astimezone(UTC),
        "window_closes": plan.window.closes.replace(tzinfo=plan.zone).astimezone(UTC),
    }


@singledispatch
def arm(event: m.Event, run: RunState, seen: Seen) -> RunState:
    """Return *run* after *event*; one arm is registered for each type of event."""
    raise NotImplementedError(f"no arm for {type(event).__name__} after {run.last_position} at {seen.at}")


@arm.register
def _(event: m.RunbookAmended, run: RunState, seen: Seen) -> RunState:
    plan = load(event.text.encode())
    triggers = {trigger.id: _kept_trigger(run, trigger) for trigger in plan.triggers}
    update = {
        "plan": plan,
        "text": event.text,
        "sha256": event.runbook_sha256,
        "deployment": run.deployment if event.deployment is None else event.deployment,
        "criteria_digest": event.criteria_digest,
        "criteria": event.criteria,
        "signatures": run.signatures if event.kept else {},
        "signers": run.signers if event.kept else {},
        "steps": {step.id: _kept_step(run, step) for step in (*plan.steps, *plan.rollback)},
        "triggers": triggers,
        "holes": _kept_holes(run, plan, seen.at),
        "fix": run.fix if run.fix is not None and run.fix.trigger in triggers else None,
        "digests": _kept_digests(run, plan, seen.at),
    }
    if (plan.window, plan.timezone) != (run.plan.window, run.plan.timezone):
        update |= _window(plan)
    return run.model_copy(update=update)


def _kept_step(run: RunState, step: Step) -> StepState:
    """A watch under way that was made longer or shorter ends so much later or earlier."""
    state = run.steps.get(step.id)
    if state is None:
        return StepState()
    before = run.plan.step(step.id).for_
    if state.until is None or before is None or step.for_ is None:
        return state
    return state.model_copy(update={"until": state.until + (step.for_ - before)})


def _kept_trigger(run: RunState, trigger: Trigger) -> TriggerState:
    """What one rule has counted means nothing to another rule; that it was met stays until people decide."""
    state = run.triggers.get(trigger.id)
    if state is None:
        return TriggerState()
    return state if run.plan.trigger(trigger.id).when == trigger.when else state.model_copy(update={"tallies": {}})


def _kept_holes(run: RunState, plan: Runbook, at: datetime) -> tuple[Hole, ...]:
    """A hole in a cell that is probed no more would never close."""
    probed = {(check.id, cell.key) for check in plan.checks for cell in check.measured_cells()}
    return tuple(
        hole if hole.until is not None or (hole.check, hole.cell) in probed else hole.model_copy(update={"until": at})
        for hole in run.holes
    )


def _kept_digests(run: RunState, plan: Runbook, at: datetime) -> Mapping[str, DigestState]:
    if run.started_at is None:
        return {}
    return {digest.id: run.digests.get(digest.id) or DigestState(next_at=at + digest.every) for digest in plan.digests}


@arm.register
def _(event: m.CriteriaSigned, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(
        update={
            "signatures": _with(run.signatures, event.role, (event.person, seen.at)),
            "signers": _with(run.signers, event.person, seen.at),
        }
    )


@arm.register
def _(event: m.RunStarted, run: RunState, seen: Seen) -> RunState:
    digests = {digest.id: DigestState(next_at=seen.at + digest.every) for digest in run.plan.digests}
    return run.model_copy(
        update={
            "status": RunStatus.RUNNING,
            "started_at": seen.at,
            "started_by": seen.person,
            "armed_at": seen.at,
            "digests": digests,
        }
    )


@arm.register
def _(event: m.PersonPresent, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(update={"present": _with(run.present, event.person, seen.at)})


@arm.register
def _(event: m.StepStarted, run: RunState, seen: Seen) -> RunState:
    step = run.plan.step(event.step)
    state = StepState(
        status=StepStatus.RUNNING,
        attempt=event.attempt,
        key=event.key,
        started_at=seen.at,
        started_by=seen.person,
        until=seen.at + step.for_ if step.for_ else None,
        doubt=run.steps[event.step].doubt,
    )
    run = run.model_copy(update={"steps": _with(run.steps, event.step, state)})
    if step.point_of_no_return and run.no_return_at is None:
        # The request is about to leave: from here on nobody can promise that nothing has moved.
        return run.model_copy(update={"no_return_at": seen.at})
    return run


@arm.register
def _(event: m.StepFinished, run: RunState, seen: Seen) -> RunState:
    run = _ended(run, event.step, StepStatus.DONE, event.detail, seen.at)
    return _rearmed(run, seen.at) if run.plan.step(event.step).point_of_no_return else run


@arm.register
def _(event: m.StepFailed, run: RunState, seen: Seen) -> RunState:
    return _ended(run, event.step, StepStatus.FAILED, event.detail, seen.at)


@arm.register
def _(event: m.StepInDoubt, run: RunState, seen: Seen) -> RunState:
    run = _ended(run, event.step, StepStatus.IN_DOUBT, event.detail, seen.at)
    return _step(run, event.step, doubt=event.attempt)


@arm.register
def _(event: m.StepSkipped, run: RunState, seen: Seen) -> RunState:
    return _ended(run, event.step, StepStatus.SKIPPED, event.reason, seen.at)


@arm.register
def _(event: m.StepLate, run: RunState, seen: Seen) -> RunState:
    return _step(run, event.step, late=True)


@arm.register
def _(event: m.CheckTurned, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(update={"colours": _with(run.colours, event.check, event.after)})


@arm.register
def _(event: m.CheckRequested, run: RunState, seen: Seen) -> RunState:
    return run


@arm.register
def _(event: m.TicksMissed, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(update={"missed": run.missed + event.count})


@arm.register
def _(event: m.HoleOpened, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(update={"holes": (*run.holes, Hole(check=event.check, cell=event.cell, since=event.since))})


@arm.register
def _(event: m.HoleClosed, run: RunState, seen: Seen) -> RunState:
    holes = tuple(
        hole.model_copy(update={"until": event.until})
        if hole.until is None and (hole.check, hole.cell) == (event.check, event.cell)
        else hole
        for hole in run.holes
    )
    return run.model_copy(update={"holes": holes})


@arm.register
def _(event: m.WatchExtended, run: RunState, seen: Seen) -> RunState:
    return _step(run, event.step, until=event.until)


@arm.register
def _(event: m.TriggerMet, run: RunState, seen: Seen) -> RunState:
    state = run.triggers[event.trigger]
    state = state.model_copy(
        update={
            "verdict": Verdict.MET,
            "met": _with(state.met, event.member, event.because),
            "met_at": state.met_at or seen.at,
            "because": event.because,
        }
    )
    run = run.model_copy(update={"triggers": _with(run.triggers, event.trigger, state)})
    return _urgent(run, f"rule met: {run.plan.trigger(event.trigger).title}")


@arm.register
def _(event: m.TriggerTurned, run: RunState, seen: Seen) -> RunState:
    return _trigger(run, event.trigger, verdict=event.after, because=event.because)


@arm.register
def _(event: m.DecisionOpened, run: RunState, seen: Seen) -> RunState:
    decision = DecisionState(opened=event, opened_at=seen.at, deadline=event.deadline)
    earlier = {
        number: other.model_copy(update={"replaced_by": event.number})
        if other.status == "closed" and other.replaced_by is None and _same_question(other, event)
        else other
        for number, other in run.decisions.items()
    }
    run = run.model_copy(update={"decisions": {**earlier, event.number: decision}})
    return _step(run, event.about, asked=event.number) if event.subject == "gate" else run


def _same_question(decision: DecisionState, event: m.DecisionOpened) -> bool:
    return (decision.opened.subject, decision.opened.about) == (event.subject, event.about)


@arm.register
def _(event: m.VoteCast, run: RunState, seen: Seen) -> RunState:
    decision = run.decisions[event.number]
    vote = VoteState(
        person=event.person,
        option=event.option,
        at=seen.at,
        via=seen.via,
        account=seen.account,
        owner=event.owner,
        minutes=event.minutes,
    )
    others = {person: cast for person, cast in decision.votes.items() if person != event.person}
    return _decision(run, event.number, votes={**others, event.person: vote})


@arm.register
def _(event: m.VoteVoided, run: RunState, seen: Seen) -> RunState:
    decision = run.decisions[event.number]
    votes = {person: vote for person, vote in decision.votes.items() if person != event.person}
    return _decision(run, event.number, votes=votes, voided=(*decision.voided, (event.person, event.cause)))


@arm.register
def _(event: m.Decided, run: RunState, seen: Seen) -> RunState:
    opened = run.decisions[event.number].opened
    run = _decision(run, event.number, status="decided", decided=event, ended_at=seen.at)
    if opened.subject == "trigger":
        run = _after_trigger(run, opened.about, event, seen.at)
    return _urgent(run, f"decision {event.number}")


def _after_trigger(run: RunState, trigger: str, event: m.Decided, at: datetime) -> RunState:
    state = run.triggers[trigger]
    # Only what the card asked about is decided; what met the rule since then is asked about next.
    asked = run.decisions[event.number].opened.members
    members = tuple(member for member in state.met if member in asked)
    match event.option:
        case OptionName.FIX_FIRST if event.until is not None:
            fix = Fix(number=event.number, trigger=trigger, owner=event.owner, until=event.until)
            # What the fix is judged by is measured from now on; the verdict stays met until it has ended.
            run = _trigger(run, trigger, tallies=_without(state.tallies, members))
            return run.model_copy(update={"fix": fix})
        case OptionName.CONTINUE:
            override = Override(number=event.number, trigger=trigger, members=members, voters=event.voters, at=at)
            run = run.model_copy(update={"overrides": (*run.overrides, override)})
            left = _without(state.met, members)
            return _trigger(
                run,
                trigger,
                verdict=Verdict.MET if left else Verdict.NOT_MET,
                met=left,
                met_at=state.met_at if left else None,
                accepted=tuple(dict.fromkeys((*state.accepted, *members))),
                tallies=_without(state.tallies, members),
            )
        case _:
            return run


@arm.register
def _(event: m.ReasonGiven, run: RunState, seen: Seen) -> RunState:
    votes = run.decisions[event.number].votes
    if event.person not in votes:
        return run
    vote = votes[event.person].model_copy(update={"reason": event.reason})
    return _decision(run, event.number, votes=_with(votes, event.person, vote))


@arm.register
def _(event: m.DecisionClosed, run: RunState, seen: Seen) -> RunState:
    opened = run.decisions[event.number].opened
    run = _decision(run, event.number, status="closed", why_closed=event.why, ended_at=seen.at)
    return _step(run, opened.about, asked=None) if opened.subject == "gate" else run


@arm.register
def _(event: m.DeadlinePassed, run: RunState, seen: Seen) -> RunState:
    return _decision(run, event.number, deadline=event.deadline, overdue=True)


@arm.register
def _(event: m.FixEnded, run: RunState, seen: Seen) -> RunState:
    run = run.model_copy(update={"fix": None})
    if event.cleared:
        return _trigger(run, event.trigger, verdict=Verdict.NOT_MET, met={}, met_at=None, because="fixed")
    return run


@arm.register
def _(event: m.Paused, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(update={"paused": event.reason, "paused_by": seen.person, "paused_at": seen.at})


@arm.register
def _(event: m.Resumed, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(update={"paused": None, "paused_by": "", "paused_at": None})


@arm.register
def _(event: m.Postponed, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(update={"window_opens": event.opens, "window_closes": event.closes})


@arm.register
def _(event: m.TaskAdded, run: RunState, seen: Seen) -> RunState:
    task = TaskState(text=event.text, person=event.person, by=event.by)
    return run.model_copy(update={"tasks": _with(run.tasks, event.task, task)})


@arm.register
def _(event: m.TaskDone, run: RunState, seen: Seen) -> RunState:
    task = run.tasks[event.task].model_copy(update={"done_at": seen.at})
    return run.model_copy(update={"tasks": _with(run.tasks, event.task, task)})


@arm.register
def _(event: m.NoteTaken, run: RunState, seen: Seen) -> RunState:
    return run


@arm.register
def _(event: m.DigestDue, run: RunState, seen: Seen) -> RunState:
    state = DigestState(number=event.number, next_at=event.next_at, last_at=seen.at)
    return run.model_copy(update={"digests": _with(run.digests, event.digest, state)})


@arm.register
def _(event: m.RollbackStarted, run: RunState, seen: Seen) -> RunState:
    return run.model_copy(
        update={"status": RunStatus.GOING_BACK, "rollback": event.number, "paused": None, "fix": None}
    )


@arm.register
def _(event: m.RolledBack, run: RunState, seen: Seen) -> RunState:
    return _over(run, RunStatus.ROLLED_BACK, seen.at)


@arm.register
def _(event: m.RunCompleted, run: RunState, seen: Seen) -> RunState:
    return _over(run, RunStatus.COMPLETED, seen.at)


@arm.register
def _(event: m.RunAborted, run: RunState, seen: Seen) -> RunState:
    return _over(run, RunStatus.ABORTED, seen.at)


def _over(run: RunState, status: RunStatus, at: datetime) -> RunState:
    return _urgent(run.model_copy(update={"status": status, "ended_at": at, "paused": None}), status.value)


def _ended(run: RunState, step: str, status: StepStatus, detail: str, at: datetime) -> RunState:
    return _step(run, step, status=status, detail=detail, ended_at=at)


def _step(run: RunState, step: str, **update: Any) -> RunState:
    return run.model_copy(update={"steps": _with(run.steps, step, run.steps[step].model_copy(update=update))})


def _decision(run: RunState, number: int, **update: Any) -> RunState:
    decision = run.decisions[number].model_copy(update=update)
    return run.model_copy(update={"decisions": _with(run.decisions, number, decision)})


def _trigger(run: RunState, trigger: str, **update: Any) -> RunState:
    return run.model_copy(
        update={"triggers": _with(run.triggers, trigger, run.triggers[trigger].model_copy(update=update))}
    )


def _urgent(run: RunState, cause: str) -> RunState:
    digests = {name: state.model_copy(update={"urgent": cause}) for name, state in run.digests.items()}
    return run.model_copy(update={"digests": digests})


def _rearmed(run: RunState, at: datetime) -> RunState:
    """The network has changed: what was measured before it says nothing about after."""
    triggers = {name: state.model_copy(update={"tallies": {}}) for name, state in run.triggers.items()}
    cells = {key: cell.model_copy(update={"passed": 0, "failed": 0, "errors": 0}) for key, cell in run.cells.items()}
    return run.model_copy(update={"armed_at": at, "triggers": triggers, "cells": cells})


def _with(mapping: Mapping[_K, _V], key: _K, value: _V) -> dict[_K, _V]:
    return {**mapping, key: value}


def _without(mapping: Mapping[_K, _V], keys: tuple[_K, ...]) -> dict[_K, _V]:
    return {key: value for key, value in mapping.items() if key not in keys}
