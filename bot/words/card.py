"""
The card of a decision: what is asked, what is known, what each option means, who is missing.

While it is open the card has buttons; once decided or closed the same message is a record of one line.
Evidence is the frozen snapshot of the decision; "since then" is what the live state adds to it.
"""

from collections.abc import Iterator
from datetime import datetime

from bot.core.messages import Offer
from bot.core.model import Via
from bot.core.runbook import OptionName
from bot.core.state import DecisionState, House, RunState, StepStatus, VoteState
from bot.words import gist, headline
from bot.words.evidence import gate_lines, resume_lines, trigger_lines
from bot.words.message import TEXT_CHARS, Block, Message, Press, buttons, context, fitting, message, plain, section
from bot.words.naming import (
    BAD,
    WORSE_SOON,
    at,
    fingerprint,
    hour,
    listed,
    mark,
    minutes,
    only_rehearsal,
    option,
    owner,
    person_as,
    reader_time,
    rule_number,
)
from bot.words.phrases import say
from bot.words.safe import Said, joined, said

_LONGEST_FIX_MIN = 20


def card(house: House, run: RunState, decision: DecisionState, now: datetime) -> Message:
    """Return the card of *decision* as it stands at *now*: open with its buttons, or a record."""
    if not decision.open:
        return message([record(run, decision, now)])
    groups = [list(group) for group in _groups(house, run, decision, now)]
    text = "\n".join(fitting([plain(line) for group in groups for line in group], TEXT_CHARS))
    blocks = tuple(section(group) for group in groups if group)
    return Message(text, (*blocks, *_row(run, decision), context(_small(run, decision))))


def _groups(house: House, run: RunState, decision: DecisionState, now: datetime) -> Iterator[Iterator[Said]]:
    yield _asked(run, decision, now)
    match decision.opened.subject:
        case "gate":
            yield gate_lines(run, decision, now)
        case "resume":
            yield resume_lines(run)
        case _:
            yield trigger_lines(house, run, decision, now)
    yield _options(run, decision)
    yield _standing(run, decision, now)


def _asked(run: RunState, decision: DecisionState, now: datetime) -> Iterator[Said]:
    symbol = WORSE_SOON if decision.opened.subject in {"gate", "resume"} else BAD
    deadline = say("card-deadline", by=headline.decide_by(run, decision, now)) if decision.deadline else ""
    yield say("card-head", symbol=symbol, mark=mark(run), number=decision.number, deadline=deadline)
    if decision.opened.subject == "trigger":
        rule = rule_number(run, decision.opened.about)
        yield say("card-rule", question=decision.opened.question, number=rule, signed=_signed(run, now))
    elif decision.opened.subject == "gate":
        yield say("card-gate", step=run.plan.step(decision.opened.about).name)
    else:
        yield said(decision.opened.question)


def _signed(run: RunState, now: datetime) -> Said:
    if not run.signatures:
        return say("unsigned")
    last = max(when for _, when in run.signatures.values())
    return say("signed", at=hour(run, last, now), roles=joined(", ", run.signatures))


def _options(run: RunState, decision: DecisionState) -> Iterator[Said]:
    missing = dict(gist.missing_for(run, decision))
    for offer in decision.opened.offers:
        yield say(
            "card-option",
            needed=missing[offer.letter] or say("none"),
            letter=offer.letter,
            option=option(offer, decision),
            means=_means(run, decision, offer),
            command=command(decision, offer),
        )


def command(decision: DecisionState, offer: Offer) -> Said:
    """Return what a person types instead of pressing the button of *offer*."""
    line = f"/cutover decide {decision.number} {offer.letter}"
    match offer.option:
        case OptionName.FIX_FIRST:
            return say("command-fix", line=Said(line), minutes=_longest_fix(offer))
        case OptionName.CONTINUE:
            return say("command-continue", line=Said(line))
        case _:
            return Said(line)


def _longest_fix(offer: Offer) -> int:
    return minutes(offer.policy.at_most) if offer.policy.at_most else _LONGEST_FIX_MIN


def _means(run: RunState, decision: DecisionState, offer: Offer) -> Said:
    steps = listed([step.name for step in run.plan.rollback], ", ") or say("no-steps")
    match offer.option:
        case OptionName.GO_BACK if decision.opened.no_return:
            means = say("means-port-back", steps=steps)
        case OptionName.GO_BACK:
            means = say("means-undo", steps=steps)
        case OptionName.FIX_FIRST:
            means = say("means-fix-first", minutes=_longest_fix(offer))
        case OptionName.CONTINUE if decision.opened.subject == "trigger":
            means = say("means-continue")
        case OptionName.CONTINUE:
            means = say("means-stay")
        case OptionName.GO:
            means = say("means-go")
        case OptionName.NOT_YET:
            means = say("means-not-yet")
        case OptionName.RESUME:
            means = say("means-resume")
        case OptionName.STAY_PAUSED:
            means = say("means-stay-paused")
    return means


def _standing(run: RunState, decision: DecisionState, now: datetime) -> Iterator[Said]:
    if decision.deadline is not None:
        by = at(run, decision.deadline, now)
        if decision.opened.subject == "trigger":
            yield say("at-deadline-trigger", by=by)
        else:
            yield say("at-deadline", by=by)
    given = [_vote(run, decision, vote, now) for vote in decision.votes.values()]
    yield say("given", given=listed(given, " · ") or say("none"))
    if decision.opened.requester and any(offer.policy.not_requester for offer in decision.opened.offers):
        yield say("not-requester", person=run.name(decision.opened.requester))
    if decision.voided:
        voided = [say("voided-vote", person=run.name(person), cause=cause) for person, cause in decision.voided]
        yield say("voided", votes=listed(list(dict.fromkeys(voided)), "; "))


