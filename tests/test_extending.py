"""
A newcomer adds a check kind, a verb, or a trigger operator by touching one file.

Each test does so in a copy of the tree and asks the whole product about it, from outside.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNBOOK = """\
runbook: small
title: A small evening
phase: readiness
timezone: Europe/London
roles:
  cutover-lead: {people: [lead]}
checks:
  - {id: door, title: The door, kind: KIND, every: 1m, timeout: 10s, with: WITH}
triggers:
  - id: door-shut
    title: The door is shut
    when: {check: door, per: pooled, OPERATOR}
    options: [fix-first, continue]
    decide_within: 10m
    owner: cutover-lead
    source: agreed
approvals:
  criteria: {one_of_each: [cutover-lead]}
  go: {one_of_each: [cutover-lead]}
  go_back: {before: {any: 1, of: [cutover-lead]}, after: {any: 1, of: [cutover-lead]}}
  fix_first: {any: 1, of: [cutover-lead], at_most: 20m}
  continue: {one_of_each: [cutover-lead]}
steps:
  - {id: look, kind: watch, for: 1h, checks: all}
rollback: [{id: put-back, kind: manual, title: Put it back}]
digests: [{id: executive, every: 30m, to: {channel: main}}]
"""
HTTP = "{target: door, path: /status, field: ok, is_true: true}"
DEPLOYMENT = """\
deployment: test
people:
  lead: {name: Lena, os: [USER]}
rooms:
  main: {channel: C0MAIN}
targets:
  http: {door: {url: "http://127.0.0.1:PORT"}}
