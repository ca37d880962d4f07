"""
Commands through `service.handle` against bare sqlite3: 100 asyncio callers, SQLite with synchronous=FULL.

The bare side is what nobody could leave out: asyncio callers, one writer thread that takes all that wait,
one insert and one SHA-256 for each entry, one commit, then the answers. Both sides are measured in turn, so
that a busy machine is busy for both; the figure is the median of the rounds.

    python tests/bench/commands.py
"""

import asyncio
import hashlib
import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from bot.adapters.clock import WallClock
from bot.adapters.sql import open_store
from bot.core import messages as m
from bot.core.model import Actor, Via
from bot.service import Service
from bot.wire import SystemRolls

CALLERS = 100
EACH = 30
ROUNDS = 5
_BOTH = {"one_of_each": ["cutover-lead", "network-ops"]}
_RUNBOOK = {
    "runbook": "bench",
    "title": "A run to write notes into",
    "phase": "readiness",
    "timezone": "Europe/London",
    "roles": {"cutover-lead": {"people": ["lead"]}, "network-ops": {"people": ["noc"]}},
    "approvals": {
        "criteria": dict(_BOTH),
        "go": dict(_BOTH),
        "go_back": {"before": dict(_BOTH), "after": dict(_BOTH)},
        "fix_first": {"any": 1, "of": ["network-ops"], "at_most": "20m"},
        "continue": dict(_BOTH),
    },
    "steps": [{"id": "prepare", "kind": "manual"}],
    "rollback": [{"id": "put-back", "kind": "manual"}],
}


class Bare:
    """The least that can be called a durable chained log with asyncio callers."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.execute("create table log (position integer primary key, body blob, hash blob)")
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._ready = threading.Condition()
        self._stopping = False
        self._head = b""
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    async def append(self, entry: dict[str, str]) -> None:
        """Write *entry* and return after the commit."""
        written = self._loop.create_future()
        with self._ready:
            self._waiting.append((json.dumps(entry).encode(), written))
            self._ready.notify()
        await written

    def stop(self) -> None:
        """End the writer."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join()
        self._connection.close()

    def _write(self) -> None:
        while True:
            with self._ready:
                while not self._waiting and not self._stopping:
                    self._ready.wait()
                taken, self._waiting = self._waiting, []
            if not taken:
                return
            self._connection.execute("begin immediate")
            self._connection.executemany("insert into log (body, hash) values (?, ?)", self._sealed(taken))
            self._connection.execute("commit")
            self._loop.call_soon_threadsafe(_answer, [written for _, written in taken])

    def _sealed(self, taken: list[tuple[bytes, "asyncio.Future[None]"]]) -> list[tuple[bytes, bytes]]:
        rows = []
        for body, _ in taken:
            self._head = hashlib.sha256(self._head + body).digest()
            rows.append((body, self._head))
        return rows


def _answer(written: list["asyncio.Future[None]"]) -> None:
    for one in written:
        one.set_result(None)


async def _bare(folder: Path) -> float:
    bare = Bare(folder / "bare.sqlite")

    async def caller(name: int) -> None:
        for number in range(EACH):
            await bare.append({"run": "bench-1", "text": f"note {number} of {name}", "actor": "lead"})

    began = time.perf_counter()
    await asyncio.gather(*(caller(name) for name in range(CALLERS)))
    took = time.perf_counter() - began
    bare.stop()
    return CALLERS * EACH / took


async def _handled(folder: Path) -> float:
    store = open_store(f"sqlite:///{folder / 'ledger.sqlite'}")
    service = Service(store, WallClock(), SystemRolls(), "bench")
    await asyncio.to_thread(service.start, "bench")
    lead = Actor(person="lead", account="os:lead")
    opening = m.Open(
        run="bench-1", migration="bench", place="main", text=json.dumps(_RUNBOOK), people={"lead": "L", "noc": "N"}
    )
    await service.handle(opening, lead, Via.CLI)

    async def caller(name: int) -> None:
        for number in range(EACH):
            await service.handle(
                m.Note(run="bench-1", text=f"note {number} of {name}"), lead, Via.CLI, command_id=f"{name}-{number}"
            )

    began = time.perf_counter()
    await asyncio.gather(*(caller(name) for name in range(CALLERS)))
    took = time.perf_counter() - began
    await asyncio.to_thread(service.stop)
    store.close()
    return CALLERS * EACH / took


async def _measure() -> dict[str, float]:
    ours, bare = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as made:
            bare.append(await _bare(Path(made)))
            ours.append(await _handled(Path(made)))
    return {
        "ratio": statistics.median(one / other for one, other in zip(ours, bare, strict=True)),
        "handled_per_s": statistics.median(ours),
        "bare_per_s": statistics.median(bare),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_measure())) + "\n")
