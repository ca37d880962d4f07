"""The carrier's control API, its faults, and its life as a process."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.core.errors import SettingsRefused
from checks.carrier import Carrier, CarrierConfig, running_carrier
from checks.carrier.faults import Faults, NoSuchFault
from checks.targets import parse_targets


@pytest.fixture
async def api(carrier: Carrier) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=carrier.control, trust_env=False) as client:
        yield client


async def test_its_targets_are_a_deployment_fragment(carrier: Carrier) -> None:
    targets = parse_targets(carrier.targets)
    assert set(targets["sip"]) == {"mno-a", "mno-b", "donor", "fixed", "mvno"}
    assert set(targets["smpp"]) == {"carrier-c", "carrier-d"}
    assert {"npdb", "reconciliation", "status", "actions", "portal"} <= set(targets["http"])


async def test_faults_are_listed_and_switched_while_it_runs(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/faults")).json()
    assert {fault["id"] for fault in listed} >= {
        "origin-fails", "one-way-audio", "sms-receipts-lost:carrier-c", "slow-dns", "wrong-ivr-prompt", "npdb-timeout",
    }  # fmt: skip
    assert all(fault["title"] and fault["description"] and fault["on"] is False for fault in listed)

    switched = await api.post("/faults", json={"id": "origin-fails:mno-b", "on": True})
    again = {fault["id"]: fault["on"] for fault in (await api.get("/faults")).json()}
    assert switched.json() == {"ok": True, "id": "origin-fails", "on": True}
    assert again["origin-fails"] is True


async def test_an_unknown_fault_is_refused_with_those_there_are(api: httpx.AsyncClient) -> None:
    unknown = await api.post("/faults", json={"id": "gremlins", "on": True})
    shapeless = await api.post("/faults", json={"id": "slow-dns"})
    assert (unknown.status_code, shapeless.status_code) == (404, 400)
    assert "there are: origin-fails" in unknown.json()["error"]


def test_a_fault_with_another_argument_is_listed_under_its_own_name() -> None:
    faults = Faults()
    faults.switch("origin-fails:mno-a", True)
    faults.switch("one-way-audio", True)
    titles = {fault["id"]: fault["title"] for fault in faults.listing() if fault["on"]}

    assert titles == {"one-way-audio": "One-way audio", "origin-fails:mno-a": "Calls from mno-a to moved numbers fail"}
    assert faults.active("origin-fails", "mno-a")
    assert not faults.active("origin-fails", "mno-b")
    assert faults.active("one-way-audio", "donor")
    with pytest.raises(NoSuchFault, match="origin-fails takes mno-a"):
        faults.switch("origin-fails:mars", True)


async def test_an_order_repeated_under_its_key_is_done_once(api: httpx.AsyncClient) -> None:
    order = {"range": "+447700900000-+447700900999"}
    first, second = await asyncio.gather(
        *(api.post("/npdb/activate", json=order, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    )
    state = (await api.get("/npdb/state")).json()

    assert first.json()["count"] == second.json()["count"] == 1000
    assert [first.json()["replayed"], second.json()["replayed"]].count(True) == 1
    assert len(state["orders"]) == 1
    assert state["activated"] is True
    assert set(state["holder"].values()) == {"new"}

    other = await api.post("/npdb/port-back", json=order, headers={"Idempotency-Key": "k1"})
    assert other.status_code == 422


async def test_the_key_may_be_in_the_body_and_a_port_back_undoes_part(api: httpx.AsyncClient) -> None:
    await api.post("/npdb/activate", json={"key": "a", "numbers": ["+447700900001", "+447700900002"]})
    await api.post("/npdb/port-back", json={"key": "b", "numbers": ["+447700900001"]})
    state = (await api.get("/npdb/state")).json()
    assert state["holder"] == {"+447700900001": "old", "+447700900002": "new"}
    assert (state["activated"], state["last"]) == (False, "port-back")


@pytest.mark.parametrize("body", [{"numbers": ["x"]}, {"range": "+4477-"}, {"range": "+447700900009-+447700900001"}])
async def test_an_order_that_makes_no_sense_changes_nothing(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    refused = await api.post("/npdb/activate", json=body)
    assert refused.status_code == 400
    assert (await api.get("/npdb/state")).json()["orders"] == []


async def test_a_database_that_hangs_does_not_do_what_the_client_gave_up_on(
    carrier: Carrier, api: httpx.AsyncClient
) -> None:
    carrier.set_fault("npdb-timeout")
    with pytest.raises(httpx.ReadTimeout):
        await api.post("/npdb/activate", timeout=0.2)
    await asyncio.sleep(0.2)  # the server looks every 50 ms whether its client is still there
    carrier.set_fault("npdb-timeout", False)
    assert (await api.get("/npdb/state")).json()["orders"] == []


async def test_actions_are_recorded_once_per_key_and_make_their_status_done(api: httpx.AsyncClient) -> None:
    assert (await api.get("/status/load-test")).json()["done"] is False
    for replayed in (False, True):
        answer = await api.post("/actions/load-test", json={"key": "k"})
        assert answer.json()["replayed"] is replayed
    clash = await api.post("/actions/other", json={"key": "k"})

    assert clash.status_code == 422
    assert len((await api.get("/actions")).json()) == 1
    status = (await api.get("/status/load-test")).json()
    assert (status["done"], status["ready"], status["started"]) == (True, True, 1)


async def test_a_status_can_be_overwritten_and_made_bad(carrier: Carrier, api: httpx.AsyncClient) -> None:
    await api.post("/status/sync", json={"lag_ms": 7})
    carrier.set_fault("status-fails:sync")
    sync, other = (await api.get("/status/sync")).json(), (await api.get("/status/bss")).json()
    assert (sync["lag_ms"], sync["ok"], other["ok"]) == (7, False, True)


async def test_web_pages_and_other_hosts_are_refused(api: httpx.AsyncClient) -> None:
    body = {"id": "slow-dns", "on": True}
    page = await api.post("/faults", json=body, headers={"Origin": "http://evil.example"})
    rebound = await api.post("/faults", json=body, headers={"Host": "evil.example"})
    assert (page.status_code, rebound.status_code) == (403, 403)
    assert not any(fault["on"] for fault in (await api.get("/faults")).json())


@pytest.mark.parametrize(("path", "content"), [("/npdb/activate", b"[1]"), ("/faults", b"{"), ("/nowhere", b"{}")])
async def test_bad_requests_get_json_and_a_reason(api: httpx.AsyncClient, path: str, content: bytes) -> None:
    answer = await api.post(path, content=content)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]


def test_a_configuration_with_an_unknown_socket_is_refused() -> None:
    with pytest.raises(ValueError, match="no socket sip-mars; there are: control, "):
        CarrierConfig(ports={"sip-mars": 1})


async def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsRefused, match=f"port {port} for control .* in use; choose another"):
            async with running_carrier(CarrierConfig(ports={"control": port})):
                pass


async def test_as_a_process_it_says_when_it_is_ready_keeps_its_ports_and_ends_on_sigterm(tmp_path: Path) -> None:
    first = await started()
    assert first.ready["targets"]["http"]["npdb"]["url"] == first.ready["control"] + "/npdb"
    await first.end()

    config = tmp_path / "carrier.json"
    config.write_text(json.dumps({"ports": first.ready["ports"]}))
    second = await started(str(config))
    await second.end()
    assert second.ready == first.ready


async def test_a_configuration_that_cannot_be_used_ends_with_two() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "checks.carrier", "/nowhere.json", stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"cannot start" in errors


class Started:
    """A carrier in its own process."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready

    async def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        rest, _ = await asyncio.wait_for(self.process.communicate(), 10)
        assert (self.process.returncode, rest) == (0, b"")


async def started(*arguments: str) -> Started:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "checks.carrier", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    return Started(process, json.loads(line))
