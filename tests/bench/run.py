"""
`make bench`: ratios taken in one run, each with its command and both raw figures.

Ratios travel between machines, figures do not. A goal that is missed is said and does not fail the run:
docs/performance.md holds the reasons.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def _measured(script: str) -> dict[str, float]:
    command = [sys.executable, str(HERE / script)]
    sys.stdout.write(f"\n$ python tests/bench/{script}\n")
    sys.stdout.flush()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Run everything and print it."""
    commands = _measured("commands.py")
    _say(
        "commands through service.handle, 100 callers, SQLite FULL, against bare sqlite3",
        f"{commands['handled_per_s']:.0f}/s against {commands['bare_per_s']:.0f}/s",
        f"ratio {commands['ratio']:.2f}, goal at least 0.40: {_met(met=commands['ratio'] >= 0.4)}",
    )
    room = _measured("room.py")
    _say(
        f"slash command to ack, p99, at {room['readings_per_s']:.0f} readings/s, against an idle bare bolt app",
        f"{room['loaded_p99_ms']:.1f} ms against {room['bare_p99_ms']:.1f} ms"
        f" (medians {room['loaded_p50_ms']:.1f} and {room['bare_p50_ms']:.1f} ms)",
        f"ratio {room['ratio']:.2f}, goal at most 2.00: {_met(met=room['ratio'] <= 2)}",
    )
    _say(
        "process start to first reading, with a run under way",
        f"in the ledger after {room['first_reading_s']:.1f} s, on the board after {room['first_board_s']:.1f} s",
    )


def _say(*lines: str) -> None:
    sys.stdout.write("\n  ".join(lines) + "\n")
    sys.stdout.flush()


def _met(*, met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
