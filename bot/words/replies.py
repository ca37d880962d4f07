"""
What a person is told, privately, after something they said was done.

Short: the room hears the event itself. What is worth saying here is what is theirs to do next.
"""

from collections.abc import Sequence
from datetime import datetime

from bot.core import messages as m
from bot.core.state import House, RunState
from bot.words import answers, gist
from bot.words.message import Message, message
from bot.words.naming import only_rehearsal, option_name
from bot.words.phrases import say
from bot.words.safe import Said


def done(command: m.Command, house: House, events: Sequence[m.Event], now: datetime, *, repeated: bool) -> Message:
    """Return the private answer to *command* after the commit."""
    run = house.runs.get(command.run)
    if run is None:
        return message([say("reply-done")])
    if repeated:
        return message([say("reply-before", mark=only_rehearsal(run))])
    match command:
        case m.Open():
            return answers.opened(run, now)
        case m.Sign():
            return answers.criteria(run, now)
        case m.CastVote() | m.GoBack():
            return message(_vote(run, events))
        case _:
            return message([say("reply-noted", mark=only_rehearsal(run))])


def _vote(run: RunState, events: Sequence[m.Event]) -> list[Said]:
    """Say whether the vote decided, or who is still needed."""
    decided = next((event for event in events if isinstance(event, m.Decided)), None)
    if decided is not None:
        chosen = option_name(decided.option, no_return=run.decisions[decided.number].opened.no_return)
        return [say("reply-decided", mark=only_rehearsal(run), number=decided.number, option=chosen)]
    cast = next((event for event in events if isinstance(event, m.VoteCast)), None)
    decision = run.decisions.get(cast.number) if cast else None
    if cast is None or decision is None:
        return [say("reply-noted", mark=only_rehearsal(run))]
    letters = {offer.letter for offer in decision.opened.offers if offer.option is cast.option}
    needed = next((slots for letter, slots in gist.missing_for(run, decision) if letter in letters), say("none"))
    return [say("reply-counted", mark=only_rehearsal(run), number=cast.number, needed=needed)]
