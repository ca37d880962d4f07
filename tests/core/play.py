"""
A night on paper: people speak, probes read and time passes against the pure core.

Holds no rule of its own. What happened is kept, so that a test can ask for it, fold it again from its
JSON, or look at what would have gone out.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from bot.core import messages as m
from bot.core.cutover import Seen, decide, evolve, observe, react
from bot.core.errors import Refused
from bot.core.model import MACHINE, Actor, Cell, Outcome, Reading, Tick, Via
from bot.core.ports import EffectRow
from bot.core.runbook import Check
from bot.core.state import DecisionState, House, RunState, StepState, StepStatus
from bot.core.upcast import lift

PORTABILITY = (Path(__file__).parent / "portability.yaml").read_text()
RUN = "wave-1"
PEOPLE = {
    "lead": "Lena",
    "deputy": "Dan",
    "noc-a": "Nia",
    "noc-b": "Noa",
    "partner-a": "Pia",
    "partner-b": "Pol",
    "care": "Cy",
    "guest": "Gus",
}
#: Before the window of the runbook (01:30 to 04:00 London, which is UTC in December).
EVENING = datetime(2026, 12, 8, 0, 50, tzinfo=UTC)
SIGNERS = ("lead", "noc-a", "partner-a", "care")
VOICE = "voice-inbound"
_E = TypeVar("_E", bound=m.Event)


def at(hours: int, minutes: int, seconds: int = 0) -> datetime:
    """Return that time of the night."""
    return datetime(2026, 12, 8, hours, minutes, seconds, tzinfo=UTC)


def opening(text: str = PORTABILITY, run: str = RUN, place: str = "C1") -> m.Open:
    """Return the order that opens a run, with what it requires taken as done."""
    assumed = m.Scenario(name="paper", assumes=("destination-readiness", "mediation", "parallel-operations"))
    return m.Open(
        run=run, migration="m1", place=place, text=text, scenario=assumed, people=PEOPLE, deployment={"http/npdb": "f1"}
    )


def measured(check: Check, cell: Cell, outcome: Outcome, when: datetime, run: str = RUN) -> m.RecordReading:
    """Return what a probe brings back."""
    tick = Tick(run=run, check=check.id, kind=check.kind, cell=cell, scheduled_at=when, timeout_s=30)
    detail = "" if outcome is Outcome.PASS else f"{outcome.value} of {cell.key}"
    reading = Reading(check=check.id, kind=check.kind, cell=cell, outcome=outcome, at=when, detail=detail)
    return m.RecordReading(run=run, tick=tick, reading=reading, epoch=0)


class Play:
    """One run, its clock, and everything that happened."""

    def __init__(self, now: datetime = EVENING) -> None:
        self.house = House()
        self.now = now
        self.records: list[tuple[m.Event | Reading, Seen]] = []
        self.effects: list[EffectRow] = []

    # ------------------------------------------------------------------ what happens

    def orders(self, command: m.Command, person: str = "", via: Via = Via.SCRIPT) -> tuple[m.Event, ...]:
        """Give an order and fold what it makes happen. Raise Refused."""
        actor = Actor(person=person, account=f"script:{person}") if person else MACHINE
        order = m.Order(command=command, actor=actor, via=via, command_id=f"c{len(self.records)}")
        decision = decide(self.house, order, self.now)
        if decision.reading is not None:
            self._keep(decision.reading, actor, via)
        for event in decision.events:
            self._keep(event, actor, via)
        return decision.events

    def _keep(self, thing: m.Event | Reading, actor: Actor, via: Via) -> None:
        seen = Seen(self.house.position + 1, self.now, actor.person, actor.account, via.value)
        self.records.append((thing, seen))
        if isinstance(thing, Reading):
            self.house = observe(self.house, RUN, thing, seen.position)
            return
        self.house = evolve(self.house, thing, seen)
        self.effects.extend(react(self.house, thing, seen.position))

    def says(self, command: m.Command, person: str) -> tuple[m.Event, ...]:
        """A person gives an order about the run."""
        return self.orders(command.model_copy(update={"run": RUN}), person)

    def refused(self, command: m.Command, person: str) -> Refused:
        """A person gives an order that may not be done; nothing changes."""
        before = self.house
        with pytest.raises(Refused) as caught:
            self.says(command, person)
        assert self.house == before
        return caught.value

    def wakes(self, when: datetime | None = None) -> tuple[m.Event, ...]:
        """Time has passed."""
        self.now = when or self.now
        return self.orders(m.Wake(), via=Via.TIMER)

    def reads(
        self, origin: str, outcome: Outcome, when: datetime | None = None, *, number: str = "+447700900001"
    ) -> tuple[m.Event, ...]:
        """A probe measures one cell of the inbound calls."""
        self.now = when or self.now
        control = number == "+447700900901"
        return self.measures(Cell(origin=origin, number=number, control=control), outcome)

    def measures(self, cell: Cell, outcome: Outcome) -> tuple[m.Event, ...]:
        """A probe measures *cell* now."""
        return self.orders(measured(self.run.plan.check(VOICE), cell, outcome, self.now), via=Via.PROBE)

    def sweeps(
        self, when: datetime | None = None, *, failing: tuple[str, ...] = (), silent: tuple[str, ...] = ()
    ) -> tuple[m.Event, ...]:
        """Every cell is measured once, but those of *silent* origins; those of *failing* origins fail."""
        self.now = when or self.now
        events: list[m.Event] = []
        for cell in self.run.plan.check(VOICE).all_cells():
            if cell.origin not in silent:
                fails = cell.origin in failing and not cell.control
                events += self.measures(cell, Outcome.FAIL if fails else Outcome.PASS)
        return tuple(events)

    def sweeps_until(self, end: datetime, *, failing: tuple[str, ...] = (), silent: tuple[str, ...] = ()) -> None:
        """A minute after the other, every cell is measured, until *end*."""
        while self.now + timedelta(minutes=1) <= end:
            self.sweeps(self.now + timedelta(minutes=1), failing=failing, silent=silent)
            self.wakes()

    def fails(self, origin: str, times: int = 10) -> tuple[m.Event, ...]:
        """Calls from *origin* fail, a few seconds apart, until the rule is met."""
        events: list[m.Event] = []
        for _ in range(times):
            events += self.reads(origin, Outcome.FAIL, self.now + timedelta(seconds=2))
            if of(events, m.TriggerMet):
                return tuple(events)
        raise AssertionError(f"{times} failures from {origin} met no rule")

    def reports(self, step: str, outcome: str, detail: str = "", attempt: int | None = None) -> tuple[m.Event, ...]:
        """The target of an action answers."""
        answer = {"step": step, "attempt": attempt or self.step(step).attempt, "outcome": outcome, "detail": detail}
        return self.orders(m.ReportStep.model_validate({"run": RUN, **answer}), via=Via.OUTBOX)

    def restarts(self) -> tuple[m.Event, ...]:
        """The process is started again."""
        return self.orders(m.StartService(epoch=self.house.epoch, software="test"), via=Via.TIMER)

    # ------------------------------------------------------------------ how far the night is

    def opened(self, text: str = PORTABILITY) -> "Play":
        self.orders(opening(text), "lead")
        return self

    def signed(self, text: str = PORTABILITY) -> "Play":
        self.opened(text)
        for person in SIGNERS:
            self.says(m.Sign(), person)
        return self

    def started(self, text: str = PORTABILITY) -> "Play":
        self.signed(text).says(m.Start(), "lead")
        return self

    def called(self, text: str = PORTABILITY) -> "Play":
        """Everybody has answered, and every cell has passed: the first gate asks."""
        self.started(text)
        for person in ("noc-a", "partner-a", "care"):
            self.says(m.Here(), person)
        self.sweeps()
        return self

    def gone(self, text: str = PORTABILITY) -> "Play":
        """The first gate said go, and it is in the window."""
        self.called(text)
        self.votes("A", "deputy", "noc-a")
        while self.now < at(1, 29):
            self.sweeps(self.now + timedelta(minutes=3))
        self.sweeps(at(1, 31))
        return self

    def switching(self, text: str = PORTABILITY) -> "Play":
        self.gone(text).says(m.Start(step="switch-routing"), "noc-a")
        return self

    def watching(self, text: str = PORTABILITY) -> "Play":
        self.switching(text).reports("switch-routing", "done", "5,000 activated")
        self.sweeps()
        return self

    def votes(self, option: str, *people: str, number: int | None = None) -> tuple[m.Event, ...]:
        """Those people choose that option of the newest open decision."""
        wanted = number or self.card.number
        events: list[m.Event] = []
        for person in people:
            events += self.says(m.CastVote(number=wanted, option=option), person)
        return tuple(events)

    # ------------------------------------------------------------------ what it looks like

    @property
    def run(self) -> RunState:
        return self.house.runs[RUN]

    @property
    def card(self) -> DecisionState:
        """The newest open decision."""
        return self.run.open_decisions[-1]

    def step(self, name: str) -> StepState:
        return self.run.steps[name]

    def status(self, name: str) -> StepStatus:
        return self.step(name).status

    @property
    def events(self) -> Iterator[m.Event]:
        return (thing for thing, _ in self.records if isinstance(thing, m.Event))

    def happened(self, kind: type[_E]) -> list[_E]:
        """Return every event of that kind, in order."""
        return of(self.events, kind)

    def again(self) -> House:
        """Return the fold of everything that happened, each thing written as JSON and read again."""
        house = House()
        for thing, seen in self.records:
            if isinstance(thing, Reading):
                house = observe(house, RUN, Reading.model_validate_json(thing.model_dump_json()), seen.position)
            else:
                house = evolve(house, codec(thing), seen)
        return house


def of(events: object, kind: type[_E]) -> list[_E]:
    """Return those of *events* that are of that kind."""
    assert hasattr(events, "__iter__")
    return [event for event in events if isinstance(event, kind)]


def names(events: object) -> list[str]:
    """Return the types of *events*, in order."""
    assert hasattr(events, "__iter__")
    return [type(event).__name__ for event in events]


def codec(event: m.Event) -> m.Event:
    """Return *event* as the ledger would give it back."""
    data: Mapping[str, object] = (
        type(event).model_validate_json(event.model_dump_json(by_alias=True)).model_dump(mode="json", by_alias=True)
    )
    return lift(type(event).__name__, event.VERSION, data)
