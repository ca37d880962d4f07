"""
What is known when people are asked: the frozen evidence of a decision, and what came since.

Counts are told per origin, moved numbers and control numbers apart, so that an outage elsewhere is
not blamed on the cutover. A cause is named only where the evidence itself says it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from bot.core.cutover.votes import evidence as live_evidence
from bot.core.messages import Evidence
from bot.core.runbook import Check
from bot.core.standing import FAILING_AFTER, cells_of, check_blocks, forward_blocks, gate_blocks, gate_entry
from bot.core.state import DecisionState, House, RunState
from bot.words import gist
from bot.words.naming import (
    BAD,
    GOOD,
    MOST_CHECKS,
    at,
    cell_name,
    check_name,
    evidence_of,
    hour,
    listed,
    others,
    score,
)
from bot.words.phrases import say
from bot.words.safe import Said, joined, parted, said

#: Words by which a check itself says that the origin still asks the old network.
_STALE_ROUTING = ("stale routing", "old network")


def trigger_lines(house: House, run: RunState, decision: DecisionState, now: datetime) -> Iterator[Said]:
    """Yield what was known when a rule was met or somebody asked to go back, and what came since."""
    frozen, about = decision.opened.evidence, _about(run, decision)
    if about is not None:
        yield from _service(run, decision, about, now)
    rest = [check for check in run.plan.checks if check is not about]
    yield from _others(rest, frozen)
    yield from _since_then(run, decision, about)
    if house.parked:
        yield say("card-parked", count=len(house.parked))


def _about(run: RunState, decision: DecisionState) -> Check | None:
    if decision.opened.subject != "trigger":
        return None
    return run.plan.check(run.plan.trigger(decision.opened.about).when.check)


def _service(run: RunState, decision: DecisionState, check: Check, now: datetime) -> Iterator[Said]:
    shown = evidence_of(decision.opened.evidence, check.id)
    bad = sorted((one for one in shown if one.failed), key=lambda one: -_share(one))
    good = [one for one in shown if not one.failed]
    trigger = run.plan.trigger(decision.opened.about)
    for one in bad[:3]:
        since = say("counted-since", at=hour(run, one.since, now)) if one.since else ""
        yield say("shown", member=cell_name(one.member), bad=one.failed, all=one.passed + one.failed, since=since,
                  detail=one.detail or say("no-detail"), errors=_errors(one))  # fmt: skip
    if good:
        passed, errors = sum(one.passed for one in good), sum(one.errors for one in good)
        yield say("others-shown", others=others(trigger), score=score(passed, 0), errors=_tries(errors))
    yield from _cause(run, decision, check, bad)
    if bad:
        yield say("who-is-hit", check=check_name(check), members=listed([cell_name(one.member) for one in bad]))


def _share(one: Evidence) -> float:
    return one.failed / (one.passed + one.failed)


def _errors(one: Evidence) -> Said:
    return _tries(one.errors)


def _tries(errors: int) -> Said:
    return say("broken-tries", count=errors) if errors else Said("")


def _cause(run: RunState, decision: DecisionState, check: Check, bad: Sequence[Evidence]) -> Iterator[Said]:
    controls = {one.member: one for one in evidence_of(decision.opened.evidence, check.id, control=True)}
    if not check.control_cells():
        yield say("no-controls")
    for one in bad[:3]:
        control = controls.get(one.member)
        if any(words in one.detail.lower() for words in _STALE_ROUTING):
            yield say("stale-routing", member=cell_name(one.member))
        if control is None or not control.passed + control.failed:
            continue
        numbers = {"member": cell_name(one.member), "score": score(control.passed, control.failed)}
        # One lost control call does not make the origin suspect; a row of them does, however good it was before.
        if control.failed * 2 > control.passed or _failing_now(run, check, one.member):
            yield say("controls-bad", member=numbers["member"], score=numbers["score"])
        else:
            yield say("controls-good", member=numbers["member"], score=numbers["score"])


def _failing_now(run: RunState, check: Check, origin: str) -> bool:
    cells = cells_of(run, check, controls=True)
    return any(cell.failing >= FAILING_AFTER and origin in {cell.origin, cell.cell} for cell in cells)


def _others(checks: Sequence[Check], frozen: Sequence[Evidence]) -> Iterator[Said]:
    scores: list[Said] = []
    for check in checks:
        shown = evidence_of(frozen, check.id)
        passed, failed = sum(one.passed for one in shown), sum(one.failed for one in shown)
        if passed + failed:
            scores.append(say("check-score", check=check_name(check), score=score(passed, failed)))
        else:
            scores.append(say("check-unheard", check=check_name(check)))
    if scores:
        yield say("other-checks", scores=listed(scores, " · ", MOST_CHECKS))


def _since_then(run: RunState, decision: DecisionState, about: Check | None) -> Iterator[Said]:
    """Yield what came after the snapshot, if anything did: the snapshot itself never changes."""
    news: list[Said] = []
    for check in [about] if about is not None else run.plan.checks:
        passed, failed = _news(run, decision, check)
        if passed + failed:
            news.append(say("check-news", check=check_name(check), failed=failed, all=passed + failed))
    if news:
        yield say("since-then", news=listed(news, " · "))


def _news(run: RunState, decision: DecisionState, check: Check) -> tuple[int, int]:
    before = evidence_of(decision.opened.evidence, check.id)
    after = evidence_of(live_evidence(run), check.id)
    if before and after and before[0].since != after[0].since:
        before = ()  # the counts began anew at the switch
    return (
        sum(one.passed for one in after) - sum(one.passed for one in before),
        sum(one.failed for one in after) - sum(one.failed for one in before),
    )


def gate_lines(run: RunState, decision: DecisionState, now: datetime) -> Iterator[Said]:
    """Yield what must be true at a gate and what is, as of *now*."""
    step = run.plan.step(decision.opened.about)
    entry = gate_entry(step)
    checks = run.plan.checks_of(entry.checks)
    if checks:
        names = say("all-checks") if len(checks) == len(run.plan.checks) else listed([check_name(c) for c in checks])
        yield say("must-be-true", checks=names, last=int(entry.last.total_seconds() // 60))
    blocks = gate_blocks(run, step, now)
    shown = [say("check-score", check=check_name(c), score=score(*gist.tally(run, c))) for c in checks]
    if not blocks:
        yield say(
            "gate-open", symbol=GOOD, at=at(run, now, now), scores=listed(shown, " · ", MOST_CHECKS) or say("no-checks")
        )
        return
    yield say("gate-blocked", symbol=BAD, at=at(run, now, now), count=len(blocks))
    by_check = [list(check_blocks(run, check, entry.last, now)) for check in checks]
    for alike in [*([block] for block in forward_blocks(run)), *(some for some in by_check if some)]:
        more = say("gate-block-more", count=len(alike) - 1) if len(alike) > 1 else ""
        yield say("gate-block", why=parted(alike[0]), more=more)


def resume_lines(run: RunState) -> Iterator[Said]:
    """Yield what still blocks a run that is asked to go on."""
    blocks = [said(block) for block in forward_blocks(run) if not block.startswith("paused")]
    yield say("resume-blocked", symbol=BAD, why=joined("; ", blocks)) if blocks else say("resume-free", symbol=GOOD)
