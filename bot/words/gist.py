"""
What a run shows now, in one line each: rules, checks, customers, deciders, the switch.

Board, card and "catch me up" say the same thing because they ask here. Which lines fit where is not
known here.
"""

from collections.abc import Iterator
from datetime import datetime

from bot.core.approvals import still_needed
from bot.core.model import Outcome
from bot.core.runbook import Check, Step, Trigger
from bot.core.standing import (
    FAILING_AFTER,
    Colour,
    cells_of,
    open_holes,
)
from bot.core.state import CellState, DecisionState, RunState, RunStatus
from bot.words.found import cannot_tell, coloured, met, silent
from bot.words.naming import (
    GOOD,
    MOST_CHECKS,
    at,
    cell_name,
    check_called,
    check_name,
    hour,
    left,
    listed,
    option,
    others,
    people,
    policy,
    rule_number,
    score,
    trigger_title,
)
from bot.words.phrases import say
from bot.words.safe import Said, joined, parted


def rule_met(run: RunState, trigger: Trigger) -> Said:
    """Return what a met rule shows: what fails, the numbers with their limit, and what works."""
    because = listed([parted(why) for why in run.triggers[trigger.id].met.values()], "; ")
    title, number = trigger_title(trigger), rule_number(run, trigger.id)
    if run.status.over:
        return say("rule-was-met", title=title, because=because, number=number)
    return say("rule-met", title=title, because=because, rest=_rest(run, trigger), number=number)


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
    """Return who is missing for the option that is nearest, what is given so far, and the other letters."""
    offer = max(decision.opened.offers, key=lambda o: sum(v.option is o.option for v in decision.votes.values()))
    needed = still_needed(offer.policy, run.plan.roles, _voters(decision, offer.option), decision.opened.requester)
    given = joined(", ", [_given(run, decision, person) for person in decision.votes]) or say("none")
    missing = joined(" AND ", [_slot(run, slot.roles, slot.people) for slot in needed]) or say("none")
    rest = [other.letter for other in decision.opened.offers if other is not offer]
    return say(
        "deciders",
        number=decision.number,
        letter=offer.letter,
        option=option(offer, decision),
        missing=missing,
        given=given,
        others=say("or-letters", letters=joined(", ", rest)) if rest else "",
    )


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
    if run.status.over:
        return
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
    told = {hole.check for hole in holes} | {check.id for check in coloured(run, Colour.WAITING)}
    unclear = [t for t in cannot_tell(run) if t.when.check not in told]
    if unclear:
        yield say(
            "rules-unclear",
            rules=listed([f"{rule_number(run, t.id)}" for t in unclear]),
            because=run.triggers[unclear[0].id].because or _too_few(run, unclear[0]),
        )


def _too_few(run: RunState, trigger: Trigger) -> Said:
    """Return why a rule that was never judged cannot be told."""
    heard = sum(tally(run, run.plan.check(trigger.when.check)))
    return say("too-few") if heard else say("nothing-measured")


def failing(run: RunState) -> Iterator[Said]:
    """Yield each failing check that no met rule speaks of; controls are told apart from what moved."""
    spoken = {trigger.when.check for trigger in met(run)}
    for check in coloured(run, Colour.FAILING):
        if check.id not in spoken:
            worst = max(cells_of(run, check), key=lambda cell: cell.failing)
            told = say("check-failing", check=check_name(check), cell=cell_name(worst.cell), detail=worst.detail)
            yield joined(". ", [told, _accepted(run, check)])
    broken = [
        c for c in run.plan.checks if any(cell.failing >= FAILING_AFTER for cell in cells_of(run, c, controls=True))
    ]
    if broken:
        yield say("controls-fail", checks=listed([check_name(check) for check in broken]))


def _accepted(run: RunState, check: Check) -> Said:
    """Return by which decision people went on with this failure, or that nobody had to decide."""
    about = {trigger.id for trigger in run.plan.triggers if trigger.when.check == check.id}
    numbers = [override.number for override in run.overrides if override.trigger in about]
    return say("accepted-by", number=numbers[-1]) if numbers else say("no-decision-yet")


def working(run: RunState, now: datetime) -> Said:
    """Return the checks that work now, with their numbers, in one line; empty where there are none."""
    heard = [
        c
        for c in coloured(run, Colour.WORKING)
        if c not in silent(run, now) and not _hurts(run, c) and tally(run, c)[0]
    ]
    good = [say("check-score", check=check_name(check), score=score(*tally(run, check))) for check in heard]
    return say("working", symbol=GOOD, checks=listed(good, " · ", MOST_CHECKS)) if good else Said("")


