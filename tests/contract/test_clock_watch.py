"""A wall clock that steps is told to the service, once for each change."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.adapters.clock import WallClock
from bot.adapters.clock_watch import ClockWatch
from bot.adapters.sql import open_store
from bot.core.messages import ClockStepped
from bot.service import Commit, Service
from bot.wire import SystemRolls


class Clocks:
    """A wall clock that can be set, and a steady one."""

    def __init__(self) -> None:
        self.wall = WallClock().now()
        self.steady = 0.0

    def passes(self, seconds: float, *, stepped: float = 0) -> None:
        self.wall += timedelta(seconds=seconds + stepped)
        self.steady += seconds


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    store = open_store(sqlite_url)
    service = Service(store, WallClock(), SystemRolls(), "test")
    await asyncio.to_thread(service.start, "test")
    yield service
    await asyncio.to_thread(service.stop)
    store.close()


async def test_a_step_is_told_once_and_so_is_the_way_back(service: Service) -> None:
    told: list[float] = []

    def heard(commit: Commit) -> None:
        told.extend(record.event.off_s for record in commit.records if isinstance(record.event, ClockStepped))

    service.on_commit(heard)
    clocks = Clocks()
    watch = ClockWatch(service, lambda: clocks.wall, lambda: clocks.steady)
    clocks.passes(60)
    await watch.look()
    clocks.passes(60, stepped=47)
    await watch.look()
    await watch.look()
    assert (told, service.house.clock_off_s) == ([47.0], 47.0)
    clocks.passes(60, stepped=-47)
    await watch.look()
    assert (told, service.house.clock_off_s) == ([47.0, 0.0], 0.0)


async def test_drift_within_two_seconds_is_not_told(service: Service) -> None:
    clocks = Clocks()
    watch = ClockWatch(service, lambda: clocks.wall, lambda: clocks.steady)
    clocks.passes(3600, stepped=1.5)
    await watch.look()
    assert service.house.clock_off_s == 0
