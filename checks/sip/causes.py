"""
Q.850 causes: the one a response carries, or the one its status stands for.

The map from status to cause is RFC 3398, 8.2.6.1. A mapped cause is marked as such wherever it is shown.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_REASON = re.compile(r"Q\.850\s*;(?:[^,]*;)?\s*cause\s*=\s*(\d{1,3})", re.IGNORECASE)

_OF_STATUS: Mapping[int, int] = {
    400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127,
    415: 79, 416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 127, 482: 25, 483: 25, 484: 28, 485: 1, 486: 17,
    488: 31, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 600: 17, 603: 21, 604: 1, 606: 31,
}  # fmt: skip

#: Unallocated number, in both worlds: what a network says that looks in the wrong place.
NOT_FOUND = frozenset({404, 604})
UNALLOCATED = 1


@dataclass(frozen=True, slots=True)
class Cause:
    """A Q.850 cause value and whether the network said it or we derived it."""

    value: int
    mapped: bool

    def __str__(self) -> str:
        return f"{self.value} (mapped)" if self.mapped else str(self.value)


def cause_of(status: int, reasons: Sequence[str]) -> Cause | None:
    """Return the cause in the Reason headers (RFC 3326), else the one *status* maps to."""
    for reason in reasons:
        if found := _REASON.search(reason):
            return Cause(int(found[1]), mapped=False)
    value = _OF_STATUS.get(status)
    return None if value is None else Cause(value, mapped=True)
