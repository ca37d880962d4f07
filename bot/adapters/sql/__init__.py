"""The Store port on a SQL database, SQLite or PostgreSQL by URL. The only place that knows SQLAlchemy."""

from bot.adapters.sql.opening import open_store
from bot.adapters.sql.store import SqlStore

__all__ = ["SqlStore", "open_store"]
