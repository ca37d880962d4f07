"""
Say what must go out because of an event: which message, where, how urgent, which call.

Only what and where; words are made at delivery from the state then. The same event gives the same
effects with the same ids, however often it is asked.
"""

from bot.core import messages as m
from bot.core.ports import EffectRow, Lane
from bot.core.runbook import StepKind
from bot.core.standing import Colour, missing_signatures, open_holes
from bot.core.state import House, RunState

#: Events that put one line into the channel, with their lane. What the board already says gets none.
_LINES: dict[type[m.Event], Lane] = {
    m.RunOpened: Lane.STEP,
    m.RunbookAmended: Lane.ALERT,
    m.CriteriaSigned: Lane.STEP,
    m.RunStarted: Lane.STEP,
    m.StepStarted: Lane.STEP,
    m.StepFinished: Lane.STEP,
    m.StepFailed: Lane.ALERT,
    m.StepSkipped: Lane.STEP,
    m.StepLate: Lane.ALERT,
    m.CheckTurned: Lane.ALERT,
    m.CheckRequested: Lane.REST,
    m.HoleOpened: Lane.ALERT,
    m.HoleClosed: Lane.ALERT,
    m.DeadlinePassed: Lane.DECISION,
    m.FixEnded: Lane.ALERT,
    m.Paused: Lane.DECISION,
    m.Resumed: Lane.DECISION,
    m.Postponed: Lane.DECISION,
    m.TaskAdded: Lane.STEP,
    m.TaskDone: Lane.STEP,
    m.NoteTaken: Lane.REST,
    m.RollbackStarted: Lane.ROLLBACK,
    m.RolledBack: Lane.ROLLBACK,
    m.RunCompleted: Lane.STEP,
    m.RunAborted: Lane.STEP,
}
#: Events that change a decision's card: it is replaced in place.
_CARDS = (m.VoteCast, m.VoteVoided, m.Decided, m.ReasonGiven, m.DecisionClosed, m.DeadlinePassed)
#: Events that open or settle a doubt: its card is posted, or replaced in place.
_OF_DOUBT = (m.StepInDoubt, m.StepStarted, m.StepFinished, m.StepFailed)


def react(house: House, event: m.Event, position: int) -> tuple[EffectRow, ...]:
    """Return the effects of *event* at *position*; *house* is the state after it."""
    if isinstance(event, m.ServiceStarted | m.ClockStepped):
        return _everywhere(house, event, position)
    run = house.runs.get(event.run)
    if run is None:
        return ()
    drafts = [*_line(run, event), *_card(run, event), *_call(run, event), *_digest(run, event)]
    drafts.append((Lane.REST, run.place, "board", "", "board"))
    return tuple(
        EffectRow(
            id=f"{position}.{ordinal}",
            position=position,
            run=run.run,
            lane=lane,
            place=place or run.place,
            kind=kind,
            subject=subject,
            replaces=f"{run.run}/{replaces}" if replaces else "",
        )
        for ordinal, (lane, place, kind, subject, replaces) in enumerate(drafts)
    )


_Draft = tuple[Lane, str, str, str, str]


def board(run: RunState, position: int) -> EffectRow:
    """Return the effect that brings the board up to date after readings alone."""
    return EffectRow(
        id=f"{position}.board", position=position, run=run.run, lane=Lane.REST, place=run.place, kind="board",
        subject="", replaces=f"{run.run}/board",
    )  # fmt: skip


def gate_cards(run: RunState, position: int) -> tuple[EffectRow, ...]:
    """Return the effects that bring the open gates' cards up to date: what must be true changes with each reading."""
    return tuple(
        EffectRow(
            id=f"{position}.card-{one.number}", position=position, run=run.run, lane=Lane.REST, place=run.place,
            kind="card-update", subject=str(one.number), replaces=f"{run.run}/card-{one.number}",
        )
        for one in run.open_decisions if one.opened.subject == "gate"
    )  # fmt: skip


def _everywhere(house: House, event: m.ServiceStarted | m.ClockStepped, position: int) -> tuple[EffectRow, ...]:
    """Every room that shows a run is told what concerns the deployment."""
    if isinstance(event, m.ServiceStarted) and event.silent_since is None:
        return ()
    return tuple(
        EffectRow(f"{position}.{n}", position, run.run, Lane.ALERT, run.place, "line", "")
        for n, run in enumerate(house.active())
    )


def _line(run: RunState, event: m.Event) -> list[_Draft]:
    lane = _LINES.get(type(event))
    if lane is None or _told_elsewhere(run, event):
        return []
    if isinstance(event, m.StepFinished) and run.plan.step(event.step) in run.plan.rollback:
        lane = Lane.ROLLBACK  # before the line that says that all is back
    return [(lane, "", "line", "", "")]


def _told_elsewhere(run: RunState, event: m.Event) -> bool:
    """Return whether the board, a card or another line says what *event* would: a channel is read by tired people."""
    told = False
    match event:
        case m.CriteriaSigned():
            told = bool(missing_signatures(run))  # the board lists who has still to sign
        case m.StepStarted() if run.plan.step(event.step) in run.plan.rollback:
            told = event.attempt == 1  # the declaration of going back names its steps
        case m.StepStarted() | m.StepFinished():
            told = run.plan.step(event.step).kind is StepKind.GATE  # its card
        case m.HoleOpened():
            told = _open_holes_of(run, event.check) > 1  # one line for a check, not for each of its cells
        case m.HoleClosed():
            told = _open_holes_of(run, event.check) > 0
        case m.CheckTurned():
            told = _turned_as_expected(run, event)
        case _:
            pass
    return told


def _open_holes_of(run: RunState, check: str) -> int:
    return sum(hole.check == check for hole in open_holes(run))


def _turned_as_expected(run: RunState, event: m.CheckTurned) -> bool:
    """Return whether a check only began to work, as the board shows, or its hole has been told."""
    match (event.before, event.after):
        case (Colour.WAITING, Colour.WORKING):
            return True
        case (_, Colour.UNMEASURED):
            return _open_holes_of(run, event.check) > 0
        case (Colour.UNMEASURED, Colour.WORKING):
            return any(hole.check == event.check for hole in run.holes)
        case _:
            return False


def _card(run: RunState, event: m.Event) -> list[_Draft]:
    if isinstance(event, m.DecisionOpened):
        return [(Lane.DECISION, "", "card", str(event.number), "")]
    if isinstance(event, _OF_DOUBT):
        doubt = run.steps[event.step].doubt
        return [(Lane.DECISION, "", "doubt", f"{event.step}#{doubt}", "")] if doubt is not None else []
    if isinstance(event, _CARDS):
        return [(Lane.DECISION, "", "card-update", str(event.number), f"card-{event.number}")]
    return []


def _call(run: RunState, event: m.Event) -> list[_Draft]:
    if not isinstance(event, m.StepStarted):
        return []
    step = run.plan.step(event.step)
    if step.kind is not StepKind.ACTION:
        return []
    lane = Lane.ROLLBACK if step in run.plan.rollback else Lane.STEP
    return [(lane, "", "perform", f"{event.step}#{event.attempt}", "")]


def _digest(run: RunState, event: m.Event) -> list[_Draft]:
    if not isinstance(event, m.DigestDue):
        return []
    to = next(digest.to.channel for digest in run.plan.digests if digest.id == event.digest)
    return [(Lane.REST, to, "digest", f"{event.digest}#{event.number}", "")]
