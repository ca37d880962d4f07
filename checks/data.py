"""
The `data` check: what a subscriber's data session goes through, each phase timed on its own.

Name, connection, TLS, first byte. It decides which phase broke or was too slow; the user plane is what is under
test, so a refused connection or a silent resolver is a failure of the service. Only what is broken on this
side (no route, no socket, no permission) is "not measured".
"""

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from functools import lru_cache
from time import perf_counter
from typing import Annotated, ClassVar, TypeVar

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
from pydantic import Field

from bot.core.model import Cell, Outcome
from checks import Measured, NotMeasured, Params, Targets
from checks.targets import DataSite, DnsResolver, target
from checks.units import Duration, limit, said

#: Errors that say something about this machine and nothing about the network under test.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.ENETUNREACH})
_HEAD_LIMIT = 65536

Got = TypeVar("Got")


class DataParams(Params):
    """`with:` of a data check; each phase has its own limit."""

    site: str = "internet"  #: a key of targets.data; a cell's service, where set, is used instead
    dns_within: Annotated[Duration, Field(gt=0)] = 2.0
    connect_within: Annotated[Duration, Field(gt=0)] = 2.0
    tls_within: Annotated[Duration, Field(gt=0)] = 3.0
    first_byte_within: Annotated[Duration, Field(gt=0)] = 5.0
    status: Annotated[int, Field(ge=100, le=599)] = 200
    contains: str = ""  #: text that must be in the first 64 KiB of the answer
    content_within: Annotated[Duration, Field(gt=0)] = 5.0

    def service_limit_s(self) -> float:
        content = self.content_within if self.contains else 0.0
        return self.dns_within + self.connect_within + self.tls_within + self.first_byte_within + content

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        return (("data", cell.service or self.site),)


class _PhaseFailedError(Exception):
    """A phase of the session failed; the text is the sentence."""


class DataCheck:
    """Open one data session and time its phases."""

    KIND: ClassVar[str] = "data"
    Params: ClassVar[type[Params]] = DataParams

    def __init__(self, params: DataParams) -> None:
        self.params = params

    async def take(self, cell: Cell, targets: Targets, _deadline: float) -> Measured:
        key = cell.service or self.params.site
        session = _Session(self.params, target(targets, "data", key, DataSite), key)
        if session.site.resolver is not None:
            session.resolver = target(targets, "dns", session.site.resolver, DnsResolver)
        if session.site.tls:
            session.trust = _trusted(session.site.ca_file)
        try:
            await session.run()
        except _PhaseFailedError as fault:
            return Measured(
                outcome=Outcome.FAIL, metrics=session.metrics, evidence=session.evidence, detail=f"{fault} ({key})"
            )
        return Measured(
            outcome=Outcome.PASS, metrics=session.metrics, evidence=session.evidence, detail=session.summary()
        )


