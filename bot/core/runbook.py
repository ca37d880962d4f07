"""
A runbook as values: what the YAML says, nothing of how it was written.

The schema is here; reading bytes, places and findings is `core/reading_yaml.py`, and the rules of
the playbook are `core/playbook.py`. A runbook never holds a secret, an address or an expression:
it names the deployment file's targets and people by key.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from bot.core.model import Cell, Value
from bot.core.spans import Duration as Duration  # noqa: PLC0414 - a runbook's spans are also found here
from bot.core.spans import duration as duration  # noqa: PLC0414 - as above
from bot.core.spans import shown as shown  # noqa: PLC0414 - as above
from bot.core.triggers import Operator, operator_of

#: An identifier: lower-case words joined by hyphens.
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", strict=True)]


class Phase(StrEnum):
    """The eight phases of a migration, in the playbook's order."""

    READINESS = "readiness"
    MEDIATION = "mediation"
    COHORT = "cohort"
    PARALLEL = "parallel"
    INTEGRATIONS = "integrations"
    BSS = "bss"
    PORTABILITY = "portability"
    COMPLETION = "completion"


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_Named = TypeVar("_Named", bound=_HasId)


class Window(Value):
    """When the switch may happen: wall-clock times in the runbook's zone."""

    opens: datetime
    closes: datetime


class Role(Value):
    """Who fills a role: keys of people in the deployment file. Deputies may act from the start."""

    people: tuple[Id, ...] = Field(min_length=1)
    deputies: tuple[Id, ...] = ()
    on_call: bool = False

    @property
    def everyone(self) -> tuple[str, ...]:
        """People and deputies, people first."""
        return (*self.people, *self.deputies)


class Axes(Value):
    """The axes that make cells: their product is the list of cells."""

    origin: tuple[str, ...] = ("",)
    service: tuple[str, ...] = ("",)
    number: tuple[str, ...] = ("",)
    site: tuple[str, ...] = ("",)


@lru_cache(maxsize=1024)
def _cells(axes: Axes, *, control: bool) -> tuple[Cell, ...]:
    # Asked for with every reading of a check; making hundreds of cells each time would cost more than the reading.
    return tuple(
        Cell(origin=origin, service=service, number=number, site=site, control=control)
        for origin, service, number, site in product(axes.origin, axes.service, axes.number, axes.site)
    )


class Check(Value):
    """A probe definition. `with` holds the parameters of its kind."""

    id: Id
    kind: Id
    title: str = ""
    every: Duration
    timeout: Duration
    gap: Duration | None = None  #: a longer stretch without PASS or FAIL is a hole; 3 x `every` if not given
    cells: Axes = Axes()
    controls: Axes | None = None
    with_: Mapping[str, Any] = Field(default_factory=dict, alias="with")

    @property
    def hole_after(self) -> timedelta:
        """How long a cell may stay silent before its evidence has a hole."""
        return self.gap if self.gap is not None else 3 * self.every

    def measured_cells(self) -> tuple[Cell, ...]:
        """Return the cells that count for triggers and gates, controls left out."""
        return _cells(self.cells, control=False)

    def control_cells(self) -> tuple[Cell, ...]:
        """Return the cells on numbers that are not being moved. An axis not given is taken from `cells`."""
        axes = self._control_axes()
        if axes is None:
            return ()
        return _cells(axes, control=True)

    def _control_axes(self) -> Axes | None:
        if self.controls is None:
            return None
        # By value: a plan that was kept as JSON and read again no longer knows which axes were written.
        given = {name: axis for name, axis in self.controls if axis != ("",)}
        return self.cells.model_copy(update=given)

    def probes(self, cell: Cell) -> bool:
        """Return whether *cell* is one of `all_cells`, without making them."""
        axes = self._control_axes() if cell.control else self.cells
        return axes is not None and all(getattr(cell, name) in axis for name, axis in axes)

    def all_cells(self) -> tuple[Cell, ...]:
        """Return every cell that is probed."""
        return (*self.measured_cells(), *self.control_cells())


