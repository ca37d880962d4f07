"""
Decide about decisions: ask, count votes, void them, settle.

A decision is an immutable snapshot. The first option whose policy is satisfied when the vote is
committed wins; a forward option is refused outright while anything blocks going forward.
"""

from datetime import timedelta

from bot.core import messages as m
from bot.core.approvals import Choice, eligible, winner
from bot.core.cutover.asked import Asked
from bot.core.errors import Reason, Refused
from bot.core.runbook import OptionName, Policy, Step, Trigger
from bot.core.standing import clock, clock_blocks, forward_blocks, gate_blocks, word_for_back
from bot.core.state import DecisionState, RunState, RunStatus

#: Options that go forward: they are voided when a verdict turns against them.
FORWARD = frozenset({OptionName.GO, OptionName.CONTINUE, OptionName.RESUME})
#: A request to go back is not left hanging longer than this before the next people are called.
GO_BACK_WITHIN = timedelta(minutes=10)


def next_number(run: RunState) -> int:
    """Return the next decision number of *run*; numbers are never reused."""
    return max(run.decisions, default=0) + 1


def ask_gate(asked: Asked, step: Step) -> m.DecisionOpened:
    """Return the question that *step* (a gate) asks."""
    return _question(
        asked, subject="gate", about=step.id, question=f"{step.name}: go?",
        options=(OptionName.GO, OptionName.NOT_YET), requester=asked.run.started_by,
        deadline=asked.now + step.within if step.within else None,
    )  # fmt: skip


def ask_trigger(asked: Asked, trigger: Trigger) -> m.DecisionOpened:
    """Return the question that a met criterion asks."""
    state = asked.run.triggers[trigger.id]
    because = "; ".join(state.met.values())
    return _question(
        asked, subject="trigger", about=trigger.id, question=f"{trigger.title}: {because}", members=tuple(state.met),
        options=tuple(OptionName(option) for option in trigger.options),
        deadline=asked.now + trigger.decide_within,
    )  # fmt: skip


def _question(
    asked: Asked,
    *,
    subject: str,
    about: str,
    question: str,
    options: tuple[OptionName, ...],
    members: tuple[str, ...] = (),
    requester: str | None = None,
    deadline: object = None,
) -> m.DecisionOpened:
    run = asked.run
    offers = tuple(
        m.Offer(letter=letter, option=option, policy=run.plan.approvals.policy(option, no_return=run.no_return))
        for letter, option in zip("ABCDEF", options, strict=False)
    )
    return m.DecisionOpened.model_validate(
        {
            "run": run.run,
            "number": next_number(run),
            "subject": subject,
            "about": about,
            "question": question,
            "members": members,
            "offers": offers,
            "no_return": run.no_return,
            "criteria_digest": run.criteria_digest,
            "evidence": evidence(run),
            "evidence_at": asked.house.position,
            "requester": requester,
            "deadline": deadline,
        }
    )


def evidence(run: RunState) -> tuple[m.Evidence, ...]:
    """Return what every check has shown since the triggers were armed, by check, origin and control."""
    totals: dict[tuple[str, str, bool], m.Evidence] = {}
    for cell in run.cells.values():
        key = (cell.check, cell.origin or cell.cell, cell.control)
        before = totals.get(key) or m.Evidence(
            check=cell.check, member=key[1], control=cell.control, passed=0, failed=0, errors=0, since=run.armed_at
        )
        totals[key] = before.model_copy(
            update={
                "passed": before.passed + cell.passed,
                "failed": before.failed + cell.failed,
                "errors": before.errors + cell.errors,
                "detail": cell.detail if cell.failing or not before.detail else before.detail,
            }
        )
    return tuple(totals[key] for key in sorted(totals))


