"""The one door out: what is called and when, what waits, and what a process that lost the ledger leaves alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot import outbox as outbox_module
from bot.adapters.clock import WallClock
from bot.adapters.sql import SqlStore, open_store
from bot.core import messages as m
from bot.core.errors import StaleEpoch, StoreUnavailable
from bot.core.ledger import decode
from bot.core.model import MACHINE, Actor, Via
from bot.core.ports import Answer, Batch, EffectRow, EventRow
from bot.outbox import Outbox, RoomRefused, Sent
from bot.service import Commit, Service
from tests.core.rolls import CountedRolls

RUN = "small-1"
PLACE = "C0ROOM"
RUNBOOK = """
runbook: small
title: A small change
phase: readiness
timezone: Europe/London
roles:
  cutover-lead: {people: [lead]}
approvals:
  criteria: {one_of_each: [cutover-lead]}
  go: {one_of_each: [cutover-lead]}
  go_back: {before: {any: 1, of: [cutover-lead]}, after: {any: 1, of: [cutover-lead]}}
  fix_first: {any: 1, of: [cutover-lead], at_most: 20m}
  continue: {one_of_each: [cutover-lead]}
steps:
  - {id: change, kind: action, title: Make the change, timeout: 1s, do: {http: {post: "{npdb}/activate"}}}
  - {id: look, kind: manual, title: Look at it, needs: [change]}
rollback: [{id: put-back, kind: manual, title: Put it back}]
"""
PATIENCE_S = 15.0
Perform = Callable[[], Any]


@dataclass(slots=True)
class Wall:
    """A room that keeps what it was given; `refuses` says how often each kind is refused, `gone` what was deleted."""

    posted: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    refuses: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    async def deliver(self, effect: EffectRow, *, plain: bool, maybe_sent: bool) -> Sent:  # noqa: ARG002 - the port's signature
        if self.refuses.get(effect.kind, 0):
            self.refuses[effect.kind] -= 1
            raise RoomRefused("invalid_blocks")
        self.posted.append(effect.kind)
        self.gone.discard(effect.kind)
        return Sent(effect.replaces or effect.id, f"{effect.place}:{len(self.posted)}")

    async def update(self, effect: EffectRow) -> bool:
        self.updated.append(effect.kind)
        return effect.kind not in self.gone

    async def alarm(self, text: str) -> None:
        self.posted.append(f"alarm {text}")


@dataclass(slots=True)
class Target:
    """A target that counts its calls and does what *says* does."""

    says: Perform = lambda: Answer("done", "accepted")
    calls: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def perform(self, target: str, path: str, body: Mapping[str, Any], key: str, timeout_s: float) -> Answer:  # noqa: ARG002 - the port's signature
        self.calls.append(path)
        self.asked.set()
        said = self.says()
        answer = await said if asyncio.iscoroutine(said) or isinstance(said, asyncio.Future) else said
        assert isinstance(answer, Answer)
        return answer


@dataclass(slots=True)
class House:
    """A service on a real database, its outbox, the room and the target."""

    service: Service
    store: SqlStore
    outbox: Outbox
    wall: Wall
    target: Target
    _delivering: list[asyncio.Task[None]] = field(default_factory=list)

    async def says(self, command: m.Command) -> None:
        await self.service.handle(command, Actor(person="lead"), Via.SCRIPT)

    async def changing(self) -> None:
        """Open, sign and start the run, then its action: the call is due."""
        await self.says(m.Open(run=RUN, migration="m", place=PLACE, text=RUNBOOK, people={"lead": "Lena"}))
        for order in (m.Sign(run=RUN), m.Start(run=RUN), m.Start(run=RUN, step="change")):
            await self.says(order)

    def delivers(self) -> None:
        self._delivering.append(asyncio.create_task(self.outbox.run()))

    async def stops(self) -> None:
        for task in self._delivering:
            task.cancel()
        await asyncio.gather(*self._delivering, return_exceptions=True)

    def reports(self) -> list[tuple[str, str]]:
        """Return every (outcome, detail) that the ledger keeps of the action."""
        rows = [row for row in self.store.rows() if isinstance(row, EventRow)]
        found = [decode(row)[1] for row in rows if row.type in {"StepFinished", "StepFailed", "StepInDoubt"}]
        return [(type(event).__name__, str(getattr(event, "detail", getattr(event, "why", "")))) for event in found]

    async def until(self, there: Callable[[], object]) -> None:
        """Wait, commit by commit, until *there* is."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def heard(_commit: Commit) -> None:
            loop.call_soon_threadsafe(news.set)

        self.service.on_commit(heard)
        async with asyncio.timeout(PATIENCE_S):
            while not there():
                await news.wait()
                news.clear()


