"""
Decide about runs and their steps: open, sign, start, finish, skip, fail, retry.

Everything here fails closed: a step starts only when nothing blocks going forward.
"""

import hashlib
from collections.abc import Mapping

from bot.core import messages as m
from bot.core.criteria import criteria_digest, plain_diff, sentences
from bot.core.cutover.asked import Asked
from bot.core.cutover.votes import void
from bot.core.errors import Reason, Refused
from bot.core.reading_yaml import load
from bot.core.runbook import Runbook, Step, StepKind
from bot.core.standing import (
    answered,
    clock,
    clock_blocks,
    current_steps,
    decision_for,
    forward_blocks,
    may_own,
    missing_signatures,
    unmet_needs,
    word_for_back,
)
from bot.core.state import RunState, RunStatus, StepStatus


def open_run(asked: Asked, command: m.Open) -> list[m.Event]:
    """A run is opened in a channel that shows no other; whoever opens it must have a role in it."""
    plan = load(command.text.encode())
    shown = asked.house.active_in(command.place)
    if shown is not None:
        raise Refused(
            Reason.ALREADY,
            f"Not opened: this channel shows run {shown.run} already. Finish it, or open this one in another channel.",
        )
    if command.run in asked.house.runs:
        raise Refused(Reason.DUPLICATE, f"Not opened: there is a run {command.run!r} already.")
    if not plan.roles_of(asked.person):
        raise Refused(
            Reason.NOT_YOUR_ROLE,
            f"Not opened: you have no role in {plan.runbook}. Its roles: {', '.join(sorted(plan.roles))}.",
        )
    return [
        m.RunOpened(
            run=command.run,
            migration=command.migration,
            place=command.place,
            text=command.text,
            runbook_sha256=_sha256(command.text),
            criteria_digest=_digest(plan, command),
            criteria=sentences(plan),
            scenario=command.scenario,
            people=command.people,
            deployment=command.deployment,
        )
    ]


def _digest(plan: Runbook, command: m.Open) -> str:
    scenario = command.scenario.model_dump(mode="json") if command.scenario else None
    return criteria_digest(plan, command.deployment, scenario)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def amend(asked: Asked, command: m.Amend) -> list[m.Event]:
    """The plan changes; votes are void, and signatures too where the criteria changed."""
    run = asked.not_over(asked.by_role("changing the runbook"))
    if not command.reason.strip():
        raise Refused(Reason.BAD_ARGUMENT, "Not changed: a reason is required. /cutover amend RUNBOOK because ...")
    plan = load(command.text.encode())
    kept = {step.id for step in (*plan.steps, *plan.rollback)}
    gone = [step for step, state in run.steps.items() if state.attempt and step not in kept]
    if plan.runbook != run.plan.runbook or gone:
        raise Refused(
            Reason.BAD_ARGUMENT,
            "Not changed: the new text must be the same runbook and keep every step that has begun"
            + (f" ({', '.join(gone)} is missing)." if gone else "."),
        )
    if plan.approvals != run.plan.approvals:
        raise Refused(
            Reason.BAD_ARGUMENT,
            "Not changed: who must agree stays as it was signed. For another policy, open a new run and sign it.",
        )
    deployment = run.deployment if command.deployment is None else command.deployment
    return _changed(run, plan, command.text, deployment, command.reason, "the runbook changed")


def compare_deployment(asked: Asked, command: m.CompareDeployment) -> list[m.Event]:
    """What was signed about people and targets is held against what is used: another address is another promise."""
    run = asked.not_over(asked.run)
    before, after = run.deployment, command.deployment
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if not names:
        return []
    why = f"the deployment file says something else about {', '.join(names)}"
    return _changed(run, run.plan, run.text, command.deployment, why, why)


def _changed(
    run: RunState, plan: Runbook, text: str, deployment: Mapping[str, str], reason: str, cause: str
) -> list[m.Event]:
    scenario = run.scenario.model_dump(mode="json") if run.scenario else None
    digest = criteria_digest(plan, deployment, scenario)
    ended: list[m.Event] = []
    for decision in run.open_decisions:
        ended += void(run, decision, cause)
        ended.append(m.DecisionClosed(run=run.run, number=decision.number, why=cause))
    return [
        m.RunbookAmended(
            run=run.run,
            text=text,
            runbook_sha256=_sha256(text),
            criteria_digest=digest,
            criteria=sentences(plan),
            diff=plain_diff(run.plan, plan),
            reason=reason,
            kept=digest == run.criteria_digest,
            deployment=deployment,
        ),
        *ended,
    ]


