"""
The scheduled message for people who are not in the room: what customers feel, what is at risk, what is next.

The words are a Jinja2 template of ours, compiled once; what comes from people, probes and runbooks is
made safe before it meets the template, and again by the template where somebody forgot.
"""

from collections.abc import Iterator
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.core.runbook import Digest, StepKind
from bot.core.state import DigestState, House, RunState
from bot.words import found, gist, headline, progress
from bot.words.message import Message, message
from bot.words.naming import at, hour, mark, option, rule_number, trigger_title
from bot.words.phrases import say
from bot.words.safe import Said, joined, said

_MOST_CHANGES = 6


def _safe(value: object) -> object:
    return value if isinstance(value, Said | int) else said(str(value))


_TEMPLATES = Environment(
    loader=PackageLoader("bot.words"),
    # Slack's text is not HTML: `finalize` escapes what Slack would read as its own.
    autoescape=False,  # noqa: S701 - see above
    finalize=_safe,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_EXECUTIVE = _TEMPLATES.get_template("executive.j2")


def digest(house: House, run: RunState, digest_id: str, now: datetime) -> Message:
    """Return the digest *digest_id* of *run*. Its next time is always part of it, also when nothing changed."""
    plan = next(digest for digest in run.plan.digests if digest.id == digest_id.partition("#")[0])
    worst = headline.headline(run, now)
    text = _EXECUTIVE.render(
        symbol=Said(worst.symbol),
        mark=mark(run),
        title=said(run.plan.title),
        at=at(run, now, now),
        headline=worst.text if worst.text.startswith(worst.risk) else joined(". ", [worst.risk, worst.text]),
        asked=[_asked(run, decision.number, now) for decision in run.open_decisions],
        customers=gist.customers(run, now),
        since=hour(run, _since(run, plan, now), now),
        changes=_latest(run, _since(run, plan, now), now),
        coming="" if found.urgent(run) else progress.coming(run, commands=False),
        next=_next(run, plan, now),
    )
    lines = [Said(row) for row in text.splitlines() if row.strip()]
    small = say(
        "digest-small",
        position=house.head_at,
        head=Said(house.head[:16] or "none"),
        criteria=Said(run.criteria_digest[:8]),
        scenario=_scenario(run),
    )
    return message(lines, small)


def _since(run: RunState, plan: Digest, now: datetime) -> datetime:
    """The stretch that a digest reports on: one interval, and never from before the start."""
    return max(now - plan.every, run.started_at or run.opened_at)


def _scenario(run: RunState) -> Said:
    if run.scenario is None:
        return Said("")
    return say("digest-scenario", name=run.scenario.name, speed=f"{run.scenario.speed:g}")


def _asked(run: RunState, number: int, now: datetime) -> Said:
    decision = run.decisions[number]
    *most, last = [option(offer, decision) for offer in decision.opened.offers]
    options = joined(f" {say('or')} ", [*([joined(", ", most)] if most else []), last])
    return say(
        "digest-asked",
        number=number,
        by=headline.due(run, decision, now),
        options=Said(options.lower()),
        deciders=gist.deciding(decision),
    )


def _latest(run: RunState, since: datetime, now: datetime) -> list[Said]:
    """Return what changed after *since*, the oldest first; of many changes the latest ones."""
    changes = sorted((change for change in _changes(run, now) if change[0] > since), key=lambda change: change[0])
    return [text for _, text in changes[-_MOST_CHANGES:]]


def _changes(run: RunState, now: datetime) -> Iterator[tuple[datetime, Said]]:
    for trigger in run.plan.triggers:
        met_at = run.triggers[trigger.id].met_at
        if met_at is not None:
            number = rule_number(run, trigger.id)
            yield met_at, say("change-met", title=trigger_title(trigger), number=number, at=hour(run, met_at, now))
    for decision in run.decisions.values():
        if decision.ended_at is not None and decision.decided is not None:
            offer = decision.offer(decision.decided.option.value)
            chosen = option(offer, decision) if offer else said(decision.decided.option.value)
            when = hour(run, decision.ended_at, now)
            yield decision.ended_at, say("change-decided", number=decision.number, option=chosen, at=when)
    for step in (*run.plan.steps, *run.plan.rollback):
        state = run.steps[step.id]
        if state.ended_at is not None and step.kind is not StepKind.GATE:
            status = state.status.value.replace("-", " ")
            yield state.ended_at, say("change-step", step=step.name, status=status, at=hour(run, state.ended_at, now))
    for override in run.overrides:
        yield override.at, say("change-override", number=override.number, at=hour(run, override.at, now))
    if run.paused_at is not None:
        yield run.paused_at, say("change-paused", at=hour(run, run.paused_at, now))


def _next(run: RunState, plan: Digest, now: datetime) -> Said:
    """Return when the next message comes; a decision that waits brings one at once."""
    state = run.digests.get(plan.id) or DigestState(next_at=now + plan.every)
    when = at(run, max(state.next_at, now), now)
    if run.status.over:
        return say("next-never")
    return say("next-after-decision", at=when) if found.urgent(run) else say("next-at", at=when)
