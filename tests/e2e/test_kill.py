"""kill -9 at any moment, and start again: nothing answered is lost, nothing is done or said twice."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from bot.adapters.sql import open_store
from bot.core.ledger import decode
from bot.core.messages import Event, NoteTaken, StepInDoubt, StepStarted, VoteCast
from bot.core.ports import EventRow, Store
from bot.core.proof import verify
from bot.core.state import RunStatus
from bot.room import RoomPerson
from tests.e2e.kill_people import People
from tests.e2e.kill_scene import CHANNEL, PEOPLE, RUN, Bots, Night, bots, night

_SomeEvent = TypeVar("_SomeEvent", bound=Event)
_REST_S = 60.0
_EVER = datetime.max.replace(tzinfo=UTC)


async def test_a_bot_killed_ten_times_finishes_its_night(tmp_path: Path, database_url: str) -> None:
    await _night_of(10, 1, tmp_path, database_url)


@pytest.mark.soak
async def test_a_bot_killed_fifty_times_finishes_its_night(tmp_path: Path, database_url: str) -> None:
    await _night_of(50, 2, tmp_path, database_url)


async def _night_of(kills: int, seed: int, folder: Path, database_url: str) -> None:
    random = Random(seed)  # noqa: S311 - a night that can be played again
    async with night(folder, database_url, random, actions=kills) as where, AsyncExitStack() as stack:
        bot = await stack.enter_async_context(bots(where))
        bot.start()
        await bot.ready()
        store = open_store(database_url, read_only=True)
        stack.callback(store.close)
        seats = {key: await stack.enter_async_context(RoomPerson(where.room_url, user)) for key, user in PEOPLE.items()}
        people = People(seats, store, random)
        async with asyncio.TaskGroup() as playing:
            playing.create_task(people.take_notes())
            playing.create_task(people.go_forward())
            await asyncio.wait_for(people.under_way.wait(), _REST_S)
            await _killed(bot, kills, random)
            people.finishing = True
        await _at_rest(store)
        assert verify(store.rows()).broken is None
        _the_night_is_over_and_whole(people)
        _what_was_acknowledged_was_done_once(store, people)
        _no_call_is_doubled_unless_it_may_be(store, where)
        _everything_was_posted_once(store, seats["scribe"])
        await bot.stop()


async def _killed(bot: Bots, kills: int, random: Random) -> None:
    """Kill and restart so often, now and then while it is still starting; the last one lives."""
    for kill in range(kills):
        await asyncio.sleep(random.uniform(0, 1))
        await bot.kill()
        bot.start()
        if random.random() < 0.8 or kill == kills - 1:
            await bot.ready()


async def _at_rest(store: Store) -> None:
    """Wait until nothing is left to do, to say or to measure."""
    async with asyncio.timeout(_REST_S):
        while store.unsettled() or store.open_ticks() or store.due_effects(_EVER, 1):  # noqa: ASYNC110 - another process works
            await asyncio.sleep(0.1)


def _the_night_is_over_and_whole(people: People) -> None:
    run = people.look()
    assert run is not None
    assert run.status is RunStatus.COMPLETED
    assert run.last_reading_at is not None


def _what_was_acknowledged_was_done_once(store: Store, people: People) -> None:
    notes = Counter(f"scribe: note {event.text}" for event in _events(store, NoteTaken))
    assert max(notes.values()) == 1
    assert {said for said in people.acknowledged if ": note " in said} <= set(notes)
    votes = Counter(f"{event.person}: decide {event.number} A" for event in _events(store, VoteCast))
    assert {said for said in people.acknowledged if ": decide " in said} <= set(votes)
    assert votes <= people.said


def _no_call_is_doubled_unless_it_may_be(store: Store, where: Night) -> None:
    keys = {event.key: event.step for event in _events(store, StepStarted) if event.key}
    doubts = {event.step for event in _events(store, StepInDoubt)}
    assert set(where.target.calls) <= set(keys)
    for key, step in keys.items():
        if step.startswith("once-"):
            assert where.target.calls[key] <= 1, f"{step} was called twice"
            assert where.target.calls[key] == 1 or step in doubts, f"{step} is done and was never called"
        elif step.startswith("again-"):
            assert where.target.calls[key] >= 1, f"{step} is done and was never called"
            assert step not in doubts
    assert len({step for step in keys.values() if step}) == len(keys), "one key for each step, however often it is sent"


def _everything_was_posted_once(store: Store, somebody: RoomPerson) -> None:
    keys = Counter(
        message["metadata"]["event_payload"]["key"] for message in somebody.messages(CHANNEL) if "metadata" in message
    )
    assert max(keys.values()) == 1, [key for key, times in keys.items() if times > 1]
    assert not store.parked()
    assert {f"{RUN}/doubt-{event.step}#{event.attempt}" for event in _events(store, StepInDoubt)} <= set(keys)
    notes = [row.position for row in store.rows() if isinstance(row, EventRow) and row.type == NoteTaken.__name__]
    assert {f"{position}.0" for position in notes} <= set(keys)


def _events(store: Store, kind: type[_SomeEvent]) -> Iterator[_SomeEvent]:
    for row in store.rows():
        if isinstance(row, EventRow) and row.type == kind.__name__:
            event = decode(row)[1]
            assert isinstance(event, kind)
            yield event
