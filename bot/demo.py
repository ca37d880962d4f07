"""Put a demo together: the stage, a bot on a fast clock, and people who play by a script where asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.resources import files
from typing import Any

from bot import __version__
from bot.adapters.clock import FastClock, WallClock
from bot.adapters.slack.adapter import SlackSettings
from bot.adapters.slack.pace import Pace
from bot.config import Settings
from bot.core import messages as m
from bot.core.deployment import parse_deployment
from bot.core.errors import SettingsRefused
from bot.core.model import Utc
from bot.core.reading_yaml import load
from bot.core.runbook import Runbook
from bot.core.state import RunState, RunStatus
from bot.draft import restore
from bot.rehearsal.crew import Crew, Line, Script
from bot.rehearsal.play import Result, Stagecraft, play
from bot.rehearsal.stage import READY_S, Casting, Stage, opening_time, stage
from bot.room import RoomPerson, RoomSaysNo
from bot.service import Commit
from bot.wire import Bot, Plan, open_existing, running_bot

#: What the first screen tells a newcomer.
HINTS = (
    "You act as Lena. When the go card says that all is true, press *A*; then act as Ana and press *A* too.",
    "As Lena, type `/cutover start switch-routing`: numbers move, and the room watches them for 90 minutes.",
    "In the carrier panel switch on *mno-b keeps the old routing*. A signed rule is met: choose *A* as Lena and as Pia.",
)
#: How long before the window opens the rehearsal's clock starts.
BEFORE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Show:
    """What is shown."""

    settings: Settings
    runbook: str = "number-portability-cutover"
    speed: float = 20.0
    port: int = 0
    script: Script | None = None
    faults: tuple[str, ...] = ()
    within_s: float = 600.0


@dataclass(slots=True)
class Scene:
    """A demo under way."""

    stage: Stage
    bot: Bot
    clock: FastClock
    people: Mapping[str, RoomPerson]
    channel: str
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self) -> None:
        """Hear of every commit."""
        loop = asyncio.get_running_loop()

        def committed(_: Commit) -> None:
            loop.call_soon_threadsafe(self._news.set)

        self.bot.service.on_commit(committed)

    def run(self) -> RunState | None:
        """Return the run that the demo's channel shows, or its last one."""
        runs = [run for run in self.bot.service.house.runs.values() if run.place == self.channel]
        return runs[-1] if runs else None

    async def news(self) -> None:
        """Wait until something is committed; at most half a second, for what only time brings."""
        try:
            async with asyncio.timeout(0.5):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def act(self, line: Line) -> None:
        """Say or click *line*, as the person of it would."""
        person = self.people[line.person]
        if line.decision is not None:
            run = self.run()
            button = f"{run.run}|{line.words}" if run else ""
            card = self._card(person, button)
            if card is not None:
                await person.click(card, button)
                return
        await person.say(self.channel, f"/cutover {line.words}")

    async def fault(self, name: str, *, on: bool) -> None:
        """Switch a fault of the carrier. Raise SettingsRefused for one it does not know."""
        person = next(iter(self.people.values()))
        try:
            await person.set_fault(name, on=on)
        except RoomSaysNo:
            known = ", ".join(str(fault["id"]) for fault in await person.faults())
            raise SettingsRefused(f'The carrier did not take the fault "{name}". There are: {known}.') from None

    def sees_card(self, number: int) -> bool:
        """Return whether the card of a decision is in the room."""
        run = self.run()
        watcher = next(iter(self.people.values()))
        return run is not None and self._card(watcher, f"{run.run}|decide {number} A") is not None

    def _card(self, person: RoomPerson, button: str) -> str | None:
        for message in person.messages(self.channel):
            if any(button == value for value in _values(message)):
                return str(message["ts"])
        return None


def _values(message: Mapping[str, Any]) -> list[str]:
    elements = [element for block in message.get("blocks", []) for element in block.get("elements", [])]
    return [str(element.get("value", "")) for element in elements if isinstance(element, dict)]


def shipped(name: str) -> bytes:
    """Return a file that ships with the runbooks. Raise SettingsRefused for one that does not exist."""
    file = files("runbooks") / name
    if not file.is_file():
        known = sorted(
            one.name.removesuffix(".yaml") for one in files("runbooks").iterdir() if one.name.count(".") == 1
        )
        raise SettingsRefused(
            f'No runbook "{name.removesuffix(".yaml")}" ships with switchroom. There are: {", ".join(known)}.'
        )
    return file.read_bytes()


