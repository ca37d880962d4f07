"""
One outgoing call: INVITE client transaction, dialog, and its end, on a socket of its own.

It reports what the network answered and when. Whatever happens, leaving the `async with` takes the call down:
BYE after an answer, CANCEL before one, and on cancellation at least the datagram that says so.
"""

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Self

from aiosipua import CSeq, SipMessage, SipRequest, SipResponse, generate_call_id, generate_tag
from aiosipua.auth import SipDigestAuth, answer_challenge

from checks import NotMeasured
from checks.sip.causes import Cause, cause_of
from checks.sip.datagram import Address, Datagrams, open_datagrams, own_address_towards, resolve
from checks.sip.media import FarMedia, Media, Samples, far_media, open_media
from checks.sip.requests import Dialog, reply

T1 = 0.5  #: RFC 3261: the first retransmission
T2 = 4.0  #: and the longest step between two
_FAREWELL_S = 1.0  #: how long the end of a call may take
_RESERVE_S = 0.1  #: kept of the deadline for what comes after the call


@dataclass(frozen=True, slots=True)
class Trunk:
    """Where calls of one origin are placed, and who the probe says it is."""

    name: str
    host: str
    port: int
    username: str = ""
    password: str = ""
    caller: str = "+447700900990"


@dataclass(slots=True)
class Progress:
    """What the network said to the INVITE so far; times are `perf_counter`."""

    sent_at: float = 0.0
    heard_at: float | None = None  #: the first response of any kind
    alerting_at: float | None = None  #: 18x
    said_at: float | None = None  #: the first response that is not 100 (RFC 6076: SRD)
    final_at: float | None = None
    status: int = 0
    phrase: str = ""
    cause: Cause | None = None
    server: str = ""
    credentials_sent: bool = False  #: the trunk asked who we are, and was told
    cut_off: bool = False  #: the far end ended an answered call
    cut_off_at: float | None = None

    @property
    def answered(self) -> bool:
        """True after a 2xx."""
        return 200 <= self.status < 300

    def figures(self) -> dict[str, float]:
        """Return the KPI figures that are known so far."""
        setup = [at for at in (self.alerting_at, self.final_at if self.answered else None) if at is not None]
        known = {
            "telephony_setup_time_s": min(setup, default=None),
            "session_request_delay_s": self.said_at,
            "answer_time_s": self.final_at if self.answered else None,
        }
        return {name: at - self.sent_at for name, at in known.items() if at is not None}


