"""
Durations: as a runbook writes them ("10s", "500ms", "2m", 1.5) and as a sentence says them.

Everything inside a check counts in float seconds. This file knows no clock.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_WRITTEN = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: object) -> float:
    """Return *value* in seconds; a bare number is seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (written := _WRITTEN.fullmatch(value.strip())):
        seconds = float(written["count"]) * _SECONDS[written["unit"]]
    else:
        raise ValueError(f"{value!r} is no duration: write 10s, 500ms, 2m, 1h or a number of seconds")
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"a duration of {seconds:g} s cannot be waited for")
    return seconds


#: Seconds; written as "10s", "500ms", "2m", "1h" or a number of seconds.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h)$"}]}
    ),
]


def said(seconds: float) -> str:
    """Return *seconds* for a sentence: three significant figures are more than a tired reader needs."""
    if 0 < seconds < 0.01:
        return f"{seconds * 1000:.2g} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.3g} s"


def limit(seconds: float) -> str:
    """Return a limit as the runbook's author thinks of it: 10 s, not 10.00 s."""
    return f"{seconds:g} s"
