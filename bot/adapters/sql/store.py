"""
The ledger's store on a SQL database: the Store port of `core/ports.py`, on SQLite and PostgreSQL.

Decides what is one transaction. Refuses to know what an entry says, and when anything is due. Reads come
from connections of their own, so they neither wait for the writer nor see half a transaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, RowMapping

from bot.adapters.sql import statements as sql
from bot.adapters.sql.engines import Engines
from bot.adapters.sql.lease import FileLease, Lease, RowLease, fence, highest, refuse_stale
from bot.adapters.sql.trouble import told
from bot.adapters.sql.write import span, write
from bot.core.errors import StoreUnavailable
from bot.core.ledger import GENESIS
from bot.core.model import Tick, Utc
from bot.core.ports import Batch, EffectRow, EventRow, InboxRow, Lane, ReadingRow, Snapshot

_PAGE = 5_000  # positions per read of `rows`
_ASK = 500  # names per question with IN


class SqlStore:
    """Open it with `open_store`. It may be read at once; writing needs `acquire`."""

    def __init__(self, engines: Engines, *, read_only: bool) -> None:
        self._engines = engines
        self._read_only = read_only
        self._lease: Lease = (
            RowLease(engines.writer) if engines.dialect == "postgresql" else FileLease(engines.writer, engines.file)
        )
        self._epoch: int | None = None
        self._writes = sql.writes(engines.writer.dialect)
        self._stay = fence(engines.dialect, moving=False)
        self._advance = fence(engines.dialect, moving=True)

    # ------------------------------------------------------------------------------------- writing

    def acquire(self, owner: str) -> int:
        if self._read_only:
            raise StoreUnavailable(f"{self._engines.shown} was opened for reading only: nothing can be written.")
        self._epoch = self._lease.acquire(owner)
        return self._epoch

    def renew(self) -> None:
        self._lease.renew(self._mine())

    def release(self) -> None:
        """Give the lease up. What this process held is let go of even when the database cannot be told."""
        epoch, self._epoch = self._mine(), None
        try:
            self._lease.release(epoch)
        finally:
            self._lease.close()

    def commit(self, batch: Batch) -> None:
        taken = span(batch)
        with self._writing(taken) as connection:
            write(connection, batch, self._writes)

    def save_snapshot(self, snapshot: Snapshot) -> None:
        row = {
            "id": 1,
            "position": snapshot.position,
            "software": snapshot.software,
            "digest": snapshot.digest,
            "body": snapshot.body,
        }
        with self._writing(None) as connection:
            connection.execute(self._writes.save_snapshot, row)

    def _mine(self) -> int:
        if self._epoch is None:
            raise StoreUnavailable("Nothing is written without the lease: acquire it first.")
        return self._epoch

    @contextmanager
    def _writing(self, taken: tuple[int, int] | None) -> Iterator[Connection]:
        mine = self._mine()
        with told(), self._engines.writer.begin() as connection:
            if taken is None:
                passed = connection.execute(self._stay, {"mine": mine}).rowcount
            else:
                first, last = taken
                passed = connection.execute(self._advance, {"mine": mine, "expected": first - 1, "last": last}).rowcount
            if passed != 1:
                refuse_stale(connection, mine)
                raise StoreUnavailable(
                    f"The ledger has moved on: it ends at position {highest(connection)}, and this"
                    f" batch begins at {taken and taken[0]}. Nothing was recorded. The state is read again from the ledger."
                )
            yield connection

    # ------------------------------------------------------------------------------------- reading

    def rows(self, after: int = 0) -> Iterator[EventRow | ReadingRow]:
        """
        Return events and readings in order of position, up to what is committed now.

        Read page by page: a reader that takes its time holds no transaction open.
        """
        with self._reading() as connection:
            end = highest(connection)
        while after < end:
            page = {"after": after, "until": min(after + _PAGE, end)}
            with self._reading() as connection:
                events = [EventRow(*row) for row in connection.execute(sql.ENTRIES, page)]
                readings = [ReadingRow(*row) for row in connection.execute(sql.READINGS, page)]
            found: list[EventRow | ReadingRow] = [*events, *readings]
            yield from sorted(found, key=_position)
            after = page["until"]

    def head(self) -> tuple[int, bytes]:
        with self._reading() as connection:
            row = connection.execute(sql.HEAD).one_or_none()
        return (row.position, row.hash) if row else (0, GENESIS)

    def newest(self, count: int) -> Sequence[EventRow]:
        with self._reading() as connection:
            found = [EventRow(*row) for row in connection.execute(sql.NEWEST_ENTRIES, {"limit": count})]
        return found[::-1]

    def snapshot(self) -> Snapshot | None:
        with self._reading() as connection:
            row = connection.execute(sql.SNAPSHOT).one_or_none()
        return Snapshot(*row) if row else None

    def known_command(self, command_id: str) -> int | None:
        return self.known_commands([command_id]).get(command_id)

    def known_commands(self, ids: Sequence[str]) -> Mapping[str, int]:
        with self._reading() as connection:
            return {
                name: position
                for some in _split(ids)
                for name, position in connection.execute(sql.KNOWN_COMMANDS, {"ids": some})
            }

    def unsettled(self) -> Sequence[InboxRow]:
        with self._reading() as connection:
            return [InboxRow(*row) for row in connection.execute(sql.UNSETTLED)]

    def known_inbox(self, key: str) -> bool:
        with self._reading() as connection:
            return connection.execute(sql.KNOWN_INBOX, {"keys": [key]}).first() is not None

    def due_effects(self, now: Utc, limit: int) -> Sequence[EffectRow]:
        with self._reading() as connection:
            found = connection.execute(sql.DUE_EFFECTS, {"now": now, "limit": limit}).mappings()
            return [_effect_row(row) for row in found]

    def reference(self, place: str, key: str) -> str | None:
        with self._reading() as connection:
            found = connection.execute(sql.REFERENCE, {"place": place, "key": key}).scalar_one_or_none()
        return None if found is None else str(found)

    def issued_ticks(self, ids: Sequence[str]) -> frozenset[str]:
        with self._reading() as connection:
            return frozenset(
                name for some in _split(ids) for name in connection.execute(sql.KNOWN_TICKS, {"ids": some}).scalars()
            )

    def ended_ticks(self, ids: Sequence[str]) -> frozenset[str]:
        with self._reading() as connection:
            return frozenset(
                name for some in _split(ids) for name in connection.execute(sql.ENDED_TICKS, {"ids": some}).scalars()
            )

    def open_ticks(self) -> Sequence[tuple[Tick, Utc]]:
        with self._reading() as connection:
            return [(Tick.model_validate_json(body), ends) for body, ends in connection.execute(sql.OPEN_TICKS)]

    def readings(self, run: str, check: str, limit: int) -> Sequence[ReadingRow]:
        with self._reading() as connection:
            found = connection.execute(sql.NEWEST_READINGS, {"run": run, "check": check, "limit": limit})
            return [ReadingRow(*row) for row in found]

    def parked(self) -> Sequence[tuple[EffectRow, str]]:
        with self._reading() as connection:
            return [(_effect_row(row), row["why"]) for row in connection.execute(sql.PARKED).mappings()]

    def close(self) -> None:
        """Close connections and the lock file. A lease that was not released is left to lapse."""
        self._lease.close()
        self._engines.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(), self._engines.reader.connect() as connection:
            yield connection


def _position(row: EventRow | ReadingRow) -> int:
    return row.position


def _split(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _ASK] for start in range(0, len(names), _ASK))


def _effect_row(row: RowMapping) -> EffectRow:
    return EffectRow(
        id=row["id"],
        position=row["position"],
        run=row["run"],
        lane=Lane(row["lane"]),
        place=row["place"],
        kind=row["kind"],
        subject=row["subject"],
        replaces=row["replaces"],
        attempts=row["attempts"],
        not_before=row["not_before"],
    )
