"""
The board: the one pinned message of a run, at most twelve lines with its row of buttons, worst first.

Decides which lines fit and which give way. What each line says is `gist`'s affair.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from bot.core.runbook import OptionName, StepKind
from bot.core.standing import missing_signatures, word_for_back
from bot.core.state import House, RunState, RunStatus, StepStatus
from bot.core.statistics import clopper_pearson_lower
from bot.words import found, gist, headline, progress
from bot.words.message import Block, Message, Press, buttons, message
from bot.words.naming import BAD, UNCLEAR, WORSE_SOON, ago, clock_speed, hour, listed, mark, people, trigger_called
from bot.words.phrases import say
from bot.words.safe import Said, cut, joined, said

#: Twelve lines with the row of buttons and the small print below.
_LINES = 10
_LINE_CHARS = 280
#: A probe that is this late belongs to the things to worry about.
_STALE_S = 60


class Line(NamedTuple):
    """One line and when it gives way: the highest rank goes first; rank 0 never goes."""

    rank: int
    text: Said


def board(house: House, run: RunState, now: datetime) -> Message:
    """Return the board of *run* at *now*."""
    lines = [Line(rank, cut(text, _LINE_CHARS)) for rank, text in _lines(house, run, now) if text]
    return message(_fitting(lines), _small(run, now), _row(run))


def _lines(house: House, run: RunState, now: datetime) -> Iterator[Line]:
    worst = headline.headline(run, now)
    yield Line(0, say("board-head", symbol=worst.symbol, mark=mark(run), title=run.plan.title, headline=worst.text))
    yield from _trouble(run, now)
    yield Line(1, gist.switch(run, now))
    yield Line(2, gist.window(run, now))
    for text in progress.watching(run, now):
        yield Line(1, text)
    for text in gist.failing(run):
        yield Line(2, say("worth-knowing", symbol=WORSE_SOON, text=text))
    yield Line(3, gist.working(run, now))
    yield Line(3, gist.waiting(run, now))
    if run.started_at is not None and not run.status.over:
        yield Line(1, gist.customers(run, now))
    yield Line(2, _overrides(run))
    yield Line(2, _parked(house, run))
    yield Line(0, _doing_and_next(run, now))
    yield Line(4, progress.finished(run, now))
    yield Line(3, proof(run))


def _trouble(run: RunState, now: datetime) -> Iterator[Line]:
    for trigger in found.met(run):
        yield Line(0, say("worth-knowing", symbol=BAD, text=gist.rule_met(run, trigger)))
    for decision in found.urgent(run):
        if decision.opened.subject == "go-back":
            yield Line(0, said(decision.opened.question))
        yield Line(0, gist.deciders(run, decision))
    for step in found.in_state(run, StepStatus.IN_DOUBT):
        yield Line(0, say("doubt-line", symbol=BAD, step=step.name, detail=run.steps[step.id].detail))
    for step in found.in_state(run, StepStatus.FAILED):
        yield Line(0, say("failed-line", symbol=BAD, step=step.name, detail=run.steps[step.id].detail, id=step.id))
    if run.fix is not None:
        yield Line(0, say("fix-line", owner=run.name(run.fix.owner), until=hour(run, run.fix.until, now)))
    if run.paused is not None:
        reason = say("because", reason=run.paused) if run.paused else ""
        yield Line(0, say("paused-line", symbol=WORSE_SOON, person=_who_paused(run), reason=reason))
    for text in gist.unmeasured(run, now):
        yield Line(1, say("worth-knowing", symbol=UNCLEAR, text=text))


def _who_paused(run: RunState) -> Said:
    """Return who paused; a pause after a deadline is nobody's click."""
    return people(run, [run.paused_by]) if run.paused_by in run.people else say("switchroom")


def _overrides(run: RunState) -> Said:
    if not run.overrides:
        return Said("")
    last = run.overrides[-1]
    return say(
        "override",
        count=len(run.overrides),
        number=last.number,
        title=trigger_called(run, last.trigger),
        members=listed(last.members),
        voters=people(run, last.voters),
    )


