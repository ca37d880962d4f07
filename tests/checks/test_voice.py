"""A voice check over real SIP and RTP on loopback."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import pytest

from bot.core.model import Cell, Outcome, Reading
from checks import NotMeasured, kinds
from checks.carrier import Carrier
from checks.sip.call import Progress
from checks.sip.media import Media, silence
from checks.sip.verdict import refuse_if_stalled
from checks.voice import VoiceCheck, VoiceParams

Take = Callable[..., Awaitable[Reading]]

MOVED, CONTROL, OUTSIDE = "+447700900001", "+447700900901", "+447700900201"
pytestmark = pytest.mark.usefixtures("nothing_left")


def cell(origin: str = "mno-b", number: str = MOVED, *, control: bool = False) -> Cell:
    return Cell(origin=origin, service="voice", number=number, control=control)


async def test_a_healthy_call_passes_with_audio_both_ways(carrier: Carrier, take: Take) -> None:
    reading = await take("voice", cell(), carrier.targets, hold="0.4s")

    assert reading.outcome is Outcome.PASS, reading.detail
    assert reading.detail.endswith("audio both ways (mno-b)")
    assert reading.evidence["sip_status"] == "200 OK"
    for name in ("telephony_setup_time_s", "answer_time_s", "audio_received_s", "audio_echoed_s", "rtp_packets_sent"):
        assert reading.metrics[name] > 0, name
    assert reading.metrics["telephony_setup_time_s"] <= reading.metrics["answer_time_s"]
    assert reading.metrics["audio_received_s"] >= reading.metrics["audio_echoed_s"]


async def test_an_outbound_call_passes(carrier: Carrier, take: Take) -> None:
    reading = await take("voice", cell("mvno", OUTSIDE), carrier.targets, direction="outbound", hold=0.4)
    assert reading.outcome is Outcome.PASS, reading.detail


async def test_the_number_is_served_by_the_old_network_until_it_is_ported(carrier: Carrier, take: Take) -> None:
    before = await take("voice", cell(), carrier.targets, audio="none")
    await carrier.activate()
    after = await take("voice", cell(), carrier.targets, audio="none")

    assert (before.outcome, after.outcome) == (Outcome.PASS, Outcome.PASS)
    assert (before.evidence["answered_by"], after.evidence["answered_by"]) == ("old-network", "new-network")


async def test_a_404_to_a_moved_number_is_called_stale_routing(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("origin-fails")
    failed = await take("voice", cell(), carrier.targets)
    control = await take("voice", cell(number=CONTROL, control=True), carrier.targets, audio="none")
    other = await take("voice", cell("mno-a"), carrier.targets, audio="none")

    assert failed.outcome is Outcome.FAIL
    assert failed.detail.startswith("404 Not Found after ")
    assert failed.detail.endswith("an answer was due in 10 s: not found, the signature of stale routing (mno-b)")
    assert failed.evidence["q850_cause"] == "1"
    assert "answer_time_s" not in failed.metrics
    assert (control.outcome, other.outcome) == (Outcome.PASS, Outcome.PASS)


async def test_stale_routing_hurts_only_while_the_number_is_ported(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("stale-routing")
    before = await take("voice", cell(), carrier.targets, audio="none")
    await carrier.activate()
    during = await take("voice", cell(), carrier.targets, audio="none")
    await carrier.port_back()
    after = await take("voice", cell(), carrier.targets, audio="none")

    assert [reading.outcome for reading in (before, during, after)] == [Outcome.PASS, Outcome.FAIL, Outcome.PASS]


async def test_a_404_to_a_number_that_never_moved_is_not_called_stale(carrier: Carrier, take: Take) -> None:
    reading = await take("voice", cell(number="+447700900555", control=True), carrier.targets)
    assert reading.outcome is Outcome.FAIL
    assert "stale" not in reading.detail


async def test_one_way_audio_fails_and_says_which_way(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("one-way-audio:mno-b")
    reading = await take("voice", cell(), carrier.targets, audio_within="0.5s")
    to_us = await take("voice", cell(), carrier.targets, audio="to-us")

    assert reading.outcome is Outcome.FAIL
    assert reading.detail == (
        "0.00 s of our audio came back in 0.5 s, at least 0.1 s needed: one-way audio, "
        "we hear them and they do not hear us (mno-b)"
    )
    assert reading.metrics["audio_received_s"] > 0.3
    assert to_us.outcome is Outcome.PASS


async def test_a_call_cut_off_by_the_network_fails_with_its_cause(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("calls-cut-off")
    reading = await take("voice", cell(), carrier.targets, hold="2s")

    assert reading.outcome is Outcome.FAIL
    assert reading.detail.startswith("cut off by the network after 0.2")
    assert reading.metrics["cut_off"] == 1.0
    assert reading.evidence["q850_cause"] == "41"


@pytest.mark.parametrize(
    ("ended", "wanted"),
    [
        (1.25, "cut off by the network after 0.25 s, to be kept up for 0.6 s"),
        (2.5, "cut off by the network after 1.50 s, before this probe ended the call"),
    ],
)
def test_a_call_cut_off_is_measured_against_its_hold_only_within_it(ended: float, wanted: str) -> None:
    progress = Progress(status=200, final_at=1.0, cut_off=True, cut_off_at=ended)
    assert VoiceCheck(VoiceParams(hold=0.6))._fault(progress, Media("127.0.0.1", silence())) == wanted


async def test_a_call_that_rings_too_long_fails_with_its_limit(carrier: Carrier, take: Take) -> None:
    carrier.set_answer_after(5.0)
    reading = await take("voice", cell(), carrier.targets, answer_within="0.2s")

    assert reading.outcome is Outcome.FAIL
    assert reading.detail == "no answer in 0.2 s, limit 0.2 s: it never rang (mno-b)"


async def test_a_trunk_where_nothing_listens_is_not_measured(carrier: Carrier, take: Take) -> None:
    targets = {**carrier.targets, "sip": {"gone": {"host": "127.0.0.1", "port": 1}}}
    reading = await take("voice", cell("gone"), targets)

    assert reading.outcome is Outcome.ERROR
    assert reading.detail == "not measured: nothing listens at the trunk of gone (127.0.0.1:1)"


async def test_a_trunk_that_says_nothing_at_all_is_not_measured(carrier: Carrier, take: Take) -> None:
    targets = {**carrier.targets, "sip": {"mute": {"host": "127.0.0.1", "port": carrier.ports["dns"]}}}
    reading = await take("voice", cell("mute"), targets, answer_within="0.3s")

    assert reading.outcome is Outcome.ERROR
    assert reading.detail == "not measured: the trunk of mute gave no response at all in 0.3 s"


async def test_a_target_that_is_not_in_the_deployment_file_is_not_measured(carrier: Carrier, take: Take) -> None:
    reading = await take("voice", cell("mno-x"), carrier.targets)
    assert reading.outcome is Outcome.ERROR
    assert "no target sip.mno-x; it has: donor, fixed, mno-a, mno-b, mvno" in reading.detail


async def test_the_probes_own_timeout_is_an_error_and_takes_the_call_down(carrier: Carrier, take: Take) -> None:
    reading = await take("voice", cell(), carrier.targets, timeout_s=0.3, hold="5s")

    assert reading.outcome is Outcome.ERROR
    assert "own timeout of 0.3 s" in reading.detail
    await no_calls(carrier)


async def test_a_cancelled_measurement_takes_the_call_down(carrier: Carrier, take: Take) -> None:
    taking = asyncio.ensure_future(take("voice", cell(), carrier.targets, hold="5s"))
    async with asyncio.timeout(5):
        while not carrier.calls:  # noqa: ASYNC110 - the carrier shows its calls, it does not announce them
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await no_calls(carrier)


async def test_twenty_calls_at_once_are_all_measured_apart(carrier: Carrier, take: Take) -> None:
    origins = ("mno-a", "mno-b", "donor", "fixed")
    carrier.set_fault("origin-fails:donor")
    readings = await asyncio.gather(*(take("voice", cell(origin), carrier.targets, hold=0.4) for origin in origins * 5))

    for reading in readings:
        wanted = Outcome.FAIL if reading.cell.origin == "donor" else Outcome.PASS
        assert reading.outcome is wanted, reading.detail
    await no_calls(carrier)


def test_the_service_limit_is_the_answer_and_the_hold() -> None:
    assert VoiceParams(answer_within=10, audio_within=2).service_limit_s() == 12
    assert VoiceParams(answer_within=10, hold=5).service_limit_s() == 15
    assert VoiceParams(answer_within=10, audio="none").service_limit_s() == 10
    assert kinds()["voice"].Params is VoiceParams


async def no_calls(carrier: Carrier) -> None:
    async with asyncio.timeout(5):
        while carrier.calls:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


def test_silence_on_an_overloaded_probe_is_not_the_networks_fault() -> None:
    stalled = Media("127.0.0.1", silence(), sent=10)
    stalled._began = perf_counter() - 1.0
    with pytest.raises(NotMeasured, match=r"this probe worker is too busy: 10 of 5\d audio packets sent on time"):
        refuse_if_stalled(stalled)
    stalled.sent = 45
    refuse_if_stalled(stalled)