def _vote(run: RunState, decision: DecisionState, vote: VoteState, now: datetime) -> Said:
    offer = decision.offer(vote.option.value)
    return say(
        "vote",
        letter=offer.letter if offer else "",
        person=person_as(run, vote.person),
        at=hour(run, vote.at, now),
        door=door(vote.via),
        reason=say("quoted", text=vote.reason) if vote.reason else "",
    )


def door(via: str) -> Said:
    """Return by which door something came, where it was not the room itself."""
    match via:
        case Via.CLI:
            return say("via-cli")
        case Via.PAGE:
            return say("via-page")
        case Via.SCRIPT:
            return say("via-script")
        case _:
            return Said("")


def _small(run: RunState, decision: DecisionState) -> Said:
    back = say("small-back") if any(o.option is OptionName.GO_BACK for o in decision.opened.offers) else ""
    due = say("card-small-due", time=reader_time(decision.deadline)) if decision.deadline else ""
    return say("card-small", evidence=fingerprint(decision), back=back, run=run.run, due=due)


def _row(run: RunState, decision: DecisionState) -> tuple[Block, ...]:
    return buttons(run.run, [_press(decision, offer) for offer in decision.opened.offers])


def _press(decision: DecisionState, offer: Offer) -> Press:
    what = f"{decision.number} {offer.letter}"
    match offer.option:
        case OptionName.GO_BACK if decision.opened.no_return:
            label, sure = say("button-a-port-back", letter=offer.letter), say("sure-port-back")
            return Press(label, "say", f"decide {what}", sure=sure)
        case OptionName.GO_BACK:
            return Press(say("button-a-undo", letter=offer.letter), "say", f"decide {what}", sure=say("sure-undo"))
        case OptionName.FIX_FIRST:
            return Press(say("button-a-fix", letter=offer.letter), "ask", f"fix-first {what}")
        case OptionName.CONTINUE:
            return Press(say("button-a-continue", letter=offer.letter), "ask", f"continue {what}")
        case _:
            return Press(_plain_label(offer), "say", f"decide {what}")


def _plain_label(offer: Offer) -> Said:
    match offer.option:
        case OptionName.GO:
            return say("button-a-go", letter=offer.letter)
        case OptionName.NOT_YET:
            return say("button-a-not-yet", letter=offer.letter)
        case OptionName.RESUME:
            return say("button-a-resume", letter=offer.letter)
        case _:
            return say("button-a-stay", letter=offer.letter)


def record(run: RunState, decision: DecisionState, now: datetime) -> Said:
    """Return the one line that a decision leaves behind."""
    ended = at(run, decision.ended_at or now, now)
    if decision.decided is None:
        next_one = say("replaced-by", number=decision.replaced_by) if decision.replaced_by else ""
        return say(
            "record-closed",
            mark=only_rehearsal(run),
            number=decision.number,
            at=ended,
            why=decision.why_closed,
            next=next_one,
        )
    chosen = decision.decided.option
    offer = decision.offer(chosen.value)
    agreed = [_voice(run, vote, now) for vote in decision.votes.values() if vote.option is chosen]
    against = [_vote(run, decision, vote, now) for vote in decision.votes.values() if vote.option is not chosen]
    return say(
        "record",
        mark=only_rehearsal(run),
        number=decision.number,
        at=ended,
        letter=offer.letter if offer else "",
        option=option(offer, decision) if offer else said(chosen.value),
        terms=_terms(run, decision, now),
        voters=listed(agreed, " · "),
        against=say("against", votes=listed(against, " · ")) if against else "",
        evidence=fingerprint(decision),
    )


def _voice(run: RunState, vote: VoteState, now: datetime) -> Said:
    reason = say("quoted", text=vote.reason) if vote.reason else ""
    return say(
        "voice", person=person_as(run, vote.person), at=hour(run, vote.at, now), door=door(vote.via), reason=reason
    )


def _terms(run: RunState, decision: DecisionState, now: datetime) -> Said:
    decided = decision.decided
    if decided is None or decided.until is None:
        return Said("")
    return say("terms", owner=run.name(decided.owner), until=hour(run, decided.until, now))


def doubt(run: RunState, step_id: str, now: datetime, attempt: int = 0) -> Message:
    """Return the card of a step of which nobody knows whether it happened; a record once somebody does, or it is tried again."""
    step, state = run.plan.step(step_id), run.steps[step_id]
    if state.status is not StepStatus.IN_DOUBT or attempt not in {0, state.attempt}:
        return message([say("doubt-over", mark=only_rehearsal(run), step=step.name, status=state.status.value)])
    sent = say("doubt-sent", post=step.do.http.post, key=Said(state.key)) if step.do else say("doubt-by-hand")
    since = at(run, state.ended_at or now, now)
    lines = [
        say("doubt-head", symbol=BAD, mark=mark(run), step=step.name, since=since),
        say("doubt-known", sent=sent, detail=state.detail or say("nothing-known")),
        say("doubt-look", owner=owner(step)),
        say("doubt-done", id=step.id),
        say("doubt-retry", id=step.id, repeatable=say("is-repeatable") if step.repeatable else say("not-repeatable")),
        say("doubt-fail", id=step.id),
    ]
    presses = [
        Press(say("button-done"), "say", f"done {step.id}"),
        Press(say("button-retry"), "say", f"retry {step.id}"),
        Press(say("button-fail"), "ask", f"fail {step.id}"),
    ]
    return message(lines, row=buttons(run.run, presses))
