"""
`switchroom ...`: what is typed in a terminal.

The war-room verbs are read from the table of verbs; everything else here is a door to a part that
lives elsewhere. Exit codes: 0 done, 1 refused or findings, 2 cannot be used as asked.
"""

import asyncio
import difflib
import json
import os
import shlex
import shutil
import signal
import sys
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import httpx
import typer

from bot import __version__
from bot.adapters.clock import WallClock
from bot.adapters.slack.adapter import SlackSettings
from bot.adapters.slack.pace import Pace
from bot.config import Settings, log_to_stderr
from bot.core.editor_schema import json_schema
from bot.core.errors import RunbookRefused, SettingsRefused, StoreUnavailable, SwitchroomError
from bot.core.model import Cell, Outcome, Tick
from bot.core.proof import verify
from bot.demo import HINTS, Scene, Show, scripted, shown
from bot.probes import load_deployment, run_probes
from bot.rehearsal.crew import Script
from bot.verbs import VERBS
from bot.web.private import CONTROL_FILE, read_private
from bot.wire import (
    Plan,
    check_once,
    kinds,
    lint_files,
    open_existing,
    running_bot,
    say_alone,
    until_lost,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The war room of a telecom migration.",
)
audit = typer.Typer(no_args_is_help=True, help="Prove the ledger.")
app.add_typer(audit, name="audit")
_T = TypeVar("_T")
#: The marks of bold type and code are the page's.
_PLAIN = str.maketrans("", "", "*`")
Json = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output, nothing else.")]
StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="Where the ledger and the control files are; default var.")
]


def main() -> None:
    """Run the command line; errors of ours are one sentence, not a trace."""
    log_to_stderr()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        # The Slack SDK takes them, ignores NO_PROXY, and would send even 127.0.0.1 to the proxy.
        if os.environ.get("SLACK_API_URL") or "demo" in sys.argv[1:2]:
            os.environ.pop(name, None)
            os.environ.pop(name.lower(), None)
    _refuse_unknown(sys.argv[1:2])
    try:
        app()
    except RunbookRefused as refused:
        _fail(str(refused), 2)
    except SwitchroomError as error:
        _fail(str(error), 2)


def _refuse_unknown(said: list[str]) -> None:
    """End with the nearest command where there is none of that name."""
    commands = [one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands]
    commands += [str(group.name) for group in app.registered_groups]
    for name in said:
        if not name.startswith("-") and name not in commands:
            close = difflib.get_close_matches(name, commands, n=1, cutoff=0.4)
            near = f"Did you mean: switchroom {close[0]}" if close else "All there are: switchroom --help"
            _fail(f'There is no command "{name}". Nothing was done. {near}', 2)


def _fail(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"switchroom: {text}\n")
    sys.exit(code)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(work: Coroutine[Any, Any, _T], stopped: str = "start again with the same command") -> _T:
    """Run *work* until it ends or is told to; *stopped* says how one goes on after that."""

    async def told_to_end() -> _T:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(told_to_end())
    except (KeyboardInterrupt, asyncio.CancelledError):
        _fail(f"Stopped. The ledger holds everything; {stopped}.", 130)


def _program() -> str:
    """Return how this program is called from here."""
    return "switchroom" if shutil.which("switchroom") else sys.argv[0]


def _settings(state_dir: Path | None = None) -> Settings:
    """Return the settings; a state directory with a deployment file of its own, as a demo leaves it, brings it along."""
    settings = Settings()
    if state_dir is None:
        return settings
    own = state_dir / "deployment.yaml"
    named = "SWITCHROOM_DEPLOYMENT" in os.environ or not own.exists()
    deployment = settings.deployment if named else own
    return settings.model_copy(update={"state_dir": state_dir, "deployment": deployment})


