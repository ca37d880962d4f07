"""
One line in the channel for each event that people must hear of.

Which events those are is `react`'s choice; whether a line goes to the channel or a thread is the
adapter's. An event without a line here is an error that a test finds.
"""

from datetime import datetime
from functools import singledispatch

from bot.core import messages as m
from bot.core.cutover.votes import span
from bot.core.model import MACHINE
from bot.core.runbook import StepKind
from bot.core.standing import Colour, missing_signatures, open_holes
from bot.core.state import House, RunState
from bot.words.card import door
from bot.words.found import slots
from bot.words.message import Message, message
from bot.words.naming import (
    BAD,
    GOOD,
    UNCLEAR,
    WORSE_SOON,
    at,
    cell_name,
    check_called,
    fingerprint,
    hour,
    left,
    minutes,
    only_rehearsal,
    people,
    person_as,
    step_called,
    trigger_called,
)
from bot.words.phrases import say
from bot.words.safe import Said, joined, parted, said

_MOST_DIFF_LINES = 12


class Spoken:
    """The run that a line is about, when its event came, and who did it."""

    __slots__ = ("house", "now", "run", "via", "who")

    def __init__(self, house: House, run: RunState, now: datetime, who: str, via: str) -> None:
        self.house = house
        self.run = run
        self.now = now
        self.who = who
        self.via = via

    @property
    def by(self) -> Said:
        """Who did it and by which door: `by Ana (cutover-lead)`; nothing where it happened by itself."""
        if self.who in {"", MACHINE.person}:
            return Said("")
        return say("by", person=person_as(self.run, self.who), door=door(self.via))

    @property
    def at(self) -> Said:
        """When it happened."""
        return hour(self.run, self.now, self.now)

    def step(self, step_id: str) -> Said:
        """Return what people call a step."""
        return step_called(self.run, step_id)

    def check(self, check_id: str) -> Said:
        """Return what people call a check."""
        return check_called(self.run, check_id)


def line(house: House, run: RunState, event: m.Event, envelope_at: datetime, person: str, via: str) -> Message:
    """Return the line of *event*, that came at *envelope_at* from *person*; *house* and *run* are the state after it."""
    spoken = Spoken(house, run, envelope_at, person, via)
    text = words(event, spoken)
    first = say("line", mark=only_rehearsal(run), at=spoken.at, text=text)
    if isinstance(event, m.RunbookAmended):
        return message([first, *(say("diff-line", text=said(row, 200)) for row in _diff(event.diff))])
    return message([first])


def _diff(diff: str) -> list[str]:
    rows = diff.splitlines()
    if len(rows) <= _MOST_DIFF_LINES:
        return rows
    return [*rows[:_MOST_DIFF_LINES], say("more", count=len(rows) - _MOST_DIFF_LINES)]


@singledispatch
def words(event: m.Event, spoken: Spoken) -> Said:
    """Return what *event* says in one line, without its time."""
    raise NotImplementedError(f"no line for {type(event).__name__} in run {spoken.run.run}")


@words.register
def _(event: m.ServiceStarted, spoken: Spoken) -> Said:
    run, since = spoken.run, event.silent_since
    if since is None:
        return say("line-service-new")
    lost = say("line-lost", count=run.missed) if run.missed else say("line-lost-none")
    return say("line-service", since=hour(run, since, spoken.now), until=spoken.at, lost=lost)


@words.register
def _(event: m.ClockStepped, spoken: Spoken) -> Said:  # noqa: ARG001 - it says the same in every run
    return say("line-clock", seconds=f"{event.off_s:+g}")


@words.register
def _(event: m.RunOpened, spoken: Spoken) -> Said:
    run = spoken.run
    scenario = say("line-scenario", name=event.scenario.name) if event.scenario else ""
    return say(
        "line-opened", title=run.plan.title, by=spoken.by, scenario=scenario, roles=slots(missing_signatures(run))
    )


