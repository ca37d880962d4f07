"""
The faults of the simulated carrier: which exist, and which are on.

A fault is named `kind` or `kind:argument` (`origin-fails:mno-a`). This file decides what an id means; the
servers ask `active(kind, argument)` at each call, message or query, so a switch takes effect at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core.errors import SwitchroomError

ORIGINS = ("mno-a", "mno-b", "donor", "fixed")
CARRIERS = ("carrier-c", "carrier-d")
ANY = "*"  #: an argument that may be any word


class NoSuchFault(SwitchroomError):
    """The id names no fault; the text lists those there are."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way in which the network can misbehave."""

    name: str
    listed: str  #: the id under which the panel shows it
    title: str
    description: str
    arguments: tuple[str, ...] = ()
    default: str = ""  #: the argument meant where none is given; empty means all


KINDS: Sequence[FaultKind] = (
    FaultKind(
        "origin-fails",
        "origin-fails",
        "Calls from mno-b to moved numbers fail",
        "mno-b answers 404 (Q.850 cause 1) for the test numbers, always; control numbers still work.",
        ORIGINS,
        "mno-b",
    ),
    FaultKind(
        "stale-routing",
        "stale-routing",
        "mno-b keeps the old routing",
        "As above, but only while the numbers are ported: a port back heals it, as in life.",
        ORIGINS,
        "mno-b",
    ),
    FaultKind(
        "one-way-audio",
        "one-way-audio",
        "One-way audio",
        "Calls to the test numbers connect and the caller hears the far end, but is not heard.",
        ORIGINS,
    ),
    FaultKind(
        "calls-cut-off",
        "calls-cut-off",
        "Calls are cut off",
        "The network ends calls to the test numbers shortly after the answer (BYE, Q.850 cause 41).",
        ORIGINS,
    ),
    FaultKind(
        "sms-receipts-lost",
        "sms-receipts-lost:carrier-c",
        "carrier-c loses delivery receipts",
        "carrier-c takes messages and never sends the receipt.",
        CARRIERS,
        "carrier-c",
    ),
    FaultKind("slow-dns", "slow-dns", "Slow DNS", "The resolver answers three seconds late."),
    FaultKind(
        "wrong-ivr-prompt",
        "wrong-ivr-prompt",
        "Wrong IVR prompt",
        "The care number plays 'not in service' instead of the welcome.",
    ),
    FaultKind(
        "npdb-timeout",
        "npdb-timeout",
        "Number portability database does not answer",
        "Requests hang; nothing is changed.",
    ),
    FaultKind(
        "reconciliation-drift",
        "reconciliation-drift",
        "Reconciliation finds differences",
        "3 subscribers missing on the new side and 2 changed ones.",
    ),
    FaultKind(
        "status-fails",
        "status-fails",
        "Every status figure is bad",
        "/status answers not ready, with lag and differences; status-fails:NAME for one of them.",
        (ANY,),
    ),
)
_BY_NAME: Mapping[str, FaultKind] = {kind.name: kind for kind in KINDS}


class Faults:
    """The switches."""

    def __init__(self) -> None:
        self._on: set[tuple[str, str]] = set()

    def switch(self, fault: str, on: bool) -> str:
        """Switch *fault* and return the id under which it is listed."""
        kind, argument = _parse(fault)
        entry = (kind.name, argument)
        if on:
            self._on.add(entry)
        else:
            self._on.discard(entry)
        return _id(kind, argument)

    def clear(self) -> None:
        """Switch everything off."""
        self._on.clear()

    def active(self, name: str, argument: str = "") -> bool:
        """Return whether the fault *name* is on for *argument*."""
        return (name, argument) in self._on or (name, "") in self._on

    def listing(self) -> list[dict[str, str | bool]]:
        """Return every fault as the panel shows it: those of the catalogue, then others that are on."""
        shown = {kind.listed: (kind, _parse(kind.listed)[1]) for kind in KINDS}
        shown |= {_id(_BY_NAME[name], argument): (_BY_NAME[name], argument) for name, argument in sorted(self._on)}
        return [
            {
                "id": fault,
                "title": _for(kind, argument, kind.title),
                "description": _for(kind, argument, kind.description),
                "on": (kind.name, argument) in self._on,
            }
            for fault, (kind, argument) in shown.items()
        ]


def _parse(fault: str) -> tuple[FaultKind, str]:
    name, _, argument = fault.partition(":")
    kind = _BY_NAME.get(name)
    if kind is None:
        raise NoSuchFault(f"no fault {fault!r}; there are: {', '.join(_BY_NAME)}")
    if argument and argument not in kind.arguments and ANY not in kind.arguments:
        known = ", ".join(kind.arguments) or "no argument"
        raise NoSuchFault(f"{name} takes {known}, not {argument!r}")
    return kind, argument or kind.default


def _id(kind: FaultKind, argument: str) -> str:
    if argument == _parse(kind.listed)[1]:
        return kind.listed
    return f"{kind.name}:{argument}"


def _for(kind: FaultKind, argument: str, text: str) -> str:
    if argument in {"", kind.default}:
        return text
    return text.replace(kind.default, argument) if kind.default else f"{text} ({argument})"
