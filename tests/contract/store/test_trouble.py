"""When the database does not do its part: what is raised, what it says, and that it works again after."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from bot import __version__
from bot.adapters.sql import SqlStore, open_store
from bot.core.errors import SettingsRefused, StoreUnavailable
from bot.core.ports import Batch
from tests.contract.store.rows import append, effect, event, inbox, positions, reading

Opener = Callable[[], SqlStore]
Hand = Callable[[str], None]


def _on_the_writer(store: SqlStore, statement: str) -> None:
    connection = store._engines.writer.raw_connection()
    try:
        connection.cursor().execute(statement)
        connection.commit()
    finally:
        connection.close()


def test_a_full_disk_freezes_the_ledger_and_space_thaws_it(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    store.acquire("bot-1")
    _on_the_writer(store, "pragma max_page_count = 1")  # SQLite raises it to what is used already
    large = Batch(inbox=[inbox("a", bytes(1_000_000))], events=[event(1)])
    with pytest.raises(StoreUnavailable, match=r"the disk is full.*Nothing was recorded\. No gate passes"):
        store.commit(large)
    assert positions(store) == []
    _on_the_writer(store, "pragma max_page_count = 1000000")
    store.commit(large)
    assert positions(store) == [1]
    store.close()


def test_a_database_that_turns_read_only_refuses_and_works_again_after(store: SqlStore) -> None:
    sqlite = store._engines.dialect == "sqlite"
    off, on = (
        ("pragma query_only = on", "pragma query_only = off")
        if sqlite
        else (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        )
    )
    append(store, [1])
    _on_the_writer(store, off)
    with pytest.raises(StoreUnavailable, match="the database is read-only"):
        append(store, [2])
    assert positions(store) == [1]
    _on_the_writer(store, on)
    append(store, [2])
    assert positions(store) == [1, 2]


def test_connections_cut_by_the_server_are_made_again(postgres_url: str) -> None:
    store = open_store(postgres_url)
    store.acquire("bot-1")
    append(store, [1])
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    append(store, [2])
    assert positions(store) == [1, 2]
    store.close()


def test_a_server_that_does_not_answer_is_told_without_its_password(postgres_url: str) -> None:
    address = postgres_url.replace("postgres@", "postgres:hunter2@").rsplit("/", 1)[0]
    with pytest.raises(StoreUnavailable, match="is not there: check the URL") as raised:
        open_store(f"{address}/no_such_database")
    assert "hunter2" not in str(raised.value)


def test_another_program_that_holds_the_database_is_told(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.adapters.sql.engines._BUSY_MS", 50)
    store = open_store(sqlite_url)
    store.acquire("bot-1")
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(StoreUnavailable, match="another program holds the database"):
        append(store, [1])
    other.execute("rollback")
    other.close()
    append(store, [1])
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("a shopping list, and long enough to be looked at" * 50)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_store(f"sqlite:///{path}")


def test_tables_of_a_newer_release_are_refused_and_name_it(store: SqlStore, by_hand: Hand, opened: Opener) -> None:
    append(store, [1])
    by_hand("UPDATE schema_version SET version = 99, software = 'switchroom 7.2.0'")
    with pytest.raises(StoreUnavailable, match=f"written by switchroom 7.2.0 .* this is switchroom {__version__}"):
        opened()


def test_a_url_of_another_kind_is_refused_without_its_password() -> None:
    for url in ("mysql://me:hunter2@host/db", "no url at all"):
        with pytest.raises(SettingsRefused, match="sqlite:///") as raised:
            open_store(url)
        assert "hunter2" not in str(raised.value)


def test_a_ledger_is_read_beside_its_writer_and_nothing_is_changed(store: SqlStore, database_url: str) -> None:
    append(store, [1])
    looker = open_store(database_url, read_only=True)
    assert positions(looker) == [1]
    append(store, [2])
    assert positions(looker) == [1, 2]
    with pytest.raises(StoreUnavailable, match="for reading only"):
        looker.acquire("me")
    with pytest.raises(StoreUnavailable):
        append(looker, [3])
    looker.close()


def test_looking_makes_no_database(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"There is no database at|holds no ledger yet"):
        open_store(database_url, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_on_a_read_only_medium_can_be_looked_at(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(sqlite_url)
    store.acquire("bot")
    append(store, [1])
    store.release()
    store.close()
    # Root may write anywhere, so the medium is only said to be read-only; SQLite must then make no file beside it.
    monkeypatch.setattr("bot.adapters.sql.engines.os.access", lambda _path, _mode: False)
    looker = open_store(sqlite_url, read_only=True)
    assert positions(looker) == [1]
    assert not Path(f"{sqlite_url.removeprefix('sqlite:///')}-wal").exists()
    looker.close()


def test_a_database_in_memory_serves_several_threads() -> None:
    store = open_store("sqlite://")
    assert store.acquire("rehearsal") == 1
    append(store, [1])
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: positions(store), range(8))) == [[1]] * 8
    store.close()


def test_readers_in_other_threads_see_whole_batches_only(store: SqlStore) -> None:
    def write() -> None:
        for first in range(1, 120, 3):
            rows = [event(first), event(first + 2)]
            store.commit(Batch(events=rows, readings=[reading(first + 1)], effects=[effect(first)]))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            assert len(positions(store)) % 3 == 0
        writing.result()
    assert positions(store) == list(range(1, 121))
