"""
What may be ordered, and what has happened.

Commands order (`CastVote`), events report (`VoteCast`). Both are frozen values with one JSON form.
An event's `VERSION` rises when its fields change meaning; `core/upcast.py` lifts old ones.
Events that cite evidence make the writer seal the readings before them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from bot.core.model import Actor, Reading, Tick, Utc, Value, Via
from bot.core.runbook import OptionName, Policy
from bot.core.triggers import Verdict


class Scenario(Value):
    """
    How a rehearsal differs from the night: recorded when the run is opened, part of every digest.

    `speed` is how many seconds of the run's clock pass in one real second. `assumes` are the
    required runbooks taken as completed.
    """

    name: str
    speed: float = 1.0
    assumes: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------- commands


class Command(Value):
    """An order concerning one run; `run` is resolved before it is handled."""

    run: str = ""


class Open(Command):
    """Open a run of a runbook in a channel. `text` is the runbook's bytes as UTF-8."""

    migration: str
    place: str
    text: str
    scenario: Scenario | None = None
    people: Mapping[str, str] = Field(default_factory=dict)  #: person key -> display name, as listed now
    deployment: Mapping[str, str] = Field(default_factory=dict)  #: named target -> fingerprint


class Sign(Command):
    """Sign the criteria, for every role the person holds. `digest`, or its beginning, is that of the list read."""

    digest: str = ""


class Start(Command):
    """Start the run, or one of its steps."""

    step: str = ""


class Here(Command):
    """Answer the roll call."""


class Done(Command):
    """A manual step, an unplanned task, or a step in doubt is done."""

    step: str
    note: str = ""


class Skip(Command):
    """Leave a step out. A reason is required."""

    step: str
    reason: str = ""


class Fail(Command):
    """A step did not work."""

    step: str
    reason: str = ""


class Retry(Command):
    """Do a failed step, or one in doubt, again."""

    step: str


class CastVote(Command):
    """Choose one option of one decision, by letter or by name."""

    number: int
    option: str
    owner: str = ""  #: fix-first: who fixes
    minutes: float = 0  #: fix-first: the time limit
    reason: str = ""


class GiveReason(Command):
    """Say why, after a vote has counted."""

    number: int
    reason: str


class Pause(Command):
    """Stop going forward, keep probing."""

    reason: str = ""


class Resume(Command):
    """Ask to go forward again: opens a decision."""

    reason: str = ""


class Postpone(Command):
    """Move the window. `opens` and `closes` are aware times."""

    opens: Utc
    closes: Utc
    reason: str = ""


class AddTask(Command):
    """Add an unplanned task for a person, to be done by a time."""

    text: str
    person: str
    by: Utc | None = None


class GoBack(Command):
    """Ask to go back: `undo` before the point of no return, `port-back` after it."""

    word: Literal["undo", "port-back"]
    reason: str = ""


class CheckNow(Command):
    """Probe every cell of a check at once."""

    check: str


class Abort(Command):
    """Give the run up, before anything has to be rolled back. A reason is required."""

    reason: str = ""


class Note(Command):
    """Write a line into the ledger."""

    text: str


class Amend(Command):
    """Change the runbook of an open run. Signatures survive only if the criteria digest is the same."""

    text: str
    reason: str
    deployment: Mapping[str, str] | None = None  #: fingerprints of what it names; those of before if not given


class CompareDeployment(Command):
    """A process took over: these are the fingerprints of what the run names, as the deployment file says now."""

    deployment: Mapping[str, str]


class RecordReading(Command):
    """A probe's result, bound to its tick. `epoch` is that of the lease the tick was given under."""

    tick: Tick
    reading: Reading
    epoch: int


class RecordMiss(Command):
    """A tick that ended without a reading."""

    tick: Tick
    why: str


class ReportStep(Command):
    """What the target of an action answered. `unknown` means it may or may not have happened."""

    step: str
    attempt: int
    outcome: Literal["done", "failed", "unknown"]
    detail: str


class Wake(Command):
    """Time has passed: whatever is due is due."""


