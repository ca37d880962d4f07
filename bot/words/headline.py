"""
The worst thing about a run in a few words: the first line of board, digest and "catch me up".

Decides what is worse than what; the rest of each text is not known here.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from bot.core.runbook import StepKind
from bot.core.standing import (
    Colour,
    missing_signatures,
    open_holes,
    word_for_back,
)
from bot.core.state import DecisionState, RunState, RunStatus, StepStatus
from bot.words.found import cannot_tell, coloured, in_state, silent, slots, under_way, urgent
from bot.words.naming import (
    BAD,
    GOOD,
    UNCLEAR,
    WORSE_SOON,
    at,
    check_name,
    hour,
    left,
    listed,
)
from bot.words.phrases import say
from bot.words.safe import Said


class Headline(NamedTuple):
    """The worst thing in a few words, with its symbol; `risk` is the one word that executives read."""

    symbol: str
    text: Said
    risk: Said


def headline(run: RunState, now: datetime) -> Headline:
    """Return the worst thing about *run* at *now*."""
    for found in _by_urgency(run, now):
        return found
    return Headline(GOOD, say("running"), say("risk-none"))


def _by_urgency(run: RunState, now: datetime) -> Iterator[Headline]:
    if run.status.over:
        yield _over(run, now)
    if run.status is RunStatus.OPENED:
        yield _not_started(run)
    if run.status is RunStatus.GOING_BACK:
        yield _going_back(run)
    for decision in urgent(run):
        yield Headline(BAD, decide_by(run, decision, now), say("risk-high"))
    for step in in_state(run, StepStatus.IN_DOUBT):
        yield Headline(BAD, say("head-doubt", step=step.name), say("risk-high"))
    if run.fix is not None:
        text = say("head-fix", until=at(run, run.fix.until, now), left=left(now, run.fix.until))
        yield Headline(BAD, text, say("risk-high"))
    for step in in_state(run, StepStatus.FAILED):
        yield Headline(BAD, say("head-failed", step=step.name), say("risk-high"))
    if run.paused is not None:
        yield Headline(WORSE_SOON, say("head-paused", since=at(run, run.paused_at or now, now)), say("risk-paused"))
    yield from _by_doubt(run, now)


def _by_doubt(run: RunState, now: datetime) -> Iterator[Headline]:
    failing = coloured(run, Colour.FAILING)
    if failing:
        text = say("head-failing", checks=listed([check_name(check) for check in failing]))
        yield Headline(WORSE_SOON, text, say("risk-some"))
    if open_holes(run) or silent(run, now):
        yield Headline(UNCLEAR, say("head-unmeasured"), say("risk-unclear"))
    for decision in run.open_decisions:
        yield Headline(WORSE_SOON, say("head-asked", number=decision.number), say("risk-none"))
    for step, state in under_way(run):
        if state.late:
            yield Headline(WORSE_SOON, say("head-late", step=step.name), say("risk-late"))
    for step, state in under_way(run):
        if step.kind is StepKind.WATCH and state.until is not None:
            unclear = bool(cannot_tell(run))
            symbol = UNCLEAR if unclear else GOOD
            risk = say("risk-unclear") if unclear else say("risk-none")
            yield Headline(symbol, say("head-watch", until=at(run, state.until, now)), risk)


def _over(run: RunState, now: datetime) -> Headline:
    when = at(run, run.ended_at or now, now)
    match run.status:
        case RunStatus.COMPLETED:
            return Headline(GOOD, say("head-completed", at=when), say("risk-completed"))
        case RunStatus.ROLLED_BACK:
            if run.no_return:
                return Headline(WORSE_SOON, say("head-ported-back", at=when), say("risk-ported-back"))
            return Headline(WORSE_SOON, say("head-undone", at=when), say("risk-undone"))
        case _:
            return Headline(WORSE_SOON, say("head-aborted", at=when), say("risk-aborted"))


def _not_started(run: RunState) -> Headline:
    missing = missing_signatures(run)
    if missing:
        return Headline(WORSE_SOON, say("head-unsigned", roles=slots(missing)), say("risk-not-started"))
    return Headline(GOOD, say("head-signed"), say("risk-not-started"))


def _going_back(run: RunState) -> Headline:
    stuck = in_state(run, StepStatus.IN_DOUBT) + in_state(run, StepStatus.FAILED)
    if stuck:
        return Headline(BAD, say("head-back-stuck", step=stuck[0].name), say("risk-high"))
    text = say("head-porting-back") if word_for_back(run) == "port-back" else say("head-undoing")
    return Headline(BAD, text, text)


def decide_by(run: RunState, decision: DecisionState, now: datetime) -> Said:
    """Return until when *decision* wants an answer; OVERDUE once its first deadline has passed."""
    if decision.deadline is None:
        return say("decide", number=decision.number)
    by, rest = at(run, decision.deadline, now), left(now, decision.deadline)
    if decision.overdue:
        first = decision.opened.deadline or decision.opened_at
        return say("decide-overdue", since=hour(run, first, now), by=by, left=rest)
    return say("decide-by", by=by, left=rest)


def due(run: RunState, decision: DecisionState, now: datetime) -> Said:
    """Return until when *decision* wants an answer, to go behind its number; empty where it has no deadline."""
    if decision.deadline is None:
        return Said("")
    by = at(run, decision.deadline, now)
    return say("overdue", by=by) if decision.overdue else say("due", by=by)
