"""
Who may write: one process at a time, each with an epoch higher than any before.

SQLite: the operating system's lock on a file beside the database, so the lock ends with its process however
that ends. PostgreSQL: a row that lapses by the database's clock, or once the session that wrote it has ended. Either way the epoch in the row is the
fence: a writer that slept through its lease finds another epoch there and writes nothing.
"""

import fcntl
import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import (
    Connection,
    Engine,
    Update,
    bindparam,
    column,
    extract,
    func,
    literal_column,
    null,
    or_,
    select,
    table,
    update,
)

from bot.adapters.sql.tables import entries, lease, readings
from bot.adapters.sql.trouble import told
from bot.core.errors import LedgerBroken, StaleEpoch, StoreUnavailable

#: How long a PostgreSQL lease lives without being renewed. Every commit renews it too.
TTL_S = 10

_server_now = func.clock_timestamp()  # not now(): that is when the transaction began, before it waited for the row
_lapses = _server_now + literal_column(f"interval '{TTL_S} seconds'")
_own_session = func.pg_backend_pid()
_sessions = table("pg_stat_activity", column("pid"))

_LEASE = select(lease)
_GIVE_UP = update(lease).where(lease.c.epoch == bindparam("mine")).values(owner="", expires_at=null())
_TAKE = update(lease).values(epoch=lease.c.epoch + 1, owner=bindparam("taker")).returning(lease.c.epoch, lease.c.head)
_TAKE_LAPSED = _TAKE.values(expires_at=_lapses, session=_own_session).where(
    or_(
        lease.c.expires_at.is_(None),
        lease.c.expires_at <= _server_now,
        # A process that was killed has no session any more: whoever starts it again need not wait.
        lease.c.session.not_in(select(_sessions.c.pid)),
    )
)
_SECONDS_LEFT = select(extract("epoch", lease.c.expires_at - _server_now))
_HIGHEST = select(
    select(func.max(entries.c.position)).scalar_subquery(),
    select(func.max(readings.c.position)).scalar_subquery(),
)


def highest(connection: Connection) -> int:
    """Return the highest position in the ledger, 0 when it is empty."""
    return max(found or 0 for found in connection.execute(_HIGHEST).one())


def fence(dialect: str, *, moving: bool) -> Update:
    """
    Return the UPDATE that every transaction begins with; it must change one row.

    With *moving* it also takes the positions: the head must be `expected` and becomes `last`.
    """
    mine = update(lease).where(lease.c.epoch == bindparam("mine"))
    mine = mine.values(expires_at=_lapses, session=_own_session) if dialect == "postgresql" else mine.values(id=1)
    if moving:
        mine = mine.where(lease.c.head == bindparam("expected")).values(head=bindparam("last"))
    return mine


class Lease(Protocol):
    """One way of making sure that one process writes."""

    def acquire(self, owner: str) -> int:
        """Take it and return the new epoch, or raise StoreUnavailable naming the owner."""
        ...

    def renew(self, epoch: int) -> None:
        """Keep it, or raise StaleEpoch."""
        ...

    def release(self, epoch: int) -> None:
        """Give it up; nothing happens when it is no longer ours."""
        ...

    def close(self) -> None:
        """Let go of what this process holds, writing nothing."""
        ...


class FileLease:
    """A lock on `<database>.lock`. A database in memory has no file and no rival."""

    def __init__(self, writer: Engine, database: Path | None) -> None:
        self._writer = writer
        self._path = database.with_name(f"{database.name}.lock") if database else None
        self._lock: int | None = None
        self._held = False

    def acquire(self, owner: str) -> int:
        if self._held:
            raise StoreUnavailable("The lease is held already, by this very process.")
        self._take_lock(owner)
        try:
            with told(), self._writer.begin() as connection:
                epoch, head = connection.execute(_TAKE, {"taker": owner}).one()
                _check_head(connection, head)
        except BaseException:
            self.close()
            raise
        self._held = True
        return int(epoch)

    def renew(self, epoch: int) -> None:
        with told(), self._writer.begin() as connection:
            refuse_stale(connection, epoch)

    def release(self, epoch: int) -> None:
        with told(), self._writer.begin() as connection:
            connection.execute(_GIVE_UP, {"mine": epoch})
        self.close()

    def close(self) -> None:
        self._held = False
        if self._lock is not None:
            # The file stays: taking it away would let two processes lock two files of the same name.
            os.close(self._lock)
            self._lock = None

    def _take_lock(self, owner: str) -> None:
        if self._path is None:
            return
        try:
            lock = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreUnavailable(f"The lock file of the database cannot be opened: {error}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(lock)
            raise StoreUnavailable(_held_by(holder, f"It lasts until that process ends ({self._path}).")) from error
        self._lock = lock
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{owner}\n".encode(), 0)
        except OSError as error:
            self.close()
            raise StoreUnavailable(f"The lock file of the database cannot be written: {error}.") from error


class RowLease:
    """A row that lapses TTL_S after it was last renewed, by the clock of the database."""

    def __init__(self, writer: Engine) -> None:
        self._writer = writer

    def acquire(self, owner: str) -> int:
        with told(), self._writer.begin() as connection:
            taken = connection.execute(_TAKE_LAPSED, {"taker": owner}).one_or_none()
            if taken is None:
                holder = connection.execute(_LEASE).one().owner
                left = float(connection.execute(_SECONDS_LEFT).scalar_one() or 0)
                raise StoreUnavailable(_held_by(holder, f"It lapses in {max(left, 0):.0f} s unless it is renewed."))
            _check_head(connection, taken.head)
        return int(taken.epoch)

    def renew(self, epoch: int) -> None:
        with told(), self._writer.begin() as connection:
            if connection.execute(fence("postgresql", moving=False), {"mine": epoch}).rowcount != 1:
                refuse_stale(connection, epoch)

    def release(self, epoch: int) -> None:
        with told(), self._writer.begin() as connection:
            connection.execute(_GIVE_UP, {"mine": epoch})

    def close(self) -> None:
        """Nothing is held in this process: an unreleased row lapses by itself."""


def refuse_stale(connection: Connection, epoch: int) -> None:
    """Raise StaleEpoch, naming who took the lease, when *epoch* is no longer the newest."""
    row = connection.execute(_LEASE).one()
    if row.epoch != epoch:
        raise StaleEpoch(
            f"Another process took the lease: {row.owner or 'it has ended since'} (epoch {row.epoch}, ours was"
            f" {epoch}). Nothing was written. This process must stop; that one goes on."
        )


def _held_by(holder: str, until: str) -> str:
    return f"The ledger is in use by {holder}. {until} Use that one, or stop it first."


def _check_head(connection: Connection, head: int) -> None:
    end = highest(connection)
    if end != head:
        raise LedgerBroken(
            f"The ledger ends at position {end}, but {head} positions were given out: rows were taken out or put"
            " in by hand. Run `switchroom audit verify`, and restore the backup."
        )
