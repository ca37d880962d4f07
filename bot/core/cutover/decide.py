"""
Decide what an order makes happen.

One arm for each command. The answer is the reading it brings (if any) and the events; an order
that may not be done raises Refused and changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.core import messages as m
from bot.core.cutover import steps, votes, watching
from bot.core.cutover.asked import Asked
from bot.core.cutover.evolve import observe
from bot.core.cutover.follow import follow
from bot.core.errors import Reason, Refused
from bot.core.model import Reading
from bot.core.state import House

#: Consequences of one order end; a plan that goes on for more rounds than this goes round in circles.
_MOST_CONSEQUENCES = 500


@dataclass(frozen=True, slots=True)
class Decision:
    """What an order makes happen: first the reading, if it brings one, then the events in order."""

    events: tuple[m.Event, ...] = ()
    reading: Reading | None = None


def decide(house: House, order: m.Order, now: datetime) -> Decision:
    """Return what *order* makes happen in *house* at *now*. Raise Refused when it may not be done."""
    asked = Asked(house, order, now)
    command = order.command
    match command:
        case m.RecordReading():
            return _with_reading(asked, command)
        case m.Wake():
            return Decision(tuple(_all_runs(asked)))
        case m.StartService():
            return Decision(tuple(_service_started(asked, command)))
        case m.ReportClock():
            return Decision((m.ClockStepped(off_s=command.off_s),))
        case m.ParkEffect():
            parked = m.EffectParked(
                run="", effect=command.effect, place=command.place, kind=command.kind, why=command.why
            )
            return Decision((parked,))
        case _:
            events = _ARMS[type(command)](asked, command)
            return Decision(tuple(settled(asked, events)))


def _with_reading(asked: Asked, command: m.RecordReading) -> Decision:
    watching.accept(asked, command.tick, command.reading, command.epoch)
    unnoticed = watching.unnoticed(asked, command.reading)
    house = observe(asked.house, command.run, command.reading, asked.house.position + 1)
    seen = Asked(house, asked.order, asked.now)
    events = [*unnoticed, *watching.after_reading(seen.after(unnoticed), command.reading)]
    return Decision(tuple(settled(seen, events)) if events else (), command.reading)


def settled(asked: Asked, events: list[m.Event]) -> list[m.Event]:
    """Return *events* and everything that follows from them, until nothing more does."""
    everything = list(events)
    state = asked.after(events)
    for _ in range(_MOST_CONSEQUENCES):
        more = follow(state)
        if not more:
            return everything
        everything += more
        state = state.after(more)
    raise RuntimeError(f"{asked.order.command} has no end: {everything[-3:]}")


def _all_runs(asked: Asked) -> list[m.Event]:
    events: list[m.Event] = []
    for run in asked.house.runs.values():
        events += settled(_about(asked, run.run), [])
    return events


def _about(asked: Asked, run: str) -> Asked:
    command = asked.order.command.model_copy(update={"run": run})
    return Asked(asked.house, asked.order.model_copy(update={"command": command}), asked.now)


def _service_started(asked: Asked, command: m.StartService) -> list[m.Event]:
    started = m.ServiceStarted(epoch=command.epoch, software=command.software, silent_since=asked.house.at)
    events: list[m.Event] = [started]
    for run in asked.house.active():
        about = _about(asked.after([started]), run.run)
        events += settled(about, [*watching.missed_while_down(run, asked.now), *steps.recover(run)])
    return events


def _note(asked: Asked, command: m.Note) -> list[m.Event]:
    run = asked.by_role("writing a note")
    if not command.text.strip():
        raise Refused(Reason.BAD_ARGUMENT, "Nothing was written: /cutover note what you want the others to know")
    return [m.NoteTaken(run=run.run, text=command.text)]


def _add_task(asked: Asked, command: m.AddTask) -> list[m.Event]:
    run = asked.not_over(asked.by_role("adding a task"))
    if not command.text.strip() or command.person not in run.people:
        raise Refused(
            Reason.BAD_ARGUMENT,
            'Nothing was added: write /cutover add "what to do" @person by 03:30, with a listed person.',
        )
    if command.by is not None and command.by <= asked.now:
        raise Refused(Reason.BAD_ARGUMENT, "Nothing was added: that time has passed already.")
    return [
        m.TaskAdded(run=run.run, task=f"t{len(run.tasks) + 1}", text=command.text, person=command.person, by=command.by)
    ]


def _check_now(asked: Asked, command: m.CheckNow) -> list[m.Event]:
    run = asked.going("checking")
    if command.check not in {check.id for check in run.plan.checks}:
        listed = ", ".join(check.id for check in run.plan.checks)
        raise Refused(Reason.UNKNOWN_WORD, f'There is no check "{command.check}" in this run. Checks: {listed}.')
    return [m.CheckRequested(run=run.run, check=command.check)]


_ARMS: Mapping[type[m.Command], Callable[[Asked, Any], list[m.Event]]] = {
    m.Open: steps.open_run,
    m.Amend: steps.amend,
    m.CompareDeployment: steps.compare_deployment,
    m.Abort: steps.abort,
    m.Sign: steps.sign,
    m.Start: steps.start,
    m.Here: steps.here,
    m.Done: steps.done,
    m.Skip: steps.skip,
    m.Fail: steps.fail,
    m.Retry: steps.retry,
    m.ReportStep: steps.report,
    m.CastVote: votes.cast,
    m.GiveReason: votes.give_reason,
    m.Pause: votes.pause,
    m.Resume: votes.resume,
    m.Postpone: votes.postpone,
    m.GoBack: votes.go_back,
    m.AddTask: _add_task,
    m.CheckNow: _check_now,
    m.Note: _note,
    m.RecordMiss: watching.missed,
}
