"""
Anybody says anything at any time: what must hold whatever happens.

People, probes, restarts and time are drawn at random; an oracle that knows only what was recorded, and
counts by trying every seating, is asked after each record. The second machine does the same to ticks,
through the writer's draft and a real database.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.adapters.sql import open_store
from bot.core import messages as m
from bot.core.cutover import decide, next_due
from bot.core.errors import Refused
from bot.core.ledger import decode
from bot.core.model import MACHINE, Actor, Cell, Outcome, Tick, Via
from bot.core.ports import EventRow, ReadingRow
from bot.core.proof import verify
from bot.core.runbook import OptionName, Policy, Role, StepKind
from bot.core.state import RunStatus, StepStatus
from bot.draft import Draft, Fold, restore, snapshot_of
from tests.core.play import RUN, Play, at, measured, opening
from tests.core.rolls import CountedRolls, HandClock

NIGHT = """
runbook: small-night
title: Small night
phase: portability
timezone: Europe/London
window: {opens: "2026-12-08T01:00:00", closes: "2026-12-08T04:00:00"}
roles:
  lead: {people: [ana], deputies: [dan]}
  ops: {people: [nia, ana]}
  partner: {people: [pia]}
checks:
  - {id: voice, kind: voice, every: 60s, timeout: 30s, cells: {origin: [a, b]}, controls: {number: ["+447700900901"]}}
  - {id: sms, kind: sms, every: 120s, timeout: 30s, gap: 4m, cells: {origin: [c]}}
triggers:
  - id: calls
    title: Calls fail
    when: {check: voice, per: origin, consecutive: {failures: 3}}
    options: [go-back, fix-first, continue]
    decide_within: 5m
    owner: ops
    source: baseline
  - id: texts
    title: Texts fail
    when: {check: sms, per: pooled, rate: {good: 0.98, bad: 0.5, false_trip: 0.005}}
    options: [go-back, continue]
    decide_within: 5m
    owner: ops
    source: baseline
approvals:
  criteria: {one_of_each: [lead, ops, partner]}
  go: {one_of_each: [lead, ops], not_requester: true}
  go_back: {before: {any: 1, of: [lead, ops]}, after: {one_of_each: [lead, partner]}}
  fix_first: {any: 1, of: [lead, ops], at_most: 10m}
  continue: {one_of_each: [lead, ops, partner]}
  resume: go
  tie_breaker: lead
steps:
  - {id: roll-call, kind: roll-call, roles: [ops, partner], within: 5m}
  - {id: prepare, kind: action, repeatable: true, do: {http: {post: "{npdb}/prepare"}}}
  - {id: go, kind: gate, approval: go, needs: [roll-call]}
  - {id: switch, kind: action, needs: [go], point_of_no_return: true, do: {http: {post: "{npdb}/activate"}}}
  - {id: validate, kind: watch, needs: [switch], for: 15m, checks: all}
  - {id: close, kind: gate, approval: go, needs: [validate, prepare]}
rollback:
  - {id: back, kind: action, repeatable: true, do: {http: {post: "{npdb}/back"}}}
  - {id: tell, kind: manual, owner: partner}
