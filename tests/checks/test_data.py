"""A data check: its phases, each with its own limit."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.core.model import Cell, Outcome, Reading
from checks.carrier import Carrier
from checks.data import DataParams

Take = Callable[..., Awaitable[Reading]]
pytestmark = pytest.mark.usefixtures("nothing_left")
CELL = Cell(origin="subscriber")


def with_site(carrier: Carrier, **changes: object) -> dict[str, Any]:
    return {**carrier.targets, "data": {"internet": {**carrier.targets["data"]["internet"], **changes}}}


async def test_a_healthy_session_passes_with_every_phase_timed(carrier: Carrier, take: Take) -> None:
    reading = await take("data", CELL, carrier.targets, contains="Welcome to the portal")

    assert reading.outcome is Outcome.PASS, reading.detail
    assert reading.detail.startswith("first byte in ")
    assert {"dns_time_s", "connect_time_s", "first_byte_time_s", "content_time_s"} == set(reading.metrics)
    assert reading.evidence == {"address": "127.0.0.1", "http_status": "200"}


async def test_a_slow_resolver_fails_at_its_own_limit(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("slow-dns")
    reading = await take("data", CELL, carrier.targets, dns_within="0.1s")

    assert reading.outcome is Outcome.FAIL
    assert reading.detail == "name resolution not done after 0.1 s, limit 0.1 s (internet)"
    assert "connect_time_s" not in reading.metrics


async def test_a_name_that_does_not_exist_fails(carrier: Carrier, take: Take) -> None:
    reading = await take("data", CELL, with_site(carrier, host="nowhere.mvno.test"))
    assert reading.outcome is Outcome.FAIL
    assert reading.detail == (
        "0 addresses for nowhere.mvno.test, at least 1 needed: the resolver said NXDOMAIN (internet)"
    )


async def test_a_refused_connection_fails_because_the_service_is_what_refused(carrier: Carrier, take: Take) -> None:
    reading = await take("data", CELL, with_site(carrier, port=1))
    assert reading.outcome is Outcome.FAIL
    assert reading.detail.startswith("TCP connection failed after ")
    assert reading.detail.endswith(": connection refused (internet)")


@pytest.mark.parametrize(
    ("params", "site", "why"),
    [
        ({}, {"path": "/missing"}, "HTTP 404, must be 200"),
        ({"contains": "something else"}, {}, "bytes received without the expected text 'something else'"),
    ],
)
async def test_the_wrong_answer_fails(
    carrier: Carrier, take: Take, params: dict[str, Any], site: dict[str, Any], why: str
) -> None:
    reading = await take("data", CELL, with_site(carrier, **site), **params)
    assert reading.outcome is Outcome.FAIL
    assert why in reading.detail


async def test_a_site_that_accepts_and_stays_silent_fails_at_the_first_byte(carrier: Carrier, take: Take) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reading = await take("data", CELL, with_site(carrier, port=port), first_byte_within="0.1s")
    assert reading.outcome is Outcome.FAIL
    assert reading.detail == "first byte not done after 0.1 s, limit 0.1 s (internet)"


async def test_a_site_is_asked_for_by_its_name_and_port(carrier: Carrier, take: Take) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reading = await take("data", CELL, with_site(carrier, port=port))
    assert reading.outcome is Outcome.PASS, reading.detail
    assert f"\r\nHost: {carrier.config.domain}:{port}\r\n".encode() in asked[0]


async def test_tls_is_timed_and_a_certificate_we_do_not_trust_fails(
    carrier: Carrier, take: Take, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    name = carrier.config.domain
    made = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        trusted = await take("data", CELL, with_site(carrier, port=port, tls=True, ca_file=str(cert)))
        strange = await take("data", CELL, with_site(carrier, port=port, tls=True))
    assert trusted.outcome is Outcome.PASS, trusted.detail
    assert trusted.metrics["tls_time_s"] > 0
    assert strange.outcome is Outcome.FAIL
    assert "TLS handshake failed after" in strange.detail
    assert "the certificate is not good" in strange.detail


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_our_error(
    carrier: Carrier, take: Take, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    reading = await take("data", CELL, with_site(carrier, tls=True, ca_file=str(file)))
    assert reading.outcome is Outcome.ERROR
    assert reading.detail.startswith(f"not measured: ca_file {file} cannot be used: ")


async def test_the_cells_service_names_the_site(carrier: Carrier, take: Take) -> None:
    reading = await take("data", Cell(service="elsewhere"), carrier.targets)
    assert reading.outcome is Outcome.ERROR
    assert "no target data.elsewhere; it has: internet" in reading.detail


def test_the_service_limit_is_the_sum_of_the_phases() -> None:
    assert DataParams(dns_within=1, connect_within=2, tls_within=3, first_byte_within=4).service_limit_s() == 10
    assert DataParams(contains="x").service_limit_s() == DataParams().service_limit_s() + 5
