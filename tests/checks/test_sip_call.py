"""The client side of SIP against a far end that misbehaves on purpose."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiortp
import pytest
from aiosipua import SipMessage, SipRequest, SipResponse

from bot.core.model import Outcome
from checks import NotMeasured
from checks.sip import call as call_module
from checks.sip.call import Call, Trunk
from checks.sip.causes import cause_of
from checks.sip.datagram import Address, Datagrams, open_datagrams
from checks.sip.media import far_media, offer_sdp, payloads, silence
from checks.sip.requests import reply
from checks.sip.verdict import unanswered
from checks.sound.tone import PROBE_TONE_HZ, tone

pytestmark = pytest.mark.usefixtures("nothing_left")


@dataclass
class FarEnd:
    """A far end that does what its script says and remembers what it got."""

    script: Callable[["FarEnd", SipRequest, Address], None]
    got: list[SipRequest] = field(default_factory=list)
    socket: Datagrams | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def took(self, datagram: bytes, source: Address) -> None:
        message = SipMessage.parse(datagram)
        if isinstance(message, SipRequest):
            self.got.append(message)
            self.script(self, message, source)
            self.news.set()

    @property
    def address(self) -> Address:
        assert self.socket is not None
        return self.socket.address

    def trunk(self, username: str = "", password: str = "") -> Trunk:
        return Trunk("far", *self.address, username, password)

    def say(self, request: SipRequest, to: Address, status: int, phrase: str, **headers: str) -> SipResponse:
        assert self.socket is not None
        response = reply(request, status, phrase)
        if status > 100:
            response.set_header("To", f"{request.get_header('to')};tag=far")
        for name, value in headers.items():
            response.set_header(name.replace("_", "-"), value)
        if status == 200 and request.method == "INVITE":
            if "Contact" not in headers:
                response.set_header("Contact", f"<sip:far@{self.address[0]}:{self.address[1]}>")
            response.set_header("Content-Type", "application/sdp")
            response.text = offer_sdp("127.0.0.1", 9)
        self.socket.send(bytes(response), to)
        return response

    def of(self, method: str) -> list[SipRequest]:
        return [request for request in self.got if request.method == method]

    async def until(self, method: str, count: int = 1) -> list[SipRequest]:
        async with asyncio.timeout(5):
            while len(self.of(method)) < count:
                self.news.clear()
                await self.news.wait()
        return self.of(method)


Script = Callable[[FarEnd, SipRequest, Address], None]


@pytest.fixture
async def far_end() -> AsyncIterator[Callable[[Script], Awaitable[FarEnd]]]:
    ends: list[FarEnd] = []

    async def start(script: Script) -> FarEnd:
        end = FarEnd(script)
        end.socket = await open_datagrams(("127.0.0.1", 0), end.took)
        ends.append(end)
        return end

    yield start
    for end in ends:
        assert end.socket is not None
        end.socket.close()


Start = Callable[[Script], Awaitable[FarEnd]]
NUMBER = "+447700900001"


def mute(_end: FarEnd, _request: SipRequest, _source: Address) -> None:
    """Say nothing."""


async def test_a_refusal_is_acknowledged_in_its_own_transaction(far_end: Start) -> None:
    def busy(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            end.say(request, source, 486, "Busy Here", Reason="Q.850;cause=17")

    end = await far_end(busy)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        progress = await call.dial(2)
    (ack,) = await end.until("ACK")
    (invite,) = end.of("INVITE")

    assert progress.status == 486
    assert str(progress.cause) == "17"
    assert ack.via[0].branch == invite.via[0].branch
    assert ack.cseq is not None
    assert ack.cseq.seq == 1
    assert (ack.get_header("to") or "").endswith(";tag=far")
    assert not end.of("BYE")


async def test_a_lost_invite_is_sent_again(far_end: Start) -> None:
    def deaf_once(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE" and len(end.of("INVITE")) > 1:
            end.say(request, source, 404, "Not Found")

    end = await far_end(deaf_once)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        progress = await call.dial(3)

    assert progress.status == 404
    assert len(end.of("INVITE")) == 2
    assert bytes(end.of("INVITE")[0]) == bytes(end.of("INVITE")[1])


async def test_ack_and_bye_follow_the_route_set_and_the_contact_of_the_answer(far_end: Start) -> None:
    behind = await far_end(mute)

    def proxy(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            contact = f"<sip:gw@{behind.address[0]}:{behind.address[1]};line=1>"
            way = f"<sip:{end.address[0]}:{end.address[1]};lr;x=1>"
            end.say(request, source, 200, "OK", Contact=contact, Record_Route=way)
        elif request.method == "BYE":
            end.say(request, source, 200, "OK")

    end = await far_end(proxy)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        assert (await call.dial(2)).answered
    for request in (*await end.until("ACK"), *await end.until("BYE")):
        assert request.uri == f"sip:gw@{behind.address[0]}:{behind.address[1]};line=1"
        assert request.get_header_values("route") == [f"<sip:{end.address[0]}:{end.address[1]};lr;x=1>"]
    assert not behind.got


async def test_without_a_route_ack_and_bye_go_to_the_contact(far_end: Start) -> None:
    def gateway(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "BYE":
            end.say(request, source, 200, "OK")

    behind = await far_end(gateway)

    def redirecting(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            end.say(request, source, 200, "OK", Contact=f"<sip:gw@{behind.address[0]}:{behind.address[1]}>")

    end = await far_end(redirecting)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        assert (await call.dial(2)).answered
    await behind.until("ACK")
    bye = (await behind.until("BYE"))[0]
    assert bye.cseq is not None
    assert (bye.cseq.seq, bye.get_header("to")) == (2, end.of("INVITE")[0].get_header("to") + ";tag=far")  # type: ignore[operator]  # every INVITE has a To


async def test_a_repeated_answer_is_acknowledged_again(far_end: Start) -> None:
    def twice(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            end.say(request, source, 200, "OK")
            end.say(request, source, 200, "OK")
        elif request.method == "BYE":
            end.say(request, source, 200, "OK")

    end = await far_end(twice)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        assert (await call.dial(2)).answered
        first, second, *_ = await end.until("ACK", 2)
    assert bytes(first) == bytes(second)


async def test_a_call_given_up_while_ringing_is_cancelled_and_its_487_acknowledged(far_end: Start) -> None:
    def ringing(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            end.say(request, source, 180, "Ringing")
        elif request.method == "CANCEL":
            end.say(request, source, 200, "OK")
            end.say(end.of("INVITE")[0], source, 487, "Request Terminated")

    end = await far_end(ringing)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        progress = await call.dial(0.1)
        assert progress.status == 0
        assert progress.alerting_at is not None
    (cancel,) = end.of("CANCEL")
    (ack,) = await end.until("ACK")
    assert cancel.via[0].branch == ack.via[0].branch == end.of("INVITE")[0].via[0].branch
    assert not end.of("BYE")


async def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_ended(far_end: Start) -> None:
    def crossing(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            end.say(request, source, 180, "Ringing")
        elif request.method == "CANCEL":
            end.say(end.of("INVITE")[0], source, 200, "OK")
            end.say(request, source, 200, "OK")
        elif request.method == "BYE":
            end.say(request, source, 200, "OK")

    end = await far_end(crossing)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        await call.dial(0.1)
    assert (len(end.of("ACK")), len(end.of("BYE"))) == (1, 1)


async def test_a_challenge_is_answered_once_with_the_credentials(far_end: Start) -> None:
    def guarded(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE" and request.get_header("proxy-authorization") is None:
            end.say(request, source, 407, "Auth", Proxy_Authenticate='Digest realm="r", nonce="n", qop="auth"')
        elif request.method == "INVITE":
            end.say(request, source, 480, "Temporarily Unavailable")

    end = await far_end(guarded)
    async with Call(end.trunk(username="probe", password="s3cret"), NUMBER, silence()) as call:
        progress = await call.dial(2)
    first, second = end.of("INVITE")
    await end.until("ACK", 2)

    assert progress.status == 480
    assert 'username="probe"' in (second.get_header("proxy-authorization") or "")
    assert first.call_id == second.call_id
    assert second.cseq is not None
    assert second.cseq.seq == 2
    assert first.via[0].branch != second.via[0].branch


def packets(count: int, *, since: int) -> list[bytes]:
    payload = payloads(tone(PROBE_TONE_HZ), 0)[0]
    return [
        aiortp.RtpPacket(
            payload_type=0, sequence_number=number, timestamp=number * 160, ssrc=7, payload=payload
        ).serialize()
        for number in range(since, since + count)
    ]


async def test_what_is_heard_before_the_answer_is_not_the_call(far_end: Start) -> None:
    end = await far_end(mute)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        dialling = asyncio.create_task(call.dial(10))
        invite = (await end.until("INVITE"))[0]
        offered = far_media(invite.text, "127.0.0.1")
        assert offered is not None
        assert end.socket is not None
        here = call._placed()._dialog.here
        end.say(invite, here, 183, "Session Progress")
        for packet in packets(10, since=1):
            end.socket.send(packet, offered.address)
        assert await call.media.listen(0.2, 5)
        end.say(invite, here, 200, "OK")
        assert (await dialling).answered
        assert call.media.heard_s == 0
        assert call.media.first_packet_at is None
        assert call.media.figures()["rtp_packets_received"] == 0

        for packet in packets(5, since=20):
            end.socket.send(packet, offered.address)
        assert await call.media.listen(0.1, 5)
        figures = call.media.figures()
        assert (figures["rtp_packets_received"], figures["rtp_packets_lost"]) == (5, 0)


@pytest.mark.parametrize(("challenged", "outcome"), [(True, Outcome.ERROR), (False, Outcome.FAIL)])
async def test_a_403_is_our_access_only_where_our_credentials_were_refused(
    far_end: Start, challenged: bool, outcome: Outcome
) -> None:
    def strict(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE" and challenged and request.get_header("authorization") is None:
            end.say(request, source, 401, "Unauthorized", WWW_Authenticate='Digest realm="r", nonce="n", qop="auth"')
        elif request.method == "INVITE":
            end.say(request, source, 403, "Forbidden")

    end = await far_end(strict)
    async with Call(end.trunk(username="probe", password="wrong"), NUMBER, silence()) as call:
        progress = await call.dial(2)
    measured = unanswered(progress, 2, "far", moved=False)
    assert (progress.status, measured.outcome) == (403, outcome)
    assert ("does not accept the probe: 403 Forbidden; check username and password" in measured.detail) is challenged


async def test_a_bye_from_the_network_is_answered_and_noted(far_end: Start) -> None:
    sources: list[Address] = []

    def answering(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            end.say(request, source, 200, "OK")
            sources.append(source)

    end = await far_end(answering)
    async with Call(end.trunk(), NUMBER, silence()) as call:
        progress = await call.dial(2)
        await end.until("ACK")
        bye = SipRequest(method="BYE", uri="sip:switchroom@127.0.0.1")
        for name, value in (("Via", "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx"), ("CSeq", "1 BYE"), ("From", "<sip:a@b>")):
            bye.set_header(name, value)
        bye.set_header("To", "<sip:c@d>")
        bye.set_header("Call-ID", end.of("INVITE")[0].call_id or "")
        bye.set_header("Reason", 'Q.850;cause=38;text="Network out of order"')
        assert end.socket is not None
        end.socket.send(bytes(bye), sources[0])
        await call.hold(5)
    assert progress.cut_off
    assert str(progress.cause) == "38"
    assert not end.of("BYE")


async def test_a_refused_datagram_is_our_access_and_not_the_service(far_end: Start) -> None:
    end = await far_end(mute)
    trunk = end.trunk()
    assert end.socket is not None
    end.socket.close()
    await asyncio.sleep(0)
    with pytest.raises(NotMeasured, match="nothing listens at the trunk of far"):
        async with Call(trunk, NUMBER, silence()) as call:
            await call.dial(5)


VALID = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:c@d>;tag=2\r\nCall-ID: CALLID\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:9>\r\n"
    b"Record-Route: <sip:127.0.0.1:9;lr>\r\nReason: Q.850;cause=1\r\nContent-Type: application/sdp\r\n\r\n"
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
)


async def test_no_datagram_breaks_the_client(far_end: Start) -> None:
    end = await far_end(mute)
    rng = random.Random(7)  # noqa: S311 - mutations, the same in every run
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    for _ in range(60):
        call = Call(end.trunk(), NUMBER, silence())
        async with call:
            transaction = call._placed()
            transaction.invite()
            datagram = bytearray(VALID.replace(b"CALLID", transaction._dialog.call_id.encode()))
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(datagram))
                datagram[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
            transaction._took(bytes(datagram), end.address)
            transaction.ended.set()
    assert not broken


def test_the_cause_of_the_reason_header_wins_over_the_mapped_one() -> None:
    assert str(cause_of(404, ['SIP;cause=404, Q.850;cause=27;text="x"'])) == "27"
    assert str(cause_of(404, [])) == "1 (mapped)"
    assert cause_of(699, []) is None


async def test_a_far_end_that_never_answers_the_bye_does_not_hold_the_measurement_up(
    far_end: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_module, "_FAREWELL_S", 60.0)

    def answering(end: FarEnd, request: SipRequest, source: Address) -> None:
        if request.method == "INVITE":
            end.say(request, source, 200, "OK")

    end = await far_end(answering)
    async with asyncio.timeout(20):
        async with Call(end.trunk(), NUMBER, silence(), deadline=0.4) as call:
            assert (await call.dial(2)).answered
    assert end.of("BYE")
