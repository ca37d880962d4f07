"""
How often we may call: budgets kept below Slack's limits, so that it never has to say "too many".

Decides only *now or in how many seconds*. Spans are real seconds; a test or a compressed demo makes them shorter.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Pace:
    """Every wait of this adapter, in real seconds. The defaults stay below Slack's own limits."""

    post_every_s: float = 1.05  #: one post a second and channel
    post_burst: int = 3  #: short bursts are tolerated, without a promise
    update_every_s: float = 1.25  #: 50 updates a minute for the whole workspace
    update_burst: int = 4
    trouble_s: float = 1.0  #: after a call that found nobody, or whose answer was lost
    closed_s: float = 30.0  #: after an answer that only an administrator can mend: a revoked token
    timeout_s: float = 10.0  #: of one call
    record_s: float = 1.5  #: until something said must be recorded; Slack itself waits 3 seconds for the ack

    def faster(self, times: float) -> Self:
        """Return the pace for a server whose limits refill *times* as fast."""
        return replace(self, post_every_s=self.post_every_s / times, update_every_s=self.update_every_s / times)


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Budgets:
    """What is left of each budget. Updates share one; posts have one for each channel."""

    def __init__(self, pace: Pace, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._monotonic = monotonic
        self._buckets: dict[str, _Bucket] = {}

    def post(self, channel: str) -> float:
        """Take one post in *channel* and return 0, or take nothing and return the seconds to wait."""
        return self._take(f"post {channel}", self._pace.post_every_s, self._pace.post_burst, 1)

    def update(self, *, leave: int = 0) -> float:
        """As `post`, for an update that leaves *leave* others to whoever is more urgent."""
        return self._take("update", self._pace.update_every_s, self._pace.update_burst, 1 + leave)

    def _take(self, name: str, every_s: float, burst: int, wanted: int) -> float:
        now = self._monotonic()
        bucket = self._buckets.setdefault(name, _Bucket(burst, now))
        bucket.left = min(burst, bucket.left + (now - bucket.at) / every_s)
        bucket.at = now
        if bucket.left < wanted:
            return (wanted - bucket.left) * every_s
        bucket.left -= 1
        return 0
