"""A migration played in one room: everything is real but time, which leaps, and the probes, which follow a model."""

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from bot.adapters.runner import HttpRunner
from bot.adapters.slack.adapter import SlackSettings, run_slack
from bot.adapters.slack.pace import Pace
from bot.adapters.sql import SqlStore, open_store
from bot.core import messages as m
from bot.core.deployment import Deployment, parse_deployment
from bot.core.model import Reading, Tick, Utc
from bot.core.reading_yaml import load
from bot.core.runbook import StepKind
from bot.core.state import RunState, StepStatus
from bot.demo import shipped
from bot.outbox import Outbox
from bot.rehearsal.crew import Line, Script
from bot.rehearsal.modelled import Fault, ModelledProber
from bot.rehearsal.play import Result, Stagecraft, play
from bot.rehearsal.stage import opening_time
from bot.rehearsal.virtual import VirtualClock, VirtualTimer
from bot.room import RoomChannel, RoomConfig, RoomPerson, RoomUser, RunningRoom, start_room
from bot.room.config import Timing
from bot.service import Commit, Service
from bot.ticking import Ticking
from bot.verbs import Desk
from bot.wire import FolderLibrary
from checks.carrier import Carrier, CarrierConfig, running_carrier

MAIN = "C0CUTOVER"
SIDE = "C0SIDE"
START = datetime(2026, 9, 1, 8, tzinfo=UTC)
#: The room's limits refill so much faster, and so do ours.
_PACE = 500
#: Nothing in the room takes so long, in real seconds.
_PATIENCE_S = 20.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_BEFORE_THE_WINDOW = timedelta(minutes=12)


