"""The writer on a real database: answers after the commit, all or nothing, and the same after a restart."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot.adapters.sql import SqlStore, open_store
from bot.core import messages as m
from bot.core.errors import Reason, Refused, RunbookRefused, StaleEpoch, StoreUnavailable
from bot.core.ledger import decode, readings_digest
from bot.core.model import MACHINE, Actor, Cell, Outcome, Via
from bot.core.ports import Batch, EventRow, InboxRow, ReadingRow, Snapshot
from bot.core.proof import verify
from bot.core.state import RunStatus, StepStatus
from bot.service import Commit, Done, Inbound, Service
from tests.core.play import RUN, SIGNERS, VOICE, at, measured, opening
from tests.core.rolls import CountedRolls, HandClock

WAIT_S = 20


class Bench:
    """Services on one database, one after the other."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url = url
        self.clock = HandClock(at(0, 50))
        self.rolls = CountedRolls()
        self._stack = stack
        self.store, self.service = self._opened()
        self.service.start("bench")

    def _opened(self) -> tuple[SqlStore, Service]:
        store = open_store(self.url)
        self._stack.callback(store.close)
        service = Service(store, self.clock, self.rolls, "test")
        self._stack.callback(self._stop, service)
        return store, service

    @staticmethod
    def _stop(service: Service) -> None:
        with suppress(StoreUnavailable):
            service.stop()

    def again(self) -> Done:
        """Stop, and start anew on the same database."""
        self.service.stop()
        self.store.close()
        self.store, self.service = self._opened()
        return self.service.start("bench")

    async def says(self, command: m.Command, person: str = "", command_id: str | None = None) -> Done:
        actor = Actor(person=person, account=f"script:{person}") if person else MACHINE
        told = command if isinstance(command, m.Open) else command.model_copy(update={"run": RUN})
        return await self.service.handle(told, actor, Via.SCRIPT, command_id=command_id)

    async def reads(self, origin: str, outcome: Outcome, number: str = "+447700900001") -> Done:
        check = self.service.house.runs[RUN].plan.check(VOICE)
        cell = Cell(origin=origin, number=number, control=number == "+447700900901")
        command = measured(check, cell, outcome, self.clock.now()).model_copy(update={"epoch": self.service.epoch})
        return await self.service.handle(command, MACHINE, Via.PROBE)

    async def started(self) -> "Bench":
        await self.says(opening(), "lead")
        for person in SIGNERS:
            await self.says(m.Sign(), person)
        await self.says(m.Start(), "lead")
        return self

    async def fails(self, origin: str) -> Done:
        for _ in range(10):
            self.clock.moves(2)
            done = await self.reads(origin, Outcome.FAIL)
            if any(isinstance(event, m.TriggerMet) for event in done.events):
                return done
        raise AssertionError("no rule was met")

    def on_the_writer(self, statement: str) -> None:
        connection = self.store._engines.writer.raw_connection()
        try:
            connection.cursor().execute(statement)
            connection.commit()
        finally:
            connection.close()

    @property
    def rows(self) -> list[EventRow | ReadingRow]:
        return list(self.store.rows())

    @property
    def events(self) -> list[m.Event]:
        return [decode(row)[1] for row in self.rows if isinstance(row, EventRow)]


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Bench]:
    """A service that runs, on a fresh database; the ledger is proven whole after every test."""
    with ExitStack() as stack:
        made = Bench(sqlite_url, stack)
        yield made
        report = verify(made.rows)
        assert report.broken is None, report.sentence


async def test_the_answer_comes_after_the_commit(bench: Bench) -> None:
    done = await bench.says(opening(), "lead")
    assert [type(event) for event in done.events] == [m.RunOpened]
    assert bench.store.head()[0] == done.records[-1].position
    assert done.house.runs[RUN].status is RunStatus.OPENED


