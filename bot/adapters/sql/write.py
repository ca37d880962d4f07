"""
A batch becomes rows: one executemany per table, in an order in which each finds what it refers to.

Runs inside a transaction that is not its own, and refuses to know why anything is written.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Executable

from bot.adapters.sql import statements as sql
from bot.core.errors import StoreUnavailable
from bot.core.ports import Batch, EffectRow, EventRow, InboxRow, Lane, ReadingRow

Row = dict[str, object]

_URGENCY = {lane: rank for rank, lane in enumerate(Lane)}


def span(batch: Batch) -> tuple[int, int] | None:
    """Return the first and last position of *batch*, or None when it takes none. Gaps are refused."""
    taken = [row.position for row in batch.events]
    taken.extend(row.position for row in batch.readings)
    if not taken:
        return None
    first, last = min(taken), max(taken)
    if last - first + 1 != len(taken) or len(set(taken)) != len(taken):
        raise StoreUnavailable(
            f"The positions {first} to {last} of a batch of {len(taken)} rows have a gap or a repetition. Nothing was"
            " recorded. The state is read again from the ledger; if this comes back, it is a fault of Switchroom."
        )
    return first, last


def write(connection: Connection, batch: Batch, writes: sql.Writes) -> None:
    """Write all of *batch*; whatever raises leaves the transaction to be rolled back."""

    def many(statement: Executable | str, rows: list[Row]) -> None:
        if not rows:
            return
        if isinstance(statement, str):
            connection.exec_driver_sql(statement, rows)
        else:
            connection.execute(statement, rows)

    many(writes.add_inbox, [_inbox(row) for row in batch.inbox])
    many(sql.SETTLE, [{"by_key": key, "settled": how} for key, how in batch.settled])
    many(writes.add_command, [{"id": name, "position": position} for name, position in batch.commands])
    many(
        writes.issue_tick,
        [
            {"id": tick.id, "ended": "", "body": tick.model_dump_json(), "lease_ends": ends}
            for tick, ends in batch.issued
        ],
    )
    _end_ticks(connection, batch, writes)
    many(writes.add_reading, [_reading(row) for row in batch.readings])
    many(writes.add_entry, [_entry(row) for row in batch.events])
    _add_effects(connection, batch.effects)
    many(
        writes.keep_reference,
        [{"by_id": effect, "ref_key": key, "ref": ref} for effect, key, ref in batch.delivered if key],
    )
    many(sql.DELIVER, [{"by_id": effect} for effect, _, _ in batch.delivered])
    many(sql.POSTPONE, [{"by_id": effect, "until": until, "reason": why} for effect, until, why in batch.postponed])
    many(sql.PARK, [{"by_id": effect, "reason": why} for effect, why in batch.parked])


def _inbox(row: InboxRow) -> Row:
    return {
        "key": row.key,
        "door": row.door,
        "received_at": row.received_at,
        "payload": row.payload,
        "state": "new",
    }


def _entry(row: EventRow) -> Row:
    return {
        "position": row.position,
        "stream": row.stream,
        "stream_position": row.stream_position,
        "type": row.type,
        "body": row.body,
        "salt": row.salt,
        "hash": row.hash,
    }


def _reading(row: ReadingRow) -> Row:
    return {
        "position": row.position,
        "run": row.run,
        "check_id": row.check,
        "cell": row.cell,
        "tick": row.tick,
        "body": row.body,
    }


def _end_ticks(connection: Connection, batch: Batch, writes: sql.Writes) -> None:
    ended = [(row.tick, "reading") for row in batch.readings]
    ended.extend((tick, "missed") for tick in batch.missed)
    if not ended:
        return
    rows = [{"id": tick, "ended": how, "body": None, "lease_ends": None} for tick, how in ended]
    if connection.execute(writes.end_tick, rows).rowcount != len(rows):
        raise StoreUnavailable(
            f"A tick ends once, and one of these has ended before: {_some(tick for tick, _ in ended)}. Nothing of the"
            " batch was recorded."
        )


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _add_effects(connection: Connection, rows: Sequence[EffectRow]) -> None:
    if not rows:
        return
    newest = {(row.place, row.replaces): row.id for row in rows if row.replaces}
    if newest:
        older = [{"by_place": place, "by_replaces": replaces} for place, replaces in newest]
        connection.execute(sql.DROP_OLDER, older)
    connection.execute(
        sql.ADD_EFFECT,
        # One that a later row of the same batch replaces would never be read.
        [_effect(row) for row in rows if newest.get((row.place, row.replaces), row.id) == row.id],
    )


def _effect(row: EffectRow) -> Row:
    return {
        "id": row.id,
        "position": row.position,
        "ordinal": int(row.id.rpartition(".")[2]),
        "run": row.run,
        "urgency": _URGENCY[row.lane],
        "lane": row.lane.value,
        "place": row.place,
        "kind": row.kind,
        "subject": row.subject,
        "replaces": row.replaces,
        "attempts": row.attempts,
        "not_before": row.not_before,
        "state": "due",
        "why": "",
    }
