"""
What a database's refusal means for the room: the cause in plain words, and what is frozen.

Decides the text alone. That nothing was recorded is the transaction's doing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bot.core.errors import StoreUnavailable

FROZEN = "No gate passes and no step starts until it can be written again; probing goes on."

#: A piece of the driver's text -> the words of a tired person. The first that fits is taken.
_CAUSES = (
    ("disk is full", "the disk is full: free some space"),
    ("no space left", "the disk is full: free some space"),
    ("readonly", "the database is read-only: check the file's owner, its directory and the mount"),
    ("read-only", "the database is read-only: it may be a standby, or default_transaction_read_only is on"),
    ("database is locked", "another program holds the database: end it, or wait for it"),
    ("lock timeout", "another program holds the database: end it, or wait for it"),
    ("unable to open", "the database file cannot be opened: check the path and its permissions"),
    ("malformed", "the database file is damaged: restore the backup"),
    ("not a database", "this file is not a database: check the path"),
    ("password authentication failed", "the database refuses our password: check the URL"),
    ("does not exist", "the database or one of its tables is not there: check the URL"),
    ("connection", "the database cannot be reached: check that it runs and that the URL is right"),
)


def unavailable(error: DBAPIError) -> StoreUnavailable:
    """Return what to raise for *error* of the driver."""
    said = " ".join(str(error.orig).split())
    if isinstance(error, IntegrityError):
        return StoreUnavailable(
            f"The database refused the transaction because a row breaks one of its rules ({said}). Nothing of it was"
            " recorded. The state is read again from the ledger; if this comes back, it is a fault of Switchroom."
        )
    if error.connection_invalidated:
        return StoreUnavailable(
            f"The connection to the database broke ({said}). Whether the last transaction was recorded is known once"
            f" the ledger has been read again. {FROZEN}"
        )
    cause = next((words for piece, words in _CAUSES if piece in said.lower()), "it refused the statement")
    return StoreUnavailable(f"The ledger cannot be used, {cause} (it said: {said}). Nothing was recorded. {FROZEN}")


@contextmanager
def told() -> Iterator[None]:
    """Turn what the driver raises inside into StoreUnavailable."""
    try:
        yield
    except DBAPIError as error:
        raise unavailable(error) from error
    except PoolTimeoutError as error:
        raise StoreUnavailable(f"The ledger cannot be used: all connections stay busy. {FROZEN}") from error
