"""
Where things stand: the fold of events and readings.

Frozen values only. `core/cutover` makes them; words, pages and verbs read them. Nothing here decides.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from bot.core.messages import Decided, DecisionOpened, Offer, Scenario
from bot.core.model import Outcome, Utc, Value
from bot.core.runbook import OptionName, Runbook
from bot.core.triggers import Tally, Verdict


class StepStatus(StrEnum):
    """Where a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    IN_DOUBT = "in-doubt"

    @property
    def settled(self) -> bool:
        """True where what needs the step may start."""
        return self in {StepStatus.DONE, StepStatus.SKIPPED}


class StepState(Value):
    """One step of one run. `until` is a watch's end, holes included."""

    status: StepStatus = StepStatus.WAITING
    attempt: int = 0
    key: str = ""
    started_at: Utc | None = None
    started_by: str = ""
    ended_at: Utc | None = None
    until: Utc | None = None
    detail: str = ""
    late: bool = False
    doubt: int | None = None  #: the attempt that was in doubt last
    asked: int | None = None  #: a gate's decision, once it is asked


class CellState(Value):
    """What one cell of one check has shown since the triggers were armed."""

    check: str
    cell: str
    origin: str = ""
    control: bool = False
    outcome: Outcome | None = None
    at: Utc | None = None
    decided: Outcome | None = None
    decided_at: Utc | None = None
    passed: int = 0
    failed: int = 0
    errors: int = 0
    failing: int = 0  #: failures in a row
    broken: int = 0  #: readings in a row that decided nothing
    detail: str = ""
    metrics: Mapping[str, float] = Field(default_factory=dict)


class TriggerState(Value):
    """
    One criterion. `met` holds the members that met it, latched until people decide.

    `accepted` are members whose failure people accepted ("continue"): they are judged no more.
    """

    verdict: Verdict = Verdict.CANNOT_TELL
    met: Mapping[str, str] = Field(default_factory=dict)  #: member -> because
    met_at: Utc | None = None
    accepted: tuple[str, ...] = ()
    tallies: Mapping[str, Tally] = Field(default_factory=dict)
    because: str = ""


class VoteState(Value):
    """A vote that counts, unless a later event voids it."""

    person: str
    option: OptionName
    at: Utc
    via: str
    account: str
    owner: str = ""
    minutes: float = 0
    reason: str = ""


class DecisionState(Value):
    """One decision: its immutable snapshot and what people did with it."""

    opened: DecisionOpened
    opened_at: Utc
    status: Literal["open", "decided", "closed"] = "open"
    deadline: Utc | None = None
    overdue: bool = False
    votes: Mapping[str, VoteState] = Field(default_factory=dict)
    voided: tuple[tuple[str, str], ...] = ()  #: (person, cause)
    decided: Decided | None = None
    ended_at: Utc | None = None
    why_closed: str = ""
    replaced_by: int | None = None

    @property
    def number(self) -> int:
        """The number people say; never reused in a run."""
        return self.opened.number

    @property
    def open(self) -> bool:
        """True while it can be voted on."""
        return self.status == "open"

    def offer(self, word: str) -> Offer | None:
        """Return the offer that *word* (a letter or an option's name) means, or None."""
        folded = word.strip().lower()
        for offer in self.opened.offers:
            if folded in {offer.letter.lower(), offer.option.value}:
                return offer
        return None


class Hole(Value):
    """A stretch without a PASS or FAIL in a cell that a gate relies on. Open while `until` is None."""

    check: str
    cell: str
    since: Utc
    until: Utc | None = None


class Fix(Value):
    """A fix-first under way."""

    number: int
    trigger: str
    owner: str
    until: Utc


class TaskState(Value):
    """An unplanned task."""

    text: str
    person: str
    by: Utc | None = None
    done_at: Utc | None = None


class Override(Value):
    """A criterion was met and people went on."""

    number: int
    trigger: str
    members: tuple[str, ...]
    voters: tuple[str, ...]
    at: Utc


