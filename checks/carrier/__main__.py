"""
The simulated carrier as a process: `python -m checks.carrier [CONFIG.json]`.

Prints one line of JSON when every server listens, and ends on SIGTERM or SIGINT. Give the printed `ports` back
in the configuration to keep every address over a restart.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from bot.core.errors import SettingsRefused
from checks.carrier import CarrierConfig, running_carrier


def main(arguments: list[str]) -> int:
    """Run until told to stop; 2 means that the configuration cannot be used."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print((__doc__ or "").strip(), file=sys.stderr)  # noqa: T201 - a program's usage
        return 2
    try:
        config = CarrierConfig.model_validate_json(Path(arguments[0]).read_bytes()) if arguments else CarrierConfig()
        asyncio.run(_serve(config))
    except (SettingsRefused, ValidationError, OSError) as error:
        print(f"the simulated carrier cannot start: {error}", file=sys.stderr)  # noqa: T201 - it has no other voice
        return 2
    return 0


async def _serve(config: CarrierConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_carrier(config) as carrier:
        ready = {"control": carrier.control, "targets": carrier.targets, "ports": carrier.ports}
        print(json.dumps(ready), flush=True)  # noqa: T201 - the line that says it is ready
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
