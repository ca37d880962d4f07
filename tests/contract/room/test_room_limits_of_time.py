"""Trigger ids, response URLs and Socket Mode tickets end when Slack's do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.room import RoomPerson, RunningRoom
from bot.room.clock import RoomClock

ROOM = "C0ROOM"
Json = dict[str, Any]
OpenRoom = Callable[..., Awaitable[RunningRoom]]
ConnectBot = Callable[[RunningRoom, AsyncApp], Awaitable[AsyncSocketModeHandler]]
VIEW: Json = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "A form"},
    "blocks": [{"type": "divider"}],
}


@dataclass(slots=True)
class Scene:
    """A room whose clock stands still until it is moved, a bot that notes what it is told, and Lena."""

    room: RunningRoom
    client: AsyncWebClient
    lena: RoomPerson
    at: list[float] = field(default_factory=lambda: [1000.0])
    told: list[Json] = field(default_factory=list)

    async def command(self) -> Json:
        await self.lena.say(ROOM, "/cutover status")
        return self.told[-1]


@pytest.fixture
async def scene(open_room: OpenRoom, connect: ConnectBot) -> AsyncIterator[Scene]:
    at = [1000.0]
    room = await open_room(clock=RoomClock(monotonic=lambda: at[0]))
    client = AsyncWebClient(token=room.bot_token, base_url=room.api_url, retry_handlers=[])
    app = AsyncApp(client=client)
    async with RoomPerson(room.url, "U0LENA") as lena:
        scene = Scene(room, client, lena, at)

        @app.command("/cutover")
        async def note(ack: Any, body: Json) -> None:
            scene.told.append(body)
            await ack()

        await connect(room, app)
        yield scene


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(SlackApiError) as refusal:
        await call
    return str(refusal.value.response["error"])


async def test_a_trigger_opens_one_view_within_three_seconds(scene: Scene) -> None:
    trigger = (await scene.command())["trigger_id"]
    scene.at[0] += 2.9
    await scene.client.views_open(trigger_id=trigger, view=VIEW)
    assert await refused(scene.client.views_open(trigger_id=trigger, view=VIEW)) == "exchanged_trigger_id"


async def test_a_trigger_is_too_late_after_three_seconds(scene: Scene) -> None:
    trigger = (await scene.command())["trigger_id"]
    scene.at[0] += 3.1
    assert await refused(scene.client.views_open(trigger_id=trigger, view=VIEW)) == "expired_trigger_id"
    assert await refused(scene.client.views_open(trigger_id="made.up", view=VIEW)) == "invalid_trigger_id"
    assert scene.lena.view is None


async def test_a_bad_view_does_not_use_up_its_trigger(scene: Scene) -> None:
    trigger = (await scene.command())["trigger_id"]
    bad = {**VIEW, "title": {"type": "plain_text", "text": "x" * 25}}
    assert await refused(scene.client.views_open(trigger_id=trigger, view=bad)) == "invalid_arguments"
    await scene.client.views_open(trigger_id=trigger, view=VIEW)


async def test_a_stack_holds_three_views_and_an_update_wants_the_right_hash(scene: Scene) -> None:
    first = await scene.client.views_open(trigger_id=(await scene.command())["trigger_id"], view=VIEW)
    for _ in range(2):
        await scene.client.views_push(trigger_id=(await scene.command())["trigger_id"], view=VIEW)
    trigger = (await scene.command())["trigger_id"]
    assert await refused(scene.client.views_push(trigger_id=trigger, view=VIEW)) == "push_limit_reached"
    view_id, old = first["view"]["id"], first["view"]["hash"]
    await scene.client.views_update(view_id=view_id, hash=old, view=VIEW)
    assert await refused(scene.client.views_update(view_id=view_id, hash=old, view=VIEW)) == "hash_conflict"
    assert await refused(scene.client.views_update(view_id="V0GONE", view=VIEW)) == "not_found"


async def test_a_response_url_answers_five_times_within_thirty_minutes(scene: Scene) -> None:
    hook = (await scene.command())["response_url"]
    async with httpx.AsyncClient(trust_env=False) as http:
        for number in range(5):
            assert (await http.post(hook, json={"text": str(number)})).text == "ok"
        sixth = await http.post(hook, json={"text": "5"})
        assert (sixth.status_code, sixth.json()["error"]) == (404, "used_url")
        fresh = (await scene.command())["response_url"]
        scene.at[0] += 1801
        late = await http.post(fresh, json={"text": "late"})
        assert (late.status_code, late.json()["error"]) == (404, "expired_url")
    await scene.lena.wait_for(lambda me: len(me.ephemerals()) == 5)


async def test_a_response_url_can_speak_to_all_replace_and_take_back(scene: Scene) -> None:
    hook = (await scene.command())["response_url"]
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(hook, json={"text": "to all", "response_type": "in_channel"})
        bad = await http.post(hook, json={"text": "x", "blocks": [{"type": "nothing"}]})
    assert bad.json()["error"] == "invalid_blocks"
    said = await scene.lena.wait_for(lambda me: me.messages(ROOM))
    assert said[0]["text"] == "to all"


async def test_a_socket_url_opens_once_and_not_after_its_time(scene: Scene) -> None:
    async def url() -> str:
        return str((await scene.client.apps_connections_open(app_token=scene.room.app_token))["url"])

    async with aiohttp.ClientSession() as session:
        address = await url()
        async with session.ws_connect(address) as socket:
            hello = await socket.receive_json(timeout=5)
            assert (hello["type"], hello["num_connections"]) == ("hello", 2)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(address)
        late = await url()
        scene.at[0] += 31
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(late)


async def test_an_eleventh_connection_is_sent_away(scene: Scene) -> None:
    async def url() -> str:
        return str((await scene.client.apps_connections_open(app_token=scene.room.app_token))["url"])

    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(await url()) for _ in range(10)]
        last = [await socket.receive_json(timeout=5) for socket in sockets][-1]
        assert (last["type"], last.get("reason")) == ("disconnect", "too_many_websockets")
        for socket in sockets:
            await socket.close()