def cast(asked: Asked, command: m.CastVote) -> list[m.Event]:
    """A person chooses one option of one decision."""
    run = asked.by_role("voting")
    decision = _open_decision(asked, run, command.number)
    asked.not_over(run)
    offer = decision.offer(command.option)
    if offer is None:
        letters = ", ".join(f"{o.letter} ({o.option.value})" for o in decision.opened.offers)
        raise Refused(
            Reason.UNKNOWN_WORD, f'Decision {decision.number} has no option "{command.option}". It has {letters}.'
        )
    _may_vote(asked, run, decision, offer)
    until = _fix_terms(asked, run, offer, command)
    _same_terms(asked, run, decision, command, until)
    if offer.option in FORWARD:
        _nothing_blocks(asked, run, decision)
    earlier = decision.votes.get(asked.person)
    minutes = until.total_seconds() / 60 if until else 0
    if earlier and (earlier.option, earlier.owner, earlier.minutes) == (offer.option, command.owner, minutes):
        raise Refused(
            Reason.ALREADY, f"Your vote for {offer.letter} was counted at {clock(run, earlier.at)}. Nothing changed."
        )
    vote = m.VoteCast(
        run=run.run,
        number=decision.number,
        person=asked.person,
        option=offer.option,
        owner=command.owner,
        minutes=minutes,
    )
    events: list[m.Event] = [vote]
    if command.reason.strip():
        events.append(m.ReasonGiven(run=run.run, number=decision.number, person=asked.person, reason=command.reason))
    return events


def _open_decision(asked: Asked, run: RunState, number: int) -> DecisionState:
    decision = run.decisions.get(number)
    if decision is None:
        open_now = ", ".join(str(d.number) for d in run.open_decisions) or "none"
        raise Refused(Reason.UNKNOWN_WORD, f"There is no decision {number} in this run. Open decisions: {open_now}.")
    if decision.decided is not None and decision.ended_at is not None:
        offer = decision.offer(decision.decided.option.value)
        who = " and ".join(run.name(person) for person in decision.decided.voters)
        ago = int((asked.now - decision.ended_at).total_seconds())
        letter = offer.letter if offer else "?"
        word = option_words(decision.decided.option, no_return=decision.opened.no_return).lower()
        raise Refused(Reason.TOO_LATE, f"Too late, nothing changed: {who} chose {letter} ({word}) {span(ago)} ago.")
    if not decision.open:
        now = f" Decision {decision.replaced_by} replaced it." if decision.replaced_by else ""
        raise Refused(Reason.SUPERSEDED, f"Nothing changed: decision {number} ended ({decision.why_closed}).{now}")
    return decision


def span(whole_seconds: int) -> str:
    """Return a span as people say it: `40 s`, `7 min`, `2 h 5 min`."""
    if whole_seconds < 120:
        return f"{whole_seconds} s"
    if whole_seconds < 7200:
        return f"{whole_seconds // 60} min"
    return f"{whole_seconds // 3600} h {whole_seconds % 3600 // 60} min"


def option_words(option: OptionName, *, no_return: bool) -> str:
    """Return the words of an option; one name for one thing: undo before the point of no return, port back after."""
    match option:
        case OptionName.GO_BACK:
            return "PORT BACK" if no_return else "UNDO"
        case _:
            return option.value.replace("-", " ").upper()


def _may_vote(asked: Asked, run: RunState, decision: DecisionState, offer: m.Offer) -> None:
    requester = decision.opened.requester
    if eligible(offer.policy, run.plan.roles, asked.person, requester):
        return
    if requester == asked.person and eligible(offer.policy, run.plan.roles, asked.person, None):
        raise Refused(
            Reason.SECOND_PERSON,
            f"Your vote does not count: you {_asked_for(decision)}, so another person must agree. "
            f"{len(decision.votes)} given. It needs {policy_words(offer.policy)}.",
        )
    raise Refused(
        Reason.NOT_ELIGIBLE,
        f"Your vote does not count: {offer.letter} is decided by {policy_words(offer.policy)}, and you are neither.",
    )


def _asked_for(decision: DecisionState) -> str:
    return "started this run" if decision.opened.subject == "gate" else "asked for this"


def policy_words(policy: Policy) -> str:
    """Return who must agree, in words."""
    if policy.one_of_each:
        return " AND ".join(policy.one_of_each)
    return f"any {policy.any} of {', '.join(policy.of)}"


def _fix_terms(asked: Asked, run: RunState, offer: m.Offer, command: m.CastVote) -> timedelta | None:
    """Return the time limit of a fix-first vote; None for other options. Raise Refused where terms are missing."""
    if offer.option is not OptionName.FIX_FIRST:
        return None
    longest = offer.policy.at_most or timedelta(minutes=20)
    how = f"/cutover decide {command.number} {offer.letter} @owner {int(longest.total_seconds() // 60)}m"
    if command.owner not in run.people:
        raise Refused(Reason.BAD_ARGUMENT, f"Your vote was not counted: fix first needs an owner from the list. {how}")
    limit = timedelta(minutes=command.minutes)
    if not timedelta(0) < limit <= longest:
        raise Refused(
            Reason.BAD_ARGUMENT,
            f"Your vote was not counted: the fix may take 1 to {int(longest.total_seconds() // 60)} minutes. {how}",
        )
    return limit


