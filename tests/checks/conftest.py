"""Shared by the tests of checks: a carrier of their own, and one way to take a measurement."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.core.model import Cell, Reading, Tick
from checks import close_all, take_tick
from checks.carrier import Carrier, CarrierConfig, running_carrier

AT = datetime(2026, 12, 8, 2, 30, tzinfo=UTC)

Take = Callable[..., Awaitable[Reading]]


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    """A healthy carrier that answers at once."""
    config = CarrierConfig(answer_after_s=0.01, receipt_after_s=0.01, npdb_takes_s=0.0, slow_dns_s=1.0)
    async with running_carrier(config) as carrier:
        yield carrier
        await close_all()


@pytest.fixture
def take() -> Take:
    """Take one measurement as the probe worker does."""

    async def measure(
        kind: str, cell: Cell, targets: Mapping[str, Any], *, timeout_s: float = 20.0, **params: object
    ) -> Reading:
        tick = Tick(run="r1", check="c1", kind=kind, cell=cell, scheduled_at=AT, timeout_s=timeout_s, params=params)
        return await take_tick(tick, targets, AT)

    return measure


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """No task and no timer outlives the test. Ask for it before the carrier, so that it looks last."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
    assert not left, f"tasks left: {left}"
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]  # asyncio shows its timers nowhere else
    assert not timers, f"timers left: {timers}"
