"""
The tables: what a row is, what must be unique, and that the ledger is never rewritten.

One definition for SQLite and PostgreSQL. Knows columns and nothing of what an entry means: bodies are
bytes. The triggers are guard rails against a slip of the hand; proof against a forger is the hash chain.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

#: Raised by one with each change of the tables; a database with a higher number is refused.
SCHEMA_VERSION = 1


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Bytes(LargeBinary):
    """Bytes as they are: both drivers take and give `bytes`, and wrapping each would halve the rate of commits."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Return None: nothing is to be done."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Return None: nothing is to be done."""


# SQLite makes a row id of nothing but a plain INTEGER.
_Position = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)

schema_version = Table(
    "schema_version",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("software", Text, nullable=False),
)

#: `head` is the last position given, so one conditional UPDATE guards both the epoch and the counter.
lease = Table(
    "lease",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_at", UtcTime),  #: PostgreSQL only; with SQLite the file lock says who holds it
    Column("session", Integer),  #: PostgreSQL only: the holder's own session; once it has ended, nobody need wait
    Column("head", BigInteger, nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),
    Column("stream", Text, nullable=False),
    Column("stream_position", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("body", Bytes, nullable=False),
    Column("salt", Bytes, nullable=False),
    Column("hash", Bytes, nullable=False),
    UniqueConstraint("stream", "stream_position"),
)

readings = Table(
    "readings",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),
    Column("run", Text, nullable=False),
    Column("check_id", Text, nullable=False),
    Column("cell", Text, nullable=False),
    Column("tick", Text, nullable=False),
    Column("body", Bytes, nullable=False),
    UniqueConstraint("tick"),
    Index(None, "run", "check_id", "position"),
)

#: `ended` is empty, "reading" or "missed". The body is dropped when the tick ends: nobody runs it again.
ticks = Table(
    "ticks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ended", Text, nullable=False),
    Column("body", Text),
    Column("lease_ends", UtcTime),
    sqlite_with_rowid=False,
)
Index("ticks_open", ticks.c.id, sqlite_where=ticks.c.ended == "", postgresql_where=ticks.c.ended == "")

commands = Table(
    "commands",
    metadata,
    Column("id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: `state` is "new", or how it was settled.
inbox = Table(
    "inbox",
    metadata,
    Column("seq", _Position, primary_key=True),
    Column("key", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("payload", Bytes, nullable=False),
    Column("state", Text, nullable=False),
    UniqueConstraint("key"),
)
Index("inbox_new", inbox.c.seq, sqlite_where=inbox.c.state == "new", postgresql_where=inbox.c.state == "new")

#: `state` is due, delivered, parked or dropped; `urgency` is the lane's rank, 0 first.
effects = Table(
    "effects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("run", Text, nullable=False),
    Column("urgency", Integer, nullable=False),
    Column("lane", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("replaces", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcTime),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_with_rowid=False,
)
_due = effects.c.state == "due"
Index(
    "effects_due",
    effects.c.urgency,
    effects.c.position,
    effects.c.ordinal,
    sqlite_where=_due,
    postgresql_where=_due,
)
Index("effects_replaced", effects.c.place, effects.c.replaces, sqlite_where=_due, postgresql_where=_due)

refs = Table(
    "refs",
    metadata,
    Column("place", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    sqlite_with_rowid=False,
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("software", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("body", Bytes, nullable=False),
)

_NEVER = "the ledger is append-only: rows of"

_POSTGRES_GUARD = f"""
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING MESSAGE = '{_NEVER} ' || TG_TABLE_NAME || ' are never changed'; END $$
"""


def guards(dialect: str) -> list[str]:
    """Return the statements that make *dialect* refuse to change or remove an entry or a reading."""
    names = (entries.name, readings.name)
    if dialect == "sqlite":
        return [_sqlite_guard(name, verb) for name in names for verb in ("UPDATE", "DELETE")]
    called = "EXECUTE FUNCTION refuse_rewriting()"
    return [
        _POSTGRES_GUARD,
        *(f"CREATE TRIGGER {name}_rows BEFORE UPDATE OR DELETE ON {name} FOR EACH ROW {called}" for name in names),
        *(f"CREATE TRIGGER {name}_all BEFORE TRUNCATE ON {name} FOR EACH STATEMENT {called}" for name in names),
    ]


def _sqlite_guard(name: str, verb: str) -> str:
    refusal = f"SELECT RAISE(ABORT, '{_NEVER} {name} are never changed')"
    return f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} BEGIN {refusal}; END"