async def test_a_caller_waits_while_the_commit_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()
    commit = bench.store.commit

    def slow(batch: Batch) -> None:
        inside.set()
        assert go_on.wait(WAIT_S)
        commit(batch)

    monkeypatch.setattr(bench.store, "commit", slow)
    asking = asyncio.create_task(bench.says(opening(), "lead"))
    assert await asyncio.to_thread(inside.wait, WAIT_S)
    assert not asking.done()
    assert RUN not in bench.service.house.runs
    go_on.set()
    assert RUN in (await asking).house.runs


async def test_many_at_once_get_consecutive_positions_in_few_commits(bench: Bench) -> None:
    await bench.started()
    commits: list[Commit] = []
    bench.service.on_commit(commits.append)
    before = bench.service.house.position
    done = await asyncio.gather(*(bench.says(m.Note(text=f"line {n}"), "care") for n in range(200)))
    positions = [record.position for one in done for record in one.records]
    assert positions == list(range(before + 1, before + 201))
    assert len(commits) < 100
    assert [record.position for commit in commits for record in commit.records] == positions


async def test_each_order_meets_the_state_that_the_one_before_left(bench: Bench) -> None:
    await bench.says(opening(), "lead")
    answers = await asyncio.gather(*(bench.says(m.Sign(), "lead") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Done) for answer in answers) == 1
    assert sum(isinstance(answer, Refused) and answer.reason is Reason.ALREADY for answer in answers) == 19


async def test_a_command_that_comes_twice_counts_once(bench: Bench) -> None:
    await bench.started()
    twice = await asyncio.gather(*(bench.says(m.Note(text="hello"), "care", command_id="k1") for _ in range(2)))
    assert sorted(done.repeated for done in twice) == [False, True]
    bench.again()
    assert (await bench.says(m.Note(text="hello"), "care", command_id="k1")).repeated
    assert len([event for event in bench.events if isinstance(event, m.NoteTaken)]) == 1


async def test_a_refused_command_writes_nothing_but_settles_its_inbox_row(bench: Bench) -> None:
    await bench.says(opening(), "lead")
    row = InboxRow("slack:1", "slack", bench.clock.now(), b"{}")
    assert await bench.service.receive(Inbound(row))
    assert [waiting.key for waiting in bench.store.unsettled()] == ["slack:1"]
    before = bench.store.head()
    with pytest.raises(Refused, match="you have none"):
        await bench.service.handle(
            m.Pause(run=RUN), Actor(person="guest"), Via.SLACK, command_id="slack:1", inbox="slack:1"
        )
    assert bench.store.head() == before
    assert not bench.store.unsettled()
    assert bench.store.known_command("slack:1") is None


async def test_a_word_that_came_before_is_told_apart(bench: Bench) -> None:
    row = InboxRow("slack:1", "slack", bench.clock.now(), b"{}")
    assert await bench.service.receive(Inbound(row))
    assert not await bench.service.receive(Inbound(row))
    assert [waiting.key for waiting in bench.store.unsettled()] == ["slack:1"]


@pytest.mark.parametrize(
    ("off", "on", "says"),
    [
        ("pragma query_only = on", "pragma query_only = off", "read-only"),
        ("pragma max_page_count = 1", "pragma max_page_count = 1000000", "the disk is full"),
    ],
)
async def test_a_failing_commit_drops_memory_tells_everyone_once_and_works_again_after(
    bench: Bench, off: str, on: str, says: str
) -> None:
    await bench.started()
    troubles: list[str | None] = []
    bench.service.on_trouble(troubles.append)
    before = bench.service.house
    bench.on_the_writer(off)
    large = "x" * 200_000
    answers = await asyncio.gather(*(bench.says(m.Note(text=large), "care") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) and says in str(answer) for answer in answers)
    with pytest.raises(StoreUnavailable, match=says):
        await bench.says(m.Note(text=large), "care")
    assert bench.service.house == before
    assert len(troubles) == 1
    assert says in str(troubles[0])
    bench.on_the_writer(on)
    done = await bench.says(m.Note(text="paper notes typed in"), "care")
    assert done.records[0].position == before.position + 1
    assert troubles[1:] == [None]


