"""The schedule: each cell on its grid, each tick ended once, nothing left out in silence."""

import asyncio
from datetime import datetime, timedelta

import pytest

from bot.core import messages as m
from bot.core.errors import StoreUnavailable
from bot.core.model import Outcome, Tick, Via
from bot.core.ports import Batch
from bot.rehearsal.modelled import ModelledProber
from tests.contract.probing import LEAD, RUN, START, Held, bot, reading_of

MINUTE = timedelta(minutes=1)


def of_cell(held: Held, origin: str) -> list[datetime]:
    return [tick.scheduled_at for tick, _ in held.ticks if tick.cell.origin == origin]


def last(held: Held, origin: str) -> Tick:
    return [tick for tick, _ in held.ticks if tick.cell.origin == origin][-1]


async def test_cells_are_measured_on_a_grid_from_the_start_spread_over_the_span(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        for _ in range(13):
            await here.passing(1 / 6)
            for tick, _ in held.ticks[len(here.readings()) :]:
                await here.took(tick)
        assert of_cell(held, "a") == [START + MINUTE * n for n in range(3)]
        assert of_cell(held, "b") == [START + MINUTE * (n + 0.5) for n in range(2)]
        assert here.readings() == [tick.id for tick, _ in held.ticks]
        assert here.missed() == []


async def test_what_no_worker_brings_back_is_missed_once_and_measured_again(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        await here.passing(0.7)
        lost = last(held, "a")
        assert [(cell, at) for cell, at, _ in here.missed()] == [("a", START)]
        await here.took(last(held, "b"))
        await here.passing(0.4)
        assert last(held, "a").scheduled_at == START + MINUTE
        # It comes back after all: too late, its record stands.
        await here.took(lost)
        assert here.readings() == [held.ticks[1][0].id]
        assert len(here.missed()) == 1


async def test_a_measurement_still_under_way_is_not_doubled_and_the_next_is_missed(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        await here.passing(0)
        await here.took(last(held, "a"))
        await here.until(START + timedelta(seconds=28))
        await here.service.handle(m.CheckNow(run=RUN, check="door"), LEAD, Via.CLI)
        await here.until(START + timedelta(seconds=32))
        assert of_cell(held, "b") == [START + timedelta(seconds=28)]
        assert here.missed() == [("b", START + MINUTE / 2, "the measurement before was still under way")]
        for tick, _ in held.ticks[1:]:
            await here.took(tick)
        assert len(here.readings()) == 3


async def test_asking_by_hand_for_what_is_under_way_asks_nobody_again(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        await here.passing(0.1)
        await here.service.handle(m.CheckNow(run=RUN, check="door"), LEAD, Via.CLI)
        await here.passing(0)
        assert of_cell(held, "a") == [START]
        await here.passing(0.35)
        # Both are lost, and both are told.
        assert sorted(cell for cell, _, _ in here.missed()) == ["a", "b"]


async def test_the_grid_is_kept_over_a_restart_and_the_time_between_is_told(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        await here.passing(0.1)
        await here.took(last(held, "a"))
        await here.passing(0.5)
        under_way = last(held, "b")

    later = START + timedelta(minutes=10, seconds=20)
    held = Held()
    async with bot(sqlite_url, held, later) as here:
        # What was under way is missed by name, what nobody took while we were away by number.
        assert [(cell, why) for cell, _, why in here.missed() if cell == "b"] == [
            ("b", "switchroom was restarted before the measurement came back")
        ]
        away = [
            event for event in here.events(m.TicksMissed) if isinstance(event, m.TicksMissed) and event.cell == "all"
        ]
        assert len(away) == 1
        assert away[0].count >= 2 * 9
        await here.passing(1)
        assert of_cell(held, "a")[0] == START + 11 * MINUTE
        assert of_cell(held, "b")[0] == START + 10.5 * MINUTE
        await here.ticking.took(under_way, reading_of(under_way, Outcome.PASS, later), here.service.epoch - 1)
        assert under_way.id not in here.readings()


async def test_a_second_start_at_the_same_moment_gives_no_tick_out_twice(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        await here.passing(0)
        assert [tick.cell.origin for tick, _ in held.ticks] == ["a"]
        await here.took(held.ticks[0][0])
    again = Held()
    async with bot(sqlite_url, again) as here:
        await here.passing(0)
        assert again.ticks == []


async def test_a_run_that_is_over_is_not_probed_any_more(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        prober = ModelledProber(here.clock, here.ticking.took)
        here.ticking._prober = prober
        await here.started()
        await here.passing(70)
        assert here.service.house.runs[RUN].status.over
        taken = prober.taken
        # One was under way when the watch ended. It is no reading any more, and has its end all the same.
        assert taken == len(here.readings()) + len(here.missed())
        await here.passing(10)
        assert prober.taken == taken


async def test_after_the_clock_was_set_back_cells_are_measured_at_once_and_the_service_wakes(sqlite_url: str) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        for _ in range(5):
            await here.passing(0.5)
            for tick, _ in held.ticks[len(here.readings()) :]:
                await here.took(tick)
        before = len(held.ticks)
        here.clock._now = START - timedelta(minutes=59)
        await here.service.handle(m.ReportClock(off_s=-3600), LEAD, Via.TIMER)
        await asyncio.sleep(0)
        assert here.timer.next_at == here.clock.now()
        await here.passing(1.1)
        anew = [tick.cell.origin for tick, _ in held.ticks[before:]]
        assert sorted(set(anew)) == ["a", "b"]


async def test_a_reading_that_could_not_be_written_counts_when_it_comes_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    async with bot(sqlite_url, held) as here:
        await here.started()
        await here.passing(0)

        def full(batch: Batch) -> None:
            raise StoreUnavailable(f"disk full with {len(batch.readings)}")

        with monkeypatch.context() as broken:
            broken.setattr(here.store, "commit", full)
            with pytest.raises(StoreUnavailable):
                await here.took(held.ticks[0][0])
        await here.took(held.ticks[0][0])
        assert here.readings() == [held.ticks[0][0].id]
        assert here.missed() == []
