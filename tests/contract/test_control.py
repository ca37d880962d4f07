"""The control port: the command line speaks for the user that the bot is, to the running bot or, without one, alone."""

import asyncio
import json
import os
import pwd
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest

from bot import wire
from bot.adapters.clock import WallClock
from bot.config import Settings
from bot.core.deployment import Deployment, parse_deployment
from bot.core.errors import SettingsRefused, StoreUnavailable
from bot.core.ledger import decode
from bot.core.messages import NoteTaken, RunOpened
from bot.core.ports import Batch, EventRow, ReadingRow, Store
from bot.web.control import whoami
from bot.web.private import CONTROL_FILE, PROBES_FILE, read_private, write_private
from bot.wire import Bot, Plan, open_existing, running_bot, say_alone

RUNBOOK = """
runbook: small
title: A small evening
phase: readiness
timezone: Europe/London
roles:
  cutover-lead: {people: [lead]}
approvals:
  criteria: {one_of_each: [cutover-lead]}
  go: {one_of_each: [cutover-lead]}
  go_back: {before: {any: 1, of: [cutover-lead]}, after: {any: 1, of: [cutover-lead]}}
  fix_first: {any: 1, of: [cutover-lead], at_most: 20m}
  continue: {one_of_each: [cutover-lead]}
steps:
  - {id: prepare, kind: manual, title: Prepare}
rollback: [{id: put-back, kind: manual, title: Put it back}]
"""
DEPLOYMENT = """
deployment: test
people:
  lead: {name: Lena, os: [USER]}
  guest: {name: Gus, os: [gus]}
rooms:
  main: {channel: C0MAIN}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "small.yaml").write_text(RUNBOOK)
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT.replace("USER", whoami()))
    return Settings(
        SWITCHROOM_STATE_DIR=tmp_path / "var",
        SWITCHROOM_RUNBOOKS=tmp_path / "books",
        SWITCHROOM_DEPLOYMENT=tmp_path / "deployment.yaml",
        SWITCHROOM_DATABASE_URL="",
    )


@pytest.fixture
def deployment(settings: Settings) -> Deployment:
    return parse_deployment(settings.deployment.read_bytes(), "deployment.yaml")


@pytest.fixture
async def bot(settings: Settings, deployment: Deployment) -> AsyncIterator[Bot]:
    async with running_bot(settings, deployment, Plan(clock=WallClock(), probes=False)) as running:
        yield running


def door(settings: Settings) -> dict[str, str]:
    where = read_private(settings.state_dir / CONTROL_FILE)
    assert where is not None
    return where


async def said(settings: Settings, line: str, command_id: str = "") -> tuple[bool, str]:
    """Say *line* at the control port, as the command line does."""
    where = door(settings)
    # Whom a body claims to be is not asked.
    body = {"line": line, "user": "gus", "command_id": command_id}
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {where['token']}"}) as client:
        answer = await client.post(f"{where['url']}/control/say", json=body)
    assert answer.status_code == 200
    told = answer.json()
    return bool(told["done"]), str(told["text"])


def by_whom(store: Store, kind: type[NoteTaken | RunOpened]) -> list[tuple[str, str, str]]:
    """Return who did every event of *kind*: person, account, door."""
    rows = [row for row in store.rows() if isinstance(row, EventRow) and row.type == kind.__name__]
    seals = [decode(row)[0] for row in rows]
    return [(seal.actor.person, seal.actor.account, seal.via.value) for seal in seals]


def _reading(position: int) -> ReadingRow:
    return ReadingRow(position, "small-1", "door", "a", f"tick-{position}", b"{}")


def environment(settings: Settings) -> Mapping[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("SWITCHROOM", "SLACK"))},
        "SWITCHROOM_STATE_DIR": str(settings.state_dir),
        "SWITCHROOM_RUNBOOKS": str(settings.runbooks),
        "SWITCHROOM_DEPLOYMENT": str(settings.deployment),
    }


async def switchroom(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Run `switchroom ...` as a person in a terminal does; return exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", *arguments, env=environment(settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


# ------------------------------------------------------------------------------------- with a bot


@pytest.mark.usefixtures("bot")
async def test_the_files_with_tokens_are_for_their_owner_alone(settings: Settings) -> None:
    for name in (CONTROL_FILE, PROBES_FILE):
        path = settings.state_dir / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == os.getuid()
    assert door(settings)["url"].startswith("http://127.0.0.1:")
    probes = read_private(settings.state_dir / PROBES_FILE)
    assert probes is not None
    assert probes["token"] != door(settings)["token"]


@pytest.mark.usefixtures("bot")
async def test_a_token_that_is_missing_wrong_or_the_workers_opens_nothing(settings: Settings) -> None:
    probes = read_private(settings.state_dir / PROBES_FILE)
    assert probes is not None
    async with httpx.AsyncClient(trust_env=False, base_url=door(settings)["url"]) as client:
        for given in ("", "Bearer", "Bearer wrong", f"Bearer {probes['token']}", door(settings)["token"]):
            answer = await client.post("/control/say", json={"line": "open small"}, headers={"Authorization": given})
            assert answer.status_code == 401
        # Whether it lives is no secret, and needs no token.
        assert (await client.get("/health")).json()["runs"] == 0


@pytest.mark.usefixtures("bot")
async def test_a_body_that_is_no_line_is_refused_with_a_sentence(settings: Settings) -> None:
    where = door(settings)
    headers = {"Authorization": f"Bearer {where['token']}"}
    async with httpx.AsyncClient(trust_env=False, base_url=where["url"], headers=headers) as client:
        for body in ("", "{", "[]", '"open small"'):
            answer = await client.post("/control/say", content=body)
            assert (answer.status_code, answer.text) == (400, 'Send {"line": "status"}.')


async def test_a_listed_user_acts_as_the_person_by_the_door_of_the_command_line(settings: Settings, bot: Bot) -> None:
    assert (await said(settings, "open small"))[0]
    assert by_whom(bot.store, RunOpened) == [("lead", f"os:{whoami()}", "cli")]


async def test_a_user_who_is_not_listed_may_look_and_not_touch(
    settings: Settings, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say_alone(settings, deployment, {"line": "open small"})
    monkeypatch.setattr(wire, "whoami", lambda: "mallory")
    async with running_bot(settings, deployment, Plan(clock=WallClock(), probes=False)) as bot:
        head = bot.store.head()
        for line in ("sign", "pause because I can", "open small", "note hello"):
            done, text = await said(settings, line)
            assert not done
            assert 'the user "mallory" of this machine is no listed person' in text
            assert "os: [mallory]" in text
        for line in ("status", "help", "ledger", ""):
            assert (await said(settings, line))[0]
        assert bot.store.head() == head


def test_the_environment_does_not_say_who_somebody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert whoami() == pwd.getpwuid(os.geteuid()).pw_name


async def test_a_listed_person_without_a_role_is_refused_by_the_same_rules_as_in_the_room(
    settings: Settings, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say_alone(settings, deployment, {"line": "open small"})
    monkeypatch.setattr(wire, "whoami", lambda: "gus")
    async with running_bot(settings, deployment, Plan(clock=WallClock(), probes=False)) as bot:
        head = bot.store.head()
        done, text = await said(settings, "sign")
        assert not done
        assert "role" in text
        assert bot.store.head() == head


async def test_a_line_said_again_under_its_id_counts_once(settings: Settings, bot: Bot) -> None:
    await said(settings, "open small")
    for _ in range(2):
        assert (await said(settings, "note once", command_id="the-same"))[0]
    assert len(by_whom(bot.store, NoteTaken)) == 1


async def test_an_unknown_verb_names_the_nearest_and_does_nothing(settings: Settings, bot: Bot) -> None:
    head = bot.store.head()
    done, text = await said(settings, "opne small")
    assert not done
    assert "open RUNBOOK" in text
    assert bot.store.head() == head


async def test_the_command_line_finds_the_running_bot_and_speaks_through_it(settings: Settings, bot: Bot) -> None:
    code, out, err = await switchroom(settings, "open", "small")
    assert (code, err) == (0, "")
    assert out
    assert bot.service.house.active()[0].plan.runbook == "small"
    assert bot.service.house.epoch == bot.service.epoch
    code, out, _ = await switchroom(settings, "retry", "prepare")
    assert code == 1
    assert "/cutover" not in out


async def test_two_bots_on_one_ledger_are_refused_and_the_first_goes_on(
    settings: Settings, deployment: Deployment, bot: Bot
) -> None:
    with pytest.raises(StoreUnavailable, match="Use that one, or stop it first"):
        async with running_bot(settings, deployment, Plan(clock=WallClock(), probes=False)):
            pass
    assert (await said(settings, "open small"))[0]
    assert bot.service.house.active()


async def test_the_door_is_gone_with_the_bot(settings: Settings, deployment: Deployment) -> None:
    async with running_bot(settings, deployment, Plan(clock=WallClock(), probes=False)):
        url = door(settings)["url"]
    assert read_private(settings.state_dir / CONTROL_FILE) is None
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/health")


@pytest.mark.parametrize(
    ("name", "near"), [("statsu", "Did you mean: switchroom status"), ("q", "All there are: switchroom --help")]
)
async def test_a_command_that_does_not_exist_names_the_nearest(settings: Settings, name: str, near: str) -> None:
    code, out, err = await switchroom(settings, name)
    assert (code, out, err) == (2, "", f'switchroom: There is no command "{name}". Nothing was done. {near}\n')


@pytest.mark.usefixtures("bot")
async def test_the_ledger_is_listed_however_many_readings_came_since(settings: Settings, bot: Bot) -> None:
    await said(settings, "open small")
    position = bot.store.head()[0]
    # Nothing but readings for a while: the newest events are far behind the newest positions.
    bot.store.commit(Batch(readings=[_reading(position + n) for n in range(1, 500)]))
    assert "RunOpened by lead" in (await said(settings, "ledger 2"))[1]


# ---------------------------------------------------------------------------------- without a bot


async def test_with_no_bot_a_line_takes_the_lease_and_gives_it_back(settings: Settings, deployment: Deployment) -> None:
    for line in ("open small", "note one", "note two"):
        assert (await say_alone(settings, deployment, {"line": line}))[0]
    store = open_existing(settings)
    try:
        assert by_whom(store, NoteTaken) == [("lead", f"os:{whoami()}", "cli")] * 2
        epoch = store.acquire("somebody else")
        assert epoch == 4
        store.release()
    finally:
        store.close()


async def test_with_no_bot_a_refusal_gives_the_lease_back_too(
    settings: Settings, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (await say_alone(settings, deployment, {"line": "sign"}))[0]
    with monkeypatch.context() as other:
        other.setattr(wire, "whoami", lambda: "mallory")
        assert not (await say_alone(settings, deployment, {"line": "open small"}))[0]
    assert (await say_alone(settings, deployment, {"line": "open small"}))[0]


async def test_what_was_done_without_a_bot_is_taken_up_by_the_next_one(
    settings: Settings, deployment: Deployment
) -> None:
    await say_alone(settings, deployment, {"line": "open small"})
    async with running_bot(settings, deployment, Plan(clock=WallClock(), probes=False)) as running:
        assert [run.plan.runbook for run in running.service.house.active()] == ["small"]
        assert await asyncio.to_thread(running.store.due_effects, running.service.now(), 10)


async def test_a_door_that_a_dead_bot_left_behind_keeps_nobody_out(settings: Settings) -> None:
    write_private(settings.state_dir / CONTROL_FILE, {"url": "http://127.0.0.1:9", "token": "old"})
    code, out, err = await switchroom(settings, "open", "small")
    assert (code, err) == (0, "")
    assert out


# ------------------------------------------------------------------------------------ the private file


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "var" / "control.json"
    write_private(path, {"url": "a", "token": "b"})
    path.chmod(0o644)
    write_private(path, {"url": "c", "token": "d"})
    assert read_private(path) == {"url": "c", "token": "d"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["control.json"]


def test_a_damaged_private_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    path.write_text(json.dumps({"url": "x"})[:-2])
    with pytest.raises(SettingsRefused, match="Remove it and start switchroom again"):
        read_private(path)
    assert read_private(tmp_path / "none.json") is None
