"""
The probe worker as a process of its own: probes never share an event loop with the room.

Puts the kinds of check, the deployment's targets and the worker together. Opens no database and loads
neither Slack nor SQL, so that a worker is ready soon after its bot.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import structlog

import checks
from bot.adapters.probe_worker import BotGone, ProbeWorker
from bot.config import Settings, log_to_stderr
from bot.core.deployment import Deployment, parse_deployment
from bot.core.errors import SettingsRefused, SwitchroomError
from bot.core.model import Reading, Tick
from bot.core.ports import Clock
from bot.web.private import PROBES_FILE, read_private
from checks.targets import parse_targets

log = structlog.get_logger()

#: How long to wait before looking for a bot again, in real seconds.
_LOOK_AGAIN_S = 0.5


def load_deployment(path: Path) -> Deployment:
    """Return the deployment file. Raise SettingsRefused or RunbookRefused."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SettingsRefused(
            f"There is no deployment file {path}. Set SWITCHROOM_DEPLOYMENT to yours; docs/deployment.md shows one, "
            "and `switchroom demo` needs none."
        ) from None
    deployment = parse_deployment(data, str(path))
    parse_targets(plain_targets(deployment))
    return deployment


def plain_targets(deployment: Deployment) -> dict[str, object]:
    """Return the targets of *deployment* as plain dictionaries."""
    return {
        section: {key: dict(target) for key, target in entries.items()}
        for section, entries in deployment.targets.items()
    }


async def run_probes(settings: Settings, deployment: Deployment) -> None:
    """Be a probe worker of whichever bot runs on the same state directory, until cancelled."""
    targets = parse_targets(plain_targets(deployment))

    async def take(tick: Tick, clock: Clock) -> Reading:
        reading = await checks.take_tick(tick, targets, clock.now())
        return reading.model_copy(update={"at": clock.now()})

    try:
        while True:
            where = await _where(settings)
            # A bot that comes back listens somewhere else, with another token.
            with suppress(BotGone):
                await ProbeWorker(where["url"], where["token"], take).run()
            await asyncio.sleep(_LOOK_AGAIN_S)
    finally:
        await checks.close_all()


async def _where(settings: Settings) -> dict[str, str]:
    """Return where the bot listens, as soon as one does."""
    file = settings.state_dir / PROBES_FILE
    told = False
    while (where := read_private(file)) is None:
        if not told:
            log.warning("no bot runs with this state directory yet, waiting for one", looking_for=str(file))
            told = True
        await asyncio.sleep(_LOOK_AGAIN_S)
    return where


async def _as_child(settings: Settings) -> None:
    """Be the worker of the bot that started this process, and end with it, however it ends."""
    working = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        # The bot writes nothing: there is something to read only when it is no more.
        if not os.read(sys.stdin.fileno(), 1) and working is not None:
            loop.remove_reader(sys.stdin.fileno())
            working.cancel()

    loop.add_reader(sys.stdin.fileno(), heard)
    if working is not None:
        loop.add_signal_handler(signal.SIGTERM, working.cancel)
    await run_probes(settings, load_deployment(settings.deployment))


def main() -> int:
    """Run as the child of a bot: settings from the environment, and the pipe to the bot as standard input."""
    log_to_stderr()
    try:
        asyncio.run(_as_child(Settings()))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 0
    except SwitchroomError as error:
        sys.stderr.write(f"switchroom: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