class Dice:
    """Ids and salts that differ."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def fresh_id(self) -> str:
        return f"c{next(self._count)}"

    def salt(self) -> bytes:
        return next(self._count).to_bytes(16, "big")


class Migration:
    """The doors of a play (`rehearsal/play.py`), and the clock that goes on whenever everybody waits."""

    def __init__(
        self,
        service: Service,
        store: SqlStore,
        clock: VirtualClock,
        people: Mapping[str, RoomPerson],
        carrier: Carrier,
    ) -> None:
        self.service = service
        self.store = store
        self.clock = clock
        self.people = people
        self.carrier = carrier
        self.channel = MAIN
        self.timer = VirtualTimer(clock)
        self.prober = ModelledProber(clock, self._took)
        self.ticking = Ticking(service, store, self.timer, self.prober, clock)
        self.fault_when: tuple[str, Fault] | None = None  #: a step under way, and what breaks then
        self._heard = asyncio.Event()
        self._seen = 0
        self._said = False
        loop = asyncio.get_running_loop()

        def committed(_: Commit) -> None:
            loop.call_soon_threadsafe(self._heard.set)

        service.on_commit(committed)

    async def _took(self, tick: Tick, reading: Reading, epoch: int) -> None:
        await self.ticking.took(tick, reading, epoch)

    # what a play asks for

    def look(self) -> RunState | None:
        """Return the last run of the channel."""
        runs = [run for run in self.service.house.runs.values() if run.place == self.channel]
        return runs[-1] if runs else None

    async def act(self, line: Line) -> None:
        """Say *line*, or click it where it is a vote, as its person would."""
        person, self._said = self.people[line.person], True
        run = self.look()
        if line.decision is None or run is None:
            await person.say(self.channel, f"/cutover {line.words}")
            return
        button = f"{run.run}|{line.words}"
        card = await person.wait_for(lambda me: self._with_button(me, button), _PATIENCE_S)
        await person.click(card["ts"], button)

    async def fault(self, name: str, *, on: bool) -> None:
        """Switch a fault of the carrier."""
        self.carrier.set_fault(name, on)

    def sees_card(self, number: int) -> bool:
        """Return whether the card of a decision is in the room."""
        run = self.look()
        return run is not None and self._with_button(self.people["exec"], f"{run.run}|decide {number} A") is not None

    def _with_button(self, person: RoomPerson, button: str) -> dict[str, Any] | None:
        for message in person.messages(self.channel):
            for block in message.get("blocks", ()):
                if any(element.get("value") == button for element in block.get("elements", ())):
                    return message
        return None

    async def news(self) -> None:
        """Return when the ledger has grown; where nobody and nothing is at work, let time go on until it does."""
        while True:
            self._heard.clear()
            await self.ticking.settled()
            if self.service.house.position != self._seen:
                self._seen = self.service.house.position
                self._break()
                return
            if await self._at_work():
                await asyncio.wait_for(self._heard.wait(), _PATIENCE_S)
            elif self.service.house.position == self._seen and not self.timer.advance_to_next():
                raise AssertionError(f"nothing will ever happen again: {self.look()}")

    async def _at_work(self) -> bool:
        """Return whether something said is not done yet, or a target has not answered."""
        run = self.look()
        if run is not None and any(
            run.steps[step.id].status is StepStatus.RUNNING
            for step in (*run.plan.steps, *run.plan.rollback)
            if step.kind is StepKind.ACTION
        ):
            return True
        if self._said:
            self._said = bool(await asyncio.to_thread(self.store.unsettled))
        return self._said

    def _break(self) -> None:
        """Break what was asked for, once the step that it waits for is under way."""
        run = self.look()
        if self.fault_when is not None and run is not None:
            step, fault = self.fault_when
            if run.steps[step].status is StepStatus.RUNNING:
                self.prober.faults.append(fault)
                self.fault_when = None

    # what a test asks for

    async def until(self, when: Utc) -> None:
        """Let time go on to *when*."""
        await self.timer.run_until(when, self.ticking.settled)

    async def opened(self, name: str) -> RunState:
        """Open a run of *name*, shortly before its window where it has one, and return it."""
        plan = load(shipped(f"{name}.yaml"))
        await self.act(Line(next(iter(plan.roles.values())).people[0], f"open {name}"))
        async with asyncio.timeout(_PATIENCE_S):
            while (run := self.look()) is None or run.plan.runbook != name or run.status.over:
                await self._heard.wait()
                self._heard.clear()
        return run

    async def played(self, name: str, script: Script = Script.HAPPY) -> Result:
        """Play the run of *name* that the channel shows to its end; open it before where there is none."""
        run = self.look()
        if run is None or run.plan.runbook != name or run.status.over:
            await self.opened(name)
        craft = Stagecraft(look=self.look, now=self.clock.now, news=self.news, doors=self)
        result = await play(script, craft, within_s=120)
        await self.delivered()
        return result

    async def delivered(self) -> None:
        """Wait until nothing is left to go out."""
        async with asyncio.timeout(_PATIENCE_S):
            while await asyncio.to_thread(self.store.due_effects, self.clock.now(), 1):
                await self._heard.wait()
                self._heard.clear()

    def at_the_window(self, name: str, before: timedelta = _BEFORE_THE_WINDOW) -> Utc:
        """Return when the people of *name* come together."""
        return opening_time(shipped(f"{name}.yaml"), before)

    def board(self, channel: str) -> str:
        """Return what the pinned board of *channel* says."""
        message = self.people["exec"].pinned(channel)
        assert message is not None
        return str(message["text"])


@asynccontextmanager
async def migration(folder: Path, *, start: Utc = START, assumes: tuple[str, ...] = ()) -> AsyncIterator[Migration]:
    """Set the stage for a migration whose clock shows *start*."""
    async with AsyncExitStack() as stack:
        ledger = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_in_memory(folder))))
        carrier = await stack.enter_async_context(running_carrier(CarrierConfig(npdb_takes_s=0)))
        people = yaml.safe_load(shipped("demo.deployment.yaml"))
        text = yaml.safe_dump({**people, "targets": carrier.targets}, sort_keys=False)
        deployment = parse_deployment(text.encode(), "deployment.yaml")
        room = await start_room(_room(deployment, folder))
        stack.push_async_callback(room.close)
        seats: dict[str, RoomPerson] = {}
        for key, person in deployment.people.items():
            seats[key] = await stack.enter_async_context(RoomPerson(room.url, person.room[0]))

        store = open_store(f"sqlite:///{ledger / 'ledger.sqlite'}")
        stack.callback(store.close)
        clock = VirtualClock(start)
        service = Service(store, clock, Dice(), "0.1.0")
        await asyncio.to_thread(service.start, "test")
        stack.push_async_callback(asyncio.to_thread, service.stop)
        scenario = m.Scenario(name="played", assumes=assumes)
        desk = Desk(service, store, deployment, FolderLibrary(deployment, None), scenario)
        played = Migration(service, store, clock, seats, carrier)
        stack.callback(played.timer.close)
        stack.push_async_callback(played.ticking.close)
        await stack.enter_async_context(_speaking(stack, desk, room, carrier))
        await played.ticking.start()
        yield played


@asynccontextmanager
async def _speaking(stack: AsyncExitStack, desk: Desk, room: RunningRoom, carrier: Carrier) -> AsyncIterator[None]:
    runner = HttpRunner()
    stack.push_async_callback(runner.close)
    slack = await run_slack(desk, SlackSettings(room.bot_token, room.app_token, room.api_url, Pace().faster(_PACE)))
    urls = {key: target["url"] for key, target in carrier.targets["http"].items()}
    outbox = asyncio.create_task(Outbox(desk.service, desk.store, slack.room, runner, urls).run())
    try:
        yield
    finally:
        await slack.close()
        outbox.cancel()
        await asyncio.gather(outbox, return_exceptions=True)


def _in_memory(folder: Path) -> Path:
    """Return a folder in memory where there is one: weeks of readings would mostly wait for the disk."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else folder


def _room(deployment: Deployment, folder: Path) -> RoomConfig:
    channels = [RoomChannel(id=room.channel, name=name) for name, room in deployment.rooms.items()]
    return RoomConfig(
        users=tuple(
            RoomUser(id=person.room[0], name=key, real_name=person.name) for key, person in deployment.people.items()
        ),
        channels=(*channels, RoomChannel(id=SIDE, name="side")),
        database=folder / "room.sqlite",
        timing=Timing(pace=_PACE),
    )