@app.command()
def demo(
    script: Annotated[Script | None, typer.Option(help="Let scripted people play it.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="No browser and no waiting; needs --script.")] = False,
    json_: Json = False,
    runbook: Annotated[str, typer.Option(help="Which shipped runbook.")] = "number-portability-cutover",
    speed: Annotated[float, typer.Option(min=1, help="Seconds of the night in one real second.")] = 20.0,
    fault: Annotated[list[str] | None, typer.Option(help="Switch this fault of the carrier on.")] = None,
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes any free one.")] = 0,
    state_dir: StateDir = None,
) -> None:
    """Embedded war room, simulated carrier and a portability cutover, in the browser."""
    settings = _settings(state_dir or Path("var/demo") / uuid.uuid4().hex[:8])
    show = Show(settings, runbook=runbook, speed=speed, port=port, script=script, faults=tuple(fault or ()))
    if script is None:
        if headless:
            _fail("--headless needs --script happy or --script rollback", 2)
        _run(shown(show, _welcome), f"to go on: {_program()} demo --state-dir {settings.state_dir}")
        return
    result = _run(scripted(show)).as_json()
    lines = [*(f"{key}: {value}" for key, value in result.items()), f"ledger: {settings.ledger()}"]
    _say(json.dumps(result) if json_ else "\n".join(lines))
    wanted = {Script.HAPPY: "completed", Script.ROLLBACK: "rolled_back"}[script]
    if result["outcome"] != wanted:
        _fail(f"the script ended {result['outcome']}, not {wanted}; the ledger is {settings.ledger()}", 1)


def _welcome(scene: Scene) -> None:
    _say(f"\nThe war room is open: {scene.stage.room_url}\n")
    for number, hint in enumerate(HINTS, start=1):
        _say(f"  {number}. {hint.translate(_PLAIN)}")
    _say(
        f"\nThe same from another terminal: {_program()} status --state-dir {scene.stage.deployment_file.parent}"
        "\nCtrl-C ends the demo; the ledger stays."
    )


@app.command()
def serve(
    state_dir: StateDir = None,
    probes_: Annotated[
        bool, typer.Option("--probes/--no-probes", help="Start a probe worker, which ends with the bot.")
    ] = True,
) -> None:
    """Run the bot against Slack (Socket Mode), or any Slack-compatible server named by SLACK_API_URL."""
    settings = _settings(state_dir)
    _run(_serve(settings, probes=probes_))


async def _serve(settings: Settings, *, probes: bool) -> None:
    deployment = load_deployment(settings.deployment)
    slack = SlackSettings(
        bot_token=settings.slack_bot_token.get_secret_value(),
        app_token=settings.slack_app_token.get_secret_value(),
        api_url=settings.slack_api_url or None,
        pace=Pace().faster(settings.slack_pace),
    )
    async with running_bot(settings, deployment, Plan(clock=WallClock(), slack=slack, probes=probes)) as bot:
        _say("switchroom is in the room. Ctrl-C ends it.")
        await until_lost(bot.service)
    raise StoreUnavailable("Another switchroom took over the ledger; this one has ended and changed nothing since.")


@app.command()
def probes(state_dir: StateDir = None) -> None:
    """Be the probe worker of the bot that runs on the same state directory."""
    settings = _settings(state_dir)
    _run(run_probes(settings, load_deployment(settings.deployment)))


@app.command()
def check(
    name: Annotated[
        str,
        typer.Argument(help="A kind (voice, ivr, sms, data, http) for one probe now; with --run, a check of that run."),
    ],
    with_: Annotated[str, typer.Option("--with", help="The parameters of the kind, as JSON.")] = "{}",
    origin: Annotated[str, typer.Option(help="The origin of the cell.")] = "",
    number: Annotated[str, typer.Option(help="The number of the cell.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds after which the probe is broken.")] = 30.0,
    run: Annotated[str, typer.Option(help="Probe every cell of this run's check at once.")] = "",
    state_dir: StateDir = None,
    json_: Json = False,
) -> None:
    """One probe now, without a run; or, with --run, every cell of a check of that run."""
    settings = _settings(state_dir)
    if run or name not in kinds():
        _verb_said(["check", name], run, settings)
    tick = Tick(
        run="", check=name, kind=name, cell=Cell(origin=origin, number=number), scheduled_at=WallClock().now(),
        timeout_s=timeout, params=_parameters(with_),
    )  # fmt: skip
    reading = _run(check_once(load_deployment(settings.deployment), tick))
    _say(reading.model_dump_json() if json_ else f"{reading.outcome.value}: {reading.detail}")
    sys.exit(0 if reading.outcome is Outcome.PASS else 1)


def _parameters(text: str) -> dict[str, Any]:
    try:
        parameters = json.loads(text)
    except ValueError:
        parameters = None
    if not isinstance(parameters, dict):
        raise SettingsRefused(
            f'--with is not a JSON object: {text[:80]!r}. Write it like \'{{"direction": "inbound"}}\'.'
        )
    return parameters


@app.command()
def lint(files: Annotated[list[Path], typer.Argument(help="Runbooks.")]) -> None:
    """Check runbooks: FILE:LINE:COL: CODE message. Exit 0 clean, 1 findings, 2 unusable."""
    try:
        findings = lint_files(files)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}", 2)
        return
    for finding in findings:
        _say(str(finding))
    sys.exit(1 if findings else 0)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a runbook, for editors."""
    _say(json.dumps(json_schema(kinds()), indent=2))


@audit.command(name="verify")
def audit_verify(state_dir: StateDir = None, json_: Json = False) -> None:
    """Check the chain and every seal. Exit 0 whole, 1 broken."""
    try:
        store = open_existing(_settings(state_dir), read_only=True)
    except StoreUnavailable as missing:
        raise StoreUnavailable(f"{missing} Which ledger: --state-dir DIR, or SWITCHROOM_DATABASE_URL.") from missing
    try:
        report = verify(store.rows())
    finally:
        store.close()
    head = report.head.hex()
    _say(
        json.dumps({"whole": report.broken is None, "sentence": report.sentence, "head": head})
        if json_
        else report.sentence
    )
    sys.exit(0 if report.broken is None else 1)


@app.command()
def version() -> None:
    """Print the version."""
    _say(__version__)


def _verb(name: str, help_: str) -> None:
    """Make a war-room verb a command: the words after it are those of `/cutover`."""

    def said(
        words: Annotated[list[str] | None, typer.Argument(help="As after /cutover.")] = None,
        run: Annotated[str, typer.Option(help="Which run, where several are active.")] = "",
        state_dir: StateDir = None,
    ) -> None:
        _verb_said([name, *(words or ())], run, _settings(state_dir))

    said.__doc__ = help_
    app.command(name=name, context_settings={"ignore_unknown_options": True})(said)


def _verb_said(words: list[str], run: str, settings: Settings) -> NoReturn:
    """Say a verb line to the bot, print the answer, and end with its code."""
    body = {"line": shlex.join(words), "run": run, "command_id": uuid.uuid4().hex}
    done, text = _run(_speak(settings, body))
    # In a terminal there is no `/cutover`, and no marks of code around it.
    _say(text.replace("`", "").replace("/cutover ", "switchroom "))
    sys.exit(0 if done else 1)


async def _speak(settings: Settings, body: dict[str, str]) -> tuple[bool, str]:
    """Speak to the running bot, or, with none, take the lease and do it here."""
    where = read_private(settings.state_dir / CONTROL_FILE)
    if where is not None:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                headers = {"Authorization": f"Bearer {where['token']}"}
                answer = await client.post(f"{where['url']}/control/say", json=body, headers=headers)
                answer.raise_for_status()
                told = answer.json()
                return bool(told["done"]), str(told["text"])
        except httpx.ConnectError:
            pass  # the bot died without taking its file away: the lease says whether we may go on
        except httpx.HTTPError as error:
            raise StoreUnavailable(
                f"The bot did not answer ({type(error).__name__}). Whether it was done is not known; ask: switchroom status"
            ) from error
    return await say_alone(settings, load_deployment(settings.deployment), body)


for _name, _one in VERBS.items():
    if _name not in {"check", "help"}:
        _verb(_name, _one.help)

if __name__ == "__main__":
    main()
