"""The composition root: the only place that builds things and knows which part meets which."""

import asyncio
import os
import re
import secrets
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import structlog
from aiohttp import web

import checks
from bot import __version__
from bot.adapters.clock import WallClock
from bot.adapters.clock_watch import ClockWatch
from bot.adapters.prober import HttpProber
from bot.adapters.runner import HttpRunner
from bot.adapters.slack.adapter import SlackSettings, run_slack
from bot.adapters.sql import open_store
from bot.adapters.timer import ApsTimer
from bot.config import Settings
from bot.core import messages as m
from bot.core.codes import Code
from bot.core.deployment import Deployment, missing_targets, named_entries
from bot.core.errors import Finding, RunbookRefused, SettingsRefused
from bot.core.model import MACHINE, Reading, Tick, Via
from bot.core.parameters import Kinds
from bot.core.ports import Clock, Store
from bot.core.reading_yaml import lint, marks_of, parse
from bot.outbox import Outbox
from bot.probes import plain_targets
from bot.service import Service
from bot.ticking import Ticking
from bot.verbs import Book, Desk
from bot.web.control import Control, only_looks, speak, whoami
from bot.web.private import CONTROL_FILE, PROBES_FILE, write_private
from checks.targets import parse_targets

log = structlog.get_logger()

#: The probe worker that the bot starts.
PROBES = (sys.executable, "-m", "bot.probes")
#: A worker that ended is started again after so many real seconds, twice as many each time, at most LONG_S.
AGAIN_S = 0.5
LONG_S = 30.0


class SystemRolls:
    """Chance from the operating system."""

    def fresh_id(self) -> str:
        """Return an id that was never used."""
        return uuid.uuid4().hex

    def salt(self) -> bytes:
        """Return 16 random bytes."""
        return secrets.token_bytes(16)


def kinds() -> Kinds:
    """Return the parameter model of every kind of check."""
    return {name: kind.Params for name, kind in checks.kinds().items()}


class FolderLibrary:
    """The runbooks that ship, and those of a folder of the deployment's, which go first."""

    def __init__(self, deployment: Deployment, folder: Path | None) -> None:
        self._deployment = deployment
        self._folder = folder

    def names(self) -> Sequence[str]:
        """Return the names, sorted."""
        own = {path.stem for path in self._folder.glob("*.yaml")} if self._folder else set()
        shipped = {path.name.removesuffix(".yaml") for path in files("runbooks").iterdir() if _is_runbook(path.name)}
        return sorted(own | shipped)

    def book(self, name: str) -> Book:
        """Return a runbook. Raise RunbookRefused where it, or what it asks of the deployment, is wrong."""
        place, data = self._bytes(name)
        runbook = parse(data, place, kinds())
        missing = missing_targets(runbook, kinds(), self._deployment, marks_of(data, place))
        if missing:
            raise RunbookRefused(missing)
        return Book(data.decode(), self._deployment.fingerprints(named_entries(runbook, kinds())))

    def _bytes(self, name: str) -> tuple[str, bytes]:
        own = self._folder / f"{name}.yaml" if self._folder else None
        if own is not None and own.exists():
            return str(own), own.read_bytes()
        shipped = files("runbooks") / f"{name}.yaml"
        return f"runbooks/{name}.yaml", shipped.read_bytes()


def _is_runbook(name: str) -> bool:
    return name.endswith(".yaml") and not name.endswith(".deployment.yaml")


def lint_files(paths: Sequence[Path]) -> list[Finding]:
    """Return every finding in *paths*. Raise OSError where one cannot be read."""
    return [finding for path in paths for finding in _linted(path.read_bytes(), str(path))]


def _linted(data: bytes, place: str) -> Sequence[Finding]:
    found = re.search(rb"^deployment:", data, re.MULTILINE)
    if found is None or re.search(rb"^runbook:", data, re.MULTILINE):
        return lint(data, place, kinds())
    line = data.count(b"\n", 0, found.start()) + 1
    why = "this is a deployment file and no runbook; `switchroom serve` checks it when it starts"
    return [Finding(place, line, 1, Code.MISSING, why)]


