"""
The probe's end of one call's media: a paced stream out, and everything that came in.

It keeps packets and figures; whether they are enough is for the check to say. G.711 only, as every network
carries it.
"""

import asyncio
import random
from dataclasses import dataclass, field
from time import perf_counter

import aiortp
import numpy as np
from aiosipua import parse_sdp
from numpy.typing import NDArray

from checks.sip.datagram import Address, Datagrams, open_datagrams
from checks.sip.pacer import BEAT_S, Pacer

RATE = 8000
FRAME = int(RATE * BEAT_S)
PCMU, PCMA = 0, 8
Samples = NDArray[np.int16]


@dataclass(slots=True)
class Media:
    """One RTP end. Open it with `open_media`, close it with `close()`."""

    host: str
    tone: Samples  #: PCM of whole 20 ms frames, sent round and round
    first_packet_at: float | None = None
    sent: int = 0
    statistics: aiortp.StreamStatistics = field(default_factory=lambda: aiortp.StreamStatistics(RATE))
    _heard: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    _socket: Datagrams | None = None
    _far: "FarMedia | None" = None
    _payloads: list[bytes] = field(default_factory=list)
    _pacer: Pacer = field(default_factory=Pacer)
    _sequence: int = field(default_factory=lambda: random.randrange(1 << 15))  # noqa: S311 - RFC 3550 wants it unlike, not secret
    _source: int = field(default_factory=lambda: random.randrange(1 << 32))  # noqa: S311 - as above
    _began: float | None = None
    _enough: tuple[int, asyncio.Event] | None = None

    @property
    def due(self) -> int:
        """How many packets should have gone out by now."""
        return 0 if self._began is None else int((perf_counter() - self._began) / BEAT_S)

    def offer(self) -> str:
        """Return the SDP offer of this end."""
        return offer_sdp(self.host, self._open().address[1])

    def send_to(self, far: "FarMedia") -> None:
        """Send to *far*, in its codec, from now on."""
        starting = self._far is None
        self._far = far
        self._payloads = payloads(self.tone, far.payload_type)
        if starting:
            self._began = perf_counter()
            self._pacer.add(self._send_next)

    def answered(self) -> None:
        """Forget what came in so far: ringing tones and announcements before the answer prove nothing about the call."""
        self._heard.clear()
        self.first_packet_at = None
        self.statistics = aiortp.StreamStatistics(RATE)

    def close(self) -> None:
        """Stop sending and close the socket."""
        self._pacer.stop()
        if self._socket is not None:
            self._socket.close()

    @property
    def heard_s(self) -> float:
        """How much audio came in, silence included."""
        return len(self._heard) * BEAT_S

    async def listen(self, heard_s: float, within: float) -> bool:
        """Wait until *heard_s* of audio came in; False after *within*."""
        wanted = round(heard_s / BEAT_S)
        if len(self._heard) >= wanted:
            return True
        event = asyncio.Event()
        self._enough = (wanted, event)
        try:
            async with asyncio.timeout(within):
                await event.wait()
        except TimeoutError:
            return False
        finally:
            self._enough = None
        return True

    def pcm(self) -> Samples:
        """Return what was heard, in the order it was sent."""
        parts = [_decode(*self._heard[sequence]) for sequence in sorted(self._heard)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def figures(self) -> dict[str, float]:
        """Return the RTP figures (RFC 3550) of what came in and went out."""
        received = self.statistics.packets_received
        figures = {"rtp_packets_sent": float(self.sent), "rtp_packets_received": float(received)}
        if received:
            figures["rtp_packets_lost"] = float(max(0, self.statistics.packets_lost))
            figures["interarrival_jitter_s"] = self.statistics.jitter / RATE
        return figures

    def took(self, datagram: bytes, _: Address) -> None:
        """Keep one packet; what is no RTP is not ours."""
        try:
            packet = aiortp.RtpPacket.parse(datagram)
        except ValueError:
            return
        if packet.payload_type not in {PCMU, PCMA}:
            return
        self.statistics.add(packet)
        if self.first_packet_at is None:
            self.first_packet_at = perf_counter()
        self._heard[self.statistics.cycles + packet.sequence_number] = (packet.payload_type, packet.payload)
        if self._enough is not None and len(self._heard) >= self._enough[0]:
            self._enough[1].set()

    def _send_next(self) -> bool:
        if self._far is None:
            return False
        packet = aiortp.RtpPacket(
            payload_type=self._far.payload_type,
            marker=int(self.sent == 0),
            sequence_number=(self._sequence + self.sent) & 0xFFFF,
            timestamp=(self.sent * FRAME) & 0xFFFFFFFF,
            ssrc=self._source,
            payload=self._payloads[self.sent % len(self._payloads)],
        )
        self.sent += 1
        self._open().send(packet.serialize(), self._far.address)
        return True

    def _open(self) -> Datagrams:
        if self._socket is None:
            raise RuntimeError("open the media with open_media()")
        return self._socket


async def open_media(host: str, tone: Samples) -> Media:
    """Open an RTP end on *host* that will send *tone* once it knows where to."""
    media = Media(host, tone)
    media._socket = await open_datagrams((host, 0), media.took)  # noqa: SLF001 - the constructor cannot wait
    return media


@dataclass(frozen=True, slots=True)
class FarMedia:
    """Where the far end wants its media, and in which G.711."""

    address: Address
    payload_type: int


def offer_sdp(host: str, port: int) -> str:
    """Return an SDP that speaks G.711, either law, at *host*:*port*."""
    return "\r\n".join(
        [
            "v=0",
            f"o=switchroom {port} 1 IN IP4 {host}",
            "s=-",
            f"c=IN IP4 {host}",
            "t=0 0",
            f"m=audio {port} RTP/AVP {PCMU} {PCMA}",
            f"a=rtpmap:{PCMU} PCMU/{RATE}",
            f"a=rtpmap:{PCMA} PCMA/{RATE}",
            "a=ptime:20",
            "a=sendrecv",
            "",
        ]
    )


def far_media(body: str, fallback_host: str) -> FarMedia | None:
    """Return the media end in an SDP, or None where there is none we can speak with."""
    try:
        sdp = parse_sdp(body)
    except ValueError:
        return None
    address, audio = sdp.rtp_address, sdp.audio
    if address is None or audio is None or address[1] == 0:
        return None
    spoken = [int(word) for word in audio.formats if word in {str(PCMU), str(PCMA)}]
    if not spoken:
        return None
    return FarMedia((fallback_host if address[0] == "0.0.0.0" else address[0], address[1]), spoken[0])


def payloads(pcm: Samples, payload_type: int) -> list[bytes]:
    """Return *pcm* as RTP payloads of 20 ms."""
    encoded = aiortp.get_codec(payload_type).encode(pcm.astype("<i2").tobytes())
    return [encoded[at : at + FRAME] for at in range(0, len(encoded) - FRAME + 1, FRAME)]


def silence() -> Samples:
    """Return one frame of silence: it keeps the way back open through whatever watches for media."""
    return np.zeros(FRAME, np.int16)


def _decode(payload_type: int, payload: bytes) -> Samples:
    return np.frombuffer(aiortp.get_codec(payload_type).decode(payload), dtype="<i2")
