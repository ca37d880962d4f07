"""
Ledgers that earlier releases wrote: they must verify, and fold to what they folded to then.

Each `RELEASE.jsonl` holds one row a line, as it was stored; its last line is what the state said. A
new release adds a file (`python tests/golden/record.py LEDGER RELEASE`) and never changes an old one.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.ports import EventRow, ReadingRow
from bot.core.proof import verify
from bot.draft import Fold, folded
from tests.golden.summary import summary

LEDGERS = sorted(Path(__file__).parent.glob("*.jsonl"))


def _rows(lines: list[str]) -> Iterator[EventRow | ReadingRow]:
    for line in lines:
        raw = json.loads(line)
        binary = {name: bytes.fromhex(raw[name]) for name in ("body", "salt", "hash") if name in raw}
        yield EventRow(**{**raw, **binary}) if "hash" in raw else ReadingRow(**{**raw, **binary})


@pytest.mark.parametrize("path", LEDGERS, ids=lambda path: path.stem)
def test_a_ledger_of_an_earlier_release_verifies_and_says_the_same(path: Path) -> None:
    *rows, said = path.read_text().splitlines()
    assert verify(_rows(rows)).broken is None
    assert summary(folded(_rows(rows), Fold()).house) == json.loads(said)


def test_there_is_a_golden_ledger() -> None:
    assert LEDGERS