async def test_a_fault_of_one_order_does_not_take_the_others_with_it(bench: Bench) -> None:
    await bench.started()
    troubles: list[str | None] = []
    bench.service.on_trouble(troubles.append)
    bad = opening("runbook: [", run="wave-2", place="C2")
    answers = await asyncio.gather(
        bench.says(m.Note(text="before"), "care"),
        bench.service.handle(bad, Actor(person="lead"), Via.SCRIPT),
        bench.says(m.Note(text="after"), "care"),
        return_exceptions=True,
    )
    assert isinstance(answers[1], RunbookRefused)
    assert isinstance(answers[0], Done)
    assert isinstance(answers[2], Done)
    assert not troubles


async def test_a_caller_that_stops_waiting_leaves_the_writer_alone(bench: Bench) -> None:
    await bench.started()
    asking = [asyncio.create_task(bench.says(m.Note(text=f"{n}"), "care")) for n in range(20)]
    await asyncio.sleep(0)
    for task in asking[::2]:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert (await bench.says(m.Note(text="still here"), "care")).events


async def test_a_listener_that_fails_leaves_the_writer_alone(bench: Bench) -> None:
    heard: list[Commit] = []

    def fails(_: Commit) -> None:
        raise RuntimeError("the loop is closed")

    bench.service.on_commit(fails)
    bench.service.on_commit(heard.append)
    with capture_logs() as logged:
        await bench.says(opening(), "lead")
        await bench.says(m.Sign(), "lead")
    assert len(heard) == 2
    assert [line["event"] for line in logged] == ["a listener of the ledger failed"] * 2


async def test_a_stale_epoch_stops_the_writer(bench: Bench) -> None:
    await bench.started()
    before = bench.rows
    troubles: list[str | None] = []
    bench.service.on_trouble(troubles.append)
    bench.on_the_writer("update lease set epoch = epoch + 1")
    with pytest.raises(StaleEpoch):
        await bench.says(m.Note(text="late"), "care")
    with pytest.raises(StoreUnavailable, match="is stopping; nothing was recorded"):
        await bench.says(m.Note(text="later"), "care")
    assert bench.rows == before
    assert len(troubles) == 1


async def _a_night(bench: Bench) -> None:
    await bench.started()
    for person in ("noc-a", "partner-a", "care"):
        await bench.says(m.Here(), person)
    for origin in ("mno-a", "mno-b", "donor", "fixed"):
        for number in ("+447700900001", "+447700900002", "+447700900901"):
            await bench.reads(origin, Outcome.PASS, number)
    await bench.fails("mno-b")
    await bench.says(m.CastVote(number=2, option="B", owner="noc-b", minutes=7.5), "noc-a")
    bench.clock.moves(5)
    await bench.reads("mno-b", Outcome.INCONCLUSIVE)
    bench.clock.moves(5)
    await bench.says(m.Pause(reason="wait"), "care")
    await bench.reads("mno-b", Outcome.PASS)


def _damaged(kept: Snapshot) -> Snapshot:
    return Snapshot(kept.position, kept.software, kept.digest, kept.body.replace(b"wave-1", b"wave-9"))


def _strange(kept: Snapshot) -> Snapshot:
    return Snapshot(kept.position, "another release", kept.digest, b"not json")


@pytest.mark.parametrize("change", [None, _damaged, _strange], ids=["used", "damaged", "of another release"])
async def test_the_state_after_a_restart_is_the_state_before(
    bench: Bench, change: Callable[[Snapshot], Snapshot] | None
) -> None:
    await _a_night(bench)
    before = bench.service.house
    if change is not None:
        bench.service.stop()
        kept = bench.store.snapshot()
        assert kept is not None
        assert kept.position == before.position
        bench.store.acquire("hand")
        bench.store.save_snapshot(change(kept))
        bench.store.release()
        bench.store.close()
        bench.store, bench.service = bench._opened()
        bench.service.start("bench")
    else:
        bench.again()
    after = bench.service.house
    assert after.epoch > before.epoch
    assert after.runs[RUN].model_copy(update={"last_position": 0}) == before.runs[RUN].model_copy(
        update={"last_position": 0}
    )
    assert after.runs[RUN].plan.check(VOICE).all_cells() == before.runs[RUN].plan.check(VOICE).all_cells()
    await bench.says(m.Note(text="goes on"), "care")


