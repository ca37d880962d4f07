"""People who go on whatever happens to the bot: they say things, and keep what was acknowledged."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from bot.core.ledger import GENESIS
from bot.core.ports import Store
from bot.core.runbook import StepKind
from bot.core.standing import missing_signatures, ready
from bot.core.state import House, RunState, RunStatus, StepStatus
from bot.draft import Fold, _with_row
from bot.room import RoomPerson
from tests.e2e.kill_scene import CHANNEL, RUN

#: How often somebody looks at where things stand.
_LOOK_S = 0.1
_WHO = {"cutover-lead": "lead", "network-ops": "noc"}


@dataclass(slots=True)
class Line:
    """Something to say, and who says it."""

    person: str
    words: str


@dataclass(slots=True)
class People:
    """The lead and network-ops bring the run forward, the scribe takes notes; all remember what was acknowledged."""

    seats: Mapping[str, RoomPerson]
    store: Store
    random: Random
    finishing: bool = False
    under_way: asyncio.Event = field(default_factory=asyncio.Event)  #: the first action is started
    said: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    _fold: Fold = field(default_factory=lambda: Fold(House(), GENESIS))

    async def say(self, line: Line) -> None:
        """Say it. An acknowledgement without words is the promise that it is recorded."""
        named = f"{line.person}: {line.words}"
        self.said[named] += 1
        replies = await self.seats[line.person].say(CHANNEL, f"/cutover {line.words}")
        if not replies:
            self.acknowledged.add(named)

    async def take_notes(self) -> None:
        """Write one note after the other, once there is a run, until told to finish."""
        await self.under_way.wait()
        number = 0
        while not self.finishing:
            number += 1
            await self.say(Line("scribe", f"note {number} of the night"))
            await asyncio.sleep(self.random.uniform(0.05, 0.4))

    async def go_forward(self) -> None:
        """Bring the run forward until it is completed."""
        while True:
            run = self.look()
            if run is not None and run.status.over:
                return
            line = self._next(run)
            if line is not None:
                await self.say(line)
            await asyncio.sleep(_LOOK_S)

    def look(self) -> RunState | None:
        """Return the run as the ledger has it now."""
        for row in self.store.rows(self._fold.house.position):
            self._fold = _with_row(self._fold, row)
        return self._fold.house.runs.get(RUN)

    def _next(self, run: RunState | None) -> Line | None:
        if run is None:
            return Line("lead", "open power-cuts")
        return next(self._lines(run), None)

    def _lines(self, run: RunState) -> Iterator[Line]:
        if run.status is RunStatus.OPENED:
            unsigned = missing_signatures(run)
            if unsigned:
                yield Line(_WHO[unsigned[0][0]], "sign")
            yield Line("lead", "start")
            return
        # Doubts first: nobody goes forward over one.
        yield from self._doubts(run)
        yield from self._votes(run)
        if run.paused is not None and not run.open_decisions:
            yield Line("noc", "resume")
        if run.paused is None and not self.finishing and self.random.random() < 0.1:
            yield Line("lead", "pause because I want to look")
        yield from self._steps(run)

    def _votes(self, run: RunState) -> Iterator[Line]:
        for decision in run.open_decisions:
            for person in ("lead", "noc"):
                if person not in decision.votes:
                    yield Line(person, f"decide {decision.number} A")

    def _doubts(self, run: RunState) -> Iterator[Line]:
        for name, state in run.steps.items():
            if state.status is StepStatus.IN_DOUBT:
                yield Line("noc", f"done {name} looked at the target")

    def _steps(self, run: RunState) -> Iterator[Line]:
        for step in run.plan.steps:
            if run.paused is not None or run.steps[step.id].status is not StepStatus.WAITING or not ready(run, step):
                continue
            if step.kind is StepKind.MANUAL:
                yield Line("noc", f"done {step.id}")
            if step.kind is StepKind.ACTION:
                self.under_way.set()
                yield Line("noc", f"start {step.id}")
