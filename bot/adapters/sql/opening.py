"""
Opening a database: make the tables when there are none, and refuse what a newer release wrote.

Decides whether this release may use that database; changes nothing in one that is there already.
"""

from sqlalchemy import Connection, insert, inspect, select, text

from bot import __version__
from bot.adapters.sql.engines import Engines, make_engines
from bot.adapters.sql.store import SqlStore
from bot.adapters.sql.tables import SCHEMA_VERSION, guards, lease, metadata, schema_version
from bot.adapters.sql.trouble import told
from bot.core.errors import StoreUnavailable

_MAKING = 0x5317C4  # the key of PostgreSQL's lock while tables are made: two first starts at once must not collide


def open_store(url: str, *, read_only: bool = False) -> SqlStore:
    """
    Return the store at *url*: `sqlite:///path`, `sqlite://` (in memory) or `postgresql://user@host/name`.

    Nothing is locked: a store may be read beside the process that writes. With *read_only* nothing is
    made either, and `acquire` is refused.
    """
    engines = make_engines(url, read_only=read_only)
    try:
        _prepare(engines, read_only=read_only)
    except BaseException:
        engines.close()
        raise
    return SqlStore(engines, read_only=read_only)


def _prepare(engines: Engines, *, read_only: bool) -> None:
    made = False
    if engines.file is None or engines.file.exists():
        with told(), engines.reader.connect() as connection:
            made = inspect(connection).has_table(schema_version.name)
    if read_only and not made:
        raise StoreUnavailable(
            f"{engines.shown} holds no ledger yet. Check the path, or start the bot once to make it."
        )
    if not made:
        with told(), engines.writer.begin() as connection:
            _make(connection)
    with told(), engines.reader.connect() as connection:
        _check(connection, engines.shown)


def _make(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
    if inspect(connection).has_table(schema_version.name):
        return
    metadata.create_all(connection, checkfirst=False)
    for guard in guards(connection.dialect.name):
        connection.exec_driver_sql(guard)
    connection.execute(
        insert(schema_version), {"id": 1, "version": SCHEMA_VERSION, "software": f"switchroom {__version__}"}
    )
    connection.execute(insert(lease), {"id": 1, "epoch": 0, "owner": "", "head": 0})


def _check(connection: Connection, shown: str) -> None:
    found = connection.execute(select(schema_version)).one()
    if found.version > SCHEMA_VERSION:
        raise StoreUnavailable(
            f"{shown} was written by {found.software} (tables version {found.version}); this is switchroom"
            f" {__version__}, which knows version {SCHEMA_VERSION} at most. Nothing was changed. Start that release or"
            " a later one."
        )