class StartService(Command):
    """A process took the lease."""

    epoch: int
    software: str


class ReportClock(Command):
    """The wall clock has stepped by so many seconds since the process began; above zero, it is ahead."""

    off_s: float


class ParkEffect(Command):
    """An effect that could not be delivered three times."""

    effect: str
    place: str
    kind: str
    why: str


# ------------------------------------------------------------------------------------------ events


class Event(Value):
    """Something that happened, in one run or (with `run` empty) in the deployment."""

    VERSION: ClassVar[int] = 1
    CITES_EVIDENCE: ClassVar[bool] = False
    run: str = ""


class ServiceStarted(Event):
    """A process took the lease. `silent_since` is the time of the entry before, if there was one."""

    epoch: int
    software: str
    silent_since: Utc | None = None


class ClockStepped(Event):
    """The wall clock is off by so many seconds from the steady one; 0 when it is right again."""

    off_s: float


class ReadingsSealed(Event):
    """Readings `first` to `last` (positions) are fixed by `digest`; written by the writer, never decided."""

    first: int
    last: int
    count: int
    digest: str


class EffectParked(Event):
    """A message or call that did not go out; shown on the board."""

    effect: str
    place: str
    kind: str
    why: str


class RunOpened(Event):
    """A run exists: its plan is stored here, byte by byte."""

    migration: str
    place: str
    text: str
    runbook_sha256: str
    criteria_digest: str
    criteria: tuple[str, ...]
    scenario: Scenario | None = None
    people: Mapping[str, str] = Field(default_factory=dict)
    deployment: Mapping[str, str] = Field(default_factory=dict)


class RunbookAmended(Event):
    """The plan changed. `kept` says whether the signatures still stand."""

    text: str
    runbook_sha256: str
    criteria_digest: str
    criteria: tuple[str, ...]
    diff: str
    reason: str
    kept: bool
    deployment: Mapping[str, str] | None = None


class CriteriaSigned(Event):
    """A person signed the list of criteria for a role."""

    person: str
    role: str
    digest: str


class RunStarted(Event):
    """The run goes: checks and triggers are armed."""


class PersonPresent(Event):
    """A person answered the roll call."""

    person: str
    roles: tuple[str, ...]


class StepStarted(Event):
    """A step began. `key` is the idempotency key sent to an action's target."""

    step: str
    attempt: int
    key: str = ""


class StepFinished(Event):
    """A step is done."""

    step: str
    attempt: int
    detail: str = ""


class StepFailed(Event):
    """A step did not work; what needs it does not start."""

    step: str
    attempt: int
    detail: str


class StepInDoubt(Event):
    """Nobody knows whether the step happened; what needs it does not start."""

    step: str
    attempt: int
    sent: str
    detail: str


class StepSkipped(Event):
    """A step is left out."""

    step: str
    reason: str


class StepLate(Event):
    """A roll call or a manual step took longer than its time. `missing` are the roles not heard of."""

    step: str
    missing: tuple[str, ...] = ()


class CheckTurned(Event):
    """A check changed colour."""

    check: str
    before: str
    after: str
    because: str


class CheckRequested(Event):
    """A person wants a check now."""

    check: str


class TicksMissed(Event):
    """Scheduled measurements that did not happen."""

    check: str
    cell: str
    first: Utc
    last: Utc
    count: int
    why: str


class HoleOpened(Event):
    """A cell that a gate relies on has been silent for too long. `since` is its last good measurement."""

    check: str
    cell: str
    since: Utc


class HoleClosed(Event):
    """The cell is measured again."""

    check: str
    cell: str
    since: Utc
    until: Utc


class WatchExtended(Event):
    """Holes made the watch longer."""

    step: str
    until: Utc
    seconds: float


class TriggerMet(Event):
    """A signed criterion is met; latched until people decide."""

    CITES_EVIDENCE = True
    trigger: str
    member: str
    reason: str
    because: str
    numbers: Mapping[str, float] = Field(default_factory=dict)


