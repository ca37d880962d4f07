"""
What matters most in a run now, in one line each: the worst first.

Board, digest and "catch me up" say the same thing because they ask here. Answers are `Said` lines;
which of them fit where is not known here.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from bot.core.approvals import still_needed
from bot.core.cutover.follow import watch_blocks
from bot.core.model import Outcome
from bot.core.runbook import Check, Step, StepKind, Trigger
from bot.core.standing import (
    Colour,
    cells_of,
    current_steps,
    missing_roles,
    missing_signatures,
    open_holes,
    word_for_back,
)
from bot.core.state import CellState, DecisionState, RunState, RunStatus, StepState, StepStatus
from bot.core.triggers import Verdict
from bot.words.naming import (
    BAD,
    GOOD,
    UNCLEAR,
    WORSE_SOON,
    at,
    cell_name,
    check_name,
    hour,
    left,
    listed,
    minutes,
    others,
    owner,
    people,
    policy,
    rule_number,
    score,
    trigger_title,
)
from bot.words.phrases import say
from bot.words.safe import Said, joined, said


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
    if open_holes(run) or coloured(run, Colour.UNMEASURED):
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
            return Headline(WORSE_SOON, say("head-rolled-back", at=when), say("risk-rolled-back"))
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


def urgent(run: RunState) -> tuple[DecisionState, ...]:
    """Return the open decisions that hold the run: about a rule, or about going back."""
    return tuple(d for d in run.open_decisions if d.opened.subject in {"trigger", "go-back"})


def in_state(run: RunState, status: StepStatus) -> tuple[Step, ...]:
    """Return the steps in that state, in the order of the plan, rollback steps last."""
    return tuple(step for step in (*run.plan.steps, *run.plan.rollback) if run.steps[step.id].status is status)


def under_way(run: RunState) -> tuple[tuple[Step, StepState], ...]:
    """Return the steps that are running."""
    return tuple((step, run.steps[step.id]) for step in in_state(run, StepStatus.RUNNING))


def coloured(run: RunState, wanted: Colour) -> tuple[Check, ...]:
    """Return the checks of that colour."""
    return tuple(c for c in run.plan.checks if run.colours.get(c.id, Colour.WAITING) == wanted)


def met(run: RunState) -> tuple[Trigger, ...]:
    """Return the rules that are met."""
    return tuple(trigger for trigger in run.plan.triggers if run.triggers[trigger.id].met)


def cannot_tell(run: RunState) -> tuple[Trigger, ...]:
    """Return the rules that cannot be told, in a run that is measured."""
    if run.started_at is None:
        return ()
    return tuple(t for t in run.plan.triggers if run.triggers[t.id].verdict is Verdict.CANNOT_TELL)


def slots(missing: tuple[tuple[str, ...], ...]) -> Said:
    """Return the open slots of a policy: `mno-partner, network-ops or care-lead`."""
    return joined(", ", [joined(f" {say('or')} ", roles) for roles in missing])


def rule_met(run: RunState, trigger: Trigger) -> Said:
    """Return what a met rule shows: what fails, the numbers with their limit, and what works."""
    because = listed(list(run.triggers[trigger.id].met.values()), "; ")
    rest = _rest(run, trigger)
    return say(
        "rule-met", title=trigger_title(trigger), because=because, rest=rest, number=rule_number(run, trigger.id)
    )


def _rest(run: RunState, trigger: Trigger) -> Said:
    members: dict[str, list[CellState]] = {}
    for cell, state in zip(
        run.plan.check(trigger.when.check).measured_cells(),
        cells_of(run, run.plan.check(trigger.when.check)),
        strict=True,
    ):
        member = trigger.when.member_of(cell)
        if member is not None and member not in run.triggers[trigger.id].met:
            members.setdefault(member, []).append(state)
    if not members:
        return Said("")
    working = sum(all(cell.decided is Outcome.PASS for cell in cells) for cells in members.values())
    if working == len(members):
        return say("others-work", others=others(trigger))
    return say("others-partly", others=others(trigger), working=working, all=len(members))


def deciders(run: RunState, decision: DecisionState) -> Said:
    """Return who decides, what is given so far, and who is missing for the option that is nearest."""
    offer = max(decision.opened.offers, key=lambda o: sum(v.option is o.option for v in decision.votes.values()))
    needed = still_needed(offer.policy, run.plan.roles, _voters(decision, offer.option), decision.opened.requester)
    given = joined(", ", [_given(run, decision, person) for person in decision.votes]) or say("none")
    missing = joined("; ", [_slot(run, slot.roles, slot.people) for slot in needed])
    who = joined(" · ", _by_policy(decision))
    return say("deciders", who=who, given=given, letter=offer.letter, missing=missing or say("none"))


def _voters(decision: DecisionState, wanted: str) -> list[str]:
    return [vote.person for vote in decision.votes.values() if vote.option == wanted]


def _by_policy(decision: DecisionState) -> list[Said]:
    words: dict[Said, list[str]] = {}
    for offer in decision.opened.offers:
        words.setdefault(policy(offer.policy), []).append(offer.letter)
    if len(words) == 1:
        return list(words)
    return [say("policy-of", letters=joined("/", letters), policy=who) for who, letters in words.items()]


def _given(run: RunState, decision: DecisionState, person: str) -> Said:
    offer = decision.offer(decision.votes[person].option.value)
    return say("vote-given", person=run.name(person), letter=offer.letter if offer else "")


def _slot(run: RunState, roles: tuple[str, ...], persons: tuple[str, ...]) -> Said:
    named = joined(f" {say('or')} ", roles)
    return say("slot", roles=named, people=people(run, persons, f" {say('or')} ")) if persons else named


def missing_for(run: RunState, decision: DecisionState) -> Iterator[tuple[str, Said]]:
    """Yield, for each option of *decision*, its letter and who is still missing; empty words where nobody is."""
    for offer in decision.opened.offers:
        needed = still_needed(offer.policy, run.plan.roles, _voters(decision, offer.option), decision.opened.requester)
        yield offer.letter, joined(" AND ", [_slot(run, slot.roles, slot.people) for slot in needed])


def unmeasured(run: RunState, now: datetime) -> Iterator[Said]:
    """Yield what is not measured now: holes, checks without a verdict, rules that cannot be told."""
    holes = open_holes(run)
    for hole in holes[:1]:
        yield say(
            "hole",
            check=check_name(run.plan.check(hole.check)),
            cell=cell_name(hole.cell),
            since=hour(run, hole.since, now),
            more=say("more-holes", count=len(holes) - 1) if len(holes) > 1 else "",
        )
    silent = [c for c in coloured(run, Colour.UNMEASURED) if c.id not in {hole.check for hole in holes}]
    if silent:
        yield say("check-unmeasured", checks=listed([check_name(check) for check in silent]))
    unclear = [t for t in cannot_tell(run) if t.when.check not in {hole.check for hole in holes}]
    if unclear:
        yield say(
            "rules-unclear",
            rules=listed([f"{rule_number(run, t.id)}" for t in unclear]),
            because=run.triggers[unclear[0].id].because or say("nothing-measured"),
        )


def failing(run: RunState) -> Iterator[Said]:
    """Yield each failing check that no met rule speaks of; controls are told apart from what moved."""
    spoken = {trigger.when.check for trigger in met(run)}
    for check in coloured(run, Colour.FAILING):
        if check.id not in spoken:
            worst = max(cells_of(run, check), key=lambda cell: cell.failing)
            yield say("check-failing", check=check_name(check), cell=cell_name(worst.cell), detail=worst.detail)
    broken = [c for c in run.plan.checks if any(cell.failing >= 2 for cell in cells_of(run, c, controls=True))]
    if broken:
        yield say("controls-fail", checks=listed([check_name(check) for check in broken]))


def working(run: RunState) -> Said:
    """Return the checks that work with their numbers, and those not heard of, in one line; empty where none."""
    good = [say("check-score", check=check_name(c), score=score(*tally(run, c))) for c in coloured(run, Colour.WORKING)]
    waiting = [check_name(check) for check in coloured(run, Colour.WAITING)]
    parts = []
    if good:
        parts.append(say("working", checks=listed(good, " · ")))
    if waiting:
        parts.append(say("waiting", checks=listed(waiting)))
    return joined(" · ", parts)


def tally(run: RunState, check: Check, *, controls: bool = False) -> tuple[int, int]:
    """Return how many measurements of *check* passed and failed since the triggers were armed."""
    cells = tuple(cells_of(run, check, controls=controls))
    return sum(cell.passed for cell in cells), sum(cell.failed for cell in cells)


def customers(run: RunState, now: datetime) -> Said:
    """Return what subscribers feel, as far as the checks show it; contacts and top-ups are not known here."""
    hit = [(check, _members_hit(run, check)) for check in coloured(run, Colour.FAILING)]
    if hit:
        felt = listed([say("feels", check=check_name(check), where=where) for check, where in hit], "; ")
        return say("customers-hit", felt=felt)
    passed = sum(tally(run, check)[0] for check in run.plan.checks)
    if not passed or run.armed_at is None:
        return say("customers-unknown")
    if unclear := [check_name(c) for c in coloured(run, Colour.UNMEASURED)]:
        return say("customers-unclear", checks=listed(unclear))
    return say("customers-fine", count=passed, since=hour(run, run.armed_at, now))


def _members_hit(run: RunState, check: Check) -> Said:
    cells = [cell for cell in cells_of(run, check) if cell.failing]
    return listed(list(dict.fromkeys(cell.origin or cell_name(cell.cell) for cell in cells)))


def switch(run: RunState, now: datetime) -> Said:
    """Return where the point of no return is, and what going back is called on this side of it."""
    steps = [step for step in run.plan.steps if step.point_of_no_return]
    if run.status.over or run.started_at is None or not (run.plan.rollback or steps):
        return Said("")
    if run.no_return_at is None:
        return say("undo-possible", step=steps[0].name) if steps else say("undo-always")
    detail = next((run.steps[step.id].detail for step in steps if run.steps[step.id].detail), "")
    done = say("with-detail", detail=detail) if detail else ""
    return say("no-return", at=hour(run, run.no_return_at, now), detail=done)


def window(run: RunState, now: datetime) -> Said:
    """Return the window of the switch while it matters; empty after the switch or without one."""
    if run.window_opens is None or run.window_closes is None or run.no_return or run.status.over:
        return Said("")
    opens, closes = at(run, run.window_opens, now), at(run, run.window_closes, now)
    if now < run.window_opens:
        return say("window-ahead", opens=opens, closes=closes, left=left(now, run.window_opens))
    if now < run.window_closes:
        return say("window-open", closes=closes, left=left(now, run.window_closes))
    return say("window-closed", closes=closes)


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


def coming(run: RunState) -> Said:
    """Return what comes next, with its owner and the command that starts it; empty where nothing does."""
    if run.status is RunStatus.OPENED:
        return say("next-sign") if missing_signatures(run) else say("next-start")
    if run.status.over:
        return Said("")
    waiting = [step for step in current_steps(run) if run.steps[step.id].status is StepStatus.WAITING]
    if not waiting:
        return Said("")
    nearest = next((step for step in waiting if all(run.steps[need].status.settled for need in step.needs)), waiting[0])
    if nearest.kind is StepKind.GATE:
        return say("next-gate", step=nearest.name, policy=policy(run.plan.approvals.go))
    begins_itself = nearest.kind in {StepKind.WATCH, StepKind.ROLL_CALL} or nearest.start == "auto"
    if begins_itself or run.status is RunStatus.GOING_BACK:
        return say("next-itself", step=nearest.name)
    return say("next-by-hand", step=nearest.name, owner=owner(nearest), id=nearest.id)


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


def deciding(decision: DecisionState) -> Said:
    """Return who decides, option by option where they differ."""
    return joined(" · ", _by_policy(decision))
