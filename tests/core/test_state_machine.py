"""
Anybody says anything at any time: what must hold whatever happens.

People, probes, restarts and time are drawn at random; after each record the oracle is asked, which knows
only what was recorded.
"""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.core import messages as m
from bot.core.cutover import decide, next_due
from bot.core.errors import Refused
from bot.core.model import Actor, Cell, Outcome, Via
from bot.core.runbook import StepKind
from bot.core.state import RunStatus, StepStatus
from tests.core.oracle import CELLS, NAMES, NIGHT, Oracle
from tests.core.play import RUN, Play, at, measured, opening

#: The same night with another list of criteria, and with another title only.
TEXTS = (NIGHT, NIGHT.replace("failures: 3", "failures: 4"), NIGHT.replace("Small night", "A small night"))
CALM = settings(
    derandomize=True, database=None, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck)
)  # fmt: skip

people = st.sampled_from(NAMES)
STEPS = ("roll-call", "prepare", "go", "switch", "validate", "close", "back", "tell")
#: What somebody may say at any time, sensible or not.
ODD: tuple[m.Command, ...] = (
    m.Sign(),
    m.Here(),
    m.Start(),
    m.Pause(reason="stop"),
    m.Pause(reason="in doubt"),
    m.Resume(),
    m.GoBack(word="undo"),
    m.GoBack(word="port-back"),
    *(m.Start(step=step) for step in STEPS),
    *(m.Done(step=step) for step in STEPS[1:]),
    *(m.Retry(step=step) for step in STEPS[1:]),
    *(m.Skip(step=step, reason="no need") for step in STEPS[1:]),
    *(m.Fail(step=step, reason="no good") for step in STEPS[1:]),
)