def open_existing(settings: Settings, *, read_only: bool = False) -> Store:
    """Open the ledger of *settings*; the state directory is made where it is missing."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    return open_store(settings.database(), read_only=read_only)


@dataclass(frozen=True, slots=True)
class Bot:
    """A running bot."""

    desk: Desk
    service: Service
    store: Store
    prober: HttpProber


@dataclass(frozen=True, slots=True)
class Plan:
    """How a bot is run: with which clock and scenario, and whether it starts a probe worker of its own."""

    clock: Clock
    scenario: m.Scenario | None = None
    probes: bool = True
    slack: SlackSettings | None = None


@asynccontextmanager
async def running_bot(settings: Settings, deployment: Deployment, plan: Plan) -> AsyncIterator[Bot]:
    """Run everything a bot is made of until the block ends. Raise StoreUnavailable when another bot holds the lease."""
    async with AsyncExitStack() as stack:
        store = await asyncio.to_thread(open_existing, settings)
        stack.callback(store.close)
        service = Service(store, plan.clock, SystemRolls(), __version__)
        desk = Desk(service, store, deployment, FolderLibrary(deployment, settings.runbooks), plan.scenario)
        await asyncio.to_thread(service.start, f"{socket.gethostname()}:{os.getpid()}")
        stack.push_async_callback(asyncio.to_thread, service.stop)
        await _compare_deployment(service, deployment)
        prober = HttpProber(plan.clock, secrets.token_urlsafe(24))
        await stack.enter_async_context(_listening(settings, desk, prober))
        timer = ApsTimer(plan.clock)
        stack.callback(timer.close)
        ticking = Ticking(service, store, timer, prober, plan.clock)
        prober.on_reading(ticking.took)
        stack.push_async_callback(ticking.close)
        if plan.slack is not None:
            await stack.enter_async_context(_speaking(stack, desk, plan.slack))
        await ticking.start()
        watching = asyncio.create_task(ClockWatch(service).run(), name="clock")
        stack.push_async_callback(_cancelled, watching)
        if plan.probes:
            await stack.enter_async_context(probe_worker(settings))
        yield Bot(desk, service, store, prober)


async def _compare_deployment(service: Service, deployment: Deployment) -> None:
    """Hold what was signed about people and targets against the deployment file of now."""
    for run in service.house.active():
        fresh = deployment.fingerprints(frozenset(run.deployment))
        if dict(fresh) != dict(run.deployment):
            await service.handle(m.CompareDeployment(run=run.run, deployment=fresh), MACHINE, Via.TIMER)


def _bearer(token: str | Mapping[str, str]) -> str:
    """Return a target's token, from the environment where the deployment file says so. Raise SettingsRefused."""
    if isinstance(token, str):
        return token
    if token["env"] not in os.environ:
        raise SettingsRefused(f"the environment variable {token['env']} is not set for the bot")
    return os.environ[token["env"]]


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _speaking(stack: AsyncExitStack, desk: Desk, slack: SlackSettings) -> AsyncIterator[None]:
    targets = desk.deployment.targets.get("http", {})
    runner = HttpRunner({str(t["url"]): partial(_bearer, t["token"]) for t in targets.values() if t.get("token")})
    stack.push_async_callback(runner.close)
    adapter = await run_slack(desk, slack)
    urls = {key: str(target["url"]) for key, target in desk.deployment.targets.get("http", {}).items()}
    outbox = Outbox(desk.service, desk.store, adapter.room, runner, urls)
    delivering = asyncio.create_task(outbox.run(), name="outbox")
    try:
        yield
    finally:
        await adapter.close()
        await _cancelled(delivering)


@asynccontextmanager
async def _listening(settings: Settings, desk: Desk, prober: HttpProber) -> AsyncIterator[None]:
    """Open the control and probe ports on loopback, and say where in files that only their owner can read."""
    token = secrets.token_urlsafe(24)
    app = web.Application(client_max_size=1024 * 1024)
    app.add_routes([*Control(desk, token, whoami()).routes(), *prober.routes()])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    url = f"http://{host}:{port}"
    write_private(settings.state_dir / CONTROL_FILE, {"url": url, "token": token})
    write_private(settings.state_dir / PROBES_FILE, {"url": url, "token": prober.token})
    try:
        yield
    finally:
        (settings.state_dir / CONTROL_FILE).unlink(missing_ok=True)
        await runner.cleanup()


@asynccontextmanager
async def probe_worker(settings: Settings) -> AsyncIterator[None]:
    """Run a probe worker with the same deployment and state until the block, or this process, ends."""
    child = [await _probes(settings)]
    keeping = asyncio.create_task(_kept(settings, child), name="probes")
    try:
        yield
    finally:
        await _cancelled(keeping)
        await end(child[0])


async def _probes(settings: Settings) -> asyncio.subprocess.Process:
    told = {"SWITCHROOM_DEPLOYMENT": str(settings.deployment), "SWITCHROOM_STATE_DIR": str(settings.state_dir)}
    return await asyncio.create_subprocess_exec(*PROBES, stdin=asyncio.subprocess.PIPE, env={**os.environ, **told})


async def _kept(settings: Settings, child: list[asyncio.subprocess.Process]) -> None:
    """Start the worker again whenever it ends: sooner after a long life, later when it keeps dying."""
    loop = asyncio.get_running_loop()
    again_s = AGAIN_S / 2
    while True:
        begun = loop.time()
        code = await child[0].wait()
        again_s = AGAIN_S if loop.time() - begun > LONG_S else min(again_s * 2, LONG_S)
        log.error("the probe worker ended and is started again", exit_code=code, in_s=again_s)
        await asyncio.sleep(again_s)
        child[0] = await _probes(settings)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask *process* to end; after five seconds, end it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()


async def check_once(deployment: Deployment, tick: Tick) -> Reading:
    """Take one probe now."""
    try:
        return await checks.take_tick(tick, parse_targets(plain_targets(deployment)), WallClock().now())
    finally:
        await checks.close_all()


async def say_alone(settings: Settings, deployment: Deployment, body: Mapping[str, str]) -> tuple[bool, str]:
    """
    No bot runs: take the lease, do one line, give the lease back. What must go out goes out with the next bot.

    A line that only looks takes no lease and leaves no trace.
    """
    looking = only_looks(body.get("line", ""))
    store = await asyncio.to_thread(open_existing, settings, read_only=looking)
    try:
        service = Service(store, WallClock(), SystemRolls(), __version__)
        desk = Desk(service, store, deployment, FolderLibrary(deployment, settings.runbooks))
        if looking:
            await asyncio.to_thread(service.look)
            return await speak(desk, whoami(), body)
        await asyncio.to_thread(service.start, f"{socket.gethostname()}:{os.getpid()}")
        try:
            return await speak(desk, whoami(), body)
        finally:
            await asyncio.to_thread(service.stop)
    finally:
        store.close()


async def until_lost(service: Service) -> None:
    """Return when another process has taken the lease: this one must end."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()

    def troubled(_: str | None) -> None:
        if service.lost:
            loop.call_soon_threadsafe(gone.set)

    service.on_trouble(troubled)
    if service.lost:
        return  # before anybody listened
    await gone.wait()
