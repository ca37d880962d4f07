"""
The log of everything that passed: one JSON line per frame, for tests and for people who wonder.

Tokens never reach the file.
"""

import json
from pathlib import Path
from typing import TextIO

from bot.room.answers import Json
from bot.room.clock import RoomClock

_SECRET = ("token", "authorization")


class FramesLog:
    """Appends frames to *path*; with no path it drops them."""

    def __init__(self, path: Path | None, clock: RoomClock) -> None:
        self._clock = clock
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None

    def note(self, door: str, direction: str, what: str, frame: Json) -> None:
        """Write one frame: *door* is web, socket or page; *direction* is in or out."""
        if self._file is None:
            return
        clean = {key: value for key, value in frame.items() if key not in _SECRET}
        line = {"at": self._clock.now(), "door": door, "direction": direction, "what": what, "frame": clean}
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
