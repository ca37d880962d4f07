"""
One trunk of the simulated carrier: a SIP user agent server over UDP for the calls of one origin.

It keeps the server transactions of RFC 3261: repeats its last response to a repeated request, repeats a final
response until the ACK, and ends what is left when the trunk closes. How a call is treated is the exchange's
decision.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiosipua import SipMessage, SipRequest, SipResponse, generate_branch, generate_tag, parse_uri, stringify_uri

from checks.carrier.exchange import Exchange, Treatment
from checks.carrier.lines import Lines
from checks.sip.datagram import Address, Datagrams, open_datagrams
from checks.sip.media import FarMedia, far_media
from checks.sip.requests import copy_headers, reply

_T1, _T2 = 0.5, 4.0
_GIVE_UP_S = 32.0
_LONGEST_CALL_S = 300.0


@dataclass(slots=True)
class _Call:
    """One call, from INVITE to the end of its last transaction."""

    invite: SipRequest
    source: Address
    treatment: Treatment
    far: FarMedia
    tag: str = field(default_factory=generate_tag)
    last: bytes = b""  #: the last response to the INVITE
    final: bool = False
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    def later(self, name: str, after: float, act: Callable[[], None]) -> None:
        """Do *act* after a while; a timer of the same name is replaced."""
        self.cancel(name)
        self.timers[name] = asyncio.get_running_loop().call_later(after, act)

    def cancel(self, name: str) -> None:
        """Do not do it."""
        timer = self.timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def end(self) -> None:
        """Drop every timer."""
        for name in list(self.timers):
            self.cancel(name)


class SipTrunk:
    """The trunk of one origin."""

    def __init__(self, origin: str, exchange: Exchange, lines: Lines) -> None:
        self.origin = origin
        self._exchange = exchange
        self._lines = lines
        self._socket: Datagrams | None = None
        self._calls: dict[str, _Call] = {}

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        self._socket = await open_datagrams((host, port), self._took)
        return self._socket.address[1]

    def stop(self) -> None:
        """Forget every call and close."""
        for call_id in list(self._calls):
            self._drop(call_id)
        if self._socket is not None:
            self._socket.close()

    @property
    def calls(self) -> int:
        """How many calls are up or being set up."""
        return len(self._calls)

    def _took(self, datagram: bytes, source: Address) -> None:
        try:
            message = SipMessage.parse(datagram)
            if isinstance(message, SipRequest) and message.call_id and message.cseq is not None and message.via:
                self._request(message, message.call_id, source)
        except (ValueError, IndexError):
            return  # a message that cannot be read gets no answer

    def _request(self, request: SipRequest, call_id: str, source: Address) -> None:
        call = self._calls.get(call_id)
        if request.method == "INVITE":
            self._invite(request, call_id, source, call)
        elif request.method == "ACK":
            self._ack(call_id, call)
        elif request.method == "BYE":
            self._send(reply(request, 200 if call else 481, "OK" if call else "Call Does Not Exist"), source)
            self._drop(call_id)
        elif request.method == "CANCEL":
            self._cancel(request, source, call)
        elif request.method == "OPTIONS":
            self._send(reply(request, 200, "OK"), source)
        else:
            self._send(reply(request, 501, "Not Implemented"), source)

    def _invite(self, invite: SipRequest, call_id: str, source: Address, known: _Call | None) -> None:
        if known is not None:
            self._send_raw(known.last, source)
            return
        far = far_media(invite.text, source[0]) if invite.body else None
        if far is None:
            self._send(reply(invite, 488, "Not Acceptable Here"), source)
            return
        treatment = self._exchange.treat(self.origin, parse_uri(invite.uri).user or "")
        call = self._calls[call_id] = _Call(invite, source, treatment, far)
        self._respond(call, 100, "Trying")
        if treatment.status == 200:
            call.later("ring", treatment.after_s / 2, lambda: self._respond(call, 180, "Ringing"))
        call.later("answer", treatment.after_s, lambda: self._answer(call_id, call))

    def _answer(self, call_id: str, call: _Call) -> None:
        treatment = call.treatment
        call.cancel("ring")
        call.final = True
        if treatment.status == 200:
            prompt = self._exchange.recording(treatment.prompt, call.far.payload_type) if treatment.prompt else ()
            self._lines.connect(call.far, prompt, echoes=treatment.echoes)
            call.later("longest", _LONGEST_CALL_S, lambda: self._hang_up(call_id, call))
            if treatment.cut_off_after_s is not None:
                call.later("cut off", treatment.cut_off_after_s, lambda: self._hang_up(call_id, call))
        self._respond(call, treatment.status, treatment.phrase)
        self._repeat_until_ack(call_id, call, _T1)

    def _repeat_until_ack(self, call_id: str, call: _Call, step: float) -> None:
        def again() -> None:
            self._send_raw(call.last, call.source)
            self._repeat_until_ack(call_id, call, min(step * 2, _T2))

        call.later("repeat", step, again)
        if "give up" not in call.timers:
            call.later("give up", _GIVE_UP_S, lambda: self._drop(call_id))

    def _ack(self, call_id: str, call: _Call | None) -> None:
        if call is None or not call.final:
            return
        call.cancel("repeat")
        call.cancel("give up")
        if call.treatment.status != 200:
            self._drop(call_id)

    def _cancel(self, request: SipRequest, source: Address, call: _Call | None) -> None:
        if call is None:
            self._send(reply(request, 481, "Call Does Not Exist"), source)
            return
        self._send(reply(request, 200, "OK"), source)
        if not call.final:
            call.end()
            call.treatment = Treatment(487, "Request Terminated", 0.0)
            self._answer(request.call_id or "", call)

    def _hang_up(self, call_id: str, call: _Call) -> None:
        contacts = call.invite.contact
        bye = SipRequest(method="BYE", uri=stringify_uri(contacts[0].uri) if contacts else call.invite.uri)
        host, port = self._here()
        bye.set_header("Via", f"SIP/2.0/UDP {host}:{port};branch={generate_branch()}")
        bye.set_header("Max-Forwards", "70")
        bye.set_header("From", f"{call.invite.get_header('to')};tag={call.tag}")
        bye.set_header("To", call.invite.get_header("from") or "")
        copy_headers(call.invite, bye, ("call-id",))
        bye.set_header("CSeq", "1 BYE")
        bye.set_header("Reason", 'Q.850;cause=41;text="Temporary failure"')
        self._send(bye, call.source)
        self._drop(call_id)

    def _respond(self, call: _Call, status: int, phrase: str) -> None:
        response = reply(call.invite, status, phrase)
        if status > 100:
            response.set_header("To", f"{call.invite.get_header('to')};tag={call.tag}")
            copy_headers(call.invite, response, ("record-route",))
        if call.treatment.server:
            response.set_header("Server", call.treatment.server)
        if status == 200:
            host, port = self._here()
            response.set_header("Contact", f"<sip:{self.origin}@{host}:{port}>")
            response.set_header("Content-Type", "application/sdp")
            response.text = self._lines.answer_sdp()
        if status >= 300 and call.treatment.cause is not None:
            response.set_header("Reason", f"Q.850;cause={call.treatment.cause}")
        call.last = bytes(response)
        self._send_raw(call.last, call.source)

    def _drop(self, call_id: str) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.end()
            self._lines.disconnect(call.far)

    def _here(self) -> Address:
        return self._socket.address if self._socket is not None else ("127.0.0.1", 0)

    def _send(self, message: SipRequest | SipResponse, to: Address) -> None:
        self._send_raw(bytes(message), to)

    def _send_raw(self, datagram: bytes, to: Address) -> None:
        if self._socket is not None:
            self._socket.send(datagram, to)
