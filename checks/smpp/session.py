"""
One SMPP session: bind, submit, wait for the receipt of that very message, unbind.

It says apart what an operator must not confuse: the SMSC cannot be reached, it refused our password, it refused
the message, the receipt did not come. It judges none of it. Every wait is bounded here, because the SMPP engine
notices a silent SMSC only after a minute.
"""

import asyncio
import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import smpp34

from checks import NotMeasured

_BIND_TRANSCEIVER = 0x00000009
_ANSWER = 0x80000000
_HEADER = struct.Struct("!IIII")
_WRONG_ACCOUNT = {0x0D: "bind failed", 0x0E: "wrong password", 0x0F: "wrong system id"}
_ASK_FOR_RECEIPT = 0x01
_RECEIPT_CLASS = 0x04
#: TLV tags (SMPP 3.4, 5.3.2).
RECEIPTED_MESSAGE_ID = 0x001E
MESSAGE_STATE = 0x0427
_RECEIPT_FIELD = re.compile(r"\b(id|stat|err):(\S*)")
_HEX_LETTER = re.compile(r"[a-fA-F]")
_STATES = {
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
}

#: A longer text makes the engine stop in a way that cannot be caught.
LONGEST_MESSAGE = 254
LONGEST_PASSWORD = 8


@dataclass(frozen=True, slots=True)
class Account:
    """Where to bind, and as whom."""

    carrier: str
    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The SMSC's answer to a submission."""

    status: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A delivery receipt: the message it is for, and its final or interim state."""

    message_id: str
    state: str
    error: str = ""

    @property
    def final(self) -> bool:
        """True where no other receipt is to follow."""
        return self.state not in {"ENROUTE", "ACCEPTD"}


_Mail = asyncio.Queue[Receipt | NotMeasured]
#: The mail of the sessions bound now, by account: an SMSC hands a receipt to whichever session it likes of one account.
_bound_now: dict[tuple[str, int, str], set[_Mail]] = {}


class Session:
    """A bound session, as an async context manager."""

    def __init__(self, account: Account, bind_within: float) -> None:
        # The engine ends its own thread on a longer password, and the bind then waits for nothing.
        if len(account.password.encode()) > LONGEST_PASSWORD:
            raise NotMeasured(
                f"the password for {account.carrier} is longer than the {LONGEST_PASSWORD} bytes of SMPP 3.4"
            )
        self._account = account
        self._bind_within = bind_within
        self._client = smpp34.Client(
            account.host,
            account.port,
            account.system_id,
            account.password,
            system_type=account.system_type,
            bind_type="TRX",
            connect_timeout_ms=max(1, int(bind_within * 1000)),
        )
        self._smsc: smpp34.Smsc | None = None
        self._key = (account.host, account.port, account.system_id)
        self._mail: _Mail = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._bind_within):
                self._smsc = await self._client.connect()
        except (smpp34.SmppError, OSError, TimeoutError) as error:
            await self._stop()
            raise NotMeasured(await why_no_bind(self._account, self._bind_within)) from error
        except BaseException:
            await self._stop()
            raise
        _bound_now.setdefault(self._key, set()).add(self._mail)
        self._reading = asyncio.create_task(self._read_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if self._smsc is not None and kind is None:
                with suppress(smpp34.SmppError, OSError, TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._smsc.unbind()
        finally:
            self._leave()
            await self._stop()

    def _leave(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        peers = _bound_now.get(self._key, set())
        peers.discard(self._mail)
        if not peers:
            _bound_now.pop(self._key, None)

    async def _stop(self) -> None:
        with suppress(smpp34.SmppError, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._client.stop()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    async def submit(self, source: str, destination: str, text: bytes, within: float) -> Accepted:
        """Submit one message and ask for its receipt. Raises TimeoutError when the SMSC does not answer."""
        if len(text) > LONGEST_MESSAGE:
            raise NotMeasured(f"a test message of {len(text)} bytes is longer than {LONGEST_MESSAGE}")
        try:
            async with asyncio.timeout(within):
                answer = await self._bound().submit_sm(
                    destination.removeprefix("+"),
                    text,
                    source_addr=source.removeprefix("+"),
                    source_addr_ton=1,
                    source_addr_npi=1,
                    dest_addr_ton=1,
                    dest_addr_npi=1,
                    registered_delivery=_ASK_FOR_RECEIPT,
                )
        except TimeoutError:
            raise  # an OSError too, and not what the next line means
        except (smpp34.SmppError, OSError) as error:
            raise NotMeasured(f"{self._account.carrier} dropped the session at the submission: {error}") from error
        return Accepted(answer.command_status, (answer.message_id or "").strip("\0"))

    async def receipt(self, message_id: str, within: float) -> Receipt:
        """Wait for the final receipt of *message_id*; others are not ours. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                found = await self._mail.get()
                if isinstance(found, NotMeasured):
                    raise found
                if found.final and same_message(found.message_id, message_id):
                    return found

    async def _read_all(self) -> None:
        """Pass every receipt on to all sessions of the account, this one among them, until the session ends."""
        try:
            while True:
                event = await self._next()
                found = read_receipt(event.esm_class, event.short_message, {tlv.tag: tlv.value for tlv in event.tlvs})
                if found is not None:
                    for mail in _bound_now.get(self._key, ()):
                        mail.put_nowait(found)
        except NotMeasured as gone:
            self._mail.put_nowait(gone)

    async def _next(self) -> smpp34.DeliverSmEvent:
        try:
            event = await self._bound().next()
        except (smpp34.SmppError, OSError) as error:
            raise NotMeasured(f"{self._account.carrier} broke the session before the receipt came: {error}") from error
        if isinstance(event, smpp34.Disconnected):
            raise NotMeasured(f"{self._account.carrier} closed the session before the receipt came")
        return event

    def _bound(self) -> smpp34.Smsc:
        if self._smsc is None:
            raise NotMeasured("the session is not bound")
        return self._smsc