class Night(RuleBasedStateMachine):
    """Everything that people, probes and time may do to one run."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play(at(0, 58))
        self.oracle = Oracle()

    # -------------------------------------------------------------- how it is said

    def do(self, command: m.Command, person: str = "") -> None:
        before = len(self.play.records)
        try:
            if isinstance(command, m.Open):
                self.play.orders(command, person)
            else:
                self.play.says(command, person)
        except Refused:
            assert len(self.play.records) == before, "refused, and something happened"
        for thing, seen in self.play.records[before:]:
            if isinstance(thing, m.Event):
                self.oracle.hear(thing, seen.at)

    def reads(self, check: str, cell: str, outcome: Outcome) -> None:
        command = measured(self.play.run.plan.check(check), Cell(origin=cell), outcome, self.play.now)
        if self.play.run.status in {RunStatus.RUNNING, RunStatus.GOING_BACK} and outcome.decided:
            self.oracle.measured.setdefault((check, cell), []).append((self.play.now, outcome))
        self.do(command.model_copy(update={"epoch": self.play.house.epoch}))

    def sweep(self, rounds: int = 1, silent: tuple[str, str] | None = None) -> None:
        """Every cell passes once a minute; *silent* only in the last round, and nobody is woken in between."""
        for left in reversed(range(rounds)):
            self.play.now += timedelta(minutes=1)
            for check, cell in CELLS:
                if (check, cell) != silent or not left:
                    self.reads(check, cell, Outcome.PASS)

    # -------------------------------------------------------------- how far it is at first

    @initialize(depth=st.sampled_from((3, 4, 6, 0, 2, 3, 4, 5)), starter=st.sampled_from(("ana", "nia")))
    def begins(self, depth: int, starter: str) -> None:
        self.do(opening(NIGHT).model_copy(update={"people": {name: name.title() for name in NAMES}}), "ana")
        for stage in (
            self._sign,
            lambda: self.do(m.Start(), starter),
            self._call,
            self._go,
            self._switch,
            self._switched,
        )[:depth]:
            stage()

    def _sign(self) -> None:
        for person in ("dan", "nia", "pia"):
            self.do(m.Sign(), person)

    def _call(self) -> None:
        for person in ("nia", "pia"):
            self.do(m.Here(), person)
        self.sweep(3)

    def _go(self) -> None:
        for person in ("ana", "dan", "nia"):
            self.do(m.CastVote(number=1, option="A"), person)

    def _switch(self) -> None:
        self.do(m.Start(step="switch"), "ana")

    def _switched(self) -> None:
        self.do(m.ReportStep(step="switch", attempt=1, outcome="done", detail=""))
        self.sweep(2)

    # -------------------------------------------------------------- people

    @rule(person=people, command=st.sampled_from(ODD))
    def somebody_says(self, person: str, command: m.Command) -> None:
        self.do(command, person)

    @precondition(lambda self: bool(self.play.run.decisions))
    @rule(person=people, letter=st.sampled_from("AABC"), back=st.sampled_from((0, 0, 0, 1)), owner=people)
    def votes(self, person: str, letter: str, back: int, owner: str) -> None:
        number = max(self.play.run.decisions) - back
        self.do(m.CastVote(number=number, option=letter, owner=owner, minutes=5), person)

    @precondition(lambda self: bool(self.play.run.open_decisions))
    @rule(letter=st.sampled_from("AABCC"), who=st.permutations(NAMES[:4]), which=st.sampled_from((0, -1)))
    def most_vote_the_same(self, letter: str, who: list[str], which: int) -> None:
        decision = self.play.run.open_decisions[which]
        for person in who[:3]:
            self.do(m.CastVote(number=decision.number, option=letter, owner="nia", minutes=5), person)

    @rule(fresh=st.booleans())
    def the_next_thing_is_done(self, fresh: bool) -> None:
        run = self.play.run
        if fresh and run.started_at is not None:
            self.sweep()
            run = self.play.run
        if run.paused is not None:
            self.do(m.Resume(), "ana")
        if run.status is RunStatus.OPENED:
            self._sign()
            self.do(m.Start(), "ana")
        elif self.play.status("roll-call") is StepStatus.RUNNING:
            self._call()
        elif run.open_decisions:
            for person in ("dan", "nia", "ana", "pia"):
                asked = run.open_decisions[0]
                self.do(
                    m.CastVote(number=asked.number, option="C" if asked.opened.subject == "trigger" else "A"), person
                )
        else:
            self._go_on()

    def _go_on(self) -> None:
        for step in ("prepare", "switch"):
            self.do(m.Start(step=step), "nia")
            self.do(m.ReportStep(step=step, attempt=self.play.step(step).attempt, outcome="done", detail=""))
        for gate in ("go", "close"):
            self.do(m.Start(step=gate), "nia")

    @precondition(lambda self: any(d.opened.subject == "gate" for d in self.play.run.open_decisions))
    @rule(fresh=st.booleans(), failing=st.sampled_from((*CELLS, None, None, None)))
    def everybody_says_go(self, fresh: bool, failing: tuple[str, str] | None) -> None:
        gate = next(d for d in self.play.run.open_decisions if d.opened.subject == "gate")
        if failing:
            # All else is in order, so that the rule alone stands in the way.
            self._sign()
            self.sweep(11)
            self.a_network_fails(failing, mended=False)
        if fresh:
            self.sweep()
        for person in ("dan", "nia", "ana"):
            self.do(m.CastVote(number=gate.number, option="A"), person)

    @precondition(lambda self: self.play.run.steps["go"].status is StepStatus.DONE and not self.play.run.no_return)
    @rule(person=people)
    def somebody_switches(self, person: str) -> None:
        self.do(m.Start(step="switch"), person)

    @rule(text=st.sampled_from(TEXTS), signed=st.booleans())
    def amends(self, text: str, signed: bool) -> None:
        self.do(m.Amend(text=text, reason="agreed"), "pia")
        if signed:
            self._sign()

    @rule(later=st.sampled_from((-1, 0, 1, 3)))
    def postpones(self, later: int) -> None:
        opens, closes = self.oracle.window
        self.do(
            m.Postpone(opens=opens + later * timedelta(minutes=20), closes=closes + later * timedelta(minutes=20)),
            "dan",
        )

    # -------------------------------------------------------------- the world

    @precondition(lambda self: self.play.run.started_at is not None)
    @rule(
        cell=st.sampled_from(CELLS), outcome=st.sampled_from((Outcome.FAIL, *Outcome)), times=st.sampled_from((1, 3, 4))
    )
    def probes(self, cell: tuple[str, str], outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self.play.now += timedelta(seconds=5)
            self.reads(*cell, outcome)

    @precondition(lambda self: self.play.run.status is RunStatus.RUNNING)
    @rule(cell=st.sampled_from(CELLS), mended=st.booleans())
    def a_network_fails(self, cell: tuple[str, str], mended: bool) -> None:
        """More failures in a row than any list of criteria allows."""
        for _ in range(4):
            self.play.now += timedelta(seconds=5)
            self.reads(*cell, Outcome.FAIL)
        if mended:
            self.sweep()

    @precondition(lambda self: self.play.run.started_at is not None)
    @rule(rounds=st.sampled_from((1, 1, 3, 8, 16)), silent=st.sampled_from((*CELLS, None)))
    def all_is_well(self, rounds: int, silent: tuple[str, str] | None) -> None:
        self.sweep(rounds, silent if rounds == 8 else None)

    @rule(seconds=st.sampled_from((1, 30, 200, 241, 700)))
    def time_passes(self, seconds: int) -> None:
        self.play.now += timedelta(seconds=seconds)
        self.do(m.Wake())

    @rule()
    def wakes_when_due(self) -> None:
        due = next_due(self.play.house, self.play.now)
        if due is not None:
            assert due > self.play.now
            self.play.now = due
            self.do(m.Wake())

    @rule(
        step=st.sampled_from(("prepare", "switch", "back")),
        outcome=st.sampled_from(("done", "done", "failed", "unknown")),
        older=st.sampled_from((0, 0, 0, 1)),
    )
    def target_answers(self, step: str, outcome: str, older: int) -> None:
        attempt = self.play.step(step).attempt - older
        report = {"step": step, "attempt": attempt, "outcome": outcome, "detail": ""}
        waiting = self.play.status(step) in {StepStatus.RUNNING, StepStatus.IN_DOUBT}
        before = len(self.play.records)
        self.do(m.ReportStep.model_validate(report))
        assert (len(self.play.records) > before) == (waiting and not older)

    @precondition(lambda self: self.play.now.second % 3 == 0)
    @rule()
    def restarts(self) -> None:
        self.do(m.StartService(epoch=self.play.house.epoch + 1, software="test"))
        doubtful = [
            step.id
            for step in self.play.run.plan.steps
            if step.kind is StepKind.ACTION and not step.repeatable and self.play.status(step.id) is StepStatus.RUNNING
        ]
        assert not doubtful

    # -------------------------------------------------------------- what must hold

    @invariant()
    def nothing_is_left_to_do(self) -> None:
        if self.play.house.runs:
            due = next_due(self.play.house, self.play.now)
            assert due is None or due > self.play.now

    @invariant()
    def anybody_with_a_role_may_pause(self) -> None:
        run = self.play.house.runs.get(RUN)
        if run is None or run.status is not RunStatus.RUNNING or run.paused is not None:
            return
        order = m.Order(command=m.Pause(run=RUN), actor=Actor(person="pia"), via=Via.SCRIPT, command_id="p")
        assert isinstance(decide(self.play.house, order, self.play.now).events[0], m.Paused)

    @invariant()
    def the_state_counts_the_votes_that_stand(self) -> None:
        run = self.play.house.runs.get(RUN)
        for number, decision in (run.decisions if run else {}).items():
            assert {who: vote.option for who, vote in decision.votes.items()} == self.oracle.votes[number]

    def teardown(self) -> None:
        assert self.play.again() == self.play.house


Night.TestCase.settings = settings(CALM, max_examples=120, stateful_step_count=30)
TestNight = pytest.mark.filterwarnings("error")(Night.TestCase)
