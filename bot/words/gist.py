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
    probing,
    ready,
    since_silent,
    unmet_needs,
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
    check_called,
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


def due(run: RunState, decision: DecisionState, now: datetime) -> Said:
    """Return until when *decision* wants an answer, to go behind its number; empty where it has no deadline."""
    if decision.deadline is None:
        return Said("")
    by = at(run, decision.deadline, now)
    return say("overdue", by=by) if decision.overdue else say("due", by=by)


def urgent(run: RunState) -> tuple[DecisionState, ...]:
    """Return the open decisions that hold the run: about a rule, or about going back."""
    return tuple(d for d in run.open_decisions if d.opened.subject in {"trigger", "go-back"})


def in_state(run: RunState, status: StepStatus) -> tuple[Step, ...]:
    """Return the steps in that state on the way the run is going now; none once it is over."""
    return () if run.status.over else tuple(s for s in current_steps(run) if run.steps[s.id].status is status)


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
            check=check_called(run, hole.check),
            cell=cell_name(hole.cell),
            since=hour(run, hole.since, now),
            more=say("more-holes", count=len(holes) - 1) if len(holes) > 1 else "",
        )
    unheard = [check for check in silent(run, now) if check.id not in {hole.check for hole in holes}]
    if unheard:
        yield say("check-unmeasured", checks=listed([check_name(check) for check in unheard]))
    unclear = [t for t in cannot_tell(run) if t.when.check not in {hole.check for hole in holes}]
    if unclear:
        yield say(
            "rules-unclear",
            rules=listed([f"{rule_number(run, t.id)}" for t in unclear]),
            because=run.triggers[unclear[0].id].because or say("nothing-measured"),
        )


def silent(run: RunState, now: datetime) -> tuple[Check, ...]:
    """Return the checks that say nothing now: their last verdicts are too old, or their probes broke."""
    if not probing(run):
        return ()
    broken = {check.id for check in coloured(run, Colour.UNMEASURED)}
    return tuple(check for check in run.plan.checks if check.id in broken or _old(run, check, now))


def _old(run: RunState, check: Check, now: datetime) -> bool:
    heard = [since_silent(run, check, cell) for cell in cells_of(run, check)]
    return any(since is not None and now - since > check.hole_after for since in heard)


def failing(run: RunState) -> Iterator[Said]:
    """Yield each failing check that no met rule speaks of; controls are told apart from what moved."""
    spoken = {trigger.when.check for trigger in met(run)}
    for check in coloured(run, Colour.FAILING):
        if check.id not in spoken:
            worst = max(cells_of(run, check), key=lambda cell: cell.failing)
            told = say("check-failing", check=check_name(check), cell=cell_name(worst.cell), detail=worst.detail)
            yield joined(". ", [told, _accepted(run, check)])
    broken = [c for c in run.plan.checks if any(cell.failing >= 2 for cell in cells_of(run, c, controls=True))]
    if broken:
        yield say("controls-fail", checks=listed([check_name(check) for check in broken]))


def _accepted(run: RunState, check: Check) -> Said:
    """Return by which decision people went on with this failure, or that nobody had to decide."""
    about = {trigger.id for trigger in run.plan.triggers if trigger.when.check == check.id}
    numbers = [override.number for override in run.overrides if override.trigger in about]
    return say("accepted-by", number=numbers[-1]) if numbers else say("no-decision-yet")


def working(run: RunState, now: datetime) -> Said:
    """Return the checks that work now, with their numbers, in one line; empty where there are none."""
    heard = [check for check in coloured(run, Colour.WORKING) if check not in silent(run, now)]
    good = [say("check-score", check=check_name(check), score=score(*tally(run, check))) for check in heard]
    return say("working", symbol=GOOD, checks=listed(good, " · ")) if good else Said("")


def waiting(run: RunState, now: datetime) -> Said:
    """Return the checks that were not heard of yet, in one line; empty where there are none."""
    unheard = [check_name(check) for check in coloured(run, Colour.WAITING) if check not in silent(run, now)]
    return say("waiting", checks=listed(unheard)) if unheard and not run.status.over else Said("")


def tally(run: RunState, check: Check, *, controls: bool = False) -> tuple[int, int]:
    """Return how many measurements of *check* passed and failed since the triggers were armed."""
    cells = tuple(cells_of(run, check, controls=controls))
    return sum(cell.passed for cell in cells), sum(cell.failed for cell in cells)


