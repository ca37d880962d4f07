"""
The room's own clock: one pair of functions, handed in, so that a test can turn the hands.

The room stands where Slack's machines stand, outside the bot; the bot's clock port is not its business.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


def _wall() -> float:
    return time.time_ns() / 1e9


@dataclass(frozen=True, slots=True)
class RoomClock:
    """`now` stamps messages (seconds since 1970), `monotonic` measures how long something took."""

    now: Callable[[], float] = _wall
    monotonic: Callable[[], float] = time.monotonic
