"""An ivr check: the prompt is real audio over RTP."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from bot.core.model import Cell, Outcome, Reading
from checks.carrier import Carrier
from checks.carrier.lines import Lines
from checks.sip.media import FarMedia

Take = Callable[..., Awaitable[Reading]]

CARE = Cell(origin="mno-a", service="ivr", number="+447700900100")
pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_the_wanted_prompt_passes_after_a_second_of_listening(carrier: Carrier, take: Take) -> None:
    reading = await take("ivr", CARE, carrier.targets, expect="welcome")

    assert reading.outcome is Outcome.PASS, reading.detail
    assert "the prompt is 'welcome', as wanted" in reading.detail
    assert reading.metrics["prompt_score"] > 0.9
    assert reading.metrics["listened_s"] <= 1.5


async def test_a_prompt_that_begins_late_is_waited_for_as_long_as_it_may_take(
    carrier: Carrier, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Lines.connect

    def late(lines: Lines, far: FarMedia, prompt: Sequence[bytes] = (), *, echoes: bool = True) -> None:
        asyncio.get_running_loop().call_later(2.2, lambda: connect(lines, far, prompt, echoes=echoes))

    monkeypatch.setattr(Lines, "connect", late)
    reading = await take("ivr", CARE, carrier.targets, expect="welcome", listen="6s")

    assert reading.outcome is Outcome.PASS, reading.detail
    assert reading.metrics["prompt_score"] > 0.9


async def test_another_known_prompt_fails_and_is_named(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("wrong-ivr-prompt")
    reading = await take("ivr", CARE, carrier.targets, expect="welcome")

    assert reading.outcome is Outcome.FAIL
    assert reading.detail.endswith("match, limit 0.65: the prompt is 'number-not-in-service', wanted 'welcome' (mno-a)")


async def test_a_sound_that_is_no_known_prompt_is_inconclusive_with_the_nearest(carrier: Carrier, take: Take) -> None:
    line = Cell(origin="mno-a", service="ivr", number="+447700900001")
    carrier.set_fault("one-way-audio")  # the line tone goes on and on
    reading = await take("ivr", line, carrier.targets, expect="welcome", listen="1.25s")

    assert reading.outcome is Outcome.INCONCLUSIVE, reading.detail
    assert "no known prompt after 1.2" in reading.detail
    assert "nearest: " in reading.detail


async def test_a_trunk_where_nothing_listens_is_not_measured(carrier: Carrier, take: Take) -> None:
    targets = {**carrier.targets, "sip": {"mno-a": {"host": "127.0.0.1", "port": 1}}}
    reading = await take("ivr", CARE, targets, expect="welcome")
    assert reading.outcome is Outcome.ERROR
    assert reading.detail.startswith("not measured: nothing listens at the trunk of mno-a")


async def test_a_number_that_is_not_found_fails(carrier: Carrier, take: Take) -> None:
    reading = await take("ivr", Cell(origin="mno-a", number="+447700900199"), carrier.targets, expect="welcome")
    assert reading.outcome is Outcome.FAIL
    assert reading.detail.startswith("404 Not Found after ")


async def test_an_expected_prompt_without_a_recording_is_not_measured(carrier: Carrier, take: Take) -> None:
    reading = await take("ivr", CARE, carrier.targets, expect="wellcome")
    assert reading.outcome is Outcome.ERROR
    assert "there is no recording 'wellcome'; there are: all-lines-busy, " in reading.detail
