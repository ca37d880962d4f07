"""
A night to speak about: a small portability runbook, people who say verbs, probes that read.

Everything goes through `decide` and `evolve`, so that no state is shown here that the core would not make.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from bot.core import messages as m
from bot.core.cutover import Seen, decide, evolve, observe
from bot.core.model import MACHINE, Actor, Cell, Outcome, Reading, Tick, Via
from bot.core.state import DecisionState, House, RunState

RUNBOOK = """
runbook: wave-1
title: Number portability, wave 1
phase: portability
timezone: Europe/London
window: {opens: "2026-12-08T02:00:00", closes: "2026-12-08T04:00:00"}
roles:
  cutover-lead: {people: [lead], deputies: [deputy]}
  network-ops: {people: [noc-a, noc-b], on_call: true}
  mno-partner: {people: [partner-a], on_call: true}
checks:
  - id: voice-inbound
    kind: voice
    title: Calls into our numbers
    every: 60s
    timeout: 30s
    cells: {origin: [mno-a, mno-b], number: ["+447700900001"]}
    controls: {number: ["+447700900901"]}
    with: {direction: inbound, answer_within: 10s}
  - id: sms
    kind: sms
    title: SMS
    every: 60s
    timeout: 30s
    cells: {origin: [carrier-c], number: ["+447700900001"]}
    with: {}
triggers:
  - id: inbound-failing
    title: Calls into our numbers fail
    when: {check: voice-inbound, per: origin, consecutive: {failures: 3}}
    no_data: cannot-tell
    options: [go-back, fix-first, continue]
    decide_within: 10m
    owner: network-ops
    source: baseline of four Tuesdays
approvals:
  criteria: {one_of_each: [cutover-lead, network-ops, mno-partner]}
  go: {one_of_each: [cutover-lead, network-ops], not_requester: true}
  go_back: {before: {any: 1, of: [cutover-lead, network-ops]}, after: {one_of_each: [cutover-lead, mno-partner]}}
  fix_first: {any: 1, of: [cutover-lead, network-ops], at_most: 20m}
  continue: {one_of_each: [cutover-lead, network-ops, mno-partner]}
steps:
  - {id: roll-call, kind: roll-call, roles: [network-ops, mno-partner], within: 15m}
  - {id: prepare, kind: manual, title: Prepare the switch, needs: [roll-call], owner: network-ops}
  - {id: go, kind: gate, title: Go for the switch, approval: go, needs: [prepare], must: {checks: [sms], last: 5m}}
  - {id: switch-routing, kind: action, title: Switch the routing, needs: [go], owner: network-ops,
     point_of_no_return: true, do: {http: {post: "{npdb}/activate"}}}
  - {id: validate, kind: watch, title: Watch, needs: [switch-routing], for: 90m, checks: all}
  - {id: close, kind: gate, title: Close the night, approval: go, needs: [validate]}
