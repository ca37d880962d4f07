"""Ticks go to probe workers and readings come back, over real HTTP: bound to tick and lease, and never lost in silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest

from bot.adapters import probe_worker
from bot.adapters.clock import FastClock, WallClock
from bot.adapters.probe_worker import BotGone, ProbeWorker
from bot.adapters.prober import MOST, Brought, HttpProber, Leased, Taken
from bot.core.errors import StoreUnavailable
from bot.core.model import Cell, Outcome, Reading, Tick
from bot.core.ports import Clock
from bot.rehearsal.virtual import VirtualClock
from tests.contract.probing import START, bot, listening, reading_of

TOKEN = "a-token-for-workers"
_PATIENCE_S = 10.0


def tick_of(number: int) -> Tick:
    at = START + timedelta(minutes=number)
    return Tick(
        run="r", check="door", kind="http", cell=Cell(), scheduled_at=at, timeout_s=5, params={"target": "door"}
    )


class Ear:
    """Hears every reading that comes back."""

    def __init__(self) -> None:
        self.heard: list[tuple[Tick, Reading, int]] = []
        self.news = asyncio.Event()

    async def took(self, tick: Tick, reading: Reading, epoch: int) -> None:
        self.heard.append((tick, reading, epoch))
        self.news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.heard) < count:
                await self.news.wait()
                self.news.clear()


async def at_once(tick: Tick, clock: Clock) -> Reading:
    return reading_of(tick, Outcome.PASS, clock.now())


@asynccontextmanager
async def working(worker: ProbeWorker) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def with_token(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_tick_is_measured_by_a_worker_and_comes_back_with_its_lease() -> None:
    prober, ear = HttpProber(WallClock(), TOKEN), Ear()
    prober.on_reading(ear.took)
    async with listening(prober) as url, working(ProbeWorker(url, TOKEN, at_once)):
        await prober.issue([tick_of(1), tick_of(2)], 7)
        await ear.until(2)
    assert sorted(tick.id for tick, _, _ in ear.heard) == [tick_of(1).id, tick_of(2).id]
    assert {(reading.outcome, epoch) for _, reading, epoch in ear.heard} == {(Outcome.PASS, 7)}
    assert ear.heard[0][0].params == {"target": "door"}


async def test_a_worker_stamps_readings_with_the_clock_of_the_bot() -> None:
    clock = FastClock(START, WallClock().now(), 100.0)
    prober, ear = HttpProber(clock, TOKEN), Ear()
    prober.on_reading(ear.took)
    async with listening(prober) as url, working(ProbeWorker(url, TOKEN, at_once)):
        before = clock.now()
        await prober.issue([tick_of(1)], 1)
        await ear.until(1)
        assert before <= ear.heard[0][1].at <= clock.now()


@pytest.mark.parametrize("headers", [{}, with_token("another"), {"Authorization": TOKEN}])
async def test_strangers_get_no_work_and_leave_no_reading(headers: dict[str, str]) -> None:
    prober, ear = HttpProber(WallClock(), TOKEN), Ear()
    prober.on_reading(ear.took)
    brought = Brought(readings=(Taken(tick=tick_of(1), reading=reading_of(tick_of(1), Outcome.PASS, START)),), epoch=1)
    async with listening(prober) as url, aiohttp.ClientSession(url) as session:
        await prober.issue([tick_of(1)], 1)
        for path, body in (("/probes/lease", ""), ("/probes/readings", brought.model_dump_json())):
            async with session.post(path, data=body, headers=headers) as answer:
                assert answer.status == 401
                assert "r|door" not in await answer.text()
        assert ear.heard == []
        async with session.post("/probes/lease", headers=with_token()) as answer:
            assert len(Leased.model_validate_json(await answer.read()).ticks) == 1


async def test_a_worker_with_the_wrong_token_ends() -> None:
    async with listening(HttpProber(WallClock(), TOKEN)) as url:
        with pytest.raises(BotGone, match="does not know our token"):
            await asyncio.wait_for(ProbeWorker(url, "another", at_once).run(), _PATIENCE_S)


async def test_what_is_no_reading_is_refused_and_says_nothing_of_the_insides() -> None:
    prober, ear = HttpProber(WallClock(), TOKEN), Ear()
    prober.on_reading(ear.took)
    async with listening(prober) as url, aiohttp.ClientSession(url, headers=with_token()) as session:
        for body in ("", "{}", '{"readings": [{"tick": 1}], "epoch": 1}'):
            async with session.post("/probes/readings", data=body) as answer:
                assert (answer.status, (await answer.text()).startswith("Not readings:")) == (400, True)
    assert ear.heard == []


async def test_each_tick_is_given_out_once_whoever_asks() -> None:
    prober = HttpProber(WallClock(), TOKEN)
    ticks = [tick_of(number) for number in range(MOST + 6)]
    async with listening(prober) as url, aiohttp.ClientSession(url, headers=with_token()) as session:

        async def leased() -> list[str]:
            async with session.post("/probes/lease") as answer:
                return [tick.id for tick in Leased.model_validate_json(await answer.read()).ticks]

        await prober.issue(ticks, 1)
        first, second = await leased(), await leased()
        assert (len(first), len(second)) == (MOST, 6)
        assert {*first, *second} == {tick.id for tick in ticks}


async def test_a_worker_that_died_while_it_waited_takes_no_work_with_it() -> None:
    prober, ear, asked = HttpProber(WallClock(), TOKEN), Ear(), asyncio.Event()
    prober.on_reading(ear.took)
    async with listening(prober, asked) as url:
        async with working(ProbeWorker(url, TOKEN, at_once)):
            await asyncio.wait_for(asked.wait(), _PATIENCE_S)
        # The tick is there before the next worker is.
        await prober.issue([tick_of(1)], 1)
        async with working(ProbeWorker(url, TOKEN, at_once)):
            await ear.until(1)


async def test_a_probe_that_never_ends_holds_up_no_other() -> None:
    prober, ear = HttpProber(WallClock(), TOKEN), Ear()
    prober.on_reading(ear.took)

    async def stuck(tick: Tick, clock: Clock) -> Reading:
        if tick.id == tick_of(1).id:
            await asyncio.Event().wait()
        return await at_once(tick, clock)

    async with listening(prober) as url, working(ProbeWorker(url, TOKEN, stuck)):
        await prober.issue([tick_of(1), tick_of(2), tick_of(3)], 1)
        await ear.until(2)
    assert {tick.id for tick, _, _ in ear.heard} == {tick_of(2).id, tick_of(3).id}


async def test_a_tick_that_waited_beyond_its_time_is_not_measured_any_more() -> None:
    clock = VirtualClock(START)
    prober = HttpProber(clock, TOKEN)
    async with listening(prober) as url, aiohttp.ClientSession(url, headers=with_token()) as session:
        await prober.issue([tick_of(1)], 1)
        clock.set(START + timedelta(seconds=10))
        await prober.issue([tick_of(2)], 1)
        async with session.post("/probes/lease") as answer:
            assert [tick.id for tick in Leased.model_validate_json(await answer.read()).ticks] == [tick_of(2).id]


async def test_a_reading_that_cannot_be_recorded_now_is_brought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    prober, ear, tried = HttpProber(WallClock(), TOKEN), Ear(), []
    monkeypatch.setattr(probe_worker, "AGAIN_S", 0.01)

    async def took(tick: Tick, reading: Reading, epoch: int) -> None:
        tried.append(tick.id)
        if len(tried) == 1:
            raise StoreUnavailable("disk full")
        await ear.took(tick, reading, epoch)

    prober.on_reading(took)
    async with listening(prober) as url, working(ProbeWorker(url, TOKEN, at_once)):
        await prober.issue([tick_of(1)], 7)
        await ear.until(1)
    assert tried == [tick_of(1).id] * 2


async def test_a_refused_reading_does_not_cost_its_neighbours() -> None:
    prober, ear = HttpProber(WallClock(), TOKEN), Ear()
    prober.on_reading(ear.took)

    async def second_is_bad(tick: Tick, clock: Clock) -> Reading:
        reading = await at_once(tick, clock)
        return reading.model_copy(update={"metrics": {"x": float("nan")}}) if tick.id == tick_of(2).id else reading

    async with listening(prober) as url, working(ProbeWorker(url, TOKEN, second_is_bad)):
        await prober.issue([tick_of(1), tick_of(2), tick_of(3)], 7)
        await ear.until(2)
    assert {tick.id for tick, _, _ in ear.heard} == {tick_of(1).id, tick_of(3).id}


async def test_a_worker_that_can_bring_nothing_any_more_ends() -> None:
    prober = HttpProber(WallClock(), TOKEN)

    async def unspeakable(tick: Tick, clock: Clock) -> Reading:
        return (await at_once(tick, clock)).model_copy(update={"detail": "\ud800"})

    async with listening(prober) as url:
        await prober.issue([tick_of(1)], 7)
        with pytest.raises(ValueError, match="surrogate"):
            await asyncio.wait_for(ProbeWorker(url, TOKEN, unspeakable).run(), _PATIENCE_S)


# ------------------------------------------------------------------- against the service and its ledger


async def test_a_worker_that_is_lost_leaves_a_miss_and_the_next_one_goes_on(sqlite_url: str) -> None:
    prober = HttpProber(WallClock(), TOKEN)
    async with bot(sqlite_url, prober) as here, listening(prober) as url:
        prober.on_reading(here.ticking.took)
        await here.started()
        await here.passing(0)
        async with (
            aiohttp.ClientSession(url, headers=with_token()) as session,
            session.post("/probes/lease") as answer,
        ):
            lost = Leased.model_validate_json(await answer.read()).ticks
        assert [tick.cell.origin for tick in lost] == ["a"]
        await here.passing(0.4)
        assert here.missed() == [("a", START, "the probe worker did not bring it back in time")]

        ear = Ear()

        async def took(tick: Tick, reading: Reading, epoch: int) -> None:
            await here.ticking.took(tick, reading.model_copy(update={"at": here.clock.now()}), epoch)
            await ear.took(tick, reading, epoch)

        prober.on_reading(took)
        async with working(ProbeWorker(url, TOKEN, at_once)):
            await here.passing(0.2)
            await ear.until(1)
        assert here.readings() == [ear.heard[0][0].id]
        assert len(here.missed()) == 1


async def test_a_reading_under_an_older_lease_does_not_count_and_its_tick_is_missed(sqlite_url: str) -> None:
    prober = HttpProber(WallClock(), TOKEN)
    async with bot(sqlite_url, prober) as here:
        await here.started()
        await here.passing(0)
        tick, epoch, _ = prober._waiting[0]
    async with bot(sqlite_url, prober) as here:
        assert here.service.epoch == epoch + 1
        await here.took(tick, epoch=epoch)
        assert here.readings() == []
        assert [(cell, at) for cell, at, _ in here.missed() if cell != "all"] == [("a", START)]


async def test_a_reading_of_another_cell_than_its_tick_does_not_count(sqlite_url: str) -> None:
    prober = HttpProber(WallClock(), TOKEN)
    async with bot(sqlite_url, prober) as here, listening(prober) as url:
        prober.on_reading(here.ticking.took)
        await here.started()
        await here.passing(0)
        tick, epoch, _ = prober._waiting[0]
        swapped = reading_of(tick, Outcome.PASS, START).model_copy(update={"cell": Cell(origin="b")})
        brought = Brought(readings=(Taken(tick=tick, reading=swapped),), epoch=epoch)
        async with (
            aiohttp.ClientSession(url, headers=with_token()) as session,
            session.post("/probes/readings", data=brought.model_dump_json()) as answer,
        ):
            assert answer.status == 200
        assert here.readings() == []
        assert [(cell, at) for cell, at, _ in here.missed()] == [("a", START)]


async def test_a_reading_told_twice_counts_once(sqlite_url: str) -> None:
    prober = HttpProber(WallClock(), TOKEN)
    async with bot(sqlite_url, prober) as here:
        await here.started()
        await here.passing(0)
        tick, _, _ = prober._waiting[0]
        await here.took(tick, Outcome.PASS)
        await here.took(tick, Outcome.FAIL)
        assert here.readings() == [tick.id]
        assert here.service.house.runs["small-1"].cells["door|a"].failed == 0
        assert here.missed() == []
