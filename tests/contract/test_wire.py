"""What the composition root keeps alive, and when it ends."""

import asyncio
import sys
from pathlib import Path

import pytest

from bot import service as service_module
from bot import wire
from bot.adapters.clock import WallClock
from bot.adapters.sql import open_store
from bot.config import Settings
from bot.core import messages as m
from bot.core.errors import StaleEpoch, StoreUnavailable
from bot.core.model import MACHINE, Via
from bot.core.ports import Batch
from bot.service import Service
from bot.wire import SystemRolls, lint_files, probe_worker, until_lost

PATIENCE_S = 20.0


async def test_a_probe_worker_that_dies_is_started_again_and_ends_with_its_bot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    come = asyncio.Queue[str]()

    async def hears(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        come.put_nowait((await reader.readline()).decode().strip())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hears, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here = tmp_path / "once"
    # The first one dies at once, the second one lives until its bot ends.
    worker = f"""
import pathlib, socket, sys
once = pathlib.Path({str(here)!r})
first = not once.exists()
once.touch()
with socket.create_connection(("127.0.0.1", {port})) as bot:
    bot.sendall(b"first" if first else b"second")
if first:
    sys.exit(7)
sys.stdin.read()
"""
    monkeypatch.setattr(wire, "PROBES", (sys.executable, "-c", worker))
    monkeypatch.setattr(wire, "AGAIN_S", 0.01)
    async with server, asyncio.timeout(PATIENCE_S):
        async with probe_worker(Settings(SWITCHROOM_STATE_DIR=tmp_path, SWITCHROOM_DEPLOYMENT=tmp_path / "d.yaml")):
            assert [await come.get(), await come.get()] == ["first", "second"]
        assert come.empty()


async def test_a_lease_lost_before_anybody_listened_ends_the_bot_too(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sqlite_url)
    service = Service(store, WallClock(), SystemRolls(), "test")
    await asyncio.to_thread(service.start, "test")

    def stale(batch: Batch) -> None:
        raise StaleEpoch(f"another took over, {len(batch.events)}")

    with monkeypatch.context() as broken:
        broken.setattr(store, "commit", stale)
        with pytest.raises(StoreUnavailable):
            await service.handle(m.ReportClock(off_s=9), MACHINE, Via.TIMER)
    await asyncio.wait_for(until_lost(service), PATIENCE_S)
    await asyncio.to_thread(service.stop)
    store.close()


def test_a_deployment_file_is_no_runbook_and_one_sentence_says_so(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text("# ours\ndeployment: test\nrooms:\n  main: {channel: C0MAIN}\n")
    assert [str(finding) for finding in lint_files([path])] == [
        f"{path}:2:1: E201 this is a deployment file and no runbook; `switchroom serve` checks it when it starts"
    ]


async def test_a_lease_that_cannot_be_kept_for_any_reason_is_told_and_the_writer_lives(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "RENEW_S", 0.01)
    store = open_store(sqlite_url)
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    service = Service(store, WallClock(), SystemRolls(), "test")

    def heard(why: str | None) -> None:
        if why is not None:
            loop.call_soon_threadsafe(told.set)

    service.on_trouble(heard)
    with monkeypatch.context() as broken:

        def breaks() -> None:
            raise RuntimeError("the driver fell over")

        broken.setattr(store, "renew", breaks)
        await asyncio.to_thread(service.start, "test")
        await asyncio.wait_for(told.wait(), PATIENCE_S)
    done = await service.handle(m.ReportClock(off_s=9), MACHINE, Via.TIMER)
    assert done.events
    await asyncio.to_thread(service.stop)
    store.close()