rollback: [{id: port-back, kind: action, title: Port the numbers back, do: {http: {post: "{npdb}/port-back"}}}]
digests: [{id: executive, every: 30m, to: {channel: C0EXEC}}]
"""
PEOPLE = {"lead": "Ana", "deputy": "Bo", "noc-a": "Cy", "noc-b": "Di", "partner-a": "Eve", "guest": "Guest"}
RUN = "w1"
START = datetime(2026, 12, 8, 1, 50, tzinfo=UTC)


class Night:
    """One run that people and probes push forward. `now` only moves when it is told to."""

    def __init__(self, scenario: m.Scenario | None = None, text: str = RUNBOOK) -> None:
        self.house = House(epoch=1)
        self.now = START
        self.told: list[tuple[m.Event, House, datetime, str]] = []
        self._do("lead", m.Open(run=RUN, migration="M1", place="C1", text=text, scenario=scenario, people=PEOPLE))

    @property
    def run(self) -> RunState:
        return self.house.runs[RUN]

    @property
    def decision(self) -> DecisionState:
        """The decision asked last."""
        return self.run.decisions[max(self.run.decisions)]

    def says(self, person: str, command: m.Command) -> "Night":
        return self._do(person, command.model_copy(update={"run": RUN}))

    def _do(self, person: str, command: m.Command, via: Via = Via.SLACK) -> "Night":
        actor = MACHINE if person == "switchroom" else Actor(person=person, account=f"slack:T/{person}")
        made = decide(self.house, m.Order(command=command, actor=actor, via=via, command_id="c"), self.now)
        if made.reading is not None:
            self.house = observe(self.house, RUN, made.reading, self.house.position + 1)
        for event in made.events:
            seen = Seen(self.house.position + 1, self.now, actor.person, actor.account, via.value)
            self.house = evolve(self.house, event, seen)
            self.told.append((event, self.house, self.now, actor.person))
        return self

    def later(self, seconds: float) -> "Night":
        self.now += timedelta(seconds=seconds)
        return self._do("switchroom", m.Wake(), Via.TIMER)

    def reads(
        self, check: str, origin: str, outcome: Outcome, detail: str = "answered in 2 s, limit 10 s", *,
        control: bool = False,
    ) -> "Night":  # fmt: skip
        number = "+447700900901" if control else "+447700900001"
        cell = Cell(origin=origin, number=number, control=control)
        kind = self.run.plan.check(check).kind
        tick = Tick(run=RUN, check=check, kind=kind, cell=cell, scheduled_at=self.now, timeout_s=30)
        reading = Reading(check=check, kind=kind, cell=cell, outcome=outcome, at=self.now, detail=detail)
        return self._do("switchroom", m.RecordReading(run=RUN, tick=tick, reading=reading, epoch=1), Via.PROBE)

    def all_pass(self) -> "Night":
        for origin in ("mno-a", "mno-b"):
            self.reads("voice-inbound", origin, Outcome.PASS)
            self.reads("voice-inbound", origin, Outcome.PASS, control=True)
        return self.reads("sms", "carrier-c", Outcome.PASS, "delivered in 4 s, limit 60 s")

    def signed(self) -> "Night":
        for person in ("lead", "noc-a", "partner-a"):
            self.says(person, m.Sign())
        return self

    def started(self) -> "Night":
        return self.signed().says("deputy", m.Start()).all_pass()

    def at_gate(self) -> "Night":
        self.started().says("noc-a", m.Here()).says("partner-a", m.Here())
        for _ in range(10):
            self.later(60).all_pass()
        return self.says("noc-a", m.Start(step="prepare")).says("noc-a", m.Done(step="prepare"))

    def gone(self) -> "Night":
        number = self.at_gate().decision.number
        return self.says("lead", m.CastVote(number=number, option="A")).says(
            "noc-a", m.CastVote(number=number, option="A")
        )

    def switching(self) -> "Night":
        return self.gone().later(60).says("noc-a", m.Start(step="switch-routing"))

    def watching(self) -> "Night":
        attempt = self.switching().run.steps["switch-routing"].attempt
        self.says(
            "switchroom", m.ReportStep(step="switch-routing", attempt=attempt, outcome="done", detail="5,000 of 5,000")
        )
        return self.all_pass().later(60).all_pass()

    def failing(self) -> "Night":
        self.watching()
        why = "404 Not Found after 0.1 s, an answer was due in 10 s: not found, the signature of stale routing (mno-b)"
        for _ in range(3):
            self.later(60).reads("voice-inbound", "mno-b", Outcome.FAIL, why)
            self.reads("voice-inbound", "mno-a", Outcome.PASS)
            self.reads("voice-inbound", "mno-b", Outcome.PASS, control=True)
            self.reads("sms", "carrier-c", Outcome.PASS, "delivered in 4 s, limit 60 s")
        return self

    def going_back(self) -> "Night":
        number = self.failing().decision.number
        self.later(60).says("lead", m.CastVote(number=number, option="A", reason="mno-b confirms old routing"))
        return self.says("partner-a", m.CastVote(number=number, option="A"))

    def rolled_back(self) -> "Night":
        attempt = self.going_back().run.steps["port-back"].attempt
        self.later(60)
        return self.says("switchroom", m.ReportStep(step="port-back", attempt=attempt, outcome="done", detail="ported"))

    def in_doubt(self) -> "Night":
        attempt = self.switching().run.steps["switch-routing"].attempt
        unknown = m.ReportStep(step="switch-routing", attempt=attempt, outcome="unknown", detail="no answer in 30 s")
        return self.says("switchroom", unknown)

    def overdue(self) -> "Night":
        return self.failing().later(601)

    def fixing(self) -> "Night":
        number = self.failing().decision.number
        return self.says("lead", m.CastVote(number=number, option="B", owner="noc-b", minutes=15))

    def overridden(self) -> "Night":
        number = self.failing().decision.number
        for person in ("lead", "noc-a", "partner-a"):
            self.says(person, m.CastVote(number=number, option="C", reason="one small network"))
        return self

    def paused(self) -> "Night":
        return self.watching().says("noc-a", m.Pause(reason="looking at mno-b"))

    def resuming(self) -> "Night":
        return self.paused().says("noc-a", m.Resume(reason="all clear"))

    def silent(self) -> "Night":
        return self.watching().later(400)

    def asked_to_go_back(self) -> "Night":
        return self.watching().says("noc-b", m.GoBack(word="port-back", reason="strange noises"))

    def broken(self) -> "Night":
        attempt = self.switching().run.steps["switch-routing"].attempt
        failed = m.ReportStep(step="switch-routing", attempt=attempt, outcome="failed", detail="503 from the database")
        return self.says("switchroom", failed)

    def late(self) -> "Night":
        return self.started().later(16 * 60)

    def completed(self) -> "Night":
        self.watching()
        for _ in range(91):
            self.later(60).all_pass()
        self.later(60)
        number = self.decision.number
        return self.says("lead", m.CastVote(number=number, option="A")).says(
            "noc-a", m.CastVote(number=number, option="A")
        )


#: Every way a night can stand, by name.
STATES: dict[str, Callable[[Night], Night]] = {
    "opened": lambda night: night,
    "signed": Night.signed,
    "started": Night.started,
    "late": Night.late,
    "at-gate": Night.at_gate,
    "gone": Night.gone,
    "switching": Night.switching,
    "in-doubt": Night.in_doubt,
    "broken": Night.broken,
    "watching": Night.watching,
    "silent": Night.silent,
    "failing": Night.failing,
    "overdue": Night.overdue,
    "fixing": Night.fixing,
    "overridden": Night.overridden,
    "paused": Night.paused,
    "resuming": Night.resuming,
    "asked-to-go-back": Night.asked_to_go_back,
    "going-back": Night.going_back,
    "rolled-back": Night.rolled_back,
    "completed": Night.completed,
}


@pytest.fixture
def new_night() -> type[Night]:
    """The class of a night, for tests that push it themselves."""
    return Night


@pytest.fixture(params=sorted(STATES))
def night(request: pytest.FixtureRequest) -> Night:
    """A night in each of the states."""
    return STATES[request.param](Night())


@pytest.fixture
def night_in() -> Callable[[str], Night]:
    """Return a function that makes a night in the state of that name."""
    return lambda name: STATES[name](Night())
