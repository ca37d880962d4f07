"""
UDP sockets for SIP and RTP: datagrams and refusals go to callbacks.

Knows addresses, not messages.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import cast

Address = tuple[str, int]

#: Linux reports a refused datagram (ICMP) on an unconnected socket only when asked to.
_IP_RECVERR = 11


class Datagrams(asyncio.DatagramProtocol):
    """One UDP socket."""

    def __init__(
        self, took: Callable[[bytes, Address], None], refused: Callable[[OSError], None] | None = None
    ) -> None:
        self._took = took
        self._refused = refused
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> Address:
        """The local address."""
        host, port = self._open().get_extra_info("sockname")[:2]
        return host, port

    def send(self, datagram: bytes, to: Address) -> None:
        """Send *datagram*; silently nothing once the socket is closed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(datagram, to)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self._took(data, (str(addr[0]), int(addr[1])))

    def error_received(self, exc: Exception) -> None:
        if self._refused is not None and isinstance(exc, OSError):
            self._refused(exc)

    def _open(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            raise RuntimeError("the socket is not open")
        return self._transport


async def open_datagrams(
    local: Address, took: Callable[[bytes, Address], None], refused: Callable[[OSError], None] | None = None
) -> Datagrams:
    """Open a UDP socket on *local*; port 0 takes any free one."""
    loop = asyncio.get_running_loop()
    _, datagrams = await loop.create_datagram_endpoint(lambda: Datagrams(took, refused), local_addr=local)
    if sys.platform == "linux" and refused is not None:
        datagrams._open().get_extra_info("socket").setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)  # noqa: SLF001 - same file
    return datagrams


async def resolve(host: str, port: int) -> Address:
    """Return the numeric address of *host*."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    return str(found[0][4][0]), int(found[0][4][1])


def own_address_towards(remote: Address) -> str:
    """Return the address of this machine that *remote* would see; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)
        address: str = probe.getsockname()[0]
        return address
