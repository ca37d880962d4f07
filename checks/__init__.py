"""
The kinds of check: one file each.

A kind is a class with `KIND`, a pydantic `Params` model, and `async take(cell, targets, deadline)`.
Drop a file here and the kind exists: `kinds()` finds it, the linter knows its parameters, the
probe worker runs it. Nothing here knows runs, triggers or rooms.
"""

import asyncio
import importlib
import math
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from bot.core.errors import SwitchroomError
from bot.core.model import Cell, Outcome, Reading, Tick, Utc

#: The deployment file's targets, by section and key: `targets["sip"]["mno-a"]["uri"]`.
Targets = Mapping[str, Mapping[str, Mapping[str, Any]]]


class Params(BaseModel):
    """The `with:` of a check. Every kind extends it; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Largest sum of the service limits, in seconds; the check's `timeout` must exceed it.
    def service_limit_s(self) -> float:
        """Return the sum of the limits of the service, in seconds."""
        return 0.0

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        """Return the (section, key) pairs of the deployment file that this check needs for *cell*."""
        raise NotImplementedError

    def has_condition(self) -> bool:
        """Return whether these parameters can fail at all; a check that cannot fail is refused."""
        return True


class Measured(BaseModel):
    """What a kind returns: a verdict with its figures; `take_tick` makes the Reading of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    metrics: dict[str, float] = {}
    detail: str = ""
    evidence: dict[str, str] = {}


class NotMeasured(SwitchroomError):
    """
    The probe could not measure, for a reason that says nothing about the service: it becomes ERROR.

    The text goes after "not measured: "; it says what broke and where to look.
    """


@runtime_checkable
class Check(Protocol):
    """
    One kind of check.

    A kind that keeps something open between takes (a connection pool) adds `async def close()` as a class
    method; `close_all()` calls it.
    """

    KIND: ClassVar[str]
    Params: ClassVar[type[Params]]

    def __init__(self, params: Any) -> None:
        """Take validated parameters; do no I/O yet."""
        ...

    async def take(self, cell: Cell, targets: Targets, deadline: float, /) -> Measured:
        """
        Measure *cell* once, ending before *deadline* (seconds from now).

        A limit of the service exceeded is FAIL. Raising is allowed: it becomes ERROR.
        """
        ...


@cache
def kinds() -> Mapping[str, type[Check]]:
    """Return every kind of check in this package, by name."""
    found: dict[str, type[Check]] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.ispkg or info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        for thing in vars(module).values():
            name = getattr(thing, "KIND", None)
            if isinstance(thing, type) and isinstance(name, str) and thing.__module__ == module.__name__:
                found[name] = thing
    return found


async def close_all() -> None:
    """Close what kinds keep open between takes. The probe worker calls it once, at its end."""
    for kind in kinds().values():
        close = getattr(kind, "close", None)
        if close is not None:
            await close()


async def take_tick(tick: Tick, targets: Targets, at: Utc) -> Reading:
    """
    Run the check of *tick* and return its Reading. Never raises, except when cancelled.

    This is the one place where an exception becomes a Reading: a broken probe is ERROR with a
    sentence, never a failed service.
    """
    measured = _finite(await _measured(tick, targets))
    return Reading(
        check=tick.check,
        kind=tick.kind,
        cell=tick.cell,
        outcome=measured.outcome,
        at=at,
        metrics=measured.metrics,
        detail=_plain(measured.detail),
        evidence={_plain(key): _plain(value) for key, value in measured.evidence.items()},
    )


def _finite(measured: Measured) -> Measured:
    # No limit means anything against such a figure, and JSON has no word for it.
    odd = sorted(name for name, figure in measured.metrics.items() if not math.isfinite(figure))
    if not odd:
        return measured
    metrics = {name: figure for name, figure in measured.metrics.items() if name not in odd}
    why = f"not measured: {', '.join(odd)} came out as no finite number; the check said: {measured.detail}"
    return measured.model_copy(update={"outcome": Outcome.ERROR, "metrics": metrics, "detail": why})


def _plain(text: str) -> str:
    # A lone surrogate from a measured system cannot be written as UTF-8, and would end the journey of the reading.
    return text.encode("utf-8", "replace").decode()


async def _measured(tick: Tick, targets: Targets) -> Measured:
    kind = kinds().get(tick.kind)
    if kind is None:
        return _broken(f"this probe worker knows no check kind {tick.kind!r}; it knows {', '.join(sorted(kinds()))}")
    try:
        check = kind(kind.Params.model_validate(dict(tick.params)))
        async with asyncio.timeout(tick.timeout_s):
            return await check.take(tick.cell, targets, tick.timeout_s)
    except TimeoutError:
        return _broken(f"the probe did not end within its own timeout of {tick.timeout_s:g} s")
    except ValidationError as error:
        fault = error.errors()[0]
        return _broken(f"parameter {'.'.join(map(str, fault['loc']))}: {fault['msg']}")
    except SwitchroomError as error:
        return _broken(str(error))
    except Exception as error:  # noqa: BLE001 - whatever broke, it is our probe, and the room must hear it as such
        return _broken(f"{type(error).__name__}: {error}")


def _broken(why: str) -> Measured:
    return Measured(outcome=Outcome.ERROR, detail=f"not measured: {why}")
