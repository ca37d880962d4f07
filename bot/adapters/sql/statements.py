"""
Every statement of the store, built once.

Building one costs several times what running it does, so nothing here is made per call. Parameters are
named as the fields of the rows in `core/ports.py`, or prefixed `by_` where a column of that name is set.
"""

from dataclasses import dataclass

from sqlalchemy import (
    Dialect,
    Insert,
    Integer,
    Table,
    Text,
    bindparam,
    cast,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bot.adapters.sql.tables import (
    Bytes,
    commands,
    effects,
    entries,
    inbox,
    readings,
    refs,
    snapshots,
    ticks,
)

# ------------------------------------------------------------------------------------------ reading

# A forger's UPDATE may leave text where bytes were; cast, it is bytes with another hash, and named as such.
_entry = (
    entries.c.position,
    entries.c.stream,
    entries.c.stream_position,
    entries.c.type,
    cast(entries.c.body, Bytes),
    cast(entries.c.salt, Bytes),
    cast(entries.c.hash, Bytes),
)
ENTRIES = (
    select(*_entry)
    .where(entries.c.position > bindparam("after"), entries.c.position <= bindparam("until"))
    .order_by(entries.c.position)
)
NEWEST_ENTRIES = select(*_entry).order_by(entries.c.position.desc()).limit(bindparam("limit"))
_reading = (
    readings.c.position,
    readings.c.run,
    readings.c.check_id,
    readings.c.cell,
    readings.c.tick,
    cast(readings.c.body, Bytes),
)
READINGS = (
    select(*_reading)
    .where(readings.c.position > bindparam("after"), readings.c.position <= bindparam("until"))
    .order_by(readings.c.position)
)
HEAD = select(entries.c.position, entries.c.hash).order_by(entries.c.position.desc()).limit(1)
SNAPSHOT = select(snapshots.c.position, snapshots.c.software, snapshots.c.digest, snapshots.c.body)
KNOWN_COMMANDS = select(commands.c.id, commands.c.position).where(commands.c.id.in_(bindparam("ids", expanding=True)))
KNOWN_INBOX = select(inbox.c.key).where(inbox.c.key.in_(bindparam("keys", expanding=True)))
UNSETTLED = (
    select(inbox.c.key, inbox.c.door, inbox.c.received_at, inbox.c.payload)
    .where(inbox.c.state == literal_column("'new'"))
    .order_by(inbox.c.seq)
)

_effect = (
    effects.c.id,
    effects.c.position,
    effects.c.run,
    effects.c.lane,
    effects.c.place,
    effects.c.kind,
    effects.c.subject,
    effects.c.replaces,
    effects.c.attempts,
    effects.c.not_before,
)
_due = effects.c.state == literal_column("'due'")  # in the text, so that the partial index is seen to fit
DUE_EFFECTS = (
    select(*_effect)
    .where(_due, or_(effects.c.not_before.is_(None), effects.c.not_before <= bindparam("now")))
    .order_by(effects.c.urgency, effects.c.position, effects.c.ordinal)
    .limit(bindparam("limit", type_=Integer))
)
PARKED = (
    select(*_effect, effects.c.why).where(effects.c.state == "parked").order_by(effects.c.position, effects.c.ordinal)
)
REFERENCE = select(refs.c.reference).where(refs.c.place == bindparam("place"), refs.c.key == bindparam("key"))

KNOWN_TICKS = select(ticks.c.id).where(ticks.c.id.in_(bindparam("ids", expanding=True)))
ENDED_TICKS = KNOWN_TICKS.where(ticks.c.ended != "")
OPEN_TICKS = (
    select(ticks.c.body, ticks.c.lease_ends)
    .where(ticks.c.ended == literal_column("''"))
    .order_by(ticks.c.lease_ends, ticks.c.id)
)
NEWEST_READINGS = (
    select(*_reading)
    .where(readings.c.run == bindparam("run"), readings.c.check_id == bindparam("check"))
    .order_by(readings.c.position.desc())
    .limit(bindparam("limit", type_=Integer))
)

# ------------------------------------------------------------------------------------------ writing

_ADD_ENTRY = insert(entries)
_ADD_READING = insert(readings)
_ADD_COMMAND = insert(commands)
ADD_EFFECT = insert(effects)

SETTLE = (
    update(inbox).where(inbox.c.key == bindparam("by_key"), inbox.c.state == "new").values(state=bindparam("settled"))
)
DROP_OLDER = (
    update(effects)
    .where(_due, effects.c.place == bindparam("by_place"), effects.c.replaces == bindparam("by_replaces"))
    .values(state="dropped", why="replaced by a newer one")
)
DELIVER = update(effects).where(effects.c.id == bindparam("by_id")).values(state="delivered", why="")
POSTPONE = (
    update(effects)
    .where(effects.c.id == bindparam("by_id"), _due)
    .values(attempts=effects.c.attempts + 1, not_before=bindparam("until"), why=bindparam("reason"))
)
PARK = update(effects).where(effects.c.id == bindparam("by_id"), _due).values(state="parked", why=bindparam("reason"))


@dataclass(frozen=True, slots=True)
class Writes:
    """What differs by dialect: what happens when a row is there, and the inserts of the busiest tables."""

    add_inbox: Insert  #: left as it is
    issue_tick: Insert  #: left as it is, open or ended
    end_tick: Insert  #: changes no row when the tick has ended before; inserts one that was never issued
    keep_reference: Insert  #: the newer reference wins
    save_snapshot: Insert
    add_entry: str
    add_reading: str
    add_command: str


def writes(dialect: Dialect) -> Writes:
    """Return the statements for *dialect*."""
    new = postgresql.insert if dialect.name == "postgresql" else sqlite.insert

    def left(table: Table, key: str) -> Insert:
        return new(table).on_conflict_do_nothing(index_elements=[key])

    end = new(ticks)
    place_of = select(effects.c.place, bindparam("ref_key", type_=Text), bindparam("ref", type_=Text)).where(
        effects.c.id == bindparam("by_id")
    )
    keep = new(refs).from_select(["place", "key", "reference"], place_of)
    save = new(snapshots)
    saved = ("position", "software", "digest", "body")
    return Writes(
        add_inbox=left(inbox, "key"),
        issue_tick=left(ticks, "id"),
        end_tick=end.on_conflict_do_update(
            index_elements=["id"],
            set_={"ended": end.excluded.ended, "body": None, "lease_ends": None},
            where=ticks.c.ended == "",
        ).execution_options(preserve_rowcount=True),
        keep_reference=keep.on_conflict_do_update(
            index_elements=["place", "key"], set_={"reference": keep.excluded.reference}
        ),
        save_snapshot=save.on_conflict_do_update(
            index_elements=["id"], set_={name: save.excluded[name] for name in saved}
        ),
        add_entry=in_driver_words(_ADD_ENTRY, dialect),
        add_reading=in_driver_words(_ADD_READING, dialect),
        add_command=in_driver_words(_ADD_COMMAND, dialect),
    )


def in_driver_words(statement: Insert, dialect: Dialect) -> str:
    """
    Return *statement* as text for `exec_driver_sql`, with named parameters.

    Going through each row's parameters once more costs a third of a group commit; where no column
    needs a conversion the rows can go to the driver as they are.
    """
    compiled = statement.compile(dialect=dialect)
    for column in statement.table.columns:
        if column.type.dialect_impl(dialect).bind_processor(dialect) is not None:
            raise TypeError(f"column {column} needs its values converted: it cannot skip the statement")
    return str(compiled)