def _titles(plan: Runbook) -> dict[str, str]:
    titles: dict[str, str] = {}
    for name, role in plan.roles.items():
        for person in role.people:
            titles.setdefault(person, name)
        for person in role.deputies:
            titles.setdefault(person, f"{name}, deputy")
    return titles


@asynccontextmanager
async def scene(show: Show) -> AsyncIterator[Scene]:
    """Set a demo up, until the block ends."""
    text = shipped(f"{show.runbook}.yaml")
    people = shipped("demo.deployment.yaml")
    plan = load(text)
    cast = parse_deployment(people, "demo.deployment.yaml").people
    folder = show.settings.state_dir
    casting = Casting(
        folder=folder,
        people=people,
        titles=dict.fromkeys(cast, "watching only") | _titles(plan),
        hints=HINTS,
        port=show.port,
        pace=max(1.0, show.speed / 4),
    )
    async with AsyncExitStack() as stack:
        built = await stack.enter_async_context(stage(casting))
        settings = show.settings.model_copy(update={"deployment": built.deployment_file})
        clock = FastClock(await asyncio.to_thread(_start, plan, text, settings), WallClock().now(), show.speed)
        slack = SlackSettings(
            bot_token=built.bot_token,
            app_token=built.app_token,
            api_url=built.api_url,
            pace=Pace().faster(casting.pace),
        )
        scenario = m.Scenario(name="demo", speed=show.speed, assumes=plan.requires)
        bot = await stack.enter_async_context(
            running_bot(settings, built.deployment, Plan(clock=clock, scenario=scenario, slack=slack))
        )
        # A run that is probed before anybody can measure begins with holes.
        try:
            await asyncio.wait_for(bot.prober.worker_heard(), READY_S)
        except TimeoutError:
            raise SettingsRefused(
                f"The probe worker did not start within {READY_S:g} s; its own message is above."
            ) from None
        seats: dict[str, RoomPerson] = {}
        for key, person in cast.items():
            seats[key] = await stack.enter_async_context(RoomPerson(built.room_url, person.room[0]))
        shown = Scene(built, bot, clock, seats, built.deployment.channel_of("main"))
        shown.watch()
        yield shown


def _start(plan: Runbook, text: bytes, settings: Settings) -> Utc:
    """Return where the clock begins: before the window opens, or where the ledger of an earlier demo ended."""
    begins = WallClock().now() if plan.window is None else opening_time(text, BEFORE)
    store = open_existing(settings)
    try:
        ended = restore(store, __version__).house.at
    finally:
        store.close()
    return begins if ended is None else max(begins, ended)


async def opened(scene_: Scene, show: Show) -> None:
    """Open the run as the lead would, unless the ledger holds one that is not over."""
    run = scene_.run()
    if run is not None and not run.status.over:
        return
    opener = next(iter(load(shipped(f"{show.runbook}.yaml")).roles.values())).people[0]
    await scene_.act(Line(opener, f"open {show.runbook}"))
    while (run := scene_.run()) is None or run.status.over:
        await scene_.news()


async def scripted(show: Show) -> Result:
    """Play a script to its end and return how it ended."""
    if show.script is None:
        raise ValueError("a script is wanted")
    async with scene(show) as on:
        await opened(on, show)
        for fault in show.faults:
            await on.fault(fault, on=True)
        craft = Stagecraft(look=on.run, now=on.bot.service.now, news=on.news, doors=on)
        return await play(show.script, craft, within_s=show.within_s)


async def prepared(scene_: Scene) -> None:
    """Play everything up to the first question of the night, and leave it to who sits there."""
    crew = Crew(Script.HAPPY)
    while True:
        run = scene_.run()
        if run is not None:
            if run.open_decisions or run.status not in {RunStatus.OPENED, RunStatus.RUNNING}:
                return
            line = crew.next(run, scene_.bot.service.now())
            if line is not None:
                await scene_.act(line)
                continue
        await scene_.news()


async def shown(show: Show, tell: Callable[[Scene], None]) -> None:
    """Show the demo in the browser until cancelled."""
    async with scene(show) as on:
        await opened(on, show)
        tell(on)
        await prepared(on)
        for fault in show.faults:
            await on.fault(fault, on=True)
        await asyncio.Event().wait()
