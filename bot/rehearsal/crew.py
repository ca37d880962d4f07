"""
People who play by a script: they sign, answer, vote and start what is theirs, through the room.

Each looks at where the run stands and does the next thing that is theirs, as a person would; nobody
reaches past the doors that people have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.core.approvals import still_needed
from bot.core.runbook import OptionName, Role, Step, StepKind
from bot.core.standing import current_steps, forward_blocks, gate_blocks, missing_roles, missing_signatures, ready
from bot.core.state import DecisionState, RunState, RunStatus, StepStatus


class Script(StrEnum):
    """How the people play."""

    HAPPY = "happy"  #: everything works; the run is completed
    ROLLBACK = "rollback"  #: a network fails after the switch; people go back


@dataclass(frozen=True, slots=True)
class Line:
    """Something a person says: `/cutover` is understood before it."""

    person: str
    words: str
    decision: int | None = None  #: it is a vote: a click on this card does the same


@dataclass(slots=True)
class Crew:
    """Chooses who says what next."""

    script: Script
    #: What was said, and at which position: said again only when the run has moved on.
    said: dict[Line, int] = field(default_factory=dict)

    def next(self, run: RunState, now: datetime) -> Line | None:
        """Return the next thing somebody does, or None while everybody waits."""
        for line in self._lines(run, now):
            if self.said.get(line, -1) < run.last_position:
                self.said[line] = run.last_position
                return line
        return None

    def _lines(self, run: RunState, now: datetime) -> Iterator[Line]:
        if run.status is RunStatus.OPENED:
            yield from _opening(run)
            return
        for decision in run.open_decisions:
            yield from self._votes(run, decision, now)
        for step in current_steps(run):
            yield from _at_step(run, step, now)

    def _votes(self, run: RunState, decision: DecisionState, now: datetime) -> Iterator[Line]:
        subject = decision.opened.subject
        if subject == "gate" and gate_blocks(run, run.plan.step(decision.opened.about), now):
            return
        wanted = OptionName.GO if subject == "gate" else OptionName.GO_BACK
        offer = decision.offer(wanted.value)
        if offer is None:
            return
        voters = tuple(vote.person for vote in decision.votes.values() if vote.option is wanted)
        for slot in still_needed(offer.policy, run.plan.roles, voters, decision.opened.requester):
            free = [person for person in slot.people if person not in decision.votes]
            if free:
                yield Line(free[0], f"decide {decision.number} {offer.letter}", decision.number)
                return


def _opening(run: RunState) -> Iterator[Line]:
    unsigned = missing_signatures(run)
    for slot in unsigned:
        yield Line(run.plan.roles[slot[0]].people[0], "sign")
    if not unsigned:
        yield Line(starter(run.plan.roles, run.plan.approvals.go.roles), "start")


def starter(roles: Mapping[str, Role], go: tuple[str, ...]) -> str:
    """Return who starts: somebody whose role has another person left to vote, where there is one."""
    for role in go:
        if len(roles[role].everyone) > 1:
            return roles[role].everyone[-1]
    return roles[go[0]].people[0]


def _at_step(run: RunState, step: Step, now: datetime) -> Iterator[Line]:
    state = run.steps[step.id]
    if step.kind is StepKind.ROLL_CALL and state.status is StepStatus.RUNNING:
        for role in missing_roles(run, step):
            yield Line(run.plan.roles[role].people[0], "here")
    if step.kind not in {StepKind.MANUAL, StepKind.ACTION}:
        return
    owner = run.plan.roles[step.owner or next(iter(run.plan.roles))].people[0]
    back = run.status is RunStatus.GOING_BACK
    may = ready(run, step) and not back and not forward_blocks(run) and not _too_early(run, step, now)
    if state.status is StepStatus.WAITING and may:
        yield Line(owner, f"{'done' if step.kind is StepKind.MANUAL else 'start'} {step.id}")
    if state.status is StepStatus.RUNNING and step.kind is StepKind.MANUAL:
        yield Line(owner, f"done {step.id}")
    if state.status in {StepStatus.FAILED, StepStatus.IN_DOUBT}:
        yield Line(owner, f"retry {step.id}")


def _too_early(run: RunState, step: Step, now: datetime) -> bool:
    """People wait for the window to open before they begin what cannot be undone."""
    return step.point_of_no_return and run.window_opens is not None and now < run.window_opens


def watching(run: RunState) -> bool:
    """Return whether the switch is done and a watch is under way: when a fault is worth switching on."""
    return run.no_return and any(
        step.kind is StepKind.WATCH and run.steps[step.id].status is StepStatus.RUNNING for step in run.plan.steps
    )
