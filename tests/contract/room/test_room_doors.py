"""Foreign pages, foreign names and old tokens are refused; a restart keeps what was said; the process ends cleanly."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from pydantic import ValidationError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.errors import SettingsRefused
from bot.room import RoomConfig, RoomPerson, RoomSaysNo, RoomUser, RunningRoom, start_room
from bot.room.store import RoomStore

ROOM = "C0ROOM"
Json = dict[str, Any]
MakeConfig = Callable[..., RoomConfig]
OpenRoom = Callable[..., Awaitable[RunningRoom]]
SAY = {"as": "U0LENA", "channel": ROOM, "text": "approve"}


@pytest.fixture
async def http(room: RunningRoom) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=room.url, trust_env=False) as client:
        yield client


async def test_a_foreign_name_is_refused_everywhere(http: httpx.AsyncClient) -> None:
    for path in ("/", "/ui/state?as=U0LENA", "/api/api.test", "/page/app.js"):
        assert (await http.get(path, headers={"Host": "evil.example"})).status_code == 403, path
        assert (await http.get(path)).status_code == 200, path


async def test_a_foreign_page_is_refused_even_with_the_token(http: httpx.AsyncClient, lena: RoomPerson) -> None:
    own = {"X-CSRF-Token": lena.csrf}
    for foreign in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await http.post("/ui/say", json=SAY, headers={**own, **foreign})).status_code == 403
    assert (await http.post("/ui/say", json=SAY, headers={**own, "Origin": str(http.base_url).rstrip("/")})).json()[
        "ok"
    ]
    assert len(await lena.wait_for(lambda me: me.messages(ROOM))) == 1


@pytest.mark.parametrize("act", ["say", "click", "submit", "close", "react", "home", "faults"])
async def test_each_post_of_the_page_wants_the_token(http: httpx.AsyncClient, act: str) -> None:
    for headers in ({}, {"X-CSRF-Token": "guessed"}):
        answer = await http.post(f"/ui/{act}", json=SAY, headers=headers)
        assert answer.status_code == 403
        assert "CSRF" in answer.json()["error"]


async def test_each_answer_carries_the_protective_headers_and_no_cors(http: httpx.AsyncClient) -> None:
    for path in ("/", "/page/app.js", "/ui/people"):
        headers = (await http.get(path)).headers
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers


async def test_files_outside_the_page_are_not_served(http: httpx.AsyncClient) -> None:
    for path in ("/page/..%2fserver.py", "/page/%2e%2e/config.py", "/page/nothing.js"):
        assert (await http.get(path)).status_code == 404, path


async def test_the_switches_exist_only_where_configured(open_room: OpenRoom, tmp_path: Path) -> None:
    room = await open_room(switches=False, database=tmp_path / "other.sqlite")
    async with RoomPerson(room.url, "U0LENA") as lena, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{room.url}switches", json={"rotate": True}, headers={"X-CSRF-Token": lena.csrf})
    assert answer.status_code == 404


async def test_nobody_acts_in_a_channel_they_are_not_in(noor: RoomPerson) -> None:
    with pytest.raises(RoomSaysNo, match="Noor is not in this channel"):
        await noor.say("C0LEAD", "/cutover status")


async def test_what_people_type_arrives_escaped(lena: RoomPerson) -> None:
    await lena.say(ROOM, "<!channel> & <@U0NOOR> but @noor")
    said = await lena.wait_for(lambda me: me.messages(ROOM))
    assert said[0]["text"] == "&lt;!channel&gt; &amp; &lt;@U0NOOR&gt; but <@U0NOOR>"


async def test_a_restart_of_the_room_keeps_messages_pins_topics_and_forms(room_config: MakeConfig) -> None:
    config = room_config()
    first = await start_room(config)
    client = AsyncWebClient(token=first.bot_token, base_url=first.api_url)
    board = await client.chat_postMessage(channel=ROOM, text="the board")
    await client.chat_postMessage(channel=ROOM, text="in the thread", thread_ts=board["ts"])
    await client.pins_add(channel=ROOM, timestamp=board["ts"])
    await client.conversations_setTopic(channel=ROOM, topic="night 1")
    await first.close()

    second = await start_room(config)
    try:
        client = AsyncWebClient(token=config.bot_token, base_url=second.api_url)
        async with RoomPerson(second.url, "U0LENA") as lena:
            assert [message["text"] for message in lena.messages(ROOM)] == ["the board", "in the thread"]
            assert (lena.pinned(ROOM) or {})["ts"] == board["ts"]
            assert lena.channels()[0]["topic"] == "night 1"
        later = await client.chat_postMessage(channel=ROOM, text="later")
        assert later["ts"] > board["ts"]
    finally:
        await second.close()


async def test_a_page_open_during_a_restart_goes_on_by_itself(room_config: MakeConfig) -> None:
    first = await start_room(room_config())
    config = room_config(port=first.port)
    async with RoomPerson(first.url, "U0LENA") as lena:
        await first.close()
        second = await start_room(config)
        try:
            await lena.say(ROOM, "still here")
            client = AsyncWebClient(token=second.bot_token, base_url=second.api_url)
            await client.chat_postMessage(channel=ROOM, text="so am I")
            await lena.wait_for(lambda me: [m for m in me.messages(ROOM) if m["text"] == "so am I"])
        finally:
            await second.close()


async def test_a_port_in_use_is_named_with_what_to_do(
    room: RunningRoom, room_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        await start_room(room_config(port=room.port, database=tmp_path / "second.sqlite", frames_log=None))
    assert f"port {room.port} on 127.0.0.1 is in use" in str(refusal.value)
    assert 'set "port"' in str(refusal.value)


def test_the_room_listens_on_loopback_only(room_config: MakeConfig) -> None:
    with pytest.raises(ValidationError, match="is not loopback"):
        room_config(host="0.0.0.0")


def test_double_and_unknown_names_are_refused(room_config: MakeConfig) -> None:
    twins = (RoomUser(id="U0LENA", name="lena"), RoomUser(id="U0LENA", name="lena2"))
    with pytest.raises(ValidationError, match="user id used twice: U0LENA"):
        room_config(users=twins)
    with pytest.raises(ValidationError, match="members nobody declared: U0LENA"):
        room_config(users=(RoomUser(id="U0ANA", name="ana"),))


async def test_frames_are_logged_without_tokens(room: RunningRoom, client: AsyncWebClient, lena: RoomPerson) -> None:
    await client.chat_postMessage(channel=ROOM, text="logged")
    await lena.say(ROOM, "seen")
    log = room.config.frames_log
    assert log is not None
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["direction"], line["what"]) for line in lines] == [
        ("in", "chat.postMessage"),
        ("out", "chat.postMessage"),
        ("in", "/ui/say"),
    ]
    assert room.bot_token not in log.read_text()


async def test_the_carriers_switches_are_passed_on(open_room: OpenRoom) -> None:
    faults = [{"id": "dns", "title": "Slow DNS", "on": False, "description": ""}]

    async def serve(request: web.Request) -> web.Response:
        if request.method == "POST":
            wanted = await request.json()
            faults[0]["on"] = wanted["on"]
        return web.json_response(faults)

    carrier = web.Application()
    carrier.router.add_route("*", "/faults", serve)
    runner = web.AppRunner(carrier)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        room = await open_room(carrier_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with RoomPerson(room.url, "U0LENA") as lena:
            assert [fault["on"] for fault in await lena.faults()] == [False]
            await lena.set_fault("dns", on=True)
            assert [fault["on"] for fault in await lena.faults()] == [True]
    finally:
        await runner.cleanup()
    async with RoomPerson(room.url, "U0LENA") as lena:
        with pytest.raises(RoomSaysNo, match="The simulated carrier does not answer"):
            await lena.set_fault("dns", on=False)


def write_config(path: Path, config: RoomConfig, mode: int = 0o600) -> Path:
    path.write_text(config.model_dump_json(), encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("end", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
async def test_the_process_says_where_it_is_and_however_it_ends_keeps_what_was_said(
    room_config: MakeConfig, tmp_path: Path, end: signal.Signals, code: int
) -> None:
    config = room_config()
    path = write_config(tmp_path / "room.json", config)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.room", str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert ready["api_url"] == f"http://127.0.0.1:{ready['port']}/api/"
        client = AsyncWebClient(token=config.bot_token, base_url=ready["api_url"])
        await client.chat_postMessage(channel=ROOM, text="hello")
        async with RoomPerson(ready["url"], "U0LENA") as lena:
            await lena.wait_for(lambda me: me.messages(ROOM))
            process.send_signal(end)
            assert await asyncio.wait_for(process.wait(), 10) == code
    finally:
        if process.returncode is None:
            process.kill()
        errors = await process.stderr.read()
        await process.stdout.read()
        await process.wait()
    assert errors == b""
    store = RoomStore(config.database)
    try:
        assert [message["text"] for message in store.messages(ROOM)] == ["hello"]
    finally:
        store.close()


async def test_a_config_file_that_others_may_read_is_refused(room_config: MakeConfig, tmp_path: Path) -> None:
    path = write_config(tmp_path / "room.json", room_config(), mode=0o644)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.room", str(path), stderr=asyncio.subprocess.PIPE, env={**os.environ}
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert f"chmod 600 {path}" in errors.decode()


async def test_a_free_port_is_really_taken_on_loopback(room: RunningRoom) -> None:
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", room.port)) == 0
    assert room.url == f"http://127.0.0.1:{room.port}/"