def customers(run: RunState, now: datetime) -> Said:
    """Return what subscribers feel, as far as the checks show it; contacts and top-ups are not known here."""
    if run.status.over:
        return say("customers-over")
    hit = [(check, _members_hit(run, check)) for check in coloured(run, Colour.FAILING)]
    unclear = [check_name(check) for check in silent(run, now)]
    if hit:
        felt = listed([say("feels", check=check_name(check), where=where) for check, where in hit], "; ")
        all_else = len(hit) + len(coloured(run, Colour.WORKING)) == len(run.plan.checks) and not unclear
        return joined(". ", [say("customers-hit", felt=felt), say("all-else-works") if all_else else ""])
    if unclear:
        return say("customers-unclear", checks=listed(unclear))
    passed = sum(tally(run, check)[0] for check in run.plan.checks)
    if not passed or run.armed_at is None:
        return say("customers-unknown")
    return say("customers-fine", count=passed, since=hour(run, run.armed_at, now))


def _members_hit(run: RunState, check: Check) -> Said:
    cells = [cell for cell in cells_of(run, check) if cell.failing]
    return listed(list(dict.fromkeys(cell.origin or cell_name(cell.cell) for cell in cells)))


def switch(run: RunState, now: datetime) -> Said:
    """Return where the point of no return is, and what going back is called on this side of it."""
    steps = [step for step in run.plan.steps if step.point_of_no_return]
    if run.status.over or run.started_at is None or not (run.plan.rollback or steps):
        return Said("")
    if run.status is RunStatus.GOING_BACK:
        done = sum(run.steps[step.id].status.settled for step in run.plan.rollback)
        return say("back-progress", number=run.rollback or 0, done=done, all=len(run.plan.rollback))
    if run.no_return_at is None:
        return say("undo-possible", step=steps[0].name) if steps else say("undo-always")
    return say("no-return", state=_switched(run, steps, now))


def _switched(run: RunState, steps: list[Step], now: datetime) -> Said:
    """Return how far the switch is: sent is not switched."""
    sent = next((step for step in steps if run.steps[step.id].attempt), None)
    at_hour = hour(run, run.no_return_at or now, now)
    if sent is None or not run.steps[sent.id].status.settled:
        return say("switch-sent", at=at_hour)
    detail = run.steps[sent.id].detail
    return say("switch-done", at=at_hour, detail=say("with-detail", detail=detail) if detail else "")


def window(run: RunState, now: datetime) -> Said:
    """Return the window of the switch while it matters; empty after the switch or without one."""
    if run.window_opens is None or run.window_closes is None or run.no_return or run.status.over:
        return Said("")
    closes = at(run, run.window_closes, now)
    if now < run.window_opens:
        opens = hour(run, run.window_opens, now)
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


def coming(run: RunState, *, commands: bool = True) -> Said:
    """Return what comes next and whose it is, with the *commands* that start it; empty where nothing does."""
    if run.status is RunStatus.OPENED:
        return _before_start(run, commands=commands)
    left_over = [step for step in current_steps(run) if run.steps[step.id].status is StepStatus.WAITING]
    if not left_over or run.status.over:
        return Said("")
    step = next((step for step in left_over if ready(run, step)), left_over[0])
    gate = step.kind is StepKind.GATE
    who = policy(run.plan.approvals.go) if gate else owner(step)
    if not ready(run, step):
        name = step.name if _begins_itself(step) and not gate else say("next-of", step=step.name, owner=who)
        return say("next-after", step=name, needs=listed(unmet_needs(run, step)))
    if not gate and (_begins_itself(step) or run.status is RunStatus.GOING_BACK):
        return say("next-itself", step=step.name)
    if gate or not commands:
        return say("next-of", step=step.name, owner=who)
    return say("next-by-hand", step=step.name, owner=who, id=step.id)


def _before_start(run: RunState, *, commands: bool) -> Said:
    missing = missing_signatures(run)
    if not commands:
        return say("next-signed-by", roles=slots(missing)) if missing else say("next-starts")
    return say("next-sign") if missing else say("next-start")


def _begins_itself(step: Step) -> bool:
    return step.kind in {StepKind.WATCH, StepKind.ROLL_CALL} or step.start == "auto"


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