class DigestState(Value):
    """When a digest goes out next, and why at once, if so."""

    number: int = 0
    next_at: Utc
    urgent: str = ""
    last_at: Utc | None = None


class RunStatus(StrEnum):
    """Where a run is."""

    OPENED = "opened"
    RUNNING = "running"
    GOING_BACK = "going-back"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """True where nothing more will happen."""
        return self in {RunStatus.COMPLETED, RunStatus.ROLLED_BACK, RunStatus.ABORTED}


class RunState(Value):
    """One run, folded."""

    run: str
    migration: str
    place: str
    plan: Runbook
    text: str  #: the runbook, byte by byte
    sha256: str
    criteria_digest: str
    criteria: tuple[str, ...]
    scenario: Scenario | None = None
    people: Mapping[str, str]
    deployment: Mapping[str, str] = Field(default_factory=dict)
    status: RunStatus = RunStatus.OPENED
    opened_at: Utc
    opened_by: str
    started_at: Utc | None = None
    started_by: str = ""
    ended_at: Utc | None = None
    armed_at: Utc | None = None
    no_return_at: Utc | None = None
    window_opens: Utc | None = None
    window_closes: Utc | None = None
    signatures: Mapping[str, tuple[str, Utc]] = Field(default_factory=dict)  #: role -> (person, when)
    signers: Mapping[str, Utc] = Field(default_factory=dict)  #: every person who signed; the policy counts these
    present: Mapping[str, Utc] = Field(default_factory=dict)
    steps: Mapping[str, StepState]
    cells: Mapping[str, CellState] = Field(default_factory=dict)
    colours: Mapping[str, str] = Field(default_factory=dict)
    triggers: Mapping[str, TriggerState] = Field(default_factory=dict)
    decisions: Mapping[int, DecisionState] = Field(default_factory=dict)
    holes: tuple[Hole, ...] = ()
    fix: Fix | None = None
    paused: str | None = None
    paused_by: str = ""
    paused_at: Utc | None = None
    tasks: Mapping[str, TaskState] = Field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    digests: Mapping[str, DigestState] = Field(default_factory=dict)
    missed: int = 0
    rollback: int | None = None  #: the decision that ordered it
    last_reading_at: Utc | None = None
    last_position: int = 0

    @property
    def rehearsal(self) -> bool:
        """True unless this is the real night."""
        return self.scenario is not None

    @property
    def no_return(self) -> bool:
        """True after the point of no return: going back is a port back."""
        return self.no_return_at is not None

    @property
    def open_decisions(self) -> tuple[DecisionState, ...]:
        """Decisions that wait for people, oldest first."""
        return tuple(decision for decision in self.decisions.values() if decision.open)

    def name(self, person: str) -> str:
        """Return what people call *person*."""
        return self.people.get(person, person)


class House(Value):
    """Every run of the deployment, and the deployment's own affairs."""

    position: int = 0
    at: Utc | None = None
    head: str = ""  #: the hash of the last entry of the ledger, as hex; readings hang on the next seal
    head_at: int = 0
    epoch: int = 0
    clock_off_s: float = 0.0  #: by how much the wall clock has stepped since the process began
    runs: Mapping[str, RunState] = Field(default_factory=dict)
    parked: Mapping[str, str] = Field(default_factory=dict)  #: effect -> why it did not go out

    def active_in(self, place: str) -> RunState | None:
        """Return the run that *place* shows, if one is not over."""
        return next((run for run in self.runs.values() if run.place == place and not run.status.over), None)

    def active(self) -> tuple[RunState, ...]:
        """Return every run that is not over."""
        return tuple(run for run in self.runs.values() if not run.status.over)

    def completed(self, migration: str) -> frozenset[str]:
        """Return the runbooks that *migration* has completed."""
        return frozenset(
            run.plan.runbook
            for run in self.runs.values()
            if run.migration == migration and run.status is RunStatus.COMPLETED
        )
