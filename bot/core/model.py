"""
The nouns: what is measured, who acts, which run.

Values only. Nothing here knows how a probe is made, where a message goes, or what time it is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone: write 2026-12-08T02:00:00Z")
    return value.astimezone(UTC)


#: An aware UTC time; naive times are refused at the border.
Utc = Annotated[datetime, AfterValidator(_aware)]


class Value(BaseModel):
    """A frozen value; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float")


class Outcome(StrEnum):
    """What one probe learned. Only PASS lets a gate open."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password  #: Measured, and within the limits.
    FAIL = "fail"  #: Measured, and outside a limit of the service.
    INCONCLUSIVE = "inconclusive"  #: Measured, but the limit does not settle it.
    ERROR = "error"  #: Not measured; the probe broke. Never treated as PASS.

    @property
    def decided(self) -> bool:
        """True where the service was measured and judged: only these count for or against it."""
        return self in {Outcome.PASS, Outcome.FAIL}


class Cell(Value):
    """
    One (origin x service x number) of a check.

    `control` cells watch numbers that are not being moved, so that an outage elsewhere is not
    blamed on the cutover. `number` may be empty for checks that call no number.
    """

    origin: str = ""
    service: str = ""
    number: str = ""
    site: str = ""
    control: bool = False

    @property
    def key(self) -> str:
        """A stable name: the parts that are there, joined by `/`; controls end in `/control`."""
        parts = [part for part in (self.origin, self.service, self.number, self.site) if part]
        return "/".join([*parts, "control"] if self.control else parts) or "all"


class Reading(Value):
    """
    One measurement of one cell.

    `metrics` keys follow `KPI.md` in snake_case with a unit suffix (`telephony_setup_time_s`).
    `detail` is one plain sentence, number first, with its limit. `evidence` holds short facts a
    person may want (SIP status, message id), never a secret.
    """

    check: str
    kind: str
    cell: Cell
    outcome: Outcome
    at: Utc
    metrics: Mapping[str, float] = Field(default_factory=dict)
    detail: str = ""
    evidence: Mapping[str, str] = Field(default_factory=dict)


class Tick(Value):
    """
    One scheduled measurement: unique by (run, check, cell, scheduled_at).

    A tick ends in exactly one terminal record: a reading or a miss. `timeout_s` is the check's
    own time limit in real seconds; past it the probe is broken (ERROR), not the service.
    """

    run: str
    check: str
    kind: str
    cell: Cell
    scheduled_at: Utc
    timeout_s: float
    params: Mapping[str, object] = Field(default_factory=dict)

    @property
    def id(self) -> str:
        """The unique name of this tick."""
        return f"{self.run}|{self.check}|{self.cell.key}|{self.scheduled_at.isoformat()}"


class Via(StrEnum):
    """The door a command came in by; it is written on every event."""

    SLACK = "slack"
    ROOM = "room"  #: the embedded war room: its people are not authenticated, and the ledger says so
    CLI = "cli"
    PAGE = "page"
    TIMER = "timer"
    PROBE = "probe"
    OUTBOX = "outbox"
    SCRIPT = "script"  #: scripted people of a demo or rehearsal


class Actor(Value):
    """
    Who acts. `person` is a key of the deployment file, or "switchroom" for the machine itself.

    `account` is the account used (`slack:T1/U1`, `os:ana`); votes count persons and keep it.
    """

    person: str
    account: str = ""


MACHINE = Actor(person="switchroom")


def seconds(span: timedelta) -> float:
    """Return *span* in seconds."""
    return span.total_seconds()
