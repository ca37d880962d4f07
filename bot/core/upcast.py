"""
Lift what an older release wrote to the events of this one.

Stored bytes are never rewritten: a lift works on a copy of the data, version by version, before
the event is folded. When an event's fields change meaning its `VERSION` rises, and a lift from the
version before is added here; golden ledgers of each release hold it. Nothing here knows state.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from bot.core.errors import UnknownEntry
from bot.core.messages import EVENTS, Event

#: Takes the data of one version and returns that of the next.
Lift = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_LIFTS: dict[tuple[str, int], Lift] = {}


def lifts(type_: str, from_version: int) -> Callable[[Lift], Lift]:
    """List a lift of *type_* from *from_version* to the next. A second one for the same step is refused."""

    def listed(lift_: Lift) -> Lift:
        if (type_, from_version) in _LIFTS:
            raise ValueError(f"{type_} has a lift from version {from_version} already")
        _LIFTS[type_, from_version] = lift_
        return lift_

    return listed


def lift(type_: str, version: int, data: Mapping[str, Any], software: str = "") -> Event:
    """
    Return the event that *data* of that type and version means today.

    Raise UnknownEntry, naming the *software* that wrote it, where this release cannot read it.
    """
    wanted = EVENTS.get(type_)
    if wanted is None:
        raise _unknown(f"entries of type {type_}", software)
    if version > wanted.VERSION:
        raise _unknown(f"{type_} in version {version}, newer than its own {wanted.VERSION}", software)
    for step in range(version, wanted.VERSION):
        if (type_, step) not in _LIFTS:
            raise _unknown(f"{type_} in version {version}: it has no lift from version {step}", software)
        data = _LIFTS[type_, step](data)
    try:
        return wanted.model_validate(data)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its fields"
        raise _unknown(f"this {type_} in version {version} ({place}: {error.errors()[0]['msg']})", software) from error


def _unknown(what: str, software: str) -> UnknownEntry:
    wrote = f"switchroom {software}" if software else "an unnamed release"
    return UnknownEntry(
        f"This release cannot read {what}; {wrote} wrote it. Nothing was changed."
        f" Start {wrote if software else 'the release that wrote it'} or a later one on this ledger."
    )
