"""What only one person sees: ephemerals with buttons, forms that change while open, the home tab."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.room import NotSeen, RoomPerson, RoomSaysNo, RunningRoom

ROOM = "C0ROOM"
Json = dict[str, Any]
OpenRoom = Callable[..., Awaitable[RunningRoom]]
ConnectBot = Callable[[RunningRoom, AsyncApp], Awaitable[AsyncSocketModeHandler]]


def row(*names: str) -> Json:
    buttons = [{"type": "button", "action_id": name, "text": {"type": "plain_text", "text": name}} for name in names]
    return {"type": "actions", "elements": buttons}


async def test_a_button_in_an_ephemeral_replaces_and_removes_it_by_its_response_url(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, client: AsyncWebClient, lena: RoomPerson
) -> None:
    seen: list[Json] = []

    @app.action("more")
    async def more(ack: Any, body: Json, respond: Any) -> None:
        seen.append(body)
        await ack()
        await respond(text="more of it", blocks=[row("enough")], replace_original=True)

    @app.action("enough")
    async def enough(ack: Any, respond: Any) -> None:
        await ack()
        await respond(delete_original=True)

    await connect(room, app)
    whisper = await client.chat_postEphemeral(channel=ROOM, user="U0LENA", text="a hint", blocks=[row("more")])
    ts = whisper["message_ts"]
    await lena.wait_for(lambda me: me.message(ts))
    await lena.click(ts, "more")
    assert seen[0]["container"]["is_ephemeral"] is True
    assert "message" not in seen[0]
    replaced = await lena.wait_for(lambda me: [m for m in me.ephemerals() if m["text"] == "more of it"])
    assert replaced[0]["ts"] == ts
    await lena.click(ts, "enough")
    await lena.wait_for(lambda me: not me.ephemerals())


async def test_nobody_else_can_use_a_button_of_my_ephemeral(
    client: AsyncWebClient, lena: RoomPerson, noor: RoomPerson
) -> None:
    whisper = await client.chat_postEphemeral(channel=ROOM, user="U0LENA", text="a hint", blocks=[row("more")])
    mine = await lena.wait_for(lambda me: me.message(whisper["message_ts"]))
    noor._ephemerals[mine["ts"]] = (ROOM, mine)
    with pytest.raises(RoomSaysNo, match="nothing was sent"):
        await noor.click(mine["ts"], "more")


async def test_an_open_form_is_used_and_updated_while_open(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, lena: RoomPerson
) -> None:
    note = {
        "type": "input",
        "block_id": "note",
        "label": {"type": "plain_text", "text": "Note"},
        "element": {"type": "plain_text_input", "action_id": "text"},
    }
    view: Json = {
        "type": "modal",
        "title": {"type": "plain_text", "text": "One"},
        "submit": {"type": "plain_text", "text": "Send"},
        "blocks": [note, row("again")],
    }
    typed: list[str] = []

    @app.command("/cutover")
    async def open_form(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @app.action("again")
    async def change(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        typed.append(body["view"]["state"]["values"]["note"]["text"]["value"])
        fresh = {**view, "title": {"type": "plain_text", "text": "Two"}}
        await client.views_update(view_id=body["view"]["id"], hash=body["view"]["hash"], view=fresh)

    await connect(room, app)
    await lena.say(ROOM, "/cutover form")
    form = await lena.wait_for(lambda me: me.view)
    assert await lena.click_in_view(form, "again", typed={"note": "half a th"}) == ""
    await lena.wait_for(lambda me: me.view and me.view["title"]["text"] == "Two")
    assert typed == ["half a th"]


async def test_a_form_sent_without_a_bot_stays_open_with_a_notice(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, lena: RoomPerson
) -> None:
    @app.command("/cutover")
    async def open_form(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        view = {"type": "modal", "title": {"type": "plain_text", "text": "A form"}, "blocks": [{"type": "divider"}]}
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    handler = await connect(room, app)
    await lena.say(ROOM, "/cutover form")
    form = await lena.wait_for(lambda me: me.view)
    await handler.client.close()  # type: ignore[no-untyped-call]  # the SDK does not annotate it
    await lena.wait_for(lambda me: me.bot["connections"] == 0)
    with pytest.raises(RoomSaysNo, match="The bot is not connected; nothing was recorded"):
        await lena.submit(form, {})
    assert lena.view is not None


async def test_the_home_tab_is_each_persons_own(open_room: OpenRoom, connect: ConnectBot) -> None:
    room = await open_room(events=("app_home_opened",))
    client = AsyncWebClient(token=room.bot_token, base_url=room.api_url)
    app = AsyncApp(client=client)
    opened = asyncio.Event()

    @app.event("app_home_opened")
    async def publish(event: Json, client: AsyncWebClient) -> None:
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": [{"type": "divider"}]})
        opened.set()

    await connect(room, app)
    async with RoomPerson(room.url, "U0LENA") as lena:
        await lena._post("home", {})
        await asyncio.wait_for(opened.wait(), 5)
        assert (await lena._post("home", {}))["view"]["type"] == "home"
    async with RoomPerson(room.url, "U0NOOR") as noor:
        assert (await noor._post("home", {}))["view"] is None


async def test_a_person_who_waits_in_vain_tells_what_they_saw(client: AsyncWebClient, lena: RoomPerson) -> None:
    await client.chat_postMessage(channel=ROOM, text="something else")
    await lena.wait_for(lambda me: me.messages(ROOM))
    with pytest.raises(NotSeen, match=r"U0LENA did not see it within 0\.05 s.*something else"):
        await lena.wait_for(lambda me: me.pinned(ROOM), 0.05)
    message = lena.messages(ROOM)[0]
    with pytest.raises(NotSeen, match="no button 'Approve' there; there are: none"):
        await lena.click(message["ts"], "Approve")


async def test_a_reaction_is_told_once(open_room: OpenRoom, connect: ConnectBot) -> None:
    room = await open_room(events=("reaction_added",))
    client = AsyncWebClient(token=room.bot_token, base_url=room.api_url)
    app = AsyncApp(client=client)
    heard: asyncio.Queue[Json] = asyncio.Queue()

    @app.event("reaction_added")
    async def note(event: Json) -> None:
        await heard.put(event)

    await connect(room, app)
    posted = await client.chat_postMessage(channel=ROOM, text="keep this")
    async with RoomPerson(room.url, "U0LENA") as lena:
        await lena.react(ROOM, posted["ts"], "pushpin")
        event = await asyncio.wait_for(heard.get(), 5)
        assert (event["user"], event["reaction"], event["item"]["ts"]) == ("U0LENA", "pushpin", posted["ts"])
        with pytest.raises(RoomSaysNo, match="You reacted with this already"):
            await lena.react(ROOM, posted["ts"], "pushpin")