@words.register
def _(event: m.RunbookAmended, spoken: Spoken) -> Said:
    kept = say("signatures-kept") if event.kept else say("signatures-void")
    return say("line-amended", symbol=WORSE_SOON, by=spoken.by, reason=event.reason, kept=kept)


@words.register
def _(event: m.CriteriaSigned, spoken: Spoken) -> Said:
    run, missing = spoken.run, missing_signatures(spoken.run)
    if not missing:
        signed = [say("person-as", name=run.name(who), role=role) for role, (who, _) in run.signatures.items()]
        return say("line-all-signed", signatures=joined(", ", signed))
    rest = say("still-to-sign", roles=slots(missing))
    return say("line-signed", person=run.name(event.person), role=event.role, rest=rest)


@words.register
def _(event: m.RunStarted, spoken: Spoken) -> Said:  # noqa: ARG001 - the event has no fields
    return say("line-started", by=spoken.by)


@words.register
def _(event: m.StepStarted, spoken: Spoken) -> Said:
    run, step = spoken.run, spoken.step(event.step)
    again = say("attempt", number=event.attempt) if event.attempt > 1 else ""
    if any(one.id == event.step and one.point_of_no_return for one in run.plan.steps):
        return say("line-no-return", symbol=WORSE_SOON, step=step, by=spoken.by, again=again)
    ends = run.steps[event.step].until if event.step in run.steps else None
    until = say("until", at=at(run, ends, spoken.now)) if ends else ""
    return say("line-step-started", step=step, by=spoken.by, again=again, until=until)


@words.register
def _(event: m.StepFinished, spoken: Spoken) -> Said:
    detail = say("with-detail", detail=event.detail) if event.detail else ""
    if any(step.id == event.step and step.kind is StepKind.ROLL_CALL for step in spoken.run.plan.steps):
        return say("line-roll-call-done", symbol=GOOD, step=spoken.step(event.step), detail=detail)
    return say("line-step-done", symbol=GOOD, step=spoken.step(event.step), by=spoken.by, detail=detail)


@words.register
def _(event: m.StepFailed, spoken: Spoken) -> Said:
    return say("line-step-failed", symbol=BAD, step=spoken.step(event.step), detail=event.detail, id=event.step)


@words.register
def _(event: m.StepSkipped, spoken: Spoken) -> Said:
    return say("line-skipped", symbol=WORSE_SOON, step=spoken.step(event.step), by=spoken.by, reason=event.reason)


@words.register
def _(event: m.StepLate, spoken: Spoken) -> Said:
    missing = say("late-missing", roles=slots(tuple((role,) for role in event.missing))) if event.missing else ""
    return say("line-late", symbol=WORSE_SOON, step=spoken.step(event.step), missing=missing)


@words.register
def _(event: m.CheckTurned, spoken: Spoken) -> Said:
    check = spoken.check(event.check)
    match event.after:
        case Colour.FAILING:
            return say("line-failing", symbol=BAD, check=check, because=parted(event.because))
        case Colour.UNMEASURED:
            return say("line-unmeasured", symbol=UNCLEAR, check=check, because=parted(event.because))
        case Colour.WORKING if event.before == Colour.FAILING:
            return say("line-works-again", symbol=GOOD, check=check, because=parted(event.because))
        case _:
            return say("line-works", symbol=GOOD, check=check, because=parted(event.because))


@words.register
def _(event: m.CheckRequested, spoken: Spoken) -> Said:
    return say("line-check-now", check=spoken.check(event.check), by=spoken.by)


@words.register
def _(event: m.HoleOpened, spoken: Spoken) -> Said:
    run, since = spoken.run, hour(spoken.run, event.since, spoken.now)
    alike = sum(hole.check == event.check for hole in open_holes(run))
    cells = sum(len(check.measured_cells()) for check in run.plan.checks if check.id == event.check)
    where = say("hole-in", cell=cell_name(event.cell)) if alike <= 1 else say("holes-in", count=alike, all=cells)
    return say("line-hole", symbol=UNCLEAR, check=spoken.check(event.check), where=where, since=since)


