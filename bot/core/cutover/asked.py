"""What a command is decided against: the state it meets, who gave it, and when."""

from dataclasses import dataclass, replace
from datetime import datetime

from bot.core import messages as m
from bot.core.cutover.evolve import Seen, evolve
from bot.core.errors import Reason, Refused
from bot.core.model import MACHINE
from bot.core.runbook import Step
from bot.core.standing import clock
from bot.core.state import House, RunState, RunStatus


@dataclass(frozen=True, slots=True)
class Asked:
    """One order and the state it meets. `run` raises Refused when there is no such run."""

    house: House
    order: m.Order
    now: datetime

    @property
    def run(self) -> RunState:
        """The run that the order concerns."""
        found = self.house.runs.get(self.order.command.run)
        if found is None:
            raise Refused(Reason.UNKNOWN_WORD, f"There is no run {self.order.command.run!r}. {self._runs()}")
        return found

    def _runs(self) -> str:
        active = [run.run for run in self.house.active()]
        return f"Active runs: {', '.join(active)}." if active else "No run is open. To open one: /cutover open RUNBOOK"

    @property
    def person(self) -> str:
        """Who asks."""
        return self.order.actor.person

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that who asks fills in this run."""
        return self.run.plan.roles_of(self.person)

    def by_role(self, doing: str) -> RunState:
        """Return the run, if who asks fills any role in it. Deny by default."""
        run = self.run
        if self.order.actor != MACHINE and not self.roles:
            listed = ", ".join(sorted(run.plan.roles))
            raise Refused(
                Reason.NOT_YOUR_ROLE,
                f"Nothing was done: {doing} needs a role in this run ({listed}), and you have none. "
                "You are watching only. To speak to the room, call the bridge or write in the channel.",
            )
        return run

    def going(self, doing: str) -> RunState:
        """Return the run, if it has begun and is not over, and who asks fills a role."""
        run = self.by_role(doing)
        if run.status is RunStatus.OPENED:
            raise Refused(Reason.WRONG_STATE, "Nothing was done: the run is not started. To start it: /cutover start")
        return self.not_over(run)

    def not_over(self, run: RunState) -> RunState:
        """Return *run*, if it is not over."""
        if run.status.over:
            ended = f" at {clock(run, run.ended_at)}" if run.ended_at else ""
            word = run.status.value.replace("_", " ")
            raise Refused(Reason.TOO_LATE, f"Nothing was done: this run ended{ended} ({word}).")
        return run

    def step(self, step_id: str) -> Step:
        """Return the step of that id. Raise Refused naming the nearest."""
        steps = (*self.run.plan.steps, *self.run.plan.rollback)
        for step in steps:
            if step.id == step_id:
                return step
        raise Refused(
            Reason.UNKNOWN_WORD,
            f'There is no step "{step_id}". Nothing was done. Steps: {", ".join(step.id for step in steps)}.',
        )

    def after(self, events: list[m.Event]) -> "Asked":
        """Return the same question against the state after *events*."""
        house = self.house
        actor = self.order.actor
        for event in events:
            seen = Seen(house.position + 1, self.now, actor.person, actor.account, self.order.via.value)
            house = evolve(house, event, seen)
        return replace(self, house=house)