def read_receipt(esm_class: int, text: bytes, tlvs: dict[int, bytes]) -> Receipt | None:
    """Return the receipt in a deliver_sm, or None where it is an ordinary message. TLVs win over the text."""
    fields = dict(_RECEIPT_FIELD.findall(text.decode("latin-1")))
    by_tlv = tlvs.get(RECEIPTED_MESSAGE_ID, b"").decode("latin-1").strip("\0")
    if esm_class & 0x3C != _RECEIPT_CLASS and not by_tlv:
        return None
    message_id = by_tlv or fields.get("id", "")
    state = tlvs.get(MESSAGE_STATE, b"")
    name = _STATES.get(state[0], "UNKNOWN") if state else fields.get("stat", "UNKNOWN")
    return Receipt(message_id, name, fields.get("err", "")) if message_id else None


def same_message(receipted: str, submitted: str) -> bool:
    """Return whether two ids name one message: SMSCs answer in hex and receipt in decimal, or pad with zeros."""
    if receipted.lstrip("0").lower() == submitted.lstrip("0").lower():
        return True
    for hexadecimal, decimal in ((submitted, receipted), (receipted, submitted)):
        # Without a letter nothing says that an id is hexadecimal, and 26 would be the message 38 as well.
        if _HEX_LETTER.search(hexadecimal) is None:
            continue
        with suppress(ValueError):
            if int(hexadecimal, 16) == int(decimal, 10):
                return True
    return False


async def why_no_bind(account: Account, within: float) -> str:
    """
    Ask once more, by hand, why the bind did not succeed: the engine hides the status of a refusal.

    A wrong password must never read as "carrier down".
    """
    try:
        async with asyncio.timeout(within):
            status = await _bind_status(account)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        cause = "no answer" if isinstance(error, TimeoutError) else str(error) or "closed without an answer"
        return f"{account.carrier} cannot be reached at {account.host}:{account.port}: {cause}"
    if status in _WRONG_ACCOUNT:
        code = f"0x{status:02x}"
        return f"{account.carrier} refused our account {account.system_id!r}: {_WRONG_ACCOUNT[status]} ({code}); check system_id and password"
    if status:
        return f"{account.carrier} refused the bind with status 0x{status:02x}"
    return f"{account.carrier} did not bind within {within:g} s, but did when asked again"


async def _bind_status(account: Account) -> int:
    words = (account.system_id, account.password, account.system_type)
    body = b"".join(word.encode("latin-1", "replace") + b"\0" for word in words) + b"\x34\0\0\0"
    reader, writer = await asyncio.open_connection(account.host, account.port)
    try:
        writer.write(_HEADER.pack(_HEADER.size + len(body), _BIND_TRANSCEIVER, 0, 1) + body)
        _, command, status, _ = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        if not command & _ANSWER:
            raise NotMeasured(f"{account.carrier} at {account.host}:{account.port} does not speak SMPP")
        return int(status)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
