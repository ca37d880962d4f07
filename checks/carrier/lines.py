"""
What callers of the simulated carrier hear: RTP for every call, on one socket and one beat.

A test line sounds a tone, then sends back what it hears; a prompt line plays its recording. All payloads are
made once, so a packet costs a header and a send: fifteen calls a second leave the machine to the demo.
"""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from checks.sip.datagram import Address, Datagrams, open_datagrams
from checks.sip.media import FRAME, PCMA, PCMU, FarMedia, offer_sdp, payloads
from checks.sip.pacer import Pacer
from checks.sound.tone import tone

_HEADER = struct.Struct("!BBHLL")
_VERSION = 0x80
_LINE_TONE_HZ = 425  #: a European line's own tone: unlike the probe's
_ANNOUNCED = 8  #: packets of line tone before the echo begins


@dataclass(slots=True)
class Line:
    """One call's audio."""

    far: FarMedia
    sound: Sequence[bytes]
    echoes: bool
    sent: int = 0
    source: int = field(default_factory=lambda: random.randrange(1 << 32))  # noqa: S311 - RFC 3550 wants it unlike, not secret

    def packet(self, payload: bytes) -> bytes:
        """Return the next packet, with *payload*."""
        first = 0x80 if self.sent == 0 else 0
        head = _HEADER.pack(
            _VERSION, first | self.far.payload_type, self.sent & 0xFFFF, (self.sent * FRAME) & 0xFFFFFFFF, self.source
        )
        self.sent += 1
        return head + payload


class Lines:
    """Every call's audio."""

    def __init__(self) -> None:
        self._socket: Datagrams | None = None
        self._pacer = Pacer()
        self._lines: dict[Address, Line] = {}
        self._tones = {law: payloads(tone(_LINE_TONE_HZ), law) for law in (PCMU, PCMA)}

    async def start(self, host: str, port: int) -> int:
        """Open the RTP socket; return its port."""
        self._socket = await open_datagrams((host, port), self._took)
        return self._socket.address[1]

    def stop(self) -> None:
        """Fall silent and close."""
        self._pacer.stop()
        self._lines.clear()
        if self._socket is not None:
            self._socket.close()

    def answer_sdp(self) -> str:
        """Return the SDP of every call: the socket is the same, the far address tells them apart."""
        host, port = self._socket.address if self._socket is not None else ("127.0.0.1", 0)
        return offer_sdp(host, port)

    def connect(self, far: FarMedia, prompt: Sequence[bytes] = (), *, echoes: bool = True) -> None:
        """Begin a call's audio: the prompt where there is one, else a test line."""
        line = Line(far, prompt or self._tones[far.payload_type], echoes=echoes and not prompt)
        self._lines[far.address] = line
        self._pacer.add(lambda: self._sound(line))

    def disconnect(self, far: FarMedia) -> None:
        """End a call's audio."""
        self._lines.pop(far.address, None)

    def _sound(self, line: Line) -> bool:
        if self._lines.get(line.far.address) is not line or self._socket is None:
            return False
        if line.echoes and line.sent >= _ANNOUNCED:
            return False  # from here on each packet that comes in sends one back
        self._socket.send(line.packet(line.sound[line.sent % len(line.sound)]), line.far.address)
        return True

    def _took(self, datagram: bytes, source: Address) -> None:
        line = self._lines.get(source)
        if line is None or not line.echoes or line.sent < _ANNOUNCED or self._socket is None:
            return
        if len(datagram) > _HEADER.size and datagram[0] & 0xC0 == _VERSION:
            self._socket.send(line.packet(datagram[_HEADER.size :]), source)