"""


@dataclass(slots=True)
class Tree:
    """A copy of the product that knows nothing of the original, with a deployment of one person and one target."""

    root: Path
    port: int = 9

    def write(self, name: str, text: str) -> Path:
        """Write a file of the deployment, beside the tree."""
        path = self.root.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def runbook(
        self, kind: str = "http", with_: str = HTTP, operator: str = "consecutive: {failures: 2}", name: str = "small"
    ) -> str:
        """Put a runbook on the shelf and return where it is."""
        text = RUNBOOK.replace("KIND", kind).replace("WITH", with_).replace("OPERATOR", operator)
        return str(self.write(f"books/{name}.yaml", text))

    def lint(self, *books: str) -> list[str]:
        """Return the findings in *books*, each without its folder."""
        done = self.switchroom("lint", *books)
        assert done.returncode == bool(done.stdout), done.stderr
        return [line.rpartition("/books/")[2] for line in done.stdout.splitlines()]

    def switchroom(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `switchroom ...` of this tree."""
        return self._python("-m", "bot.cli", *arguments)

    def asked(self, script: str) -> object:
        """Run *script* in this tree and return the JSON that it prints."""
        done = self._python("-c", script)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _python(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        deployment = self.write(
            "deployment.yaml", DEPLOYMENT.replace("USER", getuser()).replace("PORT", str(self.port))
        )
        environment = {
            **{
                key: value for key, value in os.environ.items() if not key.startswith(("SWITCHROOM", "SLACK", "PYTHON"))
            },
            "PYTHONPATH": str(self.root),
            "SWITCHROOM_DEPLOYMENT": str(deployment),
            "SWITCHROOM_STATE_DIR": str(self.root.parent / "var"),
            "SWITCHROOM_RUNBOOKS": str(self.root.parent / "books"),
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "tree"
    for package in ("bot", "checks", "runbooks"):
        # With the compiled files, for speed; one that is being written next door has a number behind its name.
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("*.pyc.*"))
    made = Tree(root)
    places = made.asked("import json, bot, checks; print(json.dumps([bot.__file__, checks.__file__]))")
    assert places == [str(root / "bot" / "__init__.py"), str(root / "checks" / "__init__.py")]
    return made


@pytest.fixture
def door() -> Iterator[int]:
    """A port that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


# ------------------------------------------------------------------------------------ a kind of check

KIND = '''
"""The `knock` check: a port takes a connection in time."""

import asyncio
from time import perf_counter
from typing import ClassVar
from urllib.parse import urlsplit

from bot.core.model import Cell, Outcome
from checks import Measured, Params, Targets
from checks.targets import HttpEndpoint, target
from checks.units import Duration


class KnockParams(Params):
    """`with:` of a knock check."""

    target: str
    within: Duration = 2.0

    def service_limit_s(self) -> float:
        return self.within

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        return (("http", self.target),)


class KnockCheck:
    """Knocks."""

    KIND: ClassVar[str] = "knock"
    Params: ClassVar[type[KnockParams]] = KnockParams

    def __init__(self, params: KnockParams) -> None:
        self._params = params

    async def take(self, cell: Cell, targets: Targets, deadline: float, /) -> Measured:
        url = urlsplit(target(targets, "http", self._params.target, HttpEndpoint).url)
        began = perf_counter()
        try:
            async with asyncio.timeout(self._params.within):
                _, writer = await asyncio.open_connection(url.hostname, url.port)
        except OSError:
            return Measured(outcome=Outcome.FAIL, detail="nobody opened")
        writer.close()
        await writer.wait_closed()
        took = perf_counter() - began
        return Measured(outcome=Outcome.PASS, metrics={"connect_time_s": took}, detail="opened")
'''

TAKE = """
import asyncio, json
from datetime import UTC, datetime
from bot.core.editor_schema import json_schema
from bot.core.model import Cell, Tick
from bot.wire import kinds
from checks import take_tick

targets = {"http": {"door": {"url": "http://127.0.0.1:PORT"}}}
tick = Tick(run="r", check="door", kind="knock", cell=Cell(), scheduled_at=datetime(2026, 12, 8, tzinfo=UTC),
            timeout_s=5, params={"target": "door"})
reading = asyncio.run(take_tick(tick, targets, tick.scheduled_at))
offered = json_schema(kinds())["$defs"]["Check"]["properties"]["kind"]["enum"]
print(json.dumps([reading.kind, reading.outcome, reading.detail, "knock" in offered]))
"""


def test_a_kind_of_check_is_one_new_file(tree: Tree, door: int) -> None:
    tree.port = door
    right = tree.runbook("knock", "{target: door}")
    assert ['no kind of check "knock"' in finding for finding in tree.lint(right)] == [True]

    (tree.root / "checks" / "knock.py").write_text(KIND)
    misspelled = tree.runbook("knock", "{target: door, withn: 1s}", name="misspelled")
    slow = tree.runbook("knock", "{target: door, within: 30s}", name="slow")
    elsewhere = tree.runbook("knock", "{target: window}", name="elsewhere")
    word, limit = tree.lint(right, misspelled, slow, elsewhere)
    assert word.startswith("misspelled.yaml:8:")
    assert '"within"' in word
    assert limit.startswith("slow.yaml:8:")
    assert "timeout" in limit

    assert tree.asked(TAKE.replace("PORT", str(door))) == ["knock", "pass", "opened", True]
    once = tree.switchroom("check", "knock", "--with", '{"target": "door"}', "--json")
    assert (once.returncode, json.loads(once.stdout)["outcome"]) == (0, "pass")
    # It opens in a runbook, against the targets that are listed and no others.
    refused = tree.switchroom("open", "elsewhere")
    assert refused.returncode == 1
    assert "http.window" in refused.stdout
    assert tree.switchroom("open", "small").returncode == 0


# ------------------------------------------------------------------------------------------- a verb

VERB = '''

@verb("wave [TEXT]", "greet")
def wave(said: Said) -> Answer:
    """Wave to the room."""
    return m.Note(run=said.run.run, text=f"waves: {said.rest}")
'''

SAY = """
import asyncio, json, os
from getpass import getuser
from pathlib import Path
from bot.config import Settings
from bot.core.deployment import parse_deployment
from bot.wire import say_alone

place = Path(os.environ["SWITCHROOM_DEPLOYMENT"])
deployment = parse_deployment(place.read_bytes(), str(place))

async def said(line):
    done, text = await say_alone(Settings(), deployment, {"line": line, "user": getuser()})
    return [done, text]

print(json.dumps([asyncio.run(said(line)) for line in ("help", "help wave", "wvae to all", "greet everybody", "ledger")]))
"""


def test_a_verb_is_one_function_in_one_file(tree: Tree) -> None:
    tree.runbook()
    assert tree.switchroom("open", "small").returncode == 0
    assert tree.switchroom("wave", "hello").returncode == 2

    verbs = tree.root / "bot" / "verbs.py"
    verbs.write_text(verbs.read_text() + VERB)
    assert "Wave to the room." in tree.switchroom("--help").stdout
    waved = tree.switchroom("wave", "hello", "all")
    assert waved.returncode == 0, waved.stdout + waved.stderr

    answers = tree.asked(SAY)
    assert isinstance(answers, list)
    everything, one, near, alias, ledger = answers
    assert "/cutover wave [TEXT]: Wave to the room." in everything[1]
    assert one == [True, "/cutover wave [TEXT]\nWave to the room."]
    assert near[0] is False
    assert "Did you mean: /cutover wave [TEXT]" in near[1]
    assert alias[0] is True
    assert ledger[1].count("NoteTaken by lead") == 2


# -------------------------------------------------------------------------------- a trigger operator

OPERATOR = '''

@operator("total")
class Total(BaseOperator):
    """So many failures in all, whatever lies between."""

    EXAMPLE: ClassVar[Mapping[str, Any]] = {"failures": 3}
    failures: int = Field(ge=1)

    def weigh(self, tally: Tally, reading: Reading) -> tuple[Mapping[str, float], Samples]:
        return {"total": tally.figures.get("total", 0) + (reading.outcome is Outcome.FAIL)}, ()

    def breach(self, tally: Tally, members: int, now: Utc) -> Judgement:
        met = tally.figures["total"] >= self.failures
        return Judgement(
            verdict=Verdict.MET if met else Verdict.NOT_MET,
            reason=Why.IN_A_ROW if met else Why.CLEAR,
            because=f"{tally.figures['total']:.0f} failed in all; signed limit: {self.failures}",
            numbers=dict(tally.figures),
        )

    def sentence(self) -> str:
        return f"{self.failures} fail in all"

    def family_false_trip(self, members: int) -> float | None:
        return None
'''

MEET = """
import asyncio, json, os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from bot import __version__
from bot.adapters.sql import open_store
from bot.core import messages as m
from bot.core.editor_schema import json_schema
from bot.core.model import MACHINE, Actor, Cell, Outcome, Reading, Tick, Via
from bot.rehearsal.virtual import VirtualClock
from bot.service import Service
from bot.wire import SystemRolls

ledger = "sqlite:///" + str(Path(os.environ["SWITCHROOM_STATE_DIR"]) / "operator.sqlite")
lead, minute = Actor(person="lead"), timedelta(minutes=1)
clock = VirtualClock(datetime(2026, 12, 8, tzinfo=UTC))
text = (Path(os.environ["SWITCHROOM_RUNBOOKS"]) / "small.yaml").read_text()

async def main():
    service = Service(open_store(ledger), clock, SystemRolls(), __version__)
    service.start("test")
    await service.handle(m.Open(run="r", migration="w", place="C0", text=text, people={"lead": "Lena"}), lead, Via.CLI)
    for order in (m.Sign(run="r"), m.Start(run="r")):
        await service.handle(order, lead, Via.CLI)
    met = []
    for outcome in (Outcome.FAIL, Outcome.PASS, Outcome.FAIL, Outcome.PASS, Outcome.FAIL):
        clock.set(clock.now() + minute)
        tick = Tick(run="r", check="door", kind="http", cell=Cell(), scheduled_at=clock.now(), timeout_s=10)
        reading = Reading(check="door", kind="http", cell=Cell(), outcome=outcome, at=clock.now())
        order = m.RecordReading(run="r", tick=tick, reading=reading, epoch=service.epoch)
        done = await service.handle(order, MACHINE, Via.PROBE)
        met.append([event.because for event in done.events if isinstance(event, m.TriggerMet)])
    before = service.house.runs["r"]
    service.stop()
    again = Service(open_store(ledger), clock, SystemRolls(), __version__)
    again.start("test")
    after = again.house.runs["r"]
    again.stop()
    asked = [decision.opened.about for decision in before.open_decisions]
    offered = "total" in json_schema()["$defs"]["When"]["properties"]
    kept = [after.triggers == before.triggers, after.plan == before.plan, offered]
    print(json.dumps([before.criteria[0], met, asked, *kept]))

asyncio.run(main())
"""


def test_a_trigger_operator_is_one_class_in_one_file(tree: Tree) -> None:
    right = tree.runbook(operator="total: {failures: 3}")
    assert ['unknown operator "total"' in finding for finding in tree.lint(right)] == [True]

    triggers = tree.root / "bot" / "core" / "triggers.py"
    triggers.write_text(triggers.read_text() + OPERATOR)
    wrong = tree.runbook(operator="total: {failures: 0}", name="wrong")
    assert [finding.startswith("wrong.yaml:12:") for finding in tree.lint(right, wrong)] == [True]

    (tree.root.parent / "var").mkdir()
    answer = tree.asked(MEET)
    assert isinstance(answer, list)
    sentence, met, asked, *kept = answer
    assert 'when 3 fail in all in "The door"' in sentence
    assert met == [[], [], [], [], ["3 failed in all; signed limit: 3"]]
    assert asked == ["door-shut"]
    assert kept == [True, True, True]
