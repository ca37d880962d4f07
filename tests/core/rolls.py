"""A clock that is moved by hand, and chance that counts."""

import threading
from datetime import datetime, timedelta


class HandClock:
    """Shows what it was set to."""

    speed: float = 1.0

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def moves(self, seconds: float) -> None:
        """Move the hands, forward or back."""
        self._now += timedelta(seconds=seconds)


class CountedRolls:
    """Ids and salts that are never the same twice, and the same in every run of a test."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def fresh_id(self) -> str:
        with self._lock:
            self._count += 1
            return f"id-{self._count}"

    def salt(self) -> bytes:
        with self._lock:
            self._count += 1
            return self._count.to_bytes(16, "big")
