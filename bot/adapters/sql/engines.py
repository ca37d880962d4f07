"""
From a URL to two engines: one that writes, one that reads.

Decides how each database is made durable. Knows no table. A database in memory (`sqlite://`) has one
connection, so there reader and writer are the same engine and wait for each other.
"""

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from bot.core.errors import SettingsRefused, StoreUnavailable

_BUSY_MS = 10_000
_PARAMSTYLE: Literal["named"] = "named"  # rows go to the driver as they are, see `statements.in_driver_words`
#: Durable whatever the server's default; a lock that is not given is an error, never a silent wait.
_POSTGRES = "-c synchronous_commit=on -c lock_timeout=10s -c timezone=UTC"


@dataclass(frozen=True, slots=True)
class Engines:
    """The two engines, and the file when there is one."""

    writer: Engine
    reader: Engine
    file: Path | None
    shown: str  #: the URL without its password

    @property
    def dialect(self) -> str:
        """Return "sqlite" or "postgresql"."""
        return self.writer.dialect.name

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.reader.dispose()


def make_engines(url: str, *, read_only: bool) -> Engines:
    """Return the engines for *url*; nothing is opened yet."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsRefused(_not_a_url(url)) from error
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "postgresql+psycopg":
        return _postgres(parsed, read_only=read_only)
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not parsed.database or parsed.database == ":memory:":
            return _memory()
        return _file(Path(parsed.database), read_only=read_only)
    raise SettingsRefused(_not_a_url(parsed.render_as_string(hide_password=True)))


def _not_a_url(shown: str) -> str:
    scheme = shown.partition(":")[0]
    return (
        f"This is no database that Switchroom can use: {scheme}:... Write sqlite:///switchroom.sqlite (a file)"
        " or postgresql://user@host/name."
    )


def _postgres(url: URL, *, read_only: bool) -> Engines:
    def engine(options: str, size: int, overflow: int, isolation: Literal["AUTOCOMMIT", "READ COMMITTED"]) -> Engine:
        return create_engine(
            url,
            isolation_level=isolation,
            pool_size=size,
            max_overflow=overflow,
            # A server that was restarted costs us nothing but the ping that notices it.
            pool_pre_ping=True,
            connect_args={"options": options, "connect_timeout": 5, "application_name": "switchroom"},
        )

    looking = f"{_POSTGRES} -c default_transaction_read_only=on"
    writer = engine(looking if read_only else _POSTGRES, 1, 0, "READ COMMITTED")
    reader = engine(looking, 5, 10, "AUTOCOMMIT")
    return Engines(writer, reader, None, url.render_as_string(hide_password=True))


def _file(path: Path, *, read_only: bool) -> Engines:
    if read_only and not path.is_file():
        raise StoreUnavailable(f"There is no database at {path}. Check the path, or start the bot once to make it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"The directory of the database cannot be made: {error}.") from error
    mode = _look_mode(path) if read_only else "mode=rwc"
    writer = _sqlite(path, mode, {"journal_mode": "wal", "synchronous": "full"} if not read_only else {}, 1)
    reader = _sqlite(path, _look_mode(path) if read_only else "mode=rw", {"query_only": "on"}, 5)
    _begin_immediately(writer)
    return Engines(writer, reader, path, f"sqlite:///{path}")


def _look_mode(path: Path) -> str:
    # SQLite wants to write beside a WAL database even to read it; from a read-only medium it is told that nobody writes.
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return "immutable=1" if alone else "mode=ro"


def _memory() -> Engines:
    engine = create_engine(
        "sqlite://",
        paramstyle=_PARAMSTYLE,
        connect_args={"check_same_thread": False},
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
    )
    _set_on_connect(engine, {"foreign_keys": "on"})
    _begin_immediately(engine)
    return Engines(engine, engine, None, "sqlite://")


def _sqlite(path: Path, mode: str, pragmas: Mapping[str, str], size: int) -> Engine:
    engine = create_engine(
        f"sqlite:///file:{quote(str(path.absolute()))}?{mode}&uri=true",
        paramstyle=_PARAMSTYLE,
        connect_args={"check_same_thread": False, "timeout": _BUSY_MS / 1000},
        pool_size=size,
        max_overflow=0 if size == 1 else 10,
    )
    _set_on_connect(engine, {"busy_timeout": str(_BUSY_MS), "foreign_keys": "on", **pragmas})
    return engine


def _set_on_connect(engine: Engine, pragmas: Mapping[str, str]) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # The driver's own BEGIN comes too late: before the first INSERT only, and deferred. Readers need none.
        connection.isolation_level = None
        for name, value in pragmas.items():
            connection.execute(f"pragma {name} = {value}")


def _begin_immediately(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
