"""One process writes: who holds the lease, who loses it, and what the loser can still do (nothing)."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bot.adapters.sql import SqlStore, open_store
from bot.adapters.sql.lease import TTL_S
from bot.core.errors import LedgerBroken, StaleEpoch, StoreUnavailable
from bot.core.ports import Batch, Snapshot
from tests.contract.store.rows import append, event, positions

Opener = Callable[[], SqlStore]
Hand = Callable[[str], None]
Take = Callable[[], SqlStore]

_HOLDER = """
import sys
from bot.adapters.sql import open_store
store = open_store(sys.argv[1])
print(store.acquire("the other process"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def taken_over(opened: Opener, by_hand: Hand, database_url: str, store: SqlStore) -> Take:
    """Let another store take the lease from *store*, as when its process slept for too long."""
    assert store is not None

    def take() -> SqlStore:
        if database_url.startswith("sqlite"):
            Path(f"{database_url.removeprefix('sqlite:///')}.lock").unlink()
        else:
            by_hand("UPDATE lease SET expires_at = clock_timestamp() - interval '1 second'")
        other = opened()
        assert other.acquire("bot-2") == 2
        return other

    return take


def test_each_lease_has_an_epoch_higher_than_any_before(opened: Opener) -> None:
    for epoch in (1, 2, 3):
        store = opened()
        assert store.acquire("bot") == epoch
        store.release()


def test_a_second_acquire_is_refused_and_names_the_owner(store: SqlStore, opened: Opener) -> None:
    other = opened()
    with pytest.raises(StoreUnavailable, match="in use by bot-1"):
        other.acquire("bot-2")
    with pytest.raises(StoreUnavailable):
        store.acquire("bot-1 again")
    append(store, [1])
    store.release()
    assert other.acquire("bot-2") == 2


def test_nothing_is_written_without_the_lease(store: SqlStore, opened: Opener) -> None:
    other = opened()
    writes: list[Callable[[], None]] = [
        lambda: append(other, [1]),
        other.renew,
        lambda: other.save_snapshot(Snapshot(0, "", "", b"")),
    ]
    for write in writes:
        with pytest.raises(StoreUnavailable, match="acquire it first"):
            write()
    store.release()
    with pytest.raises(StoreUnavailable, match="acquire it first"):
        append(store, [1])
    assert positions(store) == []


def test_a_writer_that_lost_its_lease_writes_nothing(store: SqlStore, taken_over: Take) -> None:
    append(store, [1])
    other = taken_over()
    writes: list[Callable[[], None]] = [
        lambda: append(store, [2]),
        lambda: store.commit(Batch(settled=[("a", "handled")])),
        lambda: store.save_snapshot(Snapshot(1, "0.1.0", "d", b"old")),
        store.renew,
    ]
    for write in writes:
        with pytest.raises(StaleEpoch, match=r"bot-2 \(epoch 2, ours was 1\)"):
            write()
    assert store.snapshot() is None
    append(other, [2])
    assert positions(other) == [1, 2]


def test_a_loser_that_releases_takes_nothing_from_the_winner(store: SqlStore, taken_over: Take, opened: Opener) -> None:
    other = taken_over()
    store.release()
    with pytest.raises(StoreUnavailable, match="bot-2"):
        opened().acquire("bot-3")
    append(other, [1])


def test_renewing_keeps_the_lease(store: SqlStore, by_hand: Hand, opened: Opener, engine: Engine) -> None:
    if engine.dialect.name == "postgresql":
        by_hand("UPDATE lease SET expires_at = clock_timestamp() - interval '1 second'")
    store.renew()
    with pytest.raises(StoreUnavailable, match="bot-1"):
        opened().acquire("bot-2")


def test_of_many_that_start_at_once_one_wins(database_url: str) -> None:
    start = threading.Barrier(6)

    def try_it(number: int) -> SqlStore | None:
        start.wait(30)
        store = open_store(database_url)
        try:
            store.acquire(f"bot-{number}")
        except StoreUnavailable:
            store.close()
            return None
        return store

    with ThreadPoolExecutor(6) as pool:
        winners = [store for store in pool.map(try_it, range(6)) if store is not None]
    assert len(winners) == 1
    append(winners[0], [1])
    assert positions(winners[0]) == [1]
    winners[0].close()


@contextmanager
def _holder(url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLDER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_another_process_is_kept_out_until_the_holder_is_gone(database_url: str, opened: Opener) -> None:
    store = opened()
    with _holder(database_url) as holder:
        with pytest.raises(StoreUnavailable, match="in use by the other process"):
            store.acquire("bot-2")
        holder.kill()
        holder.wait(30)
    assert _acquired(store, "bot-2") == 2


def _acquired(store: SqlStore, owner: str) -> int:
    """Acquire as soon as the server has noticed that the holder's session ended: long before the lease lapses."""
    ends = time.monotonic() + TTL_S / 2
    while True:
        try:
            return store.acquire(owner)
        except StoreUnavailable:
            if time.monotonic() > ends:
                raise


def test_a_ledger_with_its_end_cut_off_is_not_written_on(
    store: SqlStore, opened: Opener, by_hand: Hand, engine: Engine
) -> None:
    append(store, [1, 2, 3])
    store.release()
    sqlite = engine.dialect.name == "sqlite"
    by_hand("DROP TRIGGER entries_no_delete" if sqlite else "ALTER TABLE entries DISABLE TRIGGER USER")
    by_hand("DELETE FROM entries WHERE position = 3")
    other = opened()
    with pytest.raises(LedgerBroken, match="ends at position 2, but 3 positions were given out"):
        other.acquire("bot-2")
    assert list(other.rows()) == [event(1), event(2)]