def sign(asked: Asked, command: m.Sign) -> list[m.Event]:
    """A person signs for every role they fill that has not been signed for yet."""
    run = asked.not_over(asked.by_role("signing"))
    wanted = [role for role in asked.roles if role in run.plan.approvals.criteria.roles]
    if not wanted:
        needed = ", ".join(run.plan.approvals.criteria.roles)
        raise Refused(
            Reason.NOT_YOUR_ROLE, f"Not signed: the criteria are signed by {needed}, and you fill none of them."
        )
    if not run.criteria_digest.startswith(command.digest):
        raise Refused(
            Reason.SUPERSEDED,
            f"Not signed: the list you read ({command.digest[:8]}) is not the list of now ({run.criteria_digest[:8]}). "
            "Read it again: /cutover criteria",
        )
    # Where one person signed for two roles, one of the two still wants somebody else.
    open_roles = (
        {role for slot in missing_signatures(run) for role in slot} if asked.person not in run.signers else set()
    )
    fresh = [role for role in wanted if role not in run.signatures or role in open_roles]
    if not fresh:
        signed = ", ".join(f"{role} by {run.name(run.signatures[role][0])}" for role in wanted)
        raise Refused(Reason.ALREADY, f"Signed before: {signed}.")
    return [m.CriteriaSigned(run=run.run, person=asked.person, role=role, digest=run.criteria_digest) for role in fresh]


def start(asked: Asked, command: m.Start) -> list[m.Event]:
    """Start the run, or one of its steps."""
    if not command.step:
        return _start_run(asked)
    run = asked.going("starting a step")
    step = asked.step(command.step)
    _own(asked, run, step, "start")
    state = run.steps[step.id]
    if step.kind is StepKind.GATE and state.status is StepStatus.RUNNING:
        return _ask_again(asked, run, step)
    if state.status is not StepStatus.WAITING:
        raise Refused(Reason.ALREADY, _stands(run, step))
    _forward(asked, run, step)
    return [begin(run, step)]


def _start_run(asked: Asked) -> list[m.Event]:
    run = asked.not_over(asked.by_role("starting the run"))
    if run.status is not RunStatus.OPENED:
        raise Refused(
            Reason.ALREADY, f"Nothing was done: the run was started at {clock(run, run.started_at or asked.now)}."
        )
    if not set(asked.roles) & set(run.plan.approvals.go.roles):
        raise Refused(
            Reason.NOT_YOUR_ROLE, f"Not started: the run is started by {', '.join(run.plan.approvals.go.roles)}."
        )
    missing = missing_signatures(run)
    if missing:
        roles = ", ".join(" or ".join(slot) for slot in missing)
        raise Refused(Reason.NOT_READY, f"Not started: the criteria are not signed by {roles}. To sign: /cutover sign")
    done = asked.house.completed(run.migration) | set(run.scenario.assumes if run.scenario else ())
    before = [name for name in run.plan.requires if name not in done]
    if before:
        raise Refused(Reason.NOT_READY, f"Not started: {', '.join(before)} must be completed in {run.migration} first.")
    return [m.RunStarted(run=run.run)]


def abort(asked: Asked, command: m.Abort) -> list[m.Event]:
    """Give up a run in which no action was sent: afterwards there is something to roll back, and people decide that."""
    run = asked.not_over(asked.by_role("giving up the run"))
    if not set(asked.roles) & set(run.plan.approvals.go.roles):
        raise Refused(Reason.NOT_YOUR_ROLE, f"Not given up: that is for {', '.join(run.plan.approvals.go.roles)}.")
    if not command.reason.strip():
        raise Refused(Reason.BAD_ARGUMENT, "Not given up: a reason is required. /cutover abort because ...")
    sent = [step.name for step in run.plan.steps if step.kind is StepKind.ACTION and run.steps[step.id].attempt]
    if sent:
        raise Refused(
            Reason.WRONG_STATE,
            f"Not given up: {', '.join(sent)} was sent, so there is something to take back. "
            f"To go back: /cutover {word_for_back(run)}",
        )
    return [m.RunAborted(run=run.run, reason=command.reason)]


def begin(run: RunState, step: Step) -> m.StepStarted:
    """Return the event that starts *step* once more."""
    attempt = run.steps[step.id].attempt + 1
    key = f"{run.run}/{step.id}/{attempt}" if step.kind is StepKind.ACTION else ""
    return m.StepStarted(run=run.run, step=step.id, attempt=attempt, key=key)


