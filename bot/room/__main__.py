"""
`python -m bot.room CONFIG.json`: the room as a process of its own, which outlives the bot.

Prints one JSON line with `url`, `api_url` and `port` when it listens, and ends on SIGTERM or SIGINT. Tokens come
in the file (mode 0600), never on the command line.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from bot.core.errors import SettingsRefused
from bot.room.config import RoomConfig
from bot.room.server import start_room

_USAGE = "usage: python -m bot.room CONFIG.json"


def load_config(path: Path) -> RoomConfig:
    """Read a configuration file; one that others may read is refused, since it holds tokens."""
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsRefused(f"{path}: cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise SettingsRefused(
            f"{path}: others may read it (mode {mode:03o}), and it holds tokens. Run: chmod 600 {path}"
        )
    try:
        return RoomConfig.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise SettingsRefused(f"{path}: {f'{place}: ' if place else ''}{fault['msg']}.") from error


async def run(config: RoomConfig) -> None:
    """Keep the room open until the process is told to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    room = await start_room(config)
    try:
        ready = {"url": room.url, "api_url": room.api_url, "port": room.port}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await room.close()


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(_USAGE + "\n")
        return 2
    try:
        asyncio.run(run(load_config(Path(arguments[0]))))
    except SettingsRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