@words.register
def _(event: m.HoleClosed, spoken: Spoken) -> Said:
    longest = span(int((event.until - event.since).total_seconds()))
    return say("line-hole-closed", symbol=GOOD, check=spoken.check(event.check), span=longest)


@words.register
def _(event: m.DeadlinePassed, spoken: Spoken) -> Said:
    run = spoken.run
    called = people(run, event.called) or say("none")
    by, rest = at(run, event.deadline, spoken.now), left(spoken.now, event.deadline)
    return say("line-deadline", symbol=BAD, number=event.number, called=called, by=by, left=rest)


@words.register
def _(event: m.FixEnded, spoken: Spoken) -> Said:
    title = trigger_called(spoken.run, event.trigger)
    if event.cleared:
        return say("line-fixed", symbol=GOOD, title=title, number=event.number)
    return say("line-not-fixed", symbol=BAD, title=title, number=event.number)


@words.register
def _(event: m.Paused, spoken: Spoken) -> Said:
    reason = say("because", reason=event.reason) if event.reason else ""
    return say("line-paused", symbol=WORSE_SOON, by=spoken.by, reason=reason)


@words.register
def _(event: m.Resumed, spoken: Spoken) -> Said:  # noqa: ARG001 - the event has no fields
    return say("line-resumed", by=spoken.by)


@words.register
def _(event: m.Postponed, spoken: Spoken) -> Said:
    run, now = spoken.run, spoken.now
    reason = say("because", reason=event.reason) if event.reason else ""
    opens, closes = at(run, event.opens, now), at(run, event.closes, now)
    return say("line-postponed", symbol=WORSE_SOON, opens=opens, closes=closes, by=spoken.by, reason=reason)


@words.register
def _(event: m.TaskAdded, spoken: Spoken) -> Said:
    by = say("task-by", by=hour(spoken.run, event.by, spoken.now)) if event.by else ""
    return say("line-task", id=event.task, text=event.text, person=spoken.run.name(event.person), due=by, by=spoken.by)


@words.register
def _(event: m.TaskDone, spoken: Spoken) -> Said:
    return say("line-task-done", symbol=GOOD, text=spoken.run.tasks[event.task].text, by=spoken.by)


@words.register
def _(event: m.NoteTaken, spoken: Spoken) -> Said:
    return say("line-note", by=spoken.by, text=event.text)


@words.register
def _(event: m.RollbackStarted, spoken: Spoken) -> Said:
    run = spoken.run
    steps = say("and-then").join(said(step.name) for step in run.plan.rollback) or say("no-steps")
    evidence = fingerprint(run.decisions[event.number])
    if event.word == "port-back":
        return say("line-porting-back", symbol=BAD, number=event.number, steps=Said(steps), evidence=evidence)
    return say("line-undoing", symbol=BAD, number=event.number, steps=Said(steps), evidence=evidence)


@words.register
def _(event: m.RolledBack, spoken: Spoken) -> Said:  # noqa: ARG001 - the event has no fields
    run = spoken.run
    name = say("ported-back") if run.no_return else say("undone")
    return say("line-rolled-back", symbol=WORSE_SOON, word=name, number=run.rollback or 0, minutes=_lasted(run))


@words.register
def _(event: m.RunCompleted, spoken: Spoken) -> Said:  # noqa: ARG001 - the event has no fields
    run = spoken.run
    overrides = say("with-overrides", count=len(run.overrides)) if run.overrides else ""
    return say("line-completed", symbol=GOOD, title=run.plan.title, minutes=_lasted(run), overrides=overrides)


@words.register
def _(event: m.RunAborted, spoken: Spoken) -> Said:
    return say("line-aborted", symbol=WORSE_SOON, by=spoken.by, reason=event.reason)


def _lasted(run: RunState) -> int:
    return minutes(run.ended_at - run.started_at) if run.ended_at and run.started_at else 0