def _same_terms(
    asked: Asked, run: RunState, decision: DecisionState, command: m.CastVote, until: timedelta | None
) -> None:
    """Raise Refused where others voted for a fix by somebody else or in another time: that is another choice."""
    if until is None:
        return
    for vote in decision.votes.values():
        terms = (vote.owner, vote.minutes)
        if vote.option is OptionName.FIX_FIRST and vote.person != asked.person and terms != _terms(command):
            who = run.name(vote.person)
            raise Refused(
                Reason.BAD_ARGUMENT,
                f"Your vote was not counted: {who} voted for a fix by {run.name(vote.owner)} within {vote.minutes:g} min. "
                "Vote for the same, or ask them to change theirs.",
            )


def _terms(command: m.CastVote) -> tuple[str, float]:
    return command.owner, command.minutes


def _nothing_blocks(asked: Asked, run: RunState, decision: DecisionState) -> None:
    blocks = clock_blocks(asked.house)
    match decision.opened.subject:
        case "gate":
            blocks += gate_blocks(run, run.plan.step(decision.opened.about), asked.now)
        case "resume":
            blocks += forward_blocks(run, resuming=True)
        case _:
            pass
    if blocks:
        raise Refused(
            Reason.NOT_READY, f"Your vote was not counted, this may not go forward now: {'; '.join(blocks[:4])}."
        )


def give_reason(asked: Asked, command: m.GiveReason) -> list[m.Event]:
    """Say why, after a vote has counted."""
    run = asked.by_role("giving a reason")
    decision = run.decisions.get(command.number)
    if decision is None or asked.person not in decision.votes:
        raise Refused(Reason.WRONG_STATE, f"Nothing was done: you have no vote in decision {command.number}.")
    if not command.reason.strip():
        raise Refused(Reason.BAD_ARGUMENT, "Write a few words, so that the others understand tomorrow.")
    return [m.ReasonGiven(run=run.run, number=command.number, person=asked.person, reason=command.reason)]


def void(run: RunState, decision: DecisionState, cause: str, *, only_forward: bool = False) -> list[m.Event]:
    """Return an event for each vote that no longer counts."""
    return [
        m.VoteVoided(run=run.run, number=decision.number, person=vote.person, option=vote.option, cause=cause)
        for vote in decision.votes.values()
        if not only_forward or vote.option in FORWARD
    ]


def settle(asked: Asked, decision: DecisionState) -> list[m.Event]:
    """Return what follows when the votes of *decision* satisfy an option; empty when none does."""
    run = asked.run
    votes = [(vote.person, vote.option) for vote in decision.votes.values()]
    opened = decision.opened
    choice = winner(opened.offers, votes, run.plan.roles, opened.requester, run.plan.approvals.tie_breaker)
    if choice is None:
        return []
    return [_decided(asked, decision, choice), *_follows(asked, run, decision, choice.option)]


def _decided(asked: Asked, decision: DecisionState, choice: Choice) -> m.Decided:
    last = [decision.votes[person] for person in choice.voters][-1]
    return m.Decided(
        run=asked.run.run,
        number=decision.number,
        option=choice.option,
        voters=choice.voters,
        tie_broken_by=choice.tie_broken_by,
        owner=last.owner,
        until=asked.now + timedelta(minutes=last.minutes) if choice.option is OptionName.FIX_FIRST else None,
    )


def _follows(asked: Asked, run: RunState, decision: DecisionState, chosen: OptionName) -> list[m.Event]:
    match chosen:
        case OptionName.GO:
            step = decision.opened.about
            return [
                m.StepFinished(
                    run=run.run, step=step, attempt=run.steps[step].attempt, detail=f"decision {decision.number}"
                )
            ]
        case OptionName.GO_BACK:
            others = [
                m.DecisionClosed(run=run.run, number=other.number, why=f"decision {decision.number} is to go back")
                for other in run.open_decisions
                if other.number != decision.number
            ]
            return [*others, m.RollbackStarted(run=run.run, number=decision.number, word=word_for_back(run))]
        case OptionName.RESUME:
            return [m.Resumed(run=run.run)]
        case _:
            return []


