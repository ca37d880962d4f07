"""Ticks at random, through the writer's draft and a real database: each ends once, whatever happens in between."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from bot.adapters.sql import open_store
from bot.core import messages as m
from bot.core.ledger import decode
from bot.core.model import MACHINE, Actor, Cell, Outcome, Tick, Via
from bot.core.ports import EventRow, ReadingRow
from bot.core.proof import verify
from bot.draft import Draft, Fold, restore, snapshot_of
from tests.core.oracle import CELLS, NAMES, NIGHT
from tests.core.play import RUN, at, measured, opening
from tests.core.rolls import CountedRolls, HandClock

CALM = settings(
    derandomize=True, database=None, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck)
)  # fmt: skip


class Ticks(RuleBasedStateMachine):
    """Ticks given out, answered, answered twice, missed, over restarts: each ends once."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(f"sqlite:///{Path(self.folder.name) / 'ledger.sqlite'}")
        self.clock = HandClock(at(1, 0))
        self.rolls = CountedRolls()
        self.epoch = self.store.acquire("test")
        self.fold = restore(self.store, "test")
        self.given: list[Tick] = []
        self.write(m.StartService(epoch=self.epoch, software="test"))
        self.write(opening(NIGHT).model_copy(update={"people": {name: name for name in NAMES}}), person="ana")
        for person in ("dan", "nia", "pia"):
            self.write(m.Sign(run=RUN), person=person)
        self.write(m.Start(run=RUN), person="ana")

    def draft(self) -> Draft:
        return Draft(self.fold, self.clock, self.rolls, self.store, self.epoch, "test")

    def order(self, command: m.Command, person: str = "") -> m.Order:
        actor = Actor(person=person) if person else MACHINE
        return m.Order(command=command, actor=actor, via=Via.PROBE, command_id=self.rolls.fresh_id())

    def write(self, *commands: m.Command, person: str = "") -> list[object]:
        """Take several orders in one transaction."""
        draft = self.draft()
        answers = [draft.take(self.order(command, person)) for command in commands]
        if not draft.empty:
            self.store.commit(draft.batch)
        self.fold = draft.fold()
        return answers

    def answer(self, tick: Tick, outcome: Outcome, epoch: int) -> m.Command:
        check = self.fold.house.runs[RUN].plan.check(tick.check)
        command = measured(check, tick.cell, outcome, self.clock.now())
        return command.model_copy(update={"tick": tick, "epoch": epoch})

    @rule(cell=st.sampled_from(CELLS), seconds=st.sampled_from((0, 20, 61)))
    def gives_out(self, cell: tuple[str, str], seconds: int) -> None:
        self.clock.moves(seconds)
        check = self.fold.house.runs[RUN].plan.check(cell[0])
        tick = Tick(run=RUN, check=check.id, kind=check.kind, cell=Cell(origin=cell[1]), scheduled_at=self.clock.now(), timeout_s=30)  # fmt: skip
        draft = self.draft()
        draft.issue([(tick, self.clock.now() + timedelta(seconds=35))])
        self.store.commit(draft.batch)
        self.given.append(tick)

    @precondition(lambda self: bool(self.given))
    @rule(data=st.data())
    def ends_some_in_one_transaction(self, data: st.DataObject) -> None:
        commands: list[m.Command] = []
        for _ in range(data.draw(st.integers(1, 4))):
            tick = data.draw(st.sampled_from(self.given))
            epoch = self.epoch - data.draw(st.sampled_from((0, 0, 0, 1)))
            miss = data.draw(st.booleans())
            outcome = data.draw(st.sampled_from(Outcome))
            commands.append(m.RecordMiss(run=RUN, tick=tick, why="late") if miss else self.answer(tick, outcome, epoch))
        self.write(*commands)

    @rule(keep=st.booleans())
    def restarts(self, keep: bool) -> None:
        if keep:
            self.store.save_snapshot(snapshot_of(self.fold, "test"))
        again = restore(self.store, "test")
        assert again == self.fold
        assert list(again.house.runs[RUN].plan.check("voice").all_cells()) == list(
            self.fold.house.runs[RUN].plan.check("voice").all_cells()
        )
        self.fold = again

    @rule(seconds=st.sampled_from((-30, 30, 61)))
    def wakes(self, seconds: int) -> None:
        self.clock.moves(seconds)
        self.write(m.Wake())
        due = self.fold.seal_due()
        assert due is None or due > self.clock.now()

    def teardown(self) -> None:
        rows = list(self.store.rows())
        ended: list[str] = [row.tick for row in rows if isinstance(row, ReadingRow)]
        misses = [
            event for row in rows if isinstance(row, EventRow) and isinstance(event := decode(row)[1], m.TicksMissed)
        ]
        assert len(ended) == len(set(ended))
        assert len(ended) + sum(event.count for event in misses) == len(
            self.store.ended_ticks([t.id for t in self.given])
        )
        open_ones = {tick.id for tick, _ in self.store.open_ticks()}
        assert open_ones == {tick.id for tick in self.given} - self.store.ended_ticks([t.id for t in self.given])
        assert verify(rows).broken is None
        times = [decode(row)[0].at for row in rows if isinstance(row, EventRow)]
        assert times == sorted(times)
        assert isinstance(self.fold, Fold)
        self.store.release()
        self.store.close()
        self.folder.cleanup()


Ticks.TestCase.settings = settings(CALM, max_examples=12, stateful_step_count=15)
TestTicks = pytest.mark.filterwarnings("error")(Ticks.TestCase)
