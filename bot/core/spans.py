"""
Spans of time as people write them.

One notation for every file: `90s`, `15m`, `4h`, `7d`. Nothing here knows what is timed.
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_DURATION = re.compile(r"^(?P<count>\d+(?:\.\d+)?)(?P<unit>s|m|h|d)$")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: object) -> timedelta:
    """Return the span that *text* names (`90s`, `15m`, `4h`, `7d`). Raise ValueError for anything else."""
    if isinstance(text, timedelta):
        return text
    match = _DURATION.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration: write a number and its unit in quotes or plain, like 90s, 15m, 4h or 7d"
        )
    return timedelta(seconds=float(match["count"]) * _UNIT_S[match["unit"]])


def shown(span: timedelta) -> str:
    """Return *span* in the largest unit that is whole: the inverse of `duration`."""
    total = span.total_seconds()
    for unit in ("d", "h", "m"):
        if total and total % _UNIT_S[unit] == 0:
            return f"{int(total // _UNIT_S[unit])}{unit}"
    return f"{total:.6f}".rstrip("0").rstrip(".") + "s"


#: A span of time, written as `90s`, `15m`, `4h` or `7d`.
Duration = Annotated[timedelta, BeforeValidator(duration), PlainSerializer(shown, return_type=str)]