def _parked(house: House, run: RunState) -> Said:
    """Return what did not go out: a run that still needs a message must not look quiet."""
    if not house.parked or run.status.over:
        return Said("")
    return say("parked", count=len(house.parked), why=said(list(house.parked.values())[-1], 80))


def _doing_and_next(run: RunState, now: datetime) -> Said:
    doing, coming = listed(list(progress.doing(run, now)), "; "), progress.coming(run)
    parts = [say("doing-now", doing=doing) if doing else "", say("next", coming=coming) if coming else ""]
    return joined(" · ", parts)


def proof(run: RunState) -> Said:
    """Return what the clean checks prove, by Clopper and Pearson; nothing while a rule is met or cannot be told."""
    watched = any(step.kind is StepKind.WATCH for step, _ in found.under_way(run))
    if run.status is not RunStatus.RUNNING or not watched or found.met(run) or found.cannot_tell(run) or run.overrides:
        return Said("")
    passed = sum(cell.passed for cell in run.cells.values() if not cell.control)
    judged = passed + sum(cell.failed for cell in run.cells.values() if not cell.control)
    share = int(100 * clopper_pearson_lower(passed, judged)) if judged else 0
    return say("proof", passed=passed, judged=judged, share=share) if share else Said("")


def _small(run: RunState, now: datetime) -> Said:
    clock = clock_speed(run)
    if run.status.over:
        return say("small-over", run=run.run, clock=clock)
    if run.started_at is None:
        return say("small-opened", run=run.run, clock=clock)
    if run.last_reading_at is None:
        if not run.plan.checks:
            return say("small-no-checks", run=run.run, clock=clock)
        return say("small-no-probe", run=run.run, clock=clock)
    late = (now - run.last_reading_at).total_seconds() > _STALE_S
    missed = say("missed", count=run.missed) if run.missed else ""
    heard = ago(now, run.last_reading_at)
    if late:
        return say("small-probe-late", symbol=WORSE_SOON, ago=heard, missed=missed, run=run.run, clock=clock)
    return say("small-probe", ago=heard, missed=missed, run=run.run, clock=clock)


def _fitting(lines: list[Line]) -> list[Said]:
    """Return the lines that fit, in their order, and say how many gave way."""
    too_many = len(lines) - _LINES
    if too_many <= 0:
        return [line.text for line in lines]
    # One more gives way to the line that counts them; among equals the later one does.
    by_rank = sorted(range(len(lines)), key=lambda n: (lines[n].rank, n))
    kept = sorted(by_rank[: _LINES - 1])
    return [*(lines[n].text for n in kept), say("board-more", count=too_many + 1)]


def _row(run: RunState) -> tuple[Block, ...]:
    presses: list[Press] = []
    if not run.status.over:
        presses += [_decision(number) for number in [d.number for d in run.open_decisions][:3]]
    if run.status is RunStatus.OPENED:
        unsigned = bool(missing_signatures(run))
        presses.append(
            Press(say("button-sign"), "say", "sign") if unsigned else Press(say("button-start"), "say", "start")
        )
    if run.status is RunStatus.RUNNING:
        if any(step.kind is StepKind.ROLL_CALL for step, _ in found.under_way(run)):
            presses.append(Press(say("button-here"), "say", "here"))
        if run.paused is None:
            presses.append(Press(say("button-pause"), "say", "pause"))
        else:
            presses.append(Press(say("button-resume"), "say", "resume"))
    presses.append(Press(say("button-status"), "say", "status"))
    if run.status is RunStatus.RUNNING and not _back_is_asked(run):
        presses.append(Press(_back_label(run), "ask", "go-back", red=True))
    return buttons(run.run, presses)


def _decision(number: int) -> Press:
    return Press(say("button-decision", number=number), "say", f"decide {number}")


def _back_is_asked(run: RunState) -> bool:
    """Return whether an open decision offers to go back: its card is the place to say so."""
    return any(decision.offer(OptionName.GO_BACK.value) for decision in run.open_decisions)


def _back_label(run: RunState) -> Said:
    return say("button-port-back") if word_for_back(run) == "port-back" else say("button-undo")