class Call:
    """A call to one number through one trunk."""

    def __init__(self, trunk: Trunk, number: str, tone: Samples, deadline: float = math.inf) -> None:
        self.progress = Progress()
        self._trunk = trunk
        self._number = number
        self._tone = tone
        self._ends_at = perf_counter() + deadline
        self._open: _Transaction | None = None
        self._media: Media | None = None

    @property
    def media(self) -> Media:
        """The RTP end of this call."""
        if self._media is None:
            raise RuntimeError("the call was not placed")
        return self._media

    async def __aenter__(self) -> Self:
        remote = await self._address()
        host = own_address_towards(remote)
        self._media = await open_media(host, self._tone)
        try:
            self._open = await _Transaction.open(self._trunk, self._number, (host, 0), remote, self)
        except BaseException:
            self._media.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if self._open is not None and kind is None:
                # A slow end must not cost the measurement that was made before it.
                left = self._ends_at - perf_counter() - _RESERVE_S
                await self._open.farewell(max(0.0, min(_FAREWELL_S, left)))
        finally:
            if self._open is not None:
                self._open.close()
            self.media.close()

    async def dial(self, within: float) -> Progress:
        """
        Send the INVITE and wait for the final response, at most *within* seconds.

        Raises NotMeasured when the trunk itself is not there: nothing listens, or not a single response came.
        """
        transaction = self._placed()
        transaction.invite()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await transaction.final.wait()
        if transaction.refused is not None and self.progress.heard_at is None:
            raise NotMeasured(
                f"nothing listens at the trunk of {self._trunk.name} ({self._trunk.host}:{self._trunk.port})"
            )
        if self.progress.heard_at is None:
            raise NotMeasured(f"the trunk of {self._trunk.name} gave no response at all in {within:g} s")
        return self.progress

    @property
    def over(self) -> bool:
        """True once the call has ended, whoever ended it."""
        return self._placed().ended.is_set()

    async def hold(self, seconds: float) -> None:
        """Keep the call up with media, for *seconds* or until the far end ends it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._placed().ended.wait()

    async def listen(self, heard_s: float, within: float) -> bool:
        """Wait until *heard_s* of audio came in; False after *within*, or when the far end ends the call."""
        hearing = asyncio.ensure_future(self.media.listen(heard_s, within))
        ending = asyncio.ensure_future(self._placed().ended.wait())
        try:
            await asyncio.wait((hearing, ending), return_when=asyncio.FIRST_COMPLETED)
            return hearing.done() and hearing.result()
        finally:
            for task in (hearing, ending):
                task.cancel()
            await asyncio.gather(hearing, ending, return_exceptions=True)

    def connect_media(self, far: FarMedia) -> None:
        """Send our tone to the far end."""
        self.media.send_to(far)

    async def _address(self) -> Address:
        try:
            return await resolve(self._trunk.host, self._trunk.port)
        except OSError as error:
            raise NotMeasured(f"the trunk of {self._trunk.name} has no address: {error}") from error

    def _placed(self) -> "_Transaction":
        if self._open is None:
            raise RuntimeError("the call was not placed")
        return self._open


class _Transaction:
    """The wire side of a call: sends, retransmits, acknowledges."""

    def __init__(self, trunk: Trunk, dialog: Dialog, call: Call) -> None:
        self.final = asyncio.Event()
        self.ended = asyncio.Event()  #: the dialog is over, whoever ended it
        self.refused: OSError | None = None
        self._trunk = trunk
        self._dialog = dialog
        self._call = call
        self._progress = call.progress
        self._socket: Datagrams | None = None
        self._again: asyncio.TimerHandle | None = None
        self._repeated = ""  #: the method that is being sent again and again
        self._ack: bytes | None = None
        self._leaving = False

    @classmethod
    async def open(cls, trunk: Trunk, number: str, local: Address, remote: Address, call: Call) -> "_Transaction":
        dialog = Dialog(
            uri=f"sip:{number}@{trunk.host}:{trunk.port}",
            call_id=generate_call_id(local[0]),
            local=f"<sip:{trunk.caller}@{local[0]}>;tag={generate_tag()}",
            remote=f"<sip:{number}@{trunk.host}:{trunk.port}>",
            contact="",
            here=local,
            next_hop=remote,
        )
        self = cls(trunk, dialog, call)
        self._socket = await open_datagrams(local, self._took, self._was_refused)
        dialog.here = self._socket.address
        dialog.contact = f"<sip:switchroom@{dialog.here[0]}:{dialog.here[1]}>"
        return self

    def invite(self) -> None:
        """Send the INVITE, and again until something answers."""
        self._progress.sent_at = perf_counter()
        self._send_until_answered(self._dialog.invite(self._call.media.offer()), self._dialog.next_hop)

    async def farewell(self, within: float) -> None:
        """End the call as its state demands, and wait for the network's word, at most *within* seconds."""
        self._leaving = True
        if self.ended.is_set():
            return
        if self._progress.answered:
            self._send_until_answered(self._dialog.bye(), self._dialog.way())
        elif self._progress.heard_at is not None and not self.final.is_set():
            self._send_until_answered(self._dialog.cancel(), self._dialog.next_hop)
        else:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.ended.wait()

    def close(self) -> None:
        """Close the socket; a call that is still up gets one last datagram."""
        self._stop_repeating(self._repeated)
        if self._socket is None:
            return
        if not self.ended.is_set() and not self._leaving:
            if self._progress.answered:
                self._socket.send(bytes(self._dialog.bye()), self._dialog.way())
            elif self._progress.heard_at is not None:
                self._socket.send(bytes(self._dialog.cancel()), self._dialog.next_hop)
        self._socket.close()

    def _send_until_answered(self, request: SipRequest, to: Address) -> None:
        self._stop_repeating(self._repeated)
        self._repeated, datagram = request.method, bytes(request)

        def send(step: float) -> None:
            if self._socket is None:
                return
            self._socket.send(datagram, to)
            # INVITE doubles without bound (timer A), the others up to T2 (timer E).
            following = step * 2 if request.method == "INVITE" else min(step * 2, T2)
            self._again = asyncio.get_running_loop().call_later(step, send, following)

        send(T1)

    def _stop_repeating(self, method: str) -> None:
        if self._again is not None and method == self._repeated:
            self._again.cancel()
            self._again = None

    def _was_refused(self, error: OSError) -> None:
        if self._progress.heard_at is None:
            self.refused = error
            self.final.set()

    def _took(self, datagram: bytes, source: Address) -> None:
        try:
            message = SipMessage.parse(datagram)
            sequence = message.cseq
        except (ValueError, IndexError):
            return
        if message.call_id != self._dialog.call_id or sequence is None:
            return
        if isinstance(message, SipResponse):
            self._response(message, sequence)
        else:
            self._request(message, source)

    def _response(self, response: SipResponse, sequence: CSeq) -> None:
        self._stop_repeating(sequence.method)
        if sequence.method == "INVITE" and sequence.seq == self._dialog.invited:
            self._invite_response(response)
        elif sequence.method == "BYE" and response.status_code >= 200:
            self.ended.set()

    def _invite_response(self, response: SipResponse) -> None:
        status, now = response.status_code, perf_counter()
        progress = self._progress
        progress.heard_at = progress.heard_at or now
        if status >= 200:
            self._final(response, now)
            return
        if status > 100:
            progress.said_at = progress.said_at or now
        if status in {180, 181, 182, 183}:
            progress.alerting_at = progress.alerting_at or now

    def _final(self, response: SipResponse, now: float) -> None:
        self._stop_repeating("CANCEL")
        if response.status_code >= 300:
            self._send(self._dialog.ack_refusal(response), self._dialog.next_hop)
            if self._try_credentials(response):
                return
        elif self._ack is not None:
            # Our ACK was lost: the 2xx comes again until one arrives (13.2.2.4).
            self._send_raw(self._ack, self._dialog.way())
            return
        else:
            self._accept(response)
        if not self.final.is_set():
            self._note_final(response, now)
            self.final.set()
        if response.status_code >= 300:
            self.ended.set()
        elif self._leaving:
            self._send_until_answered(self._dialog.bye(), self._dialog.way())

    def _accept(self, response: SipResponse) -> None:
        self._call.media.answered()
        self._dialog.learn(response)
        self._ack = bytes(self._dialog.ack_answer())
        self._send_raw(self._ack, self._dialog.way())
        far = far_media(response.text, self._dialog.next_hop[0])
        if far is not None and not self._leaving:
            self._call.connect_media(far)

    def _note_final(self, response: SipResponse, now: float) -> None:
        progress = self._progress
        progress.said_at = progress.said_at or now
        progress.final_at = now
        progress.status = response.status_code
        progress.phrase = response.reason_phrase
        progress.server = response.get_header("server") or ""
        if response.status_code >= 300:
            progress.cause = cause_of(response.status_code, response.get_header_values("reason"))

    def _try_credentials(self, response: SipResponse) -> bool:
        status, trunk = response.status_code, self._trunk
        if status not in {401, 407} or not trunk.username or self._progress.credentials_sent or self._leaving:
            return False
        credentials = SipDigestAuth(trunk.username, trunk.password)
        answer = answer_challenge(credentials, response, status, "INVITE", self._dialog.uri)
        if answer is None:
            return False
        self._progress.credentials_sent = True
        self._dialog.renew()
        self._send_until_answered(self._dialog.invite(self._call.media.offer(), answer), self._dialog.next_hop)
        return True

    def _request(self, request: SipRequest, source: Address) -> None:
        if request.method == "ACK":
            return
        if request.method == "BYE":
            if not self._leaving and not self.ended.is_set():
                self._progress.cut_off, self._progress.cut_off_at = True, perf_counter()
                self._progress.cause = cause_of(0, request.get_header_values("reason"))
            self.ended.set()
        self._send(reply(request, *_REPLIES.get(request.method, (501, "Not Implemented"))), source)

    def _send(self, message: SipMessage, to: Address) -> None:
        self._send_raw(bytes(message), to)

    def _send_raw(self, datagram: bytes, to: Address) -> None:
        if self._socket is not None:
            self._socket.send(datagram, to)


#: A re-INVITE is declined: the call goes on as it was, and a probe has nothing to renegotiate.
_REPLIES = {"BYE": (200, "OK"), "OPTIONS": (200, "OK"), "INVITE": (488, "Not Acceptable Here")}
