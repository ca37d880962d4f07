"""SIPp, an independent SIP implementation, on either end of a call."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.core.model import Cell, Outcome, Reading, Tick
from checks import take_tick
from checks.carrier import CarrierConfig, running_carrier


@pytest.fixture(autouse=True)
def _sipp(require_program: Callable[[str], Path]) -> None:
    require_program("sipp")


AT = datetime(2026, 12, 8, 2, 30, tzinfo=UTC)
NUMBER = "+447700900001"

BUSY = """<?xml version="1.0"?><scenario name="busy"><recv request="INVITE"/>
<send retrans="500"><![CDATA[

SIP/2.0 486 Busy Here
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Reason: Q.850;cause=17
Content-Length: 0

]]></send><recv request="ACK"/></scenario>"""

UNWILLING = BUSY.replace("486 Busy Here", "404 Not Found").replace("cause=17", "cause=1")


async def test_a_call_to_sipp_is_heard_both_ways(tmp_path: Path) -> None:
    async with sipp(tmp_path, "-sn", "uas", "-rtp_echo") as port:
        reading = await voice(port)
    assert reading.outcome is Outcome.PASS, reading.detail
    assert reading.metrics["audio_echoed_s"] > 0.3
    assert reading.metrics["rtp_packets_lost"] == 0


@pytest.mark.parametrize(
    ("scenario", "outcome", "cause"), [(BUSY, Outcome.INCONCLUSIVE, "17"), (UNWILLING, Outcome.FAIL, "1")]
)
async def test_a_refusal_by_sipp_is_acknowledged_and_judged(
    tmp_path: Path, scenario: str, outcome: Outcome, cause: str
) -> None:
    path = tmp_path / "scenario.xml"
    path.write_text(scenario)
    async with sipp(tmp_path, "-sf", str(path), "-m", "1") as port:
        reading = await voice(port)
    assert reading.outcome is outcome, reading.detail
    assert reading.evidence["q850_cause"] == cause


async def test_sipp_can_call_the_simulated_carrier() -> None:
    async with running_carrier(CarrierConfig(answer_after_s=0.01)) as carrier:
        host, port = "127.0.0.1", carrier.ports["sip-mno-a"]
        caller = await asyncio.create_subprocess_exec(
            "sipp", "-sn", "uac", "-s", NUMBER, "-m", "3", "-r", "10", "-d", "50", "-nostdin", "-timeout", "20",
            "-i", host, "-p", str(free_port()), "-mp", str(free_port()), f"{host}:{port}",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await asyncio.wait_for(caller.wait(), 30) == 0
        assert carrier.calls == 0


async def voice(port: int) -> Reading:
    cell = Cell(origin="sipp", service="voice", number=NUMBER)
    tick = Tick(run="r", check="c", kind="voice", cell=cell, scheduled_at=AT, timeout_s=20, params={})
    return await take_tick(tick, {"sip": {"sipp": {"host": "127.0.0.1", "port": port}}}, AT)


@asynccontextmanager
async def sipp(directory: Path, *arguments: str) -> AsyncIterator[int]:
    """Run SIPp as the answering end; with `-m` it must end well, as its scenario demands."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "sipp", *arguments, "-i", "127.0.0.1", "-p", str(port), "-mp", str(free_port()), "-nostdin",
        cwd=directory, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await listening(port, process)
        yield port
        if "-m" in arguments:
            assert await asyncio.wait_for(process.wait(), 20) == 0, "SIPp did not get what RFC 3261 promises"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until the port is taken: SIPp says nothing when it is ready."""
    async with asyncio.timeout(10):
        while process.returncode is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return
            await asyncio.sleep(0.02)
    raise AssertionError("sipp ended before it listened")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
