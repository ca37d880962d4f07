"""Stores on a fresh database of each kind, and a hand that reaches past them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine

from bot.adapters.sql import SqlStore, open_store
from bot.adapters.sql.engines import make_engines

Opener = Callable[[], SqlStore]
Hand = Callable[[str], None]


@pytest.fixture
def opened(database_url: str) -> Iterator[Opener]:
    """Open one more store on the same database; all are closed after the test."""
    with ExitStack() as stack:

        def one_more() -> SqlStore:
            store = open_store(database_url)
            stack.callback(store.close)
            return store

        yield one_more


@pytest.fixture
def store(opened: Opener) -> SqlStore:
    """The store that holds the lease, in epoch 1."""
    made = opened()
    made.acquire("bot-1")
    return made


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A connection of somebody else's."""
    engines = make_engines(database_url, read_only=False)
    yield engines.writer
    engines.close()


@pytest.fixture
def by_hand(engine: Engine) -> Hand:
    """Run a statement behind the store's back."""

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)

    return run
