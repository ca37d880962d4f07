"""The socket: refused clearly at the start, noticed when it goes deaf, and built anew."""

import asyncio
import os
from dataclasses import replace

import pytest

from bot.adapters.slack.adapter import SlackSettings, run_slack
from bot.adapters.slack.connection import Watch, home_of, web_client, without_proxies
from bot.core.errors import SettingsRefused
from bot.room import RoomPerson, RunningRoom
from tests.contract.slack.evening import FAST, ROOM, WATCH, Evening, StartBot, Switch


async def test_a_token_that_is_not_taken_is_refused_with_where_and_what_to_set(bot: Evening) -> None:
    wrong = SlackSettings("xoxb-wrong", bot.room.app_token, bot.room.api_url)
    with pytest.raises(SettingsRefused, match="SLACK_BOT_TOKEN") as told:
        await run_slack(bot.desk, wrong)
    assert bot.room.api_url in str(told.value)
    assert "xoxb-wrong" not in str(told.value)
    with pytest.raises(SettingsRefused, match="SLACK_APP_TOKEN"):
        await run_slack(bot.desk, SlackSettings(bot.room.bot_token, "xapp-wrong", bot.room.api_url))


async def test_a_server_that_is_not_there_is_refused_with_its_url() -> None:
    with pytest.raises(SettingsRefused, match=r"Nobody answers at http://127\.0\.0\.1:9/api/"):
        await home_of(web_client("xoxb-1", "http://127.0.0.1:9/api", 2))


def test_secrets_are_not_shown() -> None:
    assert "xoxb-1" not in repr(SlackSettings("xoxb-1", "xapp-1"))


async def test_on_this_machine_no_proxy_stands_between(room: RunningRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    home = await home_of(web_client(room.bot_token, room.api_url, 5))
    assert (home.team, home.user) == ("TROOM", "U0BOT")
    assert not {"HTTP_PROXY", "https_proxy"} & set(os.environ)


def test_real_slack_keeps_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert web_client("xoxb-1", None, 5).proxy == "http://proxy.example:3128"
    environment = {"HTTPS_PROXY": "x", "http_proxy": "y", "PATH": "z"}
    without_proxies(environment)
    assert environment == {"PATH": "z"}


async def test_a_socket_that_goes_deaf_and_does_not_recover_is_built_anew(
    start_bot: StartBot, lena: RoomPerson, switch: Switch
) -> None:
    bot = await start_bot(FAST, Watch(ping_s=0.5, look_s=0.05, grace_s=1.0, first_wait_s=0.05))
    old = bot.slack.connection._handler
    assert old is not None
    # Wedged as in the reports: the SDK's own watch is gone, and the socket answers nothing.
    for task in (old.client.current_session_monitor, old.client.message_receiver):
        assert task is not None
        task.cancel()
    await switch({"deaf": True})
    await lena.wait_for(lambda me: me.bot["greeted"] == 2 and me.bot["connections"] == 1, 15)
    await heard_again(lena)
    assert bot.slack.connection._handler is not old
    assert bot.slack.connected


async def test_a_rotated_socket_comes_back_by_itself(bot: Evening, lena: RoomPerson, switch: Switch) -> None:
    await switch({"rotate": True})
    await lena.wait_for(lambda me: me.bot["greeted"] == 2 and me.bot["connections"] == 1)
    await heard_again(lena)
    assert bot.slack.connection._handler is not None


async def test_a_closed_adapter_hears_nothing_more(start_bot: StartBot, lena: RoomPerson) -> None:
    bot = await start_bot(FAST, replace(WATCH, ping_s=1))
    assert bot.slack.connected
    await bot.slack.close()
    assert not bot.slack.connected
    await lena.wait_for(lambda me: me.bot["connections"] == 0)
    replies = await lena.say(ROOM, "/cutover help")
    assert "not connected" in replies[0]["text"]


async def heard_again(person: RoomPerson) -> None:
    async with asyncio.timeout(10):
        while "open RUNBOOK" not in str(person.ephemerals()):
            await person.say(ROOM, "/cutover help")
            await asyncio.sleep(0.05)