class _Session:
    """One walk through the phases; what was measured stays readable when a later phase fails."""

    def __init__(self, params: DataParams, site: DataSite, key: str) -> None:
        self.params = params
        self.site = site
        self.key = key
        self.resolver: DnsResolver | None = None
        self.trust: ssl.SSLContext | None = None
        self.metrics: dict[str, float] = {}
        self.evidence: dict[str, str] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        params = self.params
        try:
            address = await self._phase("dns_time_s", "name resolution", params.dns_within, self._resolve())
            self.evidence["address"] = address
            reader, writer = await self._phase(
                "connect_time_s", "TCP connection", params.connect_within, self._connect(address)
            )
            if self.trust is not None:
                await self._phase("tls_time_s", "TLS handshake", params.tls_within, self._secure(writer, self.trust))
            head = await self._phase(
                "first_byte_time_s", "first byte", params.first_byte_within, self._read(reader, writer)
            )
            self._judge_status(head)
            if params.contains:
                await self._phase("content_time_s", "content", params.content_within, self._look_for(head, reader))
        finally:
            if self._writer is not None:
                self._writer.transport.abort()
                with suppress(OSError, ssl.SSLError):
                    await self._writer.wait_closed()

    async def _phase(self, metric: str, words: str, within: float, work: Awaitable[Got]) -> Got:
        began = perf_counter()
        try:
            async with asyncio.timeout(within):
                return await work
        except TimeoutError:
            raise _PhaseFailedError(f"{words} not done after {limit(within)}, limit {limit(within)}") from None
        except OSError as error:
            # An SSLError counts in numbers of its own, some of which are EPERM elsewhere.
            if error.errno in _OURS and not isinstance(error, ssl.SSLError):
                raise NotMeasured(f"{words}: {error.strerror or error} on this machine") from error
            raise _PhaseFailedError(f"{words} failed after {said(perf_counter() - began)}: {_cause(error)}") from error
        finally:
            self.metrics[metric] = perf_counter() - began

    async def _resolve(self) -> str:
        with suppress(ValueError):
            return str(ipaddress.ip_address(self.site.host))
        if self.resolver is None:
            found = await asyncio.get_running_loop().getaddrinfo(
                self.site.host, self.site.port, type=socket.SOCK_STREAM
            )
            return str(found[0][4][0])
        query = dns.message.make_query(self.site.host, dns.rdatatype.A)
        try:
            reply = await dns.asyncquery.udp(query, self.resolver.host, port=self.resolver.port)
        except dns.exception.DNSException as error:
            raise _PhaseFailedError(f"name resolution failed: {error}") from error
        addresses = [str(item) for rrset in reply.answer for item in rrset if item.rdtype == dns.rdatatype.A]
        if reply.rcode() != dns.rcode.NOERROR or not addresses:
            answer = dns.rcode.to_text(reply.rcode()) if reply.rcode() != dns.rcode.NOERROR else "no address"
            raise _PhaseFailedError(f"0 addresses for {self.site.host}, at least 1 needed: the resolver said {answer}")
        return addresses[0]

    async def _connect(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._writer = await asyncio.open_connection(address, self.site.port, limit=_HEAD_LIMIT)
        return reader, self._writer

    async def _secure(self, writer: asyncio.StreamWriter, trust: ssl.SSLContext) -> None:
        await writer.start_tls(trust, server_hostname=self.site.host)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        request = (
            f"GET {self.site.path} HTTP/1.1\r\nHost: {_authority(self.site)}\r\n"
            "User-Agent: switchroom\r\nConnection: close\r\n\r\n"
        )
        writer.write(request.encode("ascii"))
        head = await reader.read(_HEAD_LIMIT)
        if not head:
            raise _PhaseFailedError("0 bytes received: the site closed the connection without an answer")
        return head

    def _judge_status(self, head: bytes) -> None:
        parts = head.split(b"\r\n", 1)[0].split()
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
            raise _PhaseFailedError(f"{len(head)} bytes received that are no HTTP answer")
        status = int(parts[1])
        self.evidence["http_status"] = str(status)
        if status != self.params.status:
            raise _PhaseFailedError(f"HTTP {status}, must be {self.params.status}")

    async def _look_for(self, answer: bytes, reader: asyncio.StreamReader) -> None:
        wanted = self.params.contains.encode()
        while wanted not in answer and len(answer) < _HEAD_LIMIT:
            more = await reader.read(_HEAD_LIMIT)
            if not more:
                break
            answer += more
        if wanted not in answer:
            raise _PhaseFailedError(f"{len(answer)} bytes received without the expected text {self.params.contains!r}")

    def summary(self) -> str:
        first = self.metrics["first_byte_time_s"]
        phases = [("DNS", "dns_time_s"), ("TCP", "connect_time_s"), ("TLS", "tls_time_s")]
        parts = [f"{name} {said(self.metrics[metric])}" for name, metric in phases if metric in self.metrics]
        allowed = limit(self.params.first_byte_within)
        return f"first byte in {said(first)}, limit {allowed}; {', '.join(parts)} ({self.key})"


def _authority(site: DataSite) -> str:
    usual = 443 if site.tls else 80
    return site.host if site.port == usual else f"{site.host}:{site.port}"


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error) or type(error).__name__


def _trusted(ca_file: str) -> ssl.SSLContext:
    try:
        return _trust(ca_file)
    except OSError as error:  # an SSLError is one
        raise NotMeasured(f"ca_file {ca_file} cannot be used: {error.strerror or error}") from error


@lru_cache(maxsize=16)
def _trust(ca_file: str) -> ssl.SSLContext:
    # Building one reads the whole trust store: far more work than the probe that uses it.
    return ssl.create_default_context(cafile=ca_file or None)
