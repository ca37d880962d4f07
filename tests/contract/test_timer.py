"""The Timer port: what holds for the one on the wall's clock holds for the one whose time stands still."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bot.adapters.clock import FastClock, WallClock
from bot.adapters.timer import ApsTimer
from bot.core.model import Utc
from bot.core.ports import Clock, Timer
from bot.rehearsal.virtual import VirtualClock, VirtualTimer

START = datetime(2026, 12, 8, 2, tzinfo=UTC)
SPAN = timedelta(minutes=1)
#: A minute of the fast clock takes a quarter of a second.
SPEED = 240.0
_PATIENCE_S = 10.0


@dataclass(slots=True)
class Bench:
    """A timer, its clock, and how to let time go on until something is so."""

    clock: Clock
    timer: Timer
    called: list[tuple[str, Utc]] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, name: str, when: Utc) -> None:
        self.called.append((name, when))
        self.heard.set()

    def note(self, name: str) -> Callable[[], None]:
        """Return a call for `at` that notes *name* and the time."""
        return lambda: self.add(name, self.clock.now())

    def note_due(self, name: str) -> Callable[[Utc], None]:
        """Return a call for `every` that notes *name* and the time it was due."""
        return lambda due: self.add(name, due)

    def names(self) -> list[str]:
        return [name for name, _ in self.called]

    def dues(self, name: str) -> list[Utc]:
        return [due for called, due in self.called if called == name]

    async def until(self, so: Callable[[], bool]) -> None:
        """Let time go on until *so*."""
        async with asyncio.timeout(_PATIENCE_S):
            while not so():
                if isinstance(self.timer, VirtualTimer):
                    assert self.timer.advance_to_next(), "nothing will ever be called again"
                else:
                    self.heard.clear()
                    await self.heard.wait()


def _virtual() -> Bench:
    clock = VirtualClock(START)
    return Bench(clock, VirtualTimer(clock))


def _wall() -> Bench:
    clock = FastClock(START, WallClock().now(), SPEED)
    return Bench(clock, ApsTimer(clock))


@pytest.fixture(params=["virtual", "apscheduler"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    made = _virtual() if request.param == "virtual" else _wall()
    yield made
    made.timer.close()


@pytest.fixture
def virtual() -> Bench:
    return _virtual()


async def test_a_call_comes_once_and_not_before_its_time(bench: Bench) -> None:
    when = bench.clock.now() + SPAN
    bench.timer.at("a", when, bench.note("a"))
    bench.timer.at("end", when + SPAN, bench.note("end"))
    await bench.until(lambda: "end" in bench.names())
    assert bench.names() == ["a", "end"]
    assert bench.called[0][1] >= when


async def test_a_new_call_with_the_same_key_replaces_the_old_one(bench: Bench) -> None:
    now = bench.clock.now()
    bench.timer.at("a", now + SPAN, bench.note("old"))
    bench.timer.at("a", now + 2 * SPAN, bench.note("new"))
    bench.timer.every("b", SPAN, bench.note_due("old"), offset=SPAN)
    bench.timer.every("b", SPAN, bench.note_due("newer"), offset=SPAN)
    await bench.until(lambda: {"new", "newer"} <= set(bench.names()))
    assert "old" not in bench.names()


async def test_a_cancelled_call_does_not_come_and_an_unknown_key_is_no_fault(bench: Bench) -> None:
    now = bench.clock.now()
    bench.timer.at("a", now + SPAN, bench.note("a"))
    bench.timer.every("b", SPAN, bench.note_due("b"), offset=SPAN)
    bench.timer.at("end", now + 3 * SPAN, bench.note("end"))
    for key in ("a", "b", "nobody"):
        bench.timer.cancel(key)
    await bench.until(lambda: "end" in bench.names())
    assert bench.names() == ["end"]


def on_grid(dues: list[Utc]) -> bool:
    return all(later - sooner == SPAN for sooner, later in itertools.pairwise(dues))


async def test_each_call_is_told_its_due_time_on_the_grid(bench: Bench) -> None:
    before = bench.clock.now()
    bench.timer.every("a", SPAN, bench.note_due("a"), offset=SPAN / 2)
    after = bench.clock.now()
    await bench.until(lambda: len(bench.called) >= 4)
    dues = bench.dues("a")
    assert before + SPAN / 2 <= dues[0] <= after + SPAN / 2
    assert on_grid(dues)


async def test_a_call_whose_time_is_past_still_comes(bench: Bench) -> None:
    bench.timer.at("late", bench.clock.now() - SPAN, bench.note("late"))
    await bench.until(lambda: bench.names() == ["late"])


async def test_a_call_that_takes_long_costs_no_other_its_turn(bench: Bench) -> None:
    """The loop is held up for several spans: every due time is called all the same, in order."""

    def hold(due: Utc) -> None:
        end = due + 4 * SPAN
        if "slow" not in bench.names() and isinstance(bench.clock, VirtualClock):
            bench.clock.set(end)
        while "slow" not in bench.names() and bench.clock.now() < end:
            pass
        bench.add("slow", due)

    bench.timer.every("slow", SPAN, hold, offset=SPAN)
    bench.timer.every("other", SPAN, bench.note_due("other"), offset=SPAN * 1.5)
    await bench.until(lambda: all(len(bench.dues(name)) >= 6 for name in ("slow", "other")))
    assert on_grid(bench.dues("slow"))
    assert on_grid(bench.dues("other"))


async def test_a_call_that_fails_takes_nothing_with_it(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(due: Utc) -> None:
        bench.add("broken", due)
        raise RuntimeError("on purpose")

    bench.timer.every("broken", SPAN, broken, offset=SPAN)
    bench.timer.at("other", bench.clock.now() + 1.5 * SPAN, bench.note("other"))
    await bench.until(lambda: bench.names().count("broken") >= 2 and "other" in bench.names())
    assert "timer call failed" in capsys.readouterr().out


async def test_a_call_may_ask_for_the_next_one_under_its_own_key(bench: Bench) -> None:
    def first() -> None:
        bench.add("first", bench.clock.now())
        bench.timer.at("wake", bench.clock.now() + SPAN, bench.note("second"))

    bench.timer.at("wake", bench.clock.now() + SPAN, first)
    await bench.until(lambda: bench.names() == ["first", "second"])


async def test_a_closed_timer_calls_nobody(bench: Bench) -> None:
    other = _virtual() if isinstance(bench.timer, VirtualTimer) else _wall()
    bench.timer.at("a", bench.clock.now() + SPAN, bench.note("a"))
    bench.timer.every("b", SPAN, bench.note_due("b"), offset=SPAN)
    bench.timer.close()
    other.timer.at("end", other.clock.now() + 3 * SPAN, other.note("end"))
    await other.until(lambda: other.names() == ["end"])
    other.timer.close()
    assert bench.called == []


# -------------------------------------------------------------------------------------- virtual only


def test_virtual_time_stands_still_until_it_is_told_to_go_on(virtual: Bench) -> None:
    virtual.timer.at("a", START + SPAN, virtual.note("a"))
    assert virtual.clock.now() == START
    assert isinstance(virtual.timer, VirtualTimer)
    assert virtual.timer.next_at == START + SPAN
    assert virtual.timer.advance_to_next()
    assert virtual.called == [("a", START + SPAN)]
    assert not virtual.timer.advance_to_next()


def test_virtual_time_never_goes_back() -> None:
    clock = VirtualClock(START)
    with pytest.raises(ValueError, match="is past"):
        clock.set(START - SPAN)
    assert clock.now() == START


async def test_running_until_a_time_calls_everything_until_then_in_order_and_lets_each_settle(virtual: Bench) -> None:
    settled: list[Utc] = []

    async def settle() -> None:
        settled.append(virtual.clock.now())

    assert isinstance(virtual.timer, VirtualTimer)
    virtual.timer.every("b", 2 * SPAN, virtual.note_due("b"), offset=2 * SPAN)
    virtual.timer.every("a", SPAN, virtual.note_due("a"), offset=SPAN)
    await virtual.timer.run_until(START + 2.5 * SPAN, settle)
    assert virtual.called == [("a", START + SPAN), ("b", START + 2 * SPAN), ("a", START + 2 * SPAN)]
    assert virtual.clock.now() == START + 2.5 * SPAN
    assert settled == [START, START + SPAN, START + 2 * SPAN]


async def test_a_span_of_nothing_is_refused_since_time_would_never_go_on(virtual: Bench) -> None:
    with pytest.raises(ValueError, match="never let time go on"):
        virtual.timer.every("a", timedelta(0), virtual.note_due("a"), offset=SPAN)
