"""An sms check over real SMPP, against our SMSC and against misbehaving ones."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.core.model import Cell, Outcome, Reading
from checks.carrier import Carrier
from checks.carrier.smsc import receipt_text
from checks.smpp import session as session_module
from checks.smpp.session import Receipt, read_receipt, same_message
from checks.sms import SmsParams

Take = Callable[..., Awaitable[Reading]]
pytestmark = pytest.mark.usefixtures("nothing_left")


def to(carrier: str) -> Cell:
    return Cell(origin=carrier, service="sms", number="+447700900001")


async def test_a_delivered_message_passes_with_its_end_to_end_time(carrier: Carrier, take: Take) -> None:
    reading = await take("sms", to("carrier-c"), carrier.targets)

    assert reading.outcome is Outcome.PASS, reading.detail
    assert reading.detail.startswith("receipt in ")
    assert reading.evidence["receipt_state"] == "DELIVRD"
    assert 0 < reading.metrics["sms_submit_time_s"] < reading.metrics["sms_end_to_end_delivery_time_s"]


async def test_a_lost_receipt_fails_for_that_carrier_alone(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("sms-receipts-lost:carrier-c")
    lost, fine = await asyncio.gather(
        take("sms", to("carrier-c"), carrier.targets, receipt_within="0.3s"),
        take("sms", to("carrier-d"), carrier.targets, receipt_within="5s"),
    )
    assert lost.outcome is Outcome.FAIL
    assert lost.detail == "no delivery receipt in 0.3 s, limit 0.3 s (carrier-c)"
    assert fine.outcome is Outcome.PASS, fine.detail


async def test_a_wrong_password_is_not_measured_and_not_called_down(carrier: Carrier, take: Take) -> None:
    targets = changed(carrier, password="wrong")
    reading = await take("sms", to("carrier-c"), targets, bind_within="0.5s")

    assert reading.outcome is Outcome.ERROR
    assert reading.detail == (
        "not measured: carrier-c refused our account 'switchroom': wrong password (0x0e); check system_id and password"
    )


async def test_a_carrier_that_takes_no_connection_is_not_measured(carrier: Carrier, take: Take) -> None:
    reading = await take("sms", to("carrier-c"), changed(carrier, port=1), bind_within="0.5s")
    assert reading.outcome is Outcome.ERROR
    assert reading.detail.startswith("not measured: carrier-c cannot be reached at 127.0.0.1:1: ")


async def test_a_port_that_speaks_something_else_is_said_so(carrier: Carrier, take: Take) -> None:
    reading = await take("sms", to("carrier-c"), changed(carrier, port=carrier.ports["site"]), bind_within="0.5s")
    assert reading.outcome is Outcome.ERROR
    assert "does not speak SMPP" in reading.detail


async def test_a_password_too_long_for_smpp_never_reaches_the_engine(carrier: Carrier, take: Take) -> None:
    reading = await take("sms", to("carrier-c"), changed(carrier, password="much-too-long"))
    assert reading.outcome is Outcome.ERROR
    assert "longer than the 8 bytes of SMPP 3.4" in reading.detail


@pytest.mark.parametrize(
    ("status", "outcome", "detail"),
    [
        (0x0B, Outcome.FAIL, "0 of 1 messages taken: invalid destination (0x0b, carrier-c)"),
        (0x58, Outcome.ERROR, "not measured: carrier-c says we send too fast (0x58); lower the rate of this account"),
    ],
)
async def test_a_refused_submission_is_the_networks_answer_unless_it_is_our_rate(
    carrier: Carrier, take: Take, status: int, outcome: Outcome, detail: str
) -> None:
    async with an_smsc(submit_status=status) as port:
        reading = await take("sms", to("carrier-c"), changed(carrier, port=port))
    assert (reading.outcome, reading.detail) == (outcome, detail)


async def test_a_submission_without_an_answer_fails_at_its_limit(carrier: Carrier, take: Take) -> None:
    async with an_smsc(submit_status=None) as port:
        reading = await take("sms", to("carrier-c"), changed(carrier, port=port), submit_within="0.2s")
    assert reading.outcome is Outcome.FAIL
    assert reading.detail.startswith("no answer to the submission in 0.2 s, limit 0.2 s")


async def test_an_undelivered_message_fails_and_another_messages_receipt_is_ignored(
    carrier: Carrier, take: Take
) -> None:
    async with an_smsc(
        receipts=[("77", "DELIVRD"), ("1a", "ACCEPTD"), ("0000026", "UNDELIV")], message_id="1a"
    ) as port:
        reading = await take("sms", to("carrier-c"), changed(carrier, port=port))
    assert reading.outcome is Outcome.FAIL
    assert reading.detail.startswith("0 of 1 messages delivered: receipt UNDELIV after ")


def test_receipts_name_their_message_in_text_or_tlv_and_ordinary_messages_are_none() -> None:
    assert read_receipt(4, b"id:7 sub:001 stat:EXPIRED err:011 text:x", {}) == Receipt("7", "EXPIRED", "011")
    assert read_receipt(4, b"", {0x1E: b"abc\0", 0x427: b"\x02"}) == Receipt("abc", "DELIVRD")
    assert read_receipt(0, b"id:7 stat:DELIVRD", {}) is None
    assert read_receipt(4, b"no id here", {}) is None


def test_a_receipt_of_our_smsc_says_when_its_message_was_sent_and_delivered() -> None:
    text = receipt_text("c1", datetime(2026, 12, 8, 2, 30, tzinfo=UTC), datetime(2026, 12, 8, 2, 31, tzinfo=UTC))
    assert " submit date:2612080230 done date:2612080231 " in text
    assert read_receipt(4, text.encode(), {}) == Receipt("c1", "DELIVRD", "000")


def test_ids_in_hex_and_decimal_and_padded_are_one_message() -> None:
    assert same_message("0000026", "26")
    assert same_message("26", "1A")
    assert same_message("ABC", "abc")
    assert same_message("1A", "26")
    assert not same_message("27", "1b1")
    assert not same_message("38", "26")
    assert not same_message("26", "38")


async def test_a_receipt_that_comes_in_another_session_of_the_account_is_still_found(
    carrier: Carrier, take: Take
) -> None:
    async with an_smsc(crossed=True) as port:
        readings = await asyncio.gather(
            *(take("sms", to("carrier-c"), changed(carrier, port=port), receipt_within="3s") for _ in range(2))
        )
    assert [reading.outcome for reading in readings] == [Outcome.PASS] * 2, [reading.detail for reading in readings]
    assert {reading.evidence["message_id"] for reading in readings} == {"1", "2"}
    assert not session_module._bound_now


def test_the_service_limit_leaves_out_our_own_bind() -> None:
    assert SmsParams(bind_within=9, submit_within=5, receipt_within=30).service_limit_s() == 35


def changed(carrier: Carrier, **changes: object) -> dict[str, Any]:
    bind = carrier.targets["smpp"]["carrier-c"]
    return {**carrier.targets, "smpp": {"carrier-c": {**bind, **changes}}}


HEADER = struct.Struct("!IIII")


def pdu(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    return HEADER.pack(16 + len(body), command, status, sequence) + body


def deliver(sequence: int, receipt: tuple[str, str]) -> bytes:
    text = f"id:{receipt[0]} sub:001 dlvrd:000 stat:{receipt[1]} err:001 text:".encode()
    head = b"\0\x01\x01447700900001\0\x01\x01447700900990\0\x04\0\0\0\0\0\0\0\0"
    return pdu(5, 0, sequence, head + bytes([len(text)]) + text)


def cross(submitted: list[asyncio.StreamWriter]) -> None:
    if len(submitted) == 2:
        for number, other in enumerate(reversed(submitted), start=1):
            other.write(deliver(100, (str(number), "DELIVRD")))


@asynccontextmanager
async def an_smsc(
    *,
    submit_status: int | None = 0,
    message_id: str = "1",
    receipts: list[tuple[str, str]] | None = None,
    crossed: bool = False,
) -> AsyncIterator[int]:
    """
    Run an SMSC written by hand, so that it can do what ours never does.

    Where *crossed*, it waits for two sessions and gives each the receipt of the other.
    """
    sessions: set[asyncio.Task[Any]] = set()
    submitted: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sessions.add(task)
        try:
            while True:
                length, command, _, sequence = HEADER.unpack(await reader.readexactly(16))
                await reader.readexactly(length - 16)
                if command == 9:
                    writer.write(pdu(0x80000009, 0, sequence, b"x\0"))
                elif command == 4 and crossed:
                    submitted.append(writer)
                    writer.write(pdu(0x80000004, 0, sequence, str(len(submitted)).encode() + b"\0"))
                    cross(submitted)
                elif command == 4 and submit_status is not None:
                    body = message_id.encode() + b"\0" if submit_status == 0 else b""
                    writer.write(pdu(0x80000004, submit_status, sequence, body))
                    for number, receipt in enumerate(receipts or [], start=100):
                        writer.write(deliver(number, receipt))
                elif command == 6:
                    writer.write(pdu(0x80000006, 0, sequence))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.gather(*sessions), 5)