def go_back(asked: Asked, command: m.GoBack) -> list[m.Event]:
    """Ask to go back; the vote of who asks is cast with it, where the policy lets it count."""
    run = asked.going("going back")
    word = word_for_back(run)
    if command.word != word:
        raise Refused(Reason.WRONG_STATE, _wrong_word(run))
    if run.status is RunStatus.GOING_BACK:
        raise Refused(Reason.ALREADY, f"The run is going back already, by decision {run.rollback}.")
    asking = next((d for d in run.open_decisions if d.offer(OptionName.GO_BACK.value)), None)
    if asking is not None:
        return cast(asked, m.CastVote(run=run.run, number=asking.number, option="go-back", reason=command.reason))
    opened = _question(
        asked, subject="go-back", about="", question=f"{run.name(asked.person)} asks to {word.replace('-', ' ')}"
        + (f": {command.reason}" if command.reason else ""),
        options=(OptionName.GO_BACK, OptionName.CONTINUE), requester=asked.person,
        deadline=asked.now + GO_BACK_WITHIN,
    )  # fmt: skip
    policy = opened.offers[0].policy
    if not eligible(policy, run.plan.roles, asked.person, asked.person):
        return [opened]
    vote = m.VoteCast(run=run.run, number=opened.number, person=asked.person, option=OptionName.GO_BACK)
    return [opened, vote]


def _wrong_word(run: RunState) -> str:
    if run.no_return_at is not None:
        return (
            f"Nothing was done: there is no undo since {clock(run, run.no_return_at)}. "
            "Numbers are ported back as a new port: /cutover port-back"
        )
    return "Nothing was done: nothing has been ported yet, so this is an undo: /cutover undo"


def pause(asked: Asked, command: m.Pause) -> list[m.Event]:
    """Stop going forward. One click by anyone with a role."""
    run = asked.going("pausing")
    if run.status is RunStatus.GOING_BACK:
        raise Refused(
            Reason.WRONG_STATE,
            f"Nothing was paused: the run is going back, by decision {run.rollback}, and a pause stops only going forward.",
        )
    if run.paused is not None:
        raise Refused(
            Reason.ALREADY, f"Paused already, by {run.name(run.paused_by)} at {clock(run, run.paused_at or asked.now)}."
        )
    return [m.Paused(run=run.run, reason=command.reason)]


def resume(asked: Asked, command: m.Resume) -> list[m.Event]:
    """Ask to go forward again; the policy of `resume` decides."""
    run = asked.going("resuming")
    if run.paused is None or run.status is RunStatus.GOING_BACK:
        raise Refused(Reason.ALREADY, "Nothing was done: the run is not paused.")
    asking = next((d for d in run.open_decisions if d.opened.subject == "resume"), None)
    if asking is not None:
        raise Refused(
            Reason.ALREADY, f"Asked already: decision {asking.number}. To agree: /cutover decide {asking.number} A"
        )
    why = f" ({command.reason})" if command.reason else ""
    return [
        _question(
            asked, subject="resume", about="", question=f"Go forward again?{why}",
            options=(OptionName.RESUME, OptionName.STAY_PAUSED), requester=asked.person,
        )
    ]  # fmt: skip


def postpone(asked: Asked, command: m.Postpone) -> list[m.Event]:
    """Move the window to a later time. Always on offer before the point of no return."""
    run = asked.not_over(asked.by_role("postponing"))
    if run.no_return_at is not None:
        raise Refused(
            Reason.TOO_LATE,
            f"Not postponed: the switch began at {clock(run, run.no_return_at)}. To go back: /cutover port-back",
        )
    if not asked.now < command.opens < command.closes:
        raise Refused(
            Reason.BAD_ARGUMENT, "Not postponed: the new window must open in the future and close after it opens."
        )
    opens, closes = run.window_opens, run.window_closes
    if opens and closes and (command.opens < opens or command.closes - command.opens > closes - opens):
        raise Refused(
            Reason.BAD_ARGUMENT,
            f"Not postponed: the window moves to a later time and stays as long as it was signed, "
            f"{span(int((closes - opens).total_seconds()))} at most. Anything else is a change: /cutover amend",
        )
    return [m.Postponed(run=run.run, opens=command.opens, closes=command.closes, reason=command.reason)]
