"""
Every error of ours, in one tree.

    SwitchroomError
    ├── Refused              a command that may not be done now: nothing happened
    ├── RunbookRefused       a runbook or deployment file with findings
    ├── StoreUnavailable     the ledger cannot be written: nothing moves forward
    │   └── StaleEpoch       another process took the lease: this one must stop
    ├── LedgerBroken         the chain or a seal does not match
    ├── UnknownEntry         written by another release; refuse to start
    └── SettingsRefused      environment or deployment file cannot be used

An error says where, what, and what would work; it is read at 3 AM.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class SwitchroomError(Exception):
    """The root: catch this to tell our refusals from bugs."""


class Reason(StrEnum):
    """Why a command was refused. Closed: the words are in `bot/words`, the tests name each."""

    UNKNOWN_PERSON = "unknown-person"  #: the account is no listed person's
    NOT_YOUR_ROLE = "not-your-role"  #: the person has no role that may do this
    NOT_ELIGIBLE = "not-eligible"  #: the vote's policy has no slot for this person
    SECOND_PERSON = "second-person"  #: `not_requester` wants someone else
    TOO_LATE = "too-late"  #: decided, done or closed before
    SUPERSEDED = "superseded"  #: the card shows an older snapshot
    WRONG_STATE = "wrong-state"  #: the step, run or decision is not in the state this needs
    NOT_READY = "not-ready"  #: something it needs is not done; the gate is blocked
    UNKNOWN_WORD = "unknown-word"  #: no such run, step, decision, option, role
    BAD_ARGUMENT = "bad-argument"  #: missing or malformed argument
    DUPLICATE = "duplicate"  #: the same command came before; its first answer stands
    ALREADY = "already"  #: nothing to do: it is so already


class Refused(SwitchroomError):
    """
    A command that may not be done. Nothing changed.

    `reason` is closed; the text says what did not happen, why, and what would work.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault in a file: `file:line:col: CODE message`, the remedy inside the message."""

    place: str
    line: int
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}:{self.line}:{self.column}: {self.code} {self.message}"


class RunbookRefused(SwitchroomError):
    """A file with findings, sorted by line. Nothing of it was used."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda f: (f.place, f.line, f.column, f.code)))
        super().__init__("\n".join(str(finding) for finding in self.findings))


class SettingsRefused(SwitchroomError):
    """The environment or the deployment file cannot be used; says which key and what would work."""


class StoreUnavailable(SwitchroomError):
    """The database did not take the transaction. Nothing was recorded and nothing moves forward."""


class StaleEpoch(StoreUnavailable):
    """Another process holds the lease with a newer epoch; this one must stop writing."""


class LedgerBroken(SwitchroomError):
    """An entry or a sealed reading no longer matches its seal; says which."""


class UnknownEntry(SwitchroomError):
    """The ledger holds an event type or version this release cannot read; says who wrote it."""
