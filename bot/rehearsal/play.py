"""
Play a script to its end, and say how it ended.

The people act through the doors they are given; the clock of the measured seconds is the real one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Protocol

from bot.core.runbook import OptionName
from bot.core.state import DecisionState, RunState, RunStatus
from bot.rehearsal.crew import Crew, Line, Script, watching


class Doors(Protocol):
    """What people can do in the room."""

    async def act(self, line: Line) -> None:
        """Say or click *line*."""
        ...

    async def fault(self, name: str, *, on: bool) -> None:
        """Switch a fault of the carrier."""
        ...

    def sees_card(self, number: int) -> bool:
        """Return whether the card of a decision is in the room."""
        ...


@dataclass(slots=True)
class Result:
    """How a script ended. Seconds are real ones."""

    outcome: str = "aborted"
    run: str = ""
    trigger: str | None = None
    voters: tuple[str, ...] = ()
    total_s: float = 0.0
    fault_to_card_s: float | None = None

    def as_json(self) -> Mapping[str, object]:
        """Return the words that do not change: outcome, run, trigger, voters, seconds."""
        seconds = {"total": round(self.total_s, 3)}
        if self.fault_to_card_s is not None:
            seconds["fault_to_card"] = round(self.fault_to_card_s, 3)
        return {
            "outcome": self.outcome,
            "run": self.run,
            "trigger": self.trigger,
            "voters": list(self.voters),
            "seconds": seconds,
        }


@dataclass(slots=True)
class Stagecraft:
    """What a play needs: the state, the doors, news of it, and which fault it switches on."""

    look: Callable[[], RunState | None]
    now: Callable[[], datetime]
    news: Callable[[], Awaitable[None]]
    doors: Doors
    fault: str = "stale-routing:mno-b"


async def play(script: Script, craft: Stagecraft, *, within_s: float) -> Result:
    """Play *script* until the run is over or *within_s* real seconds have passed."""
    result = Result()
    began = monotonic()
    try:
        async with asyncio.timeout(within_s):
            await _until_over(script, craft, result)
    except TimeoutError:
        run = craft.look()
        result.outcome = "paused" if run is not None and not run.status.over else result.outcome
    finally:
        result.total_s = monotonic() - began
    return result


async def _until_over(script: Script, craft: Stagecraft, result: Result) -> None:
    crew = Crew(script)
    faulted_at: float | None = None
    while True:
        run = craft.look()
        if run is not None:
            result.run = run.run
            if run.status.over:
                _ended(run, result)
                return
            if script is Script.ROLLBACK and faulted_at is None and watching(run):
                faulted_at = monotonic()
                await craft.doors.fault(craft.fault, on=True)
            if faulted_at is not None and result.fault_to_card_s is None and _card(run, craft.doors):
                result.fault_to_card_s = monotonic() - faulted_at
            line = crew.next(run, craft.now())
            if line is not None:
                await craft.doors.act(line)
                continue
        await craft.news()


def _card(run: RunState, doors: Doors) -> bool:
    return any(d.opened.subject == "trigger" and doors.sees_card(d.number) for d in run.open_decisions)


def _ended(run: RunState, result: Result) -> None:
    result.outcome = run.status.value
    back = _went_back(run)
    if back is not None and back.decided is not None:
        result.trigger = back.opened.about or None
        result.voters = back.decided.voters
    elif run.status is RunStatus.COMPLETED:
        decided = [d.decided for d in run.decisions.values() if d.decided is not None]
        result.voters = tuple(dict.fromkeys(person for one in decided for person in one.voters))


def _went_back(run: RunState) -> DecisionState | None:
    for decision in run.decisions.values():
        if decision.decided is not None and decision.decided.option is OptionName.GO_BACK:
            return decision
    return None
