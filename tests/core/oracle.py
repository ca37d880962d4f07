"""
A small night, and what must be true of each thing recorded in it, from the records alone.

Counts votes by trying every seating and looks for holes in the times of the readings; shares no line with the core.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise, permutations

from bot.core import messages as m
from bot.core.model import Outcome
from bot.core.runbook import OptionName, Policy, Role
from tests.core.play import at

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


def satisfied(policy: Policy, voters: Sequence[str], requester: str | None) -> bool:
    """Return whether *voters* fill every slot, by trying every seating."""
    slots: list[tuple[str, ...]] = [(role,) for role in policy.one_of_each] or [policy.of] * policy.any
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
            for since, until in pairwise(times):
                assert until - since <= GAPS[check] or until <= now - timedelta(minutes=10), f"a hole in {cell}"