async def test_a_snapshot_is_a_cache_that_may_be_deleted(bench: Bench) -> None:
    await _a_night(bench)
    before = bench.service.house
    bench.service.stop()
    with_snapshot = Service(bench.store, bench.clock, bench.rolls, "test")
    first = with_snapshot.start("bench").house
    bench.on_the_writer("delete from snapshots")
    with_snapshot._fold = None
    with_snapshot.stop()
    assert bench.store.snapshot() is None
    bench.store.close()
    bench.store, bench.service = bench._opened()
    second = bench.service.start("bench").house
    assert first.runs[RUN].decisions == second.runs[RUN].decisions == before.runs[RUN].decisions
    assert first.runs[RUN].cells == second.runs[RUN].cells == before.runs[RUN].cells


async def test_readings_are_sealed_before_an_event_that_cites_them(bench: Bench) -> None:
    await bench.started()
    await bench.fails("mno-b")
    rows = bench.rows
    kinds = [row.type if isinstance(row, EventRow) else "Reading" for row in rows]
    met = kinds.index("TriggerMet")
    sealed = decode(next(row for row in rows[met - 1 : met] if isinstance(row, EventRow)))[1]
    readings = [row for row in rows[:met] if isinstance(row, ReadingRow)]
    assert isinstance(sealed, m.ReadingsSealed)
    assert (sealed.first, sealed.last, sealed.count) == (readings[0].position, readings[-1].position, len(readings))
    assert sealed.digest == readings_digest(readings)


async def test_readings_are_sealed_at_least_every_minute(bench: Bench) -> None:
    await bench.started()
    await bench.reads("mno-a", Outcome.PASS)
    taken = bench.clock.now()
    assert bench.service.next_due() == taken + timedelta(seconds=60)
    bench.clock.moves(59)
    assert not (await bench.says(m.Wake())).events
    bench.clock.moves(1)
    assert [type(event) for event in (await bench.says(m.Wake())).events] == [m.ReadingsSealed]
    assert not (await bench.says(m.Wake())).events


async def test_readings_left_open_at_the_end_are_sealed_after_the_next_start(bench: Bench) -> None:
    await bench.started()
    for origin in ("mno-a", "mno-b", "donor"):
        await bench.reads(origin, Outcome.PASS)
    for _ in range(2):  # once with a snapshot, which the first stop wrote
        bench.again()
    bench.clock.moves(61)
    sealed = [event for event in (await bench.says(m.Wake())).events if isinstance(event, m.ReadingsSealed)]
    assert [event.count for event in sealed] == [3]


async def test_time_never_goes_back_in_the_ledger(bench: Bench) -> None:
    await bench.started()
    bench.clock.moves(30)
    await bench.says(m.Note(text="now"), "care")
    bench.clock.moves(-600)
    await bench.reads("mno-a", Outcome.PASS)
    await bench.says(m.Note(text="ten minutes earlier"), "care")
    bench.again()
    times = [decode(row)[0].at for row in bench.rows if isinstance(row, EventRow)]
    assert times == sorted(times)


