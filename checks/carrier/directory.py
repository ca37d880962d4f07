"""
The names of the simulated carrier: an authoritative DNS server for its own domain, over UDP.

It answers A queries for the site's name with the carrier's address, and NXDOMAIN for anything else. With
`slow-dns` on, the answer waits.
"""

import asyncio
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from checks.carrier.faults import Faults


class Directory(asyncio.DatagramProtocol):
    """The server; create it with `loop.create_datagram_endpoint`."""

    def __init__(self, domain: str, address: str, faults: Faults, slow_s: float) -> None:
        self._name = dns.name.from_text(domain)
        self._address = address
        self._faults = faults
        self._slow_s = slow_s
        self._waiting: list[asyncio.TimerHandle] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return
        answer = self._answer(query).to_wire()
        if not self._faults.active("slow-dns"):
            self._send(answer, addr)
            return
        now = asyncio.get_running_loop().time()
        self._waiting = [handle for handle in self._waiting if handle.when() > now]
        self._waiting.append(asyncio.get_running_loop().call_later(self._slow_s, self._send, answer, addr))

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        question = query.question[0] if query.question else None
        if question is None or question.name != self._name:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(self._name, 30, dns.rdataclass.IN, dns.rdatatype.A, self._address))
        return reply