class TriggerTurned(Event):
    """A criterion went between "not met" and "cannot tell", or was cleared after a decision."""

    trigger: str
    before: Verdict
    after: Verdict
    because: str


class Offer(Value):
    """One option of a decision with its letter and its own policy."""

    letter: str
    option: OptionName
    policy: Policy


class Evidence(Value):
    """What one check had shown for one member when the decision was opened."""

    check: str
    member: str
    control: bool = False
    passed: int
    failed: int
    errors: int
    since: Utc | None = None
    detail: str = ""


class DecisionOpened(Event):
    """A numbered, immutable snapshot: question, options, policies, criteria, evidence frozen at a position."""

    CITES_EVIDENCE = True
    number: int
    subject: Literal["gate", "trigger", "go-back", "resume"]
    about: str  #: the step, the trigger, or empty
    question: str
    members: tuple[str, ...] = ()  #: of a trigger: the ones that had met it, and that the choice is about
    offers: tuple[Offer, ...]
    no_return: bool
    criteria_digest: str
    evidence: tuple[Evidence, ...]
    evidence_at: int
    requester: str | None = None
    deadline: Utc | None = None


class VoteCast(Event):
    """A person chose an option. A later vote of the same person replaces the earlier one."""

    number: int
    person: str
    option: OptionName
    owner: str = ""
    minutes: float = 0


class VoteVoided(Event):
    """A vote no longer counts, because of `cause`."""

    number: int
    person: str
    option: OptionName
    cause: str


class Decided(Event):
    """The first option whose policy was satisfied."""

    CITES_EVIDENCE = True
    number: int
    option: OptionName
    voters: tuple[str, ...]
    tie_broken_by: tuple[str, ...] = ()
    owner: str = ""
    until: Utc | None = None


class ReasonGiven(Event):
    """Why a person voted so."""

    number: int
    person: str
    reason: str


class DecisionClosed(Event):
    """A decision ended without a choice: replaced by the next one on the same question, or no longer asked."""

    number: int
    why: str


class DeadlinePassed(Event):
    """Nobody decided in time: the run is paused, the next people are called, a new deadline is set."""

    number: int
    passed: Utc
    deadline: Utc
    called: tuple[str, ...]


class FixEnded(Event):
    """The time of a fix-first is up, or its trigger is clear."""

    number: int
    trigger: str
    cleared: bool


class Paused(Event):
    """Nothing goes forward; probing goes on."""

    reason: str


class Resumed(Event):
    """The run goes forward again."""


class Postponed(Event):
    """The window moved."""

    opens: Utc
    closes: Utc
    reason: str


class TaskAdded(Event):
    """An unplanned task."""

    task: str
    text: str
    person: str
    by: Utc | None = None


class TaskDone(Event):
    """An unplanned task is done."""

    task: str


class NoteTaken(Event):
    """A person's line in the ledger."""

    text: str


class DigestDue(Event):
    """A digest goes out now: on schedule, or at once because of `cause`."""

    digest: str
    number: int
    cause: str = ""
    next_at: Utc


class RollbackStarted(Event):
    """The rollback steps run, decided by decision `number`."""

    CITES_EVIDENCE = True
    number: int
    word: Literal["undo", "port-back"]


class RolledBack(Event):
    """Every rollback step is done; the run is over."""

    CITES_EVIDENCE = True


class RunCompleted(Event):
    """Every step is done or skipped; the run is over."""

    CITES_EVIDENCE = True


class RunAborted(Event):
    """The run was given up before anything had to be rolled back."""

    reason: str


def _all(base: type[Any]) -> dict[str, type[Any]]:
    return {cls.__name__: cls for cls in base.__subclasses__()}


#: Every event by its type name: the ledger's vocabulary.
EVENTS: Mapping[str, type[Event]] = _all(Event)
#: Every command by its type name.
COMMANDS: Mapping[str, type[Command]] = _all(Command)


class Order(Value):
    """A command with who gave it, by which door, and a key that makes it count once."""

    command: Command
    actor: Actor
    via: Via
    command_id: str
    caused_by: int | None = None
