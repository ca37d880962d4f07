"""
Read the time: the wall's, or one that runs faster from a fixed start.

The only place of the project where a clock is read.
"""

from datetime import UTC, datetime

from bot.core.model import Utc


class WallClock:
    """The system's clock, aware UTC."""

    speed: float = 1.0

    def now(self) -> Utc:
        """Return the time."""
        return datetime.now(UTC)  # noqa: TID251 - this adapter is the clock


class FastClock:
    """
    A rehearsal's clock: *start* at the real time *since*, then *speed* seconds for each real one.

    Both ends are kept outside the process, so that a restart goes on with the same time.
    """

    def __init__(self, start: Utc, since: Utc, speed: float) -> None:
        self.start = start
        self.since = since
        self.speed = speed

    def now(self) -> Utc:
        """Return the rehearsal's time."""
        real = datetime.now(UTC)  # noqa: TID251 - this adapter is the clock
        return self.start + (real - self.since) * self.speed