class Per(StrEnum):
    """What one member of a trigger is."""

    CELL = "cell"
    ORIGIN = "origin"
    POOLED = "pooled"


class When(Value):
    """What a trigger looks at, and the one operator that judges it (`rate: {...}`, `consecutive: {...}`, ...)."""

    check: Id
    per: Per = Per.CELL
    operator: Operator

    @model_validator(mode="before")
    @classmethod
    def _one_operator(cls, raw: Any) -> Any:
        """Lift the operator's own key (`rate:`) to `operator`; exactly one is wanted."""
        if not isinstance(raw, Mapping) or "operator" in raw:
            return raw
        rest = {key: value for key, value in raw.items() if key in {"check", "per"}}
        rest["operator"] = operator_of({key: value for key, value in raw.items() if key not in rest})
        return rest

    def member_of(self, cell: Cell) -> str | None:
        """Return the member that *cell* counts for, or None for control cells."""
        if cell.control:
            return None
        return {Per.CELL: cell.key, Per.ORIGIN: cell.origin, Per.POOLED: "all"}[self.per]


class NoData(StrEnum):
    """What silence means to a trigger."""

    CANNOT_TELL = "cannot-tell"
    MET = "met"


class OptionName(StrEnum):
    """The options a decision may offer."""

    GO = "go"
    NOT_YET = "not-yet"
    GO_BACK = "go-back"
    FIX_FIRST = "fix-first"
    CONTINUE = "continue"
    RESUME = "resume"
    STAY_PAUSED = "stay-paused"


class Trigger(Value):
    """A rollback criterion: defined, owned and signed before the event."""

    id: Id
    title: str
    when: When
    no_data: NoData = NoData.CANNOT_TELL
    options: tuple[Literal["go-back", "fix-first", "continue"], ...] = Field(min_length=1)
    decide_within: Duration
    owner: Id
    source: str


class Policy(Value):
    """
    Who must agree. Either `one_of_each` (one distinct person per role) or `any` n `of` roles.

    Every person fills one slot only. `not_requester` keeps out the person who asked.
    """

    one_of_each: tuple[Id, ...] = ()
    any: int = 0
    of: tuple[Id, ...] = ()
    not_requester: bool = False
    at_most: Duration | None = None  #: fix-first: the longest time an owner may take

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.one_of_each) == bool(self.any or self.of):
            raise ValueError("write either one_of_each: [role, ...] or any: n with of: [role, ...]")
        if self.of and self.any < 1:
            raise ValueError("any must be at least 1: nobody agreeing is not an approval")
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role that has a slot."""
        return self.one_of_each or self.of


class GoBack(Value):
    """Before the point of no return it is an undo; after it a port back, with its own people."""

    before: Policy
    after: Policy


class Approvals(Value):
    """The policies of a run, by what they approve."""

    criteria: Policy
    go: Policy
    go_back: GoBack
    fix_first: Policy
    continue_: Policy = Field(alias="continue")
    resume: Policy | Literal["go"] = "go"
    tie_breaker: Id | None = None  #: the role whose vote wins when people who could decide disagree

    def policy(self, option: OptionName, *, no_return: bool) -> Policy:
        """Return the policy of *option*; holding back needs any one person who may let go forward."""
        match option:
            case OptionName.GO:
                return self.go
            case OptionName.GO_BACK:
                return self.go_back.after if no_return else self.go_back.before
            case OptionName.FIX_FIRST:
                return self.fix_first
            case OptionName.CONTINUE:
                return self.continue_
            case OptionName.RESUME:
                return self.go if self.resume == "go" else self.resume
            case OptionName.NOT_YET | OptionName.STAY_PAUSED:
                return Policy(any=1, of=self.go.roles)


class StepKind(StrEnum):
    """What a step is."""

    MANUAL = "manual"
    ACTION = "action"
    GATE = "gate"
    WATCH = "watch"
    ROLL_CALL = "roll-call"


class Http(Value):
    """Call a listed HTTP target: `{npdb}/activate`, where `npdb` is a key of the deployment's http targets."""

    post: Annotated[str, Field(pattern=r"^\{[a-z0-9-]+\}(/[A-Za-z0-9._~/-]*)?$", strict=True)]
    json_: Mapping[str, str | int | bool] = Field(default_factory=dict, alias="json")

    @property
    def target(self) -> str:
        """The key of the deployment file's http target."""
        return self.post[1 : self.post.index("}")]