digests: [{id: executive, every: 10m, to: {channel: C0EXEC}}]
"""
#: The same night with another list of criteria, and with another title only.
TEXTS = (NIGHT, NIGHT.replace("failures: 3", "failures: 4"), NIGHT.replace("Small night", "A small night"))
NAMES = ("ana", "dan", "nia", "pia", "gus")
ROLES = {
    "lead": Role(people=("ana",), deputies=("dan",)),
    "ops": Role(people=("nia", "ana")),
    "partner": Role(people=("pia",)),
}
POLICIES = {
    OptionName.GO: Policy(one_of_each=("lead", "ops"), not_requester=True),
    OptionName.RESUME: Policy(one_of_each=("lead", "ops"), not_requester=True),
    OptionName.NOT_YET: Policy(any=1, of=("lead", "ops")),
    OptionName.STAY_PAUSED: Policy(any=1, of=("lead", "ops")),
    OptionName.FIX_FIRST: Policy(any=1, of=("lead", "ops")),
    OptionName.CONTINUE: Policy(one_of_each=("lead", "ops", "partner")),
}
BACK = {False: Policy(any=1, of=("lead", "ops")), True: Policy(one_of_each=("lead", "partner"))}
GAPS = {"voice": timedelta(minutes=3), "sms": timedelta(minutes=4)}
CELLS = [("voice", "a"), ("voice", "b"), ("sms", "c")]
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
    *(m.Amend(text=text, reason="agreed") for text in TEXTS),
    *(m.Start(step=step) for step in STEPS),
    *(m.Done(step=step) for step in STEPS[1:]),
    *(m.Retry(step=step) for step in STEPS[1:]),
    *(m.Skip(step=step, reason="no need") for step in STEPS[1:]),
    *(m.Fail(step=step, reason="no good") for step in STEPS[1:]),
)


def satisfied(policy: Policy, voters: Sequence[str], requester: str | None) -> bool:
    """Return whether *voters* fill every slot, by trying every seating."""
    slots = [(role,) for role in policy.one_of_each] or [policy.of] * policy.any
    able = [voter for voter in sorted(set(voters)) if not (policy.not_requester and voter == requester)]
    return any(
        all(any(person in ROLES[role].everyone for role in slot) for person, slot in zip(seated, slots, strict=True))
        for seated in permutations(able, len(slots))
    )


class Oracle:
    """What must be true of the next record, from the records alone."""

    def __init__(self) -> None:
        self.votes: dict[int, dict[str, OptionName]] = {}
        self.opened: dict[int, m.DecisionOpened] = {}
        self.ended: set[int] = set()
        self.chosen: dict[int, OptionName] = {}
        self.paused = self.switched = self.going_back = False
        self.unsigned = True
        self.signers: set[str] = set()
        self.measured: dict[tuple[str, str], list[tuple[datetime, Outcome]]] = {}
        self.started: datetime | None = None
        self.armed: datetime | None = None
        self.kinds: dict[str, tuple[str, int]] = {}
        self.met: dict[str, set[str]] = {}
        self.window = (at(1, 0), at(4, 0))

    def hear(self, event: m.Event, now: datetime) -> None:
        """Take one event; fail where it may not have happened."""
        match event:
            case m.RunStarted():
                assert satisfied(Policy(one_of_each=("lead", "ops", "partner")), [*self.signers], None)
                self.started = self.armed = now
            case m.CriteriaSigned():
                self.signers.add(event.person)
            case m.RunbookAmended():
                self.signers = self.signers if event.kept else set()
            case m.Postponed():
                self.window = (event.opens, event.closes)
            case m.Paused():
                self.paused = True
            case m.Resumed():
                assert self.paused
                assert any(self.opened[n].subject == "resume" for n, o in self.chosen.items() if o is OptionName.RESUME)
                self.paused = False
            case m.TriggerMet():
                self.met.setdefault(event.trigger, set()).add(event.member)
            case m.FixEnded(cleared=True):
                self.met.pop(event.trigger, None)
            case _:
                self._decisions(event)
                self._steps(event, now)

    def _decisions(self, event: m.Event) -> None:
        match event:
            case m.DecisionOpened():
                assert event.number not in self.opened, "a number was used twice"
                assert event.number == max(self.opened, default=0) + 1
                self.opened[event.number] = event
                self.votes[event.number] = {}
            case m.VoteCast():
                assert event.number not in self.ended
                self.votes[event.number].pop(event.person, None)
                self.votes[event.number][event.person] = event.option
            case m.VoteVoided():
                del self.votes[event.number][event.person]
            case m.DecisionClosed():
                assert event.number not in self.ended
                self.ended.add(event.number)
            case m.Decided():
                self._decided(event)

    def _decided(self, event: m.Decided) -> None:
        assert event.number not in self.ended
        self.ended.add(event.number)
        self.chosen[event.number] = event.option
        opened = self.opened[event.number]
        policy = BACK[self.switched] if event.option is OptionName.GO_BACK else POLICIES[event.option]
        assert opened.no_return == self.switched, "asked before the switch, decided after it"
        standing = [who for who, option in self.votes[event.number].items() if option is event.option]
        assert set(event.voters) <= set(standing), "a vote that does not stand was counted"
        if event.tie_broken_by:
            assert all(who in ROLES["lead"].everyone and who in standing for who in event.tie_broken_by)
            assert len({*standing}) >= (len(policy.one_of_each) or policy.any)
        else:
            assert satisfied(policy, event.voters, opened.requester)
        if event.option is OptionName.CONTINUE and opened.subject == "trigger":
            self.met.pop(opened.about, None)

    def _steps(self, event: m.Event, now: datetime) -> None:
        match event:
            case m.RollbackStarted():
                assert self.chosen[event.number] is OptionName.GO_BACK
                assert event.word == ("port-back" if self.switched else "undo")
                self.going_back = True
                self.paused = False
            case m.StepStarted(step="switch"):
                self._may_switch(now)
                self.switched = True
            case m.StepStarted(step="back" | "tell"):
                assert self.going_back
            case m.StepStarted() if event.attempt == 1:
                assert not self.going_back
                assert not self.paused
            case m.StepFinished(step="go" | "close"):
                self._gate(event.step, now)
            case m.StepFinished(step="switch"):
                self.armed = now

    def _may_switch(self, now: datetime) -> None:
        assert not self.going_back
        assert not self.paused
        assert self.window[0] <= now < self.window[1]
        assert any(o is OptionName.GO and self.opened[n].about == "go" for n, o in self.chosen.items())
        self._calm()

    def _calm(self) -> None:
        """Nothing that people must settle first."""
        asked = [n for n, o in self.opened.items() if o.subject in {"trigger", "go-back"} and n not in self.ended]
        assert not asked
        assert not self.met
        assert satisfied(Policy(one_of_each=("lead", "ops", "partner")), [*self.signers], None)

    def _gate(self, step: str, now: datetime) -> None:
        number, option = list(self.chosen.items())[-1]
        assert (option, self.opened[number].about) == (OptionName.GO, step)
        assert not self.paused
        assert not self.going_back
        self._calm()
        assert self.started is not None
        assert self.armed is not None
        for check, cell in CELLS:
            seen = self.measured.get((check, cell), [])
            assert seen, f"{cell} was never measured"
            when, outcome = seen[-1]
            assert outcome is Outcome.PASS
            assert when >= self.armed
            times = [self.started, *(t for t, _ in seen), now]
            for since, until in zip(times, times[1:], strict=False):
                assert until - since <= GAPS[check] or until <= now - timedelta(minutes=10), f"a hole in {cell}"


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
        except Refused as refused:
            assert refused.sentence
            assert len(self.play.records) == before
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

    @initialize(depth=st.sampled_from((0, 2, 3, 4, 5, 6, 6)), starter=st.sampled_from(("ana", "nia")))
    def begins(self, depth: int, starter: str) -> None:
        self.do(opening(NIGHT).model_copy(update={"people": {name: name.title() for name in NAMES}}), "ana")
        for stage in (self._sign, lambda: self.do(m.Start(), starter), self._call, self._go, self._switch, self._switched)[:depth]:
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

    @rule()
    def the_next_thing_is_done(self) -> None:
        run = self.play.run
        if run.paused is not None:
            self.do(m.Resume(), "ana")
        if not run.signers:
            self._sign()
        if run.status is RunStatus.OPENED:
            self.do(m.Start(), "ana")
        elif self.play.status("roll-call") is StepStatus.RUNNING:
            self._call()
        elif run.open_decisions:
            for person in ("dan", "nia", "pia"):
                asked = run.open_decisions[0]
                self.do(m.CastVote(number=asked.number, option="C" if asked.opened.subject == "trigger" else "A"), person)
        else:
            self._go_on()

    def _go_on(self) -> None:
        for step in ("prepare", "switch"):
            self.do(m.Start(step=step), "nia")
            self.do(m.ReportStep(step=step, attempt=self.play.step(step).attempt, outcome="done", detail=""))
        for gate in ("go", "close"):
            self.do(m.Start(step=gate), "nia")

    @rule(later=st.integers(-1, 3))
    def postpones(self, later: int) -> None:
        opens, closes = self.oracle.window
        self.do(m.Postpone(opens=opens + later * timedelta(minutes=20), closes=closes + later * timedelta(minutes=20)), "dan")

    # -------------------------------------------------------------- the world

    @precondition(lambda self: self.play.run.started_at is not None)
    @rule(cell=st.sampled_from(CELLS), outcome=st.sampled_from((Outcome.FAIL, *Outcome)), times=st.sampled_from((1, 3, 4)))
    def probes(self, cell: tuple[str, str], outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self.play.now += timedelta(seconds=5)
            self.reads(*cell, outcome)

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


class Ticks(RuleBasedStateMachine):
    """Ticks given out, answered, answered twice, missed, over restarts: each ends once."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(f"sqlite:///{Path(self.folder.name) / 'ledger.sqlite'}")
        self.clock = HandClock(at(1, 0))
        self.rolls = CountedRolls()
        self.epoch = self.store.acquire("test")
        self.fold = restore(self.store, "test")
        self.given: list[Tick] = []
        self.write(m.StartService(epoch=self.epoch, software="test"))
        self.write(opening(NIGHT).model_copy(update={"people": {name: name for name in NAMES}}), person="ana")
        for person in ("dan", "nia", "pia"):
            self.write(m.Sign(run=RUN), person=person)
        self.write(m.Start(run=RUN), person="ana")

    def draft(self) -> Draft:
        return Draft(self.fold, self.clock, self.rolls, self.store, self.epoch, "test")

    def order(self, command: m.Command, person: str = "") -> m.Order:
        actor = Actor(person=person) if person else MACHINE
        return m.Order(command=command, actor=actor, via=Via.PROBE, command_id=self.rolls.fresh_id())

    def write(self, *commands: m.Command, person: str = "") -> list[object]:
        """Take several orders in one transaction."""
        draft = self.draft()
        answers = [draft.take(self.order(command, person)) for command in commands]
        if not draft.empty:
            self.store.commit(draft.batch)
        self.fold = draft.fold()
        return answers

    def answer(self, tick: Tick, outcome: Outcome, epoch: int) -> m.Command:
        check = self.fold.house.runs[RUN].plan.check(tick.check)
        command = measured(check, tick.cell, outcome, self.clock.now())
        return command.model_copy(update={"tick": tick, "epoch": epoch})

    @rule(cell=st.sampled_from(CELLS), seconds=st.sampled_from((0, 20, 61)))
    def gives_out(self, cell: tuple[str, str], seconds: int) -> None:
        self.clock.moves(seconds)
        check = self.fold.house.runs[RUN].plan.check(cell[0])
        tick = Tick(run=RUN, check=check.id, kind=check.kind, cell=Cell(origin=cell[1]), scheduled_at=self.clock.now(), timeout_s=30)  # fmt: skip
        draft = self.draft()
        draft.issue([(tick, self.clock.now() + timedelta(seconds=35))])
        self.store.commit(draft.batch)
        self.given.append(tick)

    @precondition(lambda self: bool(self.given))
    @rule(data=st.data())
    def ends_some_in_one_transaction(self, data: st.DataObject) -> None:
        commands: list[m.Command] = []
        for _ in range(data.draw(st.integers(1, 4))):
            tick = data.draw(st.sampled_from(self.given))
            epoch = self.epoch - data.draw(st.sampled_from((0, 0, 0, 1)))
            miss = data.draw(st.booleans())
            outcome = data.draw(st.sampled_from(Outcome))
            commands.append(m.RecordMiss(run=RUN, tick=tick, why="late") if miss else self.answer(tick, outcome, epoch))
        self.write(*commands)

    @rule(keep=st.booleans())
    def restarts(self, keep: bool) -> None:
        if keep:
            self.store.save_snapshot(snapshot_of(self.fold, "test"))
        again = restore(self.store, "test")
        assert again == self.fold
        assert list(again.house.runs[RUN].plan.check("voice").all_cells()) == list(
            self.fold.house.runs[RUN].plan.check("voice").all_cells()
        )
        self.fold = again

    @rule(seconds=st.sampled_from((-30, 30, 61)))
    def wakes(self, seconds: int) -> None:
        self.clock.moves(seconds)
        self.write(m.Wake())
        due = self.fold.seal_due()
        assert due is None or due > self.clock.now()

    def teardown(self) -> None:
        rows = list(self.store.rows())
        ended: list[str] = [row.tick for row in rows if isinstance(row, ReadingRow)]
        misses = [event for row in rows if isinstance(row, EventRow) and isinstance(event := decode(row)[1], m.TicksMissed)]
        assert len(ended) == len(set(ended))
        assert len(ended) + sum(event.count for event in misses) == len(self.store.ended_ticks([t.id for t in self.given]))
        open_ones = {tick.id for tick, _ in self.store.open_ticks()}
        assert open_ones == {tick.id for tick in self.given} - self.store.ended_ticks([t.id for t in self.given])
        assert verify(rows).broken is None
        times = [decode(row)[0].at for row in rows if isinstance(row, EventRow)]
        assert times == sorted(times)
        assert isinstance(self.fold, Fold)
        self.store.release()
        self.store.close()
        self.folder.cleanup()


Ticks.TestCase.settings = settings(CALM, max_examples=12, stateful_step_count=15)
TestTicks = pytest.mark.filterwarnings("error")(Ticks.TestCase)
