"""
What there is to speak of in a run: questions to the state that several texts ask.

Answers are nouns of the core, not words.
"""

from datetime import datetime

from bot.core.runbook import Check, Step, Trigger
from bot.core.standing import (
    Colour,
    cells_of,
    current_steps,
    probing,
    since_silent,
)
from bot.core.state import DecisionState, RunState, StepState, StepStatus
from bot.core.triggers import Verdict
from bot.words.phrases import say
from bot.words.safe import Said, joined


def urgent(run: RunState) -> tuple[DecisionState, ...]:
    """Return the open decisions that hold the run: about a rule, or about going back."""
    return tuple(d for d in run.open_decisions if d.opened.subject in {"trigger", "go-back"})


def in_state(run: RunState, status: StepStatus) -> tuple[Step, ...]:
    """Return the steps in that state on the way the run is going now; none once it is over."""
    return () if run.status.over else tuple(s for s in current_steps(run) if run.steps[s.id].status is status)


def under_way(run: RunState) -> tuple[tuple[Step, StepState], ...]:
    """Return the steps that are running."""
    return tuple((step, run.steps[step.id]) for step in in_state(run, StepStatus.RUNNING))


def coloured(run: RunState, wanted: Colour) -> tuple[Check, ...]:
    """Return the checks of that colour."""
    return tuple(c for c in run.plan.checks if run.colours.get(c.id, Colour.WAITING) == wanted)


def silent(run: RunState, now: datetime) -> tuple[Check, ...]:
    """Return the checks that say nothing now: their last verdicts are too old, or their probes broke."""
    if not probing(run):
        return ()
    broken = {check.id for check in coloured(run, Colour.UNMEASURED)}
    return tuple(check for check in run.plan.checks if check.id in broken or _old(run, check, now))


def _old(run: RunState, check: Check, now: datetime) -> bool:
    heard = [since_silent(run, check, cell) for cell in cells_of(run, check)]
    return any(since is not None and now - since > check.hole_after for since in heard)


def met(run: RunState) -> tuple[Trigger, ...]:
    """Return the rules that are met."""
    return tuple(trigger for trigger in run.plan.triggers if run.triggers[trigger.id].met)


def cannot_tell(run: RunState) -> tuple[Trigger, ...]:
    """Return the rules that cannot be told, in a run that is measured."""
    if run.started_at is None:
        return ()
    return tuple(t for t in run.plan.triggers if run.triggers[t.id].verdict is Verdict.CANNOT_TELL)


def slots(missing: tuple[tuple[str, ...], ...]) -> Said:
    """Return the open slots of a policy: `mno-partner, network-ops or care-lead`."""
    return joined(", ", [joined(f" {say('or')} ", roles) for roles in missing])