async def test_a_tick_ends_once(bench: Bench) -> None:
    await bench.started()
    check = bench.service.house.runs[RUN].plan.check(VOICE)
    command = measured(check, check.measured_cells()[0], Outcome.PASS, bench.clock.now())
    good = command.model_copy(update={"epoch": bench.service.epoch})
    stale = command.model_copy(update={"epoch": bench.service.epoch - 1})
    missed = m.RecordMiss(run=RUN, tick=command.tick, why="late")
    tries = [bench.service.handle(one, MACHINE, Via.PROBE) for one in (stale, good, good, missed)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert [getattr(answer, "reason", None) for answer in answers] == [
        Reason.WRONG_STATE, None, Reason.DUPLICATE, Reason.DUPLICATE,
    ]  # fmt: skip
    assert bench.store.ended_ticks([command.tick.id])


async def test_a_crash_in_mid_call_is_in_doubt_after_the_restart(bench: Bench) -> None:
    await bench.started()
    for person in ("noc-a", "partner-a", "care"):
        await bench.says(m.Here(), person)
    bench.clock.moves(40 * 60)
    for _ in range(6):
        bench.clock.moves(150)
        for origin in ("mno-a", "mno-b", "donor", "fixed"):
            for number in ("+447700900001", "+447700900002"):
                await bench.reads(origin, Outcome.PASS, number)
    for person in ("deputy", "noc-b"):
        await bench.says(m.CastVote(number=1, option="A"), person)
    await bench.says(m.Start(step="switch-routing"), "noc-b")
    due = [effect.kind for effect in bench.store.due_effects(bench.clock.now(), 500)]
    assert "perform" in due
    bench.again()
    assert bench.service.house.runs[RUN].steps["switch-routing"].status is StepStatus.IN_DOUBT


async def test_a_preview_tells_the_refusal_and_writes_nothing(bench: Bench) -> None:
    await bench.started()
    before = bench.rows
    refusal = bench.service.preview(m.Pause(run=RUN), Actor(person="guest"), Via.ROOM)
    assert refusal is not None
    assert refusal.reason is Reason.NOT_YOUR_ROLE
    assert bench.service.preview(m.Pause(run=RUN), Actor(person="care"), Via.ROOM) is None
    assert bench.rows == before


@pytest.mark.parametrize("first", ["given up", "recorded", "cancelled"])
async def test_a_word_is_either_recorded_or_withdrawn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    commit = bench.store.commit

    def slow(batch: Batch) -> None:
        inside.set()
        assert go_on.wait(WAIT_S)
        commit(batch)

    monkeypatch.setattr(bench.store, "commit", slow)
    inbound = Inbound(InboxRow("slack:7", "slack", bench.clock.now(), b"{}"))
    receiving = asyncio.create_task(bench.service.receive(inbound))
    assert await asyncio.to_thread(inside.wait, WAIT_S)
    gave_up = first != "recorded" and inbound.give_up()
    if first == "cancelled":
        receiving.cancel()
    go_on.set()
    kept = (await asyncio.gather(receiving, return_exceptions=True))[0]
    await bench.says(m.Wake())  # behind whatever the writer still had to withdraw
    await bench.service.settle("nothing", "handled")
    assert gave_up == (first != "recorded")
    assert (kept is True) == (first == "recorded")
    assert [row.key for row in bench.store.unsettled()] == (["slack:7"] if first == "recorded" else [])
    assert inbound.give_up() == gave_up


async def test_a_start_that_cannot_read_the_ledger_gives_the_lease_up(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sqlite_url)
    other = open_store(sqlite_url)
    rolls, clock = CountedRolls(), HandClock(at(1, 0))

    def damaged(after: int = 0) -> Iterator[EventRow | ReadingRow]:
        raise StoreUnavailable(f"cannot read after {after}")

    monkeypatch.setattr(store, "rows", damaged)
    with pytest.raises(StoreUnavailable, match="cannot read"):
        Service(store, clock, rolls, "test").start("one")
    second = Service(other, clock, rolls, "test")
    second.start("two")
    second.stop()
    store.close()
    other.close()


async def test_bodies_are_canonical_json_with_who_when_and_which_release(bench: Bench) -> None:
    await bench.says(opening(), "lead", command_id="open-1")
    row = bench.rows[-1]
    assert isinstance(row, EventRow)
    body = json.loads(row.body)
    assert (body["actor"], body["via"], body["command_id"], body["software"], body["stream"]) == (
        {"account": "script:lead", "person": "lead"}, "script", "open-1", "test", f"run/{RUN}",
    )  # fmt: skip


async def test_the_state_knows_the_head_that_digests_carry_out(bench: Bench) -> None:
    await bench.says(opening(), "lead")
    assert (bench.service.house.head_at, bench.service.house.head) == (
        bench.store.head()[0],
        bench.store.head()[1].hex(),
    )
    bench.again()
    assert (bench.service.house.head_at, bench.service.house.head) == (
        bench.store.head()[0],
        bench.store.head()[1].hex(),
    )
