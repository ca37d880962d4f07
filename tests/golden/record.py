"""Keep a ledger as a golden one: `python tests/golden/record.py LEDGER.sqlite RELEASE`."""

import json
import sys
from pathlib import Path

from bot.adapters.sql import open_store
from bot.draft import Fold, folded
from tests.golden.summary import summary


def main(ledger: str, release: str) -> None:
    """Write the rows of *ledger*, and what they fold to, beside this file."""
    store = open_store(f"sqlite:///{ledger}", read_only=True)
    rows = list(store.rows())
    lines = [
        json.dumps(
            {
                name: value.hex() if isinstance(value := getattr(row, name), bytes) else value
                for name in row.__dataclass_fields__
            }
        )
        for row in rows
    ]
    said = json.dumps(summary(folded(rows, Fold()).house))
    (Path(__file__).parent / f"{release}.jsonl").write_text("\n".join([*lines, said]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
