"""
How often the bot may call: Slack's tiers as token buckets, per method, and per channel where Slack counts so.

Decides only *now or in how many seconds*; what happens to the refused call is the caller's affair.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from bot.room.answers import RateLimited


@dataclass(frozen=True, slots=True)
class Tier:
    """*burst* calls at once, then *per_second*."""

    per_second: float
    burst: int
    by_channel: bool = False


def _per_minute(calls: int) -> Tier:
    return Tier(per_second=calls / 60, burst=calls)


POSTING = Tier(per_second=1.0, burst=4, by_channel=True)
TIER_2 = _per_minute(20)
TIER_3 = _per_minute(50)
TIER_4 = _per_minute(100)
SPECIAL = _per_minute(600)

TIERS = {
    "chat.postMessage": POSTING,
    "chat.update": TIER_3,
    "chat.delete": TIER_3,
    "conversations.history": TIER_3,
    "conversations.replies": TIER_3,
    "conversations.info": TIER_3,
    "conversations.open": TIER_3,
    "reactions.add": TIER_3,
    "apps.connections.open": TIER_3,
    "chat.postEphemeral": TIER_4,
    "views.open": TIER_4,
    "views.update": TIER_4,
    "views.push": TIER_4,
    "views.publish": TIER_4,
    "conversations.members": TIER_4,
    "users.info": TIER_4,
    "pins.add": TIER_2,
    "pins.list": TIER_2,
    "pins.remove": TIER_2,
    "bookmarks.add": TIER_2,
    "bookmarks.list": TIER_2,
    "conversations.setTopic": TIER_2,
    "users.list": TIER_2,
    "usergroups.users.list": TIER_2,
}


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Throttle:
    """The buckets of one app in one workspace."""

    def __init__(self, monotonic: Callable[[], float], pace: float = 1.0) -> None:
        self._monotonic = monotonic
        self._pace = pace
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._storm = 0

    def storm(self, calls: int) -> None:
        """Refuse the next *calls* calls, whatever they are."""
        self._storm = calls

    def spend(self, method: str, channel: str) -> None:
        """Take one call of *method*, or raise RateLimited with the seconds to wait."""
        if self._storm > 0:
            self._storm -= 1
            raise RateLimited(1)
        tier = TIERS.get(method, SPECIAL)
        rate = tier.per_second * self._pace
        now = self._monotonic()
        key = (method, channel if tier.by_channel else "")
        bucket = self._buckets.setdefault(key, _Bucket(left=tier.burst, at=now))
        bucket.left = min(tier.burst, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            raise RateLimited(max(1, math.ceil((1 - bucket.left) / rate)))
        bucket.left -= 1