class Do(Value):
    """What an action does."""

    http: Http


class Entry(Value):
    """What must be true before a gate may pass: these checks pass now, with no hole in the last `last`."""

    checks: tuple[Id, ...] | Literal["all"] = "all"
    last: Duration = timedelta(minutes=10)


class Step(Value):
    """One step. Gates, watches and roll-calls begin by themselves; manual steps and actions are started by a person."""

    id: Id
    kind: StepKind
    title: str = ""
    needs: tuple[Id, ...] = ()
    owner: Id | None = None  #: the role that starts and finishes it; any role of the run if not given
    within: Duration | None = None  #: roll-call, manual: late after this, and the room is told
    # action
    do: Do | None = None
    point_of_no_return: bool = False
    repeatable: bool = False
    start: Literal["by-hand", "auto"] = "by-hand"
    timeout: Duration = timedelta(seconds=30)
    # gate
    approval: Literal["go"] | None = None
    must: Entry | None = None
    # watch
    for_: Duration | None = Field(default=None, alias="for")
    checks: tuple[Id, ...] | Literal["all"] | None = None
    # roll-call
    roles: tuple[Id, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or self.id.replace("-", " ")


class Place(Value):
    """Where a message goes: a channel id, or a key of the deployment's rooms."""

    channel: str


class Digest(Value):
    """A scheduled status message for an audience."""

    id: Id
    every: Duration
    to: Place


class Runbook(Value):
    """A plan: parsed, every reference resolved. Times of `window` are wall-clock times of `timezone`."""

    runbook: Id
    title: str
    phase: Phase
    scenario: Literal["bss-swap", "new-core", "new-host"] | None = None
    requires: tuple[Id, ...] = ()
    timezone: str
    window: Window | None = None
    roles: Mapping[Id, Role]
    checks: tuple[Check, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    approvals: Approvals
    steps: tuple[Step, ...]
    rollback: tuple[Step, ...] = ()
    digests: tuple[Digest, ...] = ()
    materiality: Mapping[str, str] = Field(default_factory=dict)

    @property
    def zone(self) -> ZoneInfo:
        """The run's own time zone."""
        return ZoneInfo(self.timezone)

    def check(self, check_id: str) -> Check:
        """Return the check of that id. Raise KeyError."""
        return next_by_id(self.checks, check_id)

    def trigger(self, trigger_id: str) -> Trigger:
        """Return the trigger of that id. Raise KeyError."""
        return next_by_id(self.triggers, trigger_id)

    def step(self, step_id: str) -> Step:
        """Return the step or rollback step of that id. Raise KeyError."""
        return next_by_id((*self.steps, *self.rollback), step_id)

    def checks_of(self, names: tuple[str, ...] | Literal["all"] | None) -> tuple[Check, ...]:
        """Return the checks that `all`, a list, or nothing names."""
        if names is None:
            return ()
        return self.checks if names == "all" else tuple(self.check(name) for name in names)

    def roles_of(self, person: str) -> tuple[str, ...]:
        """Return the roles that *person* fills, as person or deputy."""
        return tuple(name for name, role in self.roles.items() if person in role.everyone)

    def members(self, trigger: Trigger) -> tuple[str, ...]:
        """Return every member that *trigger* judges, in the order of the cells."""
        cells = self.check(trigger.when.check).measured_cells()
        return tuple(dict.fromkeys(member for cell in cells if (member := trigger.when.member_of(cell)) is not None))


def next_by_id(things: tuple[_Named, ...], wanted: str) -> _Named:
    """Return the thing of that id. Raise KeyError."""
    for thing in things:
        if thing.id == wanted:
            return thing
    raise KeyError(wanted)
