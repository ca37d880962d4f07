"""
What is said to one person only: "catch me up", the list that people sign, the first words, a refusal.

Private and short. What a person may do now is told with the exact command.
"""

from collections.abc import Iterator
from datetime import datetime

from bot.core.runbook import Step, StepKind
from bot.core.standing import may_own, missing_roles, missing_signatures, word_for_back
from bot.core.state import House, RunState, RunStatus, StepStatus
from bot.words import found, gist, headline, progress
from bot.words.message import Message, message, sections
from bot.words.naming import at, hour, listed, mark, only_rehearsal, owner
from bot.words.phrases import say
from bot.words.safe import Said, parted, said

#: A sentence that people sign is shown whole.
_SENTENCE_CHARS = 2500


def status(house: House, run: RunState, now: datetime, person: str = "") -> Message:
    """Return where *run* stands and what can be done now; for *person*, only what is theirs to do."""
    worst = headline.headline(run, now)
    lines = [say("status-head", symbol=worst.symbol, mark=mark(run), title=run.plan.title, headline=worst.text)]
    lines += [gist.rule_met(run, trigger) for trigger in found.met(run)]
    lines += [
        text for text in (gist.switch(run, now), *progress.watching(run, now), progress.finished(run, now)) if text
    ]
    if run.started_at is not None:
        lines.append(gist.customers(run, now))
    if house.parked:
        lines.append(say("card-parked", count=len(house.parked)))
    commands = list(can_do(run, now, person))
    if person and not run.plan.roles_of(person):
        lines.append(say("watching-only"))
    elif commands:
        lines += [say("you-can"), *commands]
    else:
        lines.append(say("nothing-to-do"))
    return message(lines)


def can_do(run: RunState, now: datetime, person: str = "") -> Iterator[Said]:
    """Yield what can be done now, each with its command, the most pressing first."""
    if run.status.over:
        return
    roles = run.plan.roles_of(person) if person else tuple(run.plan.roles)
    for decision in run.open_decisions:
        if person not in decision.votes:
            yield say("can-decide", number=decision.number, question=said(decision.opened.question, 120),
                      by=headline.due(run, decision, now))  # fmt: skip
    if run.status is RunStatus.OPENED:
        yield from _before_start(run, roles)
        return
    for step in (*run.plan.steps, *run.plan.rollback):
        yield from _step(run, step, person)
    for key, task in run.tasks.items():
        if task.done_at is None and (not person or task.person == person):
            yield say("can-task", text=said(task.text, 80), id=key)
    if run.status is RunStatus.RUNNING and roles:
        yield say("can-resume") if run.paused is not None else say("can-pause")
        yield say("can-port-back") if word_for_back(run) == "port-back" else say("can-undo")


def _before_start(run: RunState, roles: tuple[str, ...]) -> Iterator[Said]:
    wanted = {role for slot in missing_signatures(run) for role in slot}
    if wanted & set(roles):
        yield say("can-sign")
    elif not wanted and set(roles) & set(run.plan.approvals.go.roles):
        yield say("can-start")


def _step(run: RunState, step: Step, person: str) -> Iterator[Said]:
    state = run.steps[step.id]
    theirs = not person or may_own(run, step, person)
    match state.status:
        case StepStatus.RUNNING if step.kind is StepKind.ROLL_CALL:
            if person not in run.present and missing_roles(run, step):
                yield say("can-answer", step=step.name)
        case StepStatus.RUNNING if step.kind is StepKind.MANUAL and theirs:
            yield say("can-finish", step=step.name, id=step.id)
        case StepStatus.IN_DOUBT if theirs:
            yield say("can-settle", step=step.name, id=step.id)
        case StepStatus.FAILED if theirs:
            yield say("can-retry", step=step.name, id=step.id)
        case StepStatus.WAITING if theirs and _startable(run, step):
            yield say("can-begin", step=step.name, id=step.id, owner=owner(step))
        case _:
            pass


def _startable(run: RunState, step: Step) -> bool:
    by_hand = step.kind in {StepKind.MANUAL, StepKind.ACTION} and (step.start == "by-hand" or step.point_of_no_return)
    needed = all(run.steps[need].status.settled for need in step.needs)
    return by_hand and needed and step in run.plan.steps and run.status is RunStatus.RUNNING


def criteria(run: RunState, now: datetime) -> Message:
    """Return the one list that people sign, numbered, and who has signed it."""
    lines = [say("criteria-head", mark=only_rehearsal(run), digest=Said(run.criteria_digest[:8]))]
    lines += [
        say("criterion", number=n, sentence=said(text, _SENTENCE_CHARS)) for n, text in enumerate(run.criteria, start=1)
    ]
    signed = [
        say("signature", role=role, person=run.name(who), at=hour(run, when, now))
        for role, (who, when) in run.signatures.items()
    ]
    missing = missing_signatures(run)
    lines.append(say("signed-by", signatures=listed(signed, " · ") or say("none")))
    lines.append(say("to-sign", roles=found.slots(missing)) if missing else say("all-signed"))
    return Message(message(lines).text, sections(lines))


def opened(run: RunState, now: datetime) -> Message:
    """Return what whoever opened a run does next."""
    when = at(run, run.window_opens, now) if run.window_opens else say("any-time")
    signs = found.slots(missing_signatures(run))
    return message(
        [say("opened", mark=only_rehearsal(run), title=run.plan.title, run=run.run, window=when, roles=signs)]
    )


def welcome(run: RunState) -> Message:
    """Return the three lines that tell a newcomer what to try."""
    return message([say("welcome-1", mark=mark(run), title=run.plan.title), say("welcome-2"), say("welcome-3")])


def here_is(what: str, run: RunState, now: datetime) -> Message:
    """Return the private reply of that name: `criteria`, `opened` or `welcome`. Raise KeyError for another."""
    match what:
        case "criteria":
            return criteria(run, now)
        case "opened":
            return opened(run, now)
        case "welcome":
            return welcome(run)
        case _:
            raise KeyError(what)


def refused(sentence: str, run: RunState | None = None) -> Message:
    """Return a refusal as the person reads it: nothing happened, why, and what would work."""
    return message([say("refused", mark=only_rehearsal(run) if run else "", sentence=parted(said(sentence, 1500)))])
