"""
One SMSC of the simulated carrier: binds, submissions, and a delivery receipt for each message.

Real SMPP 3.4 over TCP: the checks' client cannot tell it from a carrier's. It refuses a wrong password with the
status a carrier uses, and with `sms-receipts-lost` on it takes messages and stays silent.
"""

import asyncio
import struct
from contextlib import suppress
from datetime import UTC, datetime

import smpp34

from checks.carrier.faults import Faults
from checks.smpp.session import MESSAGE_STATE, RECEIPTED_MESSAGE_ID

_HEADER = struct.Struct("!IIII")
_LARGEST = 65536
_ANSWER = 0x80000000
_BINDS = frozenset({0x01, 0x02, 0x09})
_SUBMIT, _DELIVER, _UNBIND, _ENQUIRE, _NACK = 0x04, 0x05, 0x06, 0x15, 0x80000000
_NOT_BOUND, _WRONG_PASSWORD, _WRONG_ID, _WRONG_DESTINATION, _UNKNOWN_COMMAND = 0x04, 0x0E, 0x0F, 0x0B, 0x03
_RECEIPT_CLASS = 0x04


class Smsc:
    """The server of one carrier."""

    def __init__(self, name: str, system_id: str, password: str, faults: Faults, receipt_after_s: float) -> None:
        self.name = name
        self.taken = 0
        self._account = (system_id, password)
        self._faults = faults
        self._receipt_after_s = receipt_after_s
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the listener and every session."""
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._sessions.add(task)
        session = _Session(self, writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._one(reader, session):
                    pass
        finally:
            session.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            if task is not None:
                self._sessions.discard(task)

    async def _one(self, reader: asyncio.StreamReader, session: "_Session") -> bool:
        head = await reader.readexactly(_HEADER.size)
        length, command, _, sequence = _HEADER.unpack(head)
        if not _HEADER.size <= length <= _LARGEST:
            return False
        body = await reader.readexactly(length - _HEADER.size)
        return session.take(command, sequence, head + body)

    def bind_status(self, body: bytes) -> int:
        """Return the status of a bind with this body; zero is welcome."""
        system_id, password = (word.decode("latin-1") for word in [*body.split(b"\0", 2), b""][:2])
        if system_id != self._account[0]:
            return _WRONG_ID
        return 0 if password == self._account[1] else _WRONG_PASSWORD

    def receipt_due(self) -> float | None:
        """Return after how many seconds the receipt goes out, or None where it is lost."""
        return None if self._faults.active("sms-receipts-lost", self.name) else self._receipt_after_s


class _Session:
    """One bound client."""

    def __init__(self, smsc: Smsc, writer: asyncio.StreamWriter) -> None:
        self._smsc = smsc
        self._writer = writer
        self._bound = False
        self._sequence = 0
        self._due: list[asyncio.TimerHandle] = []

    def close(self) -> None:
        for handle in self._due:
            handle.cancel()
        self._due.clear()
        self._writer.close()

    def take(self, command: int, sequence: int, pdu: bytes) -> bool:
        """Answer one PDU; return whether the session goes on."""
        if command in _BINDS:
            status = self._smsc.bind_status(pdu[_HEADER.size :])
            self._bound = status == 0
            self._answer(command, status, sequence, self._smsc.name.encode() + b"\0" if self._bound else b"")
            return self._bound
        if command == _SUBMIT:
            self._submit(sequence, pdu)
        elif command in {_ENQUIRE, _UNBIND}:
            self._answer(command, 0, sequence)
        elif not command & _ANSWER:
            self._answer(_NACK, _UNKNOWN_COMMAND, sequence)
        return command != _UNBIND

    def _submit(self, sequence: int, pdu: bytes) -> None:
        if not self._bound:
            self._answer(_SUBMIT, _NOT_BOUND, sequence)
            return
        message = smpp34.decode(pdu)
        if not isinstance(message, smpp34.SubmitSm) or not message.destination_addr.lstrip("+").isdecimal():
            self._answer(_SUBMIT, _WRONG_DESTINATION, sequence)
            return
        self._smsc.taken += 1
        message_id = f"{self._smsc.name[-1]}{self._smsc.taken:08d}"
        self._answer(_SUBMIT, 0, sequence, message_id.encode() + b"\0")
        due = self._smsc.receipt_due()
        if message.registered_delivery & 0x03 == 1 and due is not None:
            now = asyncio.get_running_loop().time()
            self._due = [handle for handle in self._due if handle.when() > now]
            self._due.append(asyncio.get_running_loop().call_later(due, self._deliver, message, message_id, _now()))

    def _deliver(self, message: smpp34.SubmitSm, message_id: str, submitted: datetime) -> None:
        text = receipt_text(message_id, submitted, _now())
        self._sequence += 1
        receipt = smpp34.DeliverSm(
            message.destination_addr,
            message.source_addr,
            text.encode(),
            esm_class=_RECEIPT_CLASS,
            sequence_number=self._sequence,
            tlvs=[
                smpp34.Tlv(RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"),
                smpp34.Tlv(MESSAGE_STATE, b"\x02"),
            ],
        )
        if not self._writer.is_closing():
            self._writer.write(receipt.encode())

    def _answer(self, command: int, status: int, sequence: int, body: bytes = b"") -> None:
        self._writer.write(_HEADER.pack(_HEADER.size + len(body), command | _ANSWER, status, sequence) + body)


def receipt_text(message_id: str, submitted: datetime, done: datetime) -> str:
    """Return the text of a receipt (SMPP 3.4, appendix B)."""
    form = "%y%m%d%H%M"
    dates = f"submit date:{submitted:{form}} done date:{done:{form}}"
    return f"id:{message_id} sub:001 dlvrd:001 {dates} stat:DELIVRD err:000 text:"


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the simulated systems live on the wall clock, outside the product