@pytest.fixture
async def house(sqlite_url: str) -> AsyncIterator[House]:
    store = open_store(sqlite_url)
    service = Service(store, WallClock(), CountedRolls(), "test")
    await asyncio.to_thread(service.start, "test")
    wall, target = Wall(), Target()
    made = House(service, store, Outbox(service, store, wall, target, {"npdb": "http://npdb"}), wall, target)
    yield made
    await made.stops()
    await asyncio.to_thread(service.stop)
    store.close()


async def test_an_action_is_called_once_and_its_answer_recorded(house: House) -> None:
    await house.changing()
    house.delivers()
    await house.until(house.reports)
    assert (house.target.calls, house.reports()) == (["/activate"], [("StepFinished", "accepted")])


async def test_a_step_that_was_not_called_yet_is_not_called_once_the_run_goes_back(house: House) -> None:
    await house.changing()
    await house.says(m.GoBack(run=RUN, word="undo", reason="no"))
    if house.service.house.runs[RUN].open_decisions:
        await house.says(m.CastVote(run=RUN, number=1, option="A", reason="no"))
    assert house.service.house.runs[RUN].status.value == "going-back"
    house.delivers()
    await house.until(lambda: not house.store.due_effects(house.service.now(), 10))
    assert house.target.calls == []


async def test_a_fault_of_ours_in_a_call_is_unknown_and_the_target_is_not_called_again(house: House) -> None:
    def breaks() -> Answer:
        raise RecursionError("deep")

    house.target.says = breaks
    await house.changing()
    house.delivers()
    await house.until(house.reports)
    assert house.target.calls == ["/activate"]
    ((outcome, detail),) = house.reports()
    assert outcome == "StepInDoubt"
    assert "our side failed (RecursionError); it may or may not have happened" in detail


async def test_a_call_that_never_ends_is_unknown_after_its_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MARGIN_S", -0.9)
    house.target.says = lambda: asyncio.get_running_loop().create_future()
    await house.changing()
    house.delivers()
    await house.until(house.reports)
    ((outcome, detail),) = house.reports()
    assert outcome == "StepInDoubt"
    assert "no whole answer within 1 s; it may or may not have happened" in detail


async def test_what_was_refused_goes_out_again_although_nothing_else_happens(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "TROUBLE_S", 0.2)
    house.wall.refuses = {"board": 1}
    await house.says(m.Open(run=RUN, migration="m", place=PLACE, text=RUNBOOK, people={"lead": "Lena"}))
    house.delivers()
    await house.until(lambda: "board" in house.wall.posted)


async def test_a_board_that_was_deleted_is_posted_once_and_where_it_went_is_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "BOARD_EVERY_S", 0.02)
    await house.changing()
    house.delivers()
    await house.until(lambda: house.store.reference(PLACE, f"{RUN}/board") and house.reports())
    before = house.store.reference(PLACE, f"{RUN}/board")
    house.wall.posted.clear()
    house.wall.gone = {"board"}
    house.outbox._stir({RUN})
    await house.until(lambda: house.store.reference(PLACE, f"{RUN}/board") != before)
    assert house.wall.posted == ["board"]


async def test_a_process_that_lost_the_ledger_calls_and_posts_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.changing()
    told: list[bool] = []
    house.service.on_trouble(lambda _: told.append(house.service.lost))
    commit = house.store.commit

    def unwell(batch: Batch) -> None:
        raise StoreUnavailable(f"disk full with {len(batch.events)}")

    def stale(batch: Batch) -> None:
        raise StaleEpoch(f"another took over, {len(batch.events)}")

    for trouble in (unwell, stale):
        monkeypatch.setattr(house.store, "commit", trouble)
        with pytest.raises(StoreUnavailable):
            await house.service.handle(m.Note(run=RUN, text="x"), MACHINE, Via.SCRIPT)
    # The loss comes after other trouble, and is told all the same.
    assert told == [False, True]
    monkeypatch.setattr(house.store, "commit", commit)
    await house.outbox.deliver()
    assert (house.target.calls, house.outbox._busy.keys() - {"alarm"}) == ([], set())
