"""The two scripts of the demo, from the command line to the proof, on both databases."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, create_engine, func, make_url, select, text, update

from bot.adapters.sql.tables import entries, readings

#: Seconds of the night in one real second. The probes are real, so a busy machine sets the limit.
_SPEED = "90"
_PATIENCE_S = 400


def _switchroom(folder: Path, database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command. Its output goes to files: the programs it starts would keep a pipe open."""
    said, complained = folder / "said.txt", folder / "complained.txt"
    with said.open("w") as out, complained.open("w") as err:
        done = subprocess.run(
            [sys.executable, "-m", "bot.cli", *arguments, "--state-dir", str(folder / "state")],
            env={**os.environ, "SWITCHROOM_DATABASE_URL": database_url},
            stdout=out,
            stderr=err,
            timeout=_PATIENCE_S,
            check=False,
        )
    return subprocess.CompletedProcess(done.args, done.returncode, said.read_text(), complained.read_text())


def _played(folder: Path, database_url: str, script: str) -> dict[str, Any]:
    done = _switchroom(folder, database_url, "demo", "--script", script, "--headless", "--json", "--speed", _SPEED)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _verified(folder: Path, database_url: str) -> tuple[int, str]:
    done = _switchroom(folder, database_url, "audit", "verify", "--json")
    return done.returncode, str(json.loads(done.stdout)["sentence"])


def _change_a_byte(engine: Engine, table: Table, position: int) -> None:
    """Change one byte of a row, as somebody would who has the database and its guards off."""
    with engine.begin() as connection:
        row = table.c.position == position
        body = bytearray(connection.execute(select(table.c.body).where(row)).scalar_one())
        body[len(body) // 2] ^= 1
        connection.execute(update(table).where(row).values(body=bytes(body)))


def _unguarded(database_url: str) -> Engine:
    url = make_url(database_url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url)
    with engine.begin() as connection:
        for table in ("entries", "readings"):
            sqlite = engine.dialect.name == "sqlite"
            connection.execute(
                text(f"DROP TRIGGER {table}_no_update" if sqlite else f"ALTER TABLE {table} DISABLE TRIGGER USER")
            )
    return engine


def _a_changed_byte_is_named(folder: Path, database_url: str) -> None:
    engine = _unguarded(database_url)
    for table in (entries, readings):
        with engine.connect() as connection:
            position = int(
                connection.execute(select(func.min(table.c.position)).where(table.c.position > 20)).scalar_one()
            )
        _change_a_byte(engine, table, position)
        code, sentence = _verified(folder, database_url)
        assert code == 1
        assert re.search(rf"\b{position}\b", sentence), sentence
        _change_a_byte(engine, table, position)
    assert _verified(folder, database_url)[0] == 0
    engine.dispose()


def test_the_happy_script_completes_and_a_changed_byte_is_named(tmp_path: Path, sqlite_url: str) -> None:
    result = _played(tmp_path, sqlite_url, "happy")
    assert result["outcome"] == "completed"
    assert result["trigger"] is None
    code, sentence = _verified(tmp_path, sqlite_url)
    assert (code, sentence[:6]) == (0, "INTACT")
    _a_changed_byte_is_named(tmp_path, sqlite_url)


def test_the_rollback_script_goes_back_and_a_changed_byte_is_named(tmp_path: Path, postgres_url: str) -> None:
    result = _played(tmp_path, postgres_url, "rollback")
    assert result["outcome"] == "rolled_back"
    assert result["trigger"] == "inbound-voice-failing"
    assert len(set(result["voters"])) == 2
    assert 0 < result["seconds"]["fault_to_card"] < result["seconds"]["total"]
    code, sentence = _verified(tmp_path, postgres_url)
    assert (code, sentence[:6]) == (0, "INTACT")
    _a_changed_byte_is_named(tmp_path, postgres_url)
