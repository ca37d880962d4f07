"""
One name for one thing: times, people, checks, rules, options and policies as every text says them.

Answers are `Said`. Knows the nouns of a run, not where a text goes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from bot.core.cutover.votes import option_words, policy_words, span
from bot.core.messages import Evidence, Offer
from bot.core.runbook import Check, OptionName, Per, Policy, Step, Trigger
from bot.core.standing import clock
from bot.core.state import DecisionState, RunState
from bot.words.phrases import say
from bot.words.safe import Said, joined, said

#: Colour is never alone: each has its word beside it.
BAD, WORSE_SOON, UNCLEAR, GOOD = "✖", "▲", "?", "✔"
#: So many names stand in one line; the rest are counted.
MOST_NAMES = 4
#: A check is never hidden behind a count while a runbook has no more than these.
MOST_CHECKS = 8


def mark(run: RunState) -> Said:
    """Return the first word of what is said: LIVE or REHEARSAL."""
    return say("live") if run.scenario is None else say("rehearsal")


def clock_speed(run: RunState) -> Said:
    """Return how fast a rehearsal's clock runs, for the small print; empty where it is the wall's."""
    if run.scenario is None or run.scenario.speed == 1:
        return Said("")
    return say("small-clock", speed=f"{run.scenario.speed:g}")


def only_rehearsal(run: RunState) -> Said:
    """Return what a short text of *run* begins with: the live night needs no mark on each line."""
    return Said("") if run.scenario is None else say("rehearsal-first")


def city(run: RunState) -> Said:
    """Return the run's time zone as people say it: `London`."""
    return said(run.plan.timezone.rsplit("/", 1)[-1].replace("_", " "))


def at(run: RunState, when: datetime, now: datetime) -> Said:
    """Return *when* on the run's own clock with its zone, and the day where it is not today."""
    return say("time", clock=hour(run, when, now), zone=city(run))


def hour(run: RunState, when: datetime, now: datetime) -> Said:
    """Return *when* on the run's own clock, and the day where it is not today."""
    there, here = when.astimezone(run.plan.zone), now.astimezone(run.plan.zone)
    day = f"{there.day} {there:%b} " if there.date() != here.date() else ""
    return Said(f"{day}{clock(run, when)}")


def left(now: datetime, until: datetime) -> Said:
    """Return the time from *now* to *until*, or how long it is over."""
    seconds = int((until - now).total_seconds())
    return say("left", span=span(seconds)) if seconds >= 0 else say("over-by", span=span(-seconds))


def ago(now: datetime, since: datetime) -> Said:
    """Return how long *since* is ago."""
    return say("ago", span=span(max(0, int((now - since).total_seconds()))))


def reader_time(when: datetime) -> Said:
    """Return *when* as Slack shows it on each reader's own clock; only for blocks, never for plain text."""
    return Said(f"<!date^{int(when.timestamp())}^{{time}}|{when:%H:%M} UTC>")


def minutes(length: timedelta) -> int:
    """Return *length* in whole minutes."""
    return int(length.total_seconds() // 60)


def people(run: RunState, persons: Iterable[str], between: str = ", ") -> Said:
    """Return what people call *persons*."""
    return listed([run.name(person) for person in persons], between)


def listed(names: Sequence[str], between: str = ", ", most: int = MOST_NAMES) -> Said:
    """Return the first *names*, at *most* so many, and how many more there are."""
    some = joined(between, names[:most])
    rest = len(names) - most
    return some if rest <= 0 else say("and-more", some=some, count=rest)


def person_as(run: RunState, person: str) -> Said:
    """Return the name of *person* with the first role that they fill: `Ana (cutover-lead)`."""
    roles = run.plan.roles_of(person)
    return say("person-as", name=run.name(person), role=roles[0]) if roles else said(run.name(person))


def policy(wanted: Policy) -> Said:
    """Return who must agree: `cutover-lead AND mno-partner`, `network-ops or cutover-lead`."""
    if wanted.any == 1:
        return joined(f" {say('or')} ", wanted.of)
    return said(policy_words(wanted))


def owner(step: Step) -> Said:
    """Return who starts and finishes *step*."""
    return said(step.owner) if step.owner else say("any-role")


def check_name(check: Check) -> Said:
    """Return what people call *check*."""
    return said(check.title or check.id.replace("-", " "))


def check_called(run: RunState, check_id: str) -> Said:
    """Return what people call a check, also where a change of the runbook has left it out since."""
    return next((check_name(check) for check in run.plan.checks if check.id == check_id), said(check_id))


def step_called(run: RunState, step_id: str) -> Said:
    """Return what people call a step, also where a change of the runbook has left it out since."""
    return next(
        (said(step.name) for step in (*run.plan.steps, *run.plan.rollback) if step.id == step_id), said(step_id)
    )


def trigger_called(run: RunState, trigger_id: str) -> Said:
    """Return what people call a rule, also where a change of the runbook has left it out since."""
    return next((trigger_title(trigger) for trigger in run.plan.triggers if trigger.id == trigger_id), said(trigger_id))


def cell_name(key: str) -> Said:
    """Return a cell's key with its number masked."""
    return joined(", ", [part for part in key.split("/") if part != "all"]) if key != "all" else say("every-part")


def trigger_title(trigger: Trigger) -> Said:
    """Return what people call *trigger*."""
    return said(trigger.title)


def rule_number(run: RunState, trigger_id: str) -> int:
    """Return the number of a rule in the list that people sign."""
    return [trigger.id for trigger in run.plan.triggers].index(trigger_id) + 1


def others(trigger: Trigger) -> Said:
    """Return what the members of *trigger* that are not named are called."""
    match trigger.when.per:
        case Per.ORIGIN:
            return say("other-networks")
        case Per.CELL:
            return say("other-cells")
        case Per.POOLED:
            return say("everything-else")


def option(offer: Offer, decision: DecisionState) -> Said:
    """Return the name of an option as the decision named it."""
    return option_name(offer.option, no_return=decision.opened.no_return)


def option_name(name: OptionName, *, no_return: bool) -> Said:
    """Return the name of an option: undo before the point of no return, port back after it."""
    return said(option_words(name, no_return=no_return))


def score(passed: int, failed: int) -> Said:
    """Return how many of the judged measurements are good, exact: `240/240`."""
    return Said(f"{passed}/{passed + failed}")


def fingerprint(decision: DecisionState) -> Said:
    """
    Return the name of the evidence a decision was taken on: `4c1d-2417`.

    The first four hexadecimal digits of the criteria digest that was signed, and the position of the
    ledger at which the evidence was frozen: `switchroom audit export` shows both in full.
    """
    return Said(f"{decision.opened.criteria_digest[:4]}-{decision.opened.evidence_at}")


def evidence_of(shown: Iterable[Evidence], check: str, *, control: bool = False) -> tuple[Evidence, ...]:
    """Return the evidence of one check, its control numbers or the ones that move."""
    return tuple(one for one in shown if one.check == check and one.control is control)
