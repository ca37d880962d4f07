"""The model in place of probes: everything works but where and while a fault says otherwise."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.core.model import Cell, Outcome, Reading, Tick
from bot.rehearsal.modelled import Fault, ModelledProber
from bot.rehearsal.virtual import VirtualClock

START = datetime(2026, 12, 8, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
HERE = {"origin": "mno-b", "number": "+447700900001"}


def tick_of(check: str = "voice-inbound", kind: str = "voice", *, control: bool = False, **params: object) -> Tick:
    cell = Cell(**HERE, control=control)
    return Tick(run="r", check=check, kind=kind, cell=cell, scheduled_at=START, timeout_s=5, params=params)


def prober_at(when: datetime, *faults: Fault) -> ModelledProber:
    async def nobody(tick: Tick, reading: Reading, epoch: int) -> None:
        raise AssertionError(f"{tick} {reading} {epoch}")

    made = ModelledProber(VirtualClock(when), nobody)
    made.faults += faults
    return made


async def test_a_tick_is_answered_at_once_at_the_time_of_the_clock_under_its_lease() -> None:
    heard: list[tuple[str, datetime, int]] = []

    async def took(tick: Tick, reading: Reading, epoch: int) -> None:
        heard.append((tick.id, reading.at, epoch))

    await ModelledProber(VirtualClock(START + HOUR), took).issue([tick_of()], 7)
    assert heard == [(tick_of().id, START + HOUR, 7)]


def test_without_a_fault_everything_passes_with_figures_that_every_limit_takes() -> None:
    limits = [{"field": "lag.ms", "at_most": 30000}, {"field": "success_ratio", "at_least": 0.999}, {"field": "ok"}]
    reading = prober_at(START).reading(tick_of("sync", "http", all_of=limits))
    assert reading.outcome is Outcome.PASS
    assert reading.metrics == {"lag_ms": 0.0, "success_ratio": 0.999}
    flat = prober_at(START).reading(tick_of("sync", "http", field="balance", at_most=-5))
    assert flat.metrics == {"balance": -5.0}
    assert prober_at(START).reading(tick_of("data", "data")).metrics["dns_time_s"] < 1


@pytest.mark.parametrize(
    ("fault", "strikes"),
    [
        (Fault(), True),
        (Fault(check="voice-inbound", origin="mno-b"), True),
        (Fault(check="sms"), False),
        (Fault(origin="mno-a"), False),
        (Fault(number="+447700900001"), True),
        (Fault(number="+447700900002"), False),
        (Fault(since=START), True),
        (Fault(since=START + HOUR), False),
        (Fault(until=START), False),
        (Fault(since=START - HOUR, until=START + HOUR), True),
    ],
)
def test_a_fault_strikes_where_and_while_it_says(fault: Fault, *, strikes: bool) -> None:
    assert (prober_at(START, fault).reading(tick_of()).outcome is Outcome.FAIL) == strikes


def test_numbers_that_do_not_move_are_spared_unless_the_fault_is_theirs_too() -> None:
    assert prober_at(START, Fault()).reading(tick_of(control=True)).outcome is Outcome.PASS
    assert prober_at(START, Fault(controls=True)).reading(tick_of(control=True)).outcome is Outcome.FAIL


def test_a_probe_that_broke_measured_nothing_and_a_failure_measured_what_it_says() -> None:
    broken = prober_at(START, Fault(outcome=Outcome.ERROR, detail="not measured: no trunk")).reading(tick_of())
    assert (broken.outcome, broken.metrics, broken.detail) == (Outcome.ERROR, {}, "not measured: no trunk")
    slow = prober_at(START, Fault(metrics={"telephony_setup_time_s": 9.4})).reading(tick_of())
    assert slow.metrics["telephony_setup_time_s"] == 9.4


def test_the_first_fault_that_strikes_is_what_is_found() -> None:
    prober = prober_at(START, Fault(check="sms"), Fault(detail="first"), Fault(detail="second"))
    assert prober.reading(tick_of()).detail == "first"
