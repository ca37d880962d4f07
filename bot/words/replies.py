"""
What a person is told, privately, after something they said was done.

Short: the room hears the event itself. What is worth saying here is what is theirs to do next.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from bot.core import messages as m
from bot.core.state import House, RunState
from bot.words import answers, gist
from bot.words.message import Message, message
from bot.words.naming import only_rehearsal, option_name
from bot.words.phrases import say
from bot.words.safe import Said


def done(
    command: m.Command, house: House, events: Sequence[m.Event], now: datetime, *, repeated: bool = False
) -> Message:
    """Return the private answer to *command* after the commit; *house* is the state after its *events*."""
    run = house.runs.get(command.run)
    if run is None:
        return message([say("reply-done")])
    mark = only_rehearsal(run)
    if repeated:
        return message([say("reply-before", mark=mark)])
    match command:
        case m.Open():
            return _both(answers.opened(run, now), answers.criteria(run, now))
        case m.Sign():
            return _both(message([say("reply-signed", mark=mark)]), answers.criteria(run, now))
        case m.CastVote() | m.GoBack() | m.Resume():
            return message(list(_votes(run, events)) or [say("reply-noted", mark=mark)])
        case _:
            return message([say("reply-noted", mark=mark)])


def _both(first: Message, second: Message) -> Message:
    return Message(f"{first.text}\n{second.text}", (*first.blocks, *second.blocks))


def _votes(run: RunState, events: Sequence[m.Event]) -> Iterator[Said]:
    """Yield what a vote or a question came to: asked, counted, decided, and who is still needed."""
    for event in events:
        match event:
            case m.DecisionOpened():
                yield say("reply-asked", mark=only_rehearsal(run), number=event.number)
            case m.VoteCast():
                yield _counted(run, event)
            case m.Decided():
                name = option_name(event.option, no_return=run.decisions[event.number].opened.no_return)
                yield say("reply-decided", number=event.number, option=name)
            case _:
                pass


def _counted(run: RunState, vote: m.VoteCast) -> Said:
    decision = run.decisions[vote.number]
    offer = decision.offer(vote.option.value)
    letter = offer.letter if offer else ""
    needed = dict(gist.missing_for(run, decision)).get(letter, Said(""))
    return say(
        "reply-counted",
        mark=only_rehearsal(run),
        number=vote.number,
        letter=letter,
        option=option_name(vote.option, no_return=decision.opened.no_return),
        needed=say("reply-needed", needed=needed) if needed and decision.open else "",
    )