def waiting(run: RunState, now: datetime) -> Said:
    """Return the checks that were not heard of yet, in one line; empty where there are none."""
    unheard = [check_name(check) for check in coloured(run, Colour.WAITING) if check not in silent(run, now)]
    return say("waiting", checks=listed(unheard, most=MOST_CHECKS)) if unheard and not run.status.over else Said("")


def tally(run: RunState, check: Check, *, controls: bool = False) -> tuple[int, int]:
    """Return how many measurements of *check* passed and failed since the triggers were armed."""
    cells = tuple(cells_of(run, check, controls=controls))
    return sum(cell.passed for cell in cells), sum(cell.failed for cell in cells)


def customers(run: RunState, now: datetime) -> Said:
    """Return what subscribers feel, as far as the checks show it; contacts and top-ups are not known here."""
    if run.status.over:
        return say("customers-over")
    hit = [(check, _members_hit(run, check)) for check in run.plan.checks if _hurts(run, check)]
    unclear = [check_name(check) for check in silent(run, now)]
    if hit:
        felt = listed([say("feels", check=check_name(check), where=where) for check, where in hit], "; ")
        fine = [check for check in coloured(run, Colour.WORKING) if not _hurts(run, check)]
        all_else = len(hit) + len(fine) == len(run.plan.checks) and not unclear
        return joined(". ", [say("customers-hit", felt=felt), say("all-else-works") if all_else else ""])
    if unclear:
        return say("customers-unclear", checks=listed(unclear))
    passed = sum(tally(run, check)[0] for check in run.plan.checks)
    if not passed or run.armed_at is None:
        return say("customers-unknown")
    return say("customers-fine", count=passed, since=hour(run, run.armed_at, now))


def _hurts(run: RunState, check: Check) -> bool:
    """Return whether somebody cannot use what *check* measures: it fails, its last answer was bad, or its rule is met."""
    bad = any(cell.failing for cell in cells_of(run, check))
    return bad or check in coloured(run, Colour.FAILING) or check.id in _of_met_rules(run)


def _of_met_rules(run: RunState) -> frozenset[str]:
    return frozenset(trigger.when.check for trigger in run.plan.triggers if run.triggers[trigger.id].met)


def _members_hit(run: RunState, check: Check) -> Said:
    cells = [cell.origin or cell_name(cell.cell) for cell in cells_of(run, check) if cell.failing]
    of_rules = [
        cell_name(member)
        for trigger in run.plan.triggers
        if trigger.when.check == check.id
        for member in run.triggers[trigger.id].met
        if member != "all"
    ]
    return listed(list(dict.fromkeys([*cells, *of_rules])))


def switch(run: RunState, now: datetime) -> Said:
    """Return where the point of no return is, and what going back is called on this side of it."""
    if run.status is RunStatus.ROLLED_BACK:
        return _gone_back(run, now)
    steps = [step for step in run.plan.steps if step.point_of_no_return]
    if run.status.over or run.started_at is None or not (run.plan.rollback or steps):
        return Said("")
    if run.status is RunStatus.GOING_BACK:
        done = sum(run.steps[step.id].status.settled for step in run.plan.rollback)
        return say("back-progress", number=run.rollback or 0, done=done, all=len(run.plan.rollback))
    if run.no_return_at is None:
        return say("undo-possible", step=steps[0].name) if steps else say("undo-always")
    return say("no-return", state=_switched(run, steps, now))


def _gone_back(run: RunState, now: datetime) -> Said:
    """Return by which decision, and whose, a run that is over went back."""
    decision = run.decisions.get(run.rollback or 0)
    offer = decision.offer(decision.decided.option.value) if decision and decision.decided else None
    if decision is None or decision.decided is None or offer is None:
        return Said("")
    return say(
        "back-done",
        number=decision.number,
        at=hour(run, decision.ended_at or now, now),
        option=option(offer, decision),
        voters=people(run, decision.decided.voters),
        steps=listed([step.name for step in run.plan.rollback]),
    )


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


def deciding(decision: DecisionState) -> Said:
    """Return who decides, option by option where they differ."""
    return joined(" · ", _by_policy(decision))
