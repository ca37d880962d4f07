"""
What tests of every kind share: real programs, and a private PostgreSQL that ends with the tests.

A missing program skips the test by name on a developer's machine and fails it where CI=true.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

_START_S = 30.0
_TRIES = 5


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI=true, a test that was skipped is a proof that is missing: the run fails, whatever skipped it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ())) if reporter is not None else 0
    if os.environ.get("CI") == "true" and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: a worker that begins a whole night last makes the others wait for it."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], Path]:
    """Return a function that finds a program by name, or skips the test (fails it where CI=true)."""

    def find(name: str) -> Path:
        found = _program(name)
        if found is None:
            why = f"{name} is not installed: `make test` installs it"
            if os.environ.get("CI") == "true":
                pytest.fail(why)
            pytest.skip(why)
        return found

    return find


def _program(name: str) -> Path | None:
    if on_path := shutil.which(name):
        return Path(on_path).resolve()
    # Debian keeps the server's programs off the PATH, one directory per version.
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: float(path.parts[-3]),
    )
    return versions[-1] if versions else None


@dataclass(frozen=True)
class Postgres:
    """A running server of our own. `url` lacks only the name of a database."""

    url: str

    def make(self) -> str:
        """Make a fresh database and return its name."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name}")
        return name

    def drop(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres(require_program: Callable[[str], Path]) -> Iterator[Postgres]:
    """
    A private PostgreSQL on a free loopback port, one for each xdist worker, started when first asked for.

    Its fsync is on, as in a deployment. It runs as an unprivileged user when the tests run as root.
    """
    initdb, server = require_program("initdb"), require_program("postgres")
    # Not pytest's own directory: the path of a Unix socket may be 107 bytes long at most.
    with tempfile.TemporaryDirectory(prefix="switchroom-pg-", ignore_cleanup_errors=True) as made:
        home = Path(made)
        user = _unprivileged()
        if user is not None:
            shutil.chown(home, user)
        subprocess.run(
            [initdb, "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=home,
            user=user,
        )
        process, port = _start(server, home, user)
        try:
            yield Postgres(f"postgresql://postgres@127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGINT)  # fast: does not wait for clients
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()


def _unprivileged() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _start(server: Path, home: Path, user: str | None) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(_TRIES):
        # PostgreSQL cannot choose a port itself, so another program may be faster: then the next port is tried.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        log = home / f"log-{port}"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": home,
            "fsync": "on",
            "shared_buffers": "16MB",
            "max_connections": "60",
            "autovacuum": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [server, "-D", home / "data", *options], stdout=out, stderr=out, cwd=home, user=user
            )
        if _answers(process, port):
            return process, port
        process.kill()
        process.wait()
    pytest.fail(f"PostgreSQL does not start:\n{log.read_text(errors='replace')}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    ends = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < ends:
        with suppress(psycopg.OperationalError):
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres").close()
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database, dropped after the test."""
    name = postgres.make()
    yield f"{postgres.url}/{name}"
    postgres.drop(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database: the test runs once on each kind."""
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return str(url)