def _forward(asked: Asked, run: RunState, step: Step) -> None:
    """Raise Refused unless nothing blocks *step* from starting now. Its own doubt does not: people settle it by a retry."""
    if step not in current_steps(run):
        raise Refused(Reason.WRONG_STATE, f"Not started: {step.name!r} is not part of what is going on now.")
    unmet = unmet_needs(run, step)
    if unmet:
        raise Refused(Reason.NOT_READY, f"Not started: {step.name!r} waits for {', '.join(unmet)}.")
    if run.status is RunStatus.GOING_BACK:
        return
    blocks = forward_blocks(run, settling=step.id)
    if blocks:
        raise Refused(Reason.NOT_READY, f"Not started: {'; '.join(blocks)}.")
    untrusted = clock_blocks(asked.house)
    if step.point_of_no_return and untrusted:
        raise Refused(Reason.NOT_READY, f"Not started: {untrusted[0]}.")
    opens, closes = run.window_opens, run.window_closes
    if step.point_of_no_return and opens and closes and not opens <= asked.now < closes:
        raise Refused(
            Reason.NOT_READY,
            f"Not started: {step.name!r} may start only between {clock(run, opens)} and {clock(run, closes)} "
            f"{run.plan.timezone}, and it is {clock(run, asked.now)}. To move the window: /cutover postpone",
        )


def _ask_again(asked: Asked, run: RunState, step: Step) -> list[m.Event]:
    if decision_for(run, step.id) is not None:
        raise Refused(Reason.ALREADY, _stands(run, step))
    # Only the question is new; the gate's own step goes on, so that nothing counts twice.
    return [m.StepStarted(run=run.run, step=step.id, attempt=run.steps[step.id].attempt + 1)]


def done(asked: Asked, command: m.Done) -> list[m.Event]:
    """A manual step, a step in doubt, or an unplanned task is done."""
    run = asked.going("finishing a step")
    if command.step in run.tasks:
        return _task_done(asked, run, command.step)
    step = asked.step(command.step)
    _own(asked, run, step, "finish")
    state = run.steps[step.id]
    detail = command.note or "done"
    if state.status is StepStatus.IN_DOUBT:
        return [m.StepFinished(run=run.run, step=step.id, attempt=state.attempt, detail=detail)]
    if step.kind is not StepKind.MANUAL:
        raise Refused(Reason.WRONG_STATE, f"Nothing was done: {step.name!r} is a {step.kind.value}, it ends by itself.")
    if state.status is StepStatus.RUNNING:
        return [m.StepFinished(run=run.run, step=step.id, attempt=state.attempt, detail=detail)]
    if state.status is not StepStatus.WAITING:
        raise Refused(Reason.ALREADY, _stands(run, step))
    _forward(asked, run, step)
    begun = begin(run, step)
    return [begun, m.StepFinished(run=run.run, step=step.id, attempt=begun.attempt, detail=detail)]


def _task_done(asked: Asked, run: RunState, task_id: str) -> list[m.Event]:
    if run.tasks[task_id].done_at is not None:
        raise Refused(
            Reason.ALREADY, f"Task {task_id} was done at {clock(run, run.tasks[task_id].done_at or asked.now)}."
        )
    return [m.TaskDone(run=run.run, task=task_id)]


def skip(asked: Asked, command: m.Skip) -> list[m.Event]:
    """Leave a manual step or a reversible action out. Gates, watches, roll-calls and the switch are never skipped."""
    run = asked.going("skipping a step")
    step = asked.step(command.step)
    _own(asked, run, step, "skip")
    if step.kind in {StepKind.GATE, StepKind.WATCH, StepKind.ROLL_CALL} or step.point_of_no_return:
        what = "the point of no return" if step.point_of_no_return else f"a {step.kind.value}"
        raise Refused(Reason.WRONG_STATE, f"Not skipped: {step.name!r} is {what}, and that is never left out.")
    if not command.reason.strip():
        raise Refused(Reason.BAD_ARGUMENT, f"Not skipped: a reason is required. /cutover skip {step.id} because ...")
    if run.steps[step.id].status.settled or run.steps[step.id].status is StepStatus.RUNNING:
        raise Refused(Reason.ALREADY, _stands(run, step))
    if step not in current_steps(run):
        raise Refused(Reason.WRONG_STATE, f"Not skipped: {step.name!r} is not part of what is going on now.")
    return [m.StepSkipped(run=run.run, step=step.id, reason=command.reason)]


def fail(asked: Asked, command: m.Fail) -> list[m.Event]:
    """A manual step, or a step in doubt, did not work."""
    run = asked.going("failing a step")
    step = asked.step(command.step)
    _own(asked, run, step, "fail")
    state = run.steps[step.id]
    doubtful = state.status is StepStatus.IN_DOUBT
    if not doubtful and not (step.kind is StepKind.MANUAL and state.status is StepStatus.RUNNING):
        raise Refused(Reason.WRONG_STATE, f"Nothing was done: {_stands(run, step)}")
    if not command.reason.strip():
        raise Refused(Reason.BAD_ARGUMENT, f"Not recorded: a reason is required. /cutover fail {step.id} because ...")
    return [m.StepFailed(run=run.run, step=step.id, attempt=state.attempt, detail=command.reason)]


def retry(asked: Asked, command: m.Retry) -> list[m.Event]:
    """Do a failed step, or one in doubt, again."""
    run = asked.going("retrying a step")
    step = asked.step(command.step)
    _own(asked, run, step, "retry")
    state = run.steps[step.id]
    if state.status not in {StepStatus.FAILED, StepStatus.IN_DOUBT}:
        raise Refused(Reason.WRONG_STATE, f"Nothing was done: {_stands(run, step)}")
    _forward(asked, run, step)
    again = begin(run, step)
    if state.status is StepStatus.IN_DOUBT:
        # Nobody knows whether the target has it: with the same key it does the work once at most.
        return [again.model_copy(update={"key": state.key})]
    return [again]


def report(asked: Asked, command: m.ReportStep) -> list[m.Event]:
    """What an action's target answered. An answer to an older attempt changes nothing."""
    run = asked.run
    state = run.steps.get(command.step)
    if (
        state is None
        or state.attempt != command.attempt
        or state.status not in {StepStatus.RUNNING, StepStatus.IN_DOUBT}
    ):
        raise Refused(Reason.TOO_LATE, f"{command.step} attempt {command.attempt} is no longer waiting for an answer.")
    at: dict[str, str | int] = {"run": run.run, "step": command.step, "attempt": command.attempt}
    match command.outcome:
        case "done":
            return [m.StepFinished.model_validate({**at, "detail": command.detail})]
        case "failed":
            return [m.StepFailed.model_validate({**at, "detail": command.detail})]
        case "unknown":
            return [doubt(run, run.plan.step(command.step), command.detail)]


def doubt(run: RunState, step: Step, why: str) -> m.StepInDoubt:
    """Return the event that says nobody knows whether *step* happened."""
    state = run.steps[step.id]
    sent = f"POST {step.do.http.post}, key {state.key}" if step.do else ""
    return m.StepInDoubt(run=run.run, step=step.id, attempt=state.attempt, sent=sent, detail=why)


def recover(run: RunState) -> list[m.Event]:
    """
    After a restart: an action cut in mid-call is sent again only if repeatable, else it is in doubt.

    An action of the way forward is never sent again once the run is going back.
    """
    events: list[m.Event] = []
    current = current_steps(run)
    for step in (*run.plan.steps, *run.plan.rollback):
        state = run.steps[step.id]
        if step.kind is not StepKind.ACTION or state.status is not StepStatus.RUNNING:
            continue
        if step.repeatable and step in current:
            events.append(m.StepStarted(run=run.run, step=step.id, attempt=state.attempt + 1, key=state.key))
        else:
            events.append(doubt(run, step, "switchroom was restarted before the answer came"))
    return events


def here(asked: Asked, command: m.Here) -> list[m.Event]:
    """A person answers the roll call."""
    run = asked.not_over(asked.by_role("answering the roll call"))
    if asked.person in answered(run):
        raise Refused(Reason.ALREADY, f"You answered the roll call at {clock(run, run.present[asked.person])}.")
    return [m.PersonPresent(run=run.run, person=asked.person, roles=asked.roles)]


def _own(asked: Asked, run: RunState, step: Step, doing: str) -> None:
    if not may_own(run, step, asked.person):
        raise Refused(Reason.NOT_YOUR_ROLE, f"Nothing was done: {step.name!r} is for {step.owner} to {doing}.")


def _stands(run: RunState, step: Step) -> str:
    state = run.steps[step.id]
    if state.ended_at:
        when = f" since {clock(run, state.ended_at)}"
    elif state.started_at:
        when = f" since {clock(run, state.started_at)}"
    else:
        when = ""
    return f"{step.name!r} is {state.status.value.replace('-', ' ')}{when}."
