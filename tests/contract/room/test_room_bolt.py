"""The unchanged bolt app lives in the room with nothing but another base URL."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.room import RoomPerson, RunningRoom

ROOM = "C0ROOM"
Json = dict[str, Any]
ConnectBot = Callable[[RunningRoom, AsyncApp], Awaitable[AsyncSocketModeHandler]]
Switch = Callable[[Json], Awaitable[None]]
OpenRoom = Callable[..., Awaitable[RunningRoom]]

GO: list[Json] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*Go?*"}},
    {
        "type": "actions",
        "block_id": "vote",
        "elements": [
            {"type": "button", "action_id": "go", "value": "7:A", "text": {"type": "plain_text", "text": "A Go"}}
        ],
    },
]
FORM: Json = {
    "type": "modal",
    "callback_id": "reason",
    "private_metadata": "decision 7",
    "title": {"type": "plain_text", "text": "Why?"},
    "submit": {"type": "plain_text", "text": "Record"},
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "text", "multiline": True},
        }
    ],
}


def plan(app: AsyncApp, heard: list[Json]) -> None:
    """Give *app* the listeners of a small decision: a board, a card, a form."""

    @app.command("/cutover")
    async def open_card(ack: Any, body: Json, client: AsyncWebClient, respond: Any) -> None:
        heard.append(body)
        await ack("Opening the card.")
        posted = await client.chat_postMessage(channel=body["channel_id"], text="Go?", blocks=GO)
        await client.pins_add(channel=body["channel_id"], timestamp=posted["ts"])
        await respond("The card is pinned.")

    @app.action("go")
    async def ask_why(ack: Any, body: Json, client: AsyncWebClient) -> None:
        heard.append(body)
        await ack()
        view = {**FORM, "private_metadata": body["container"]["message_ts"]}
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @app.view("reason")
    async def record(ack: Any, body: Json, view: Json, client: AsyncWebClient) -> None:
        heard.append(body)
        why = view["state"]["values"]["why"]["text"]["value"]
        if len(why) < 5:
            await ack(response_action="errors", errors={"why": "Say a little more."})
            return
        await ack()
        await client.chat_update(channel=ROOM, ts=view["private_metadata"], text=f"Go. {body['user']['id']}: {why}")


async def test_a_decision_goes_from_command_to_card_to_form_to_record(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, lena: RoomPerson, noor: RoomPerson
) -> None:
    heard: list[Json] = []
    plan(app, heard)
    await connect(room, app)

    replies = await lena.say(ROOM, "/cutover  open <wave 1>")
    assert [reply["text"] for reply in replies] == ["Opening the card."]
    assert {key: heard[0][key] for key in ("command", "text", "user_id", "user_name", "channel_id", "team_id")} == {
        "command": "/cutover",
        "text": "open &lt;wave 1&gt;",
        "user_id": "U0LENA",
        "user_name": "lena",
        "channel_id": ROOM,
        "team_id": "TROOM",
    }
    await lena.wait_for(lambda me: [m for m in me.ephemerals() if m["text"] == "The card is pinned."])
    card = await noor.wait_for(lambda me: me.pinned(ROOM))

    await noor.click(card["ts"], "7:A")
    assert heard[1]["actions"][0] | {"action_ts": ""} == {
        "type": "button",
        "action_id": "go",
        "block_id": "vote",
        "value": "7:A",
        "text": {"type": "plain_text", "text": "A Go"},
        "action_ts": "",
    }
    assert heard[1]["container"]["message_ts"] == heard[1]["message"]["ts"] == card["ts"]
    form = await noor.wait_for(lambda me: me.view)
    assert lena.view is None

    assert await noor.submit(form, {"why": ""}) == {"why": "Please fill in this field."}
    assert len(heard) == 2
    assert await noor.submit(form, {"why": "ok"}) == {"why": "Say a little more."}
    assert noor.view is not None
    assert await noor.submit(form, {"why": "all checks are green"}) == {}
    record = await lena.wait_for(lambda me: [m for m in me.messages(ROOM) if "U0NOOR" in m["text"]])
    assert record[0]["text"] == "Go. U0NOOR: all checks are green"
    assert "blocks" not in record[0]
    await noor.wait_for(lambda me: me.view is None)


async def test_without_a_bot_a_command_says_at_once_that_nothing_was_recorded(lena: RoomPerson) -> None:
    replies = await lena.say(ROOM, "/cutover status")
    assert [reply["text"] for reply in replies] == ["The bot is not connected; nothing was recorded."]
    assert lena.bot["connections"] == 0


async def test_a_bot_that_does_not_ack_in_time_is_an_operation_timeout(
    open_room: OpenRoom, connect: ConnectBot
) -> None:
    room = await open_room(timing={"ack_s": 0.2})
    app = AsyncApp(client=AsyncWebClient(token=room.bot_token, base_url=room.api_url))
    never = asyncio.Event()

    @app.command("/cutover")
    async def hang() -> None:
        await never.wait()

    await connect(room, app)
    async with RoomPerson(room.url, "U0LENA") as lena:
        replies = await lena.say(ROOM, "/cutover status")
    assert "operation_timeout" in replies[0]["text"]
    assert "look at the board" in replies[0]["text"]
    never.set()


async def test_an_unknown_command_and_a_command_in_a_thread_are_refused_by_the_room_itself(lena: RoomPerson) -> None:
    assert "/cutover" in (await lena.say(ROOM, "/cutovr status"))[0]["text"]
    await lena.say(ROOM, "hello")
    hello = (await lena.wait_for(lambda me: me.messages(ROOM)))[0]
    told = await lena.say(ROOM, "/cutover status", thread_ts=hello["ts"])
    assert told[0]["text"] == "/cutover is not supported in threads. Write it in the channel."


async def test_two_connections_share_the_envelopes_and_none_is_given_twice(
    room: RunningRoom, client: AsyncWebClient, connect: ConnectBot, lena: RoomPerson
) -> None:
    heard: list[str] = []

    def listening(name: str) -> AsyncApp:
        app = AsyncApp(client=client)

        @app.command("/cutover")
        async def answer(ack: Any, body: Json) -> None:
            heard.append(f"{name} {body['text']}")
            await ack()

        return app

    await connect(room, listening("first"))
    await connect(room, listening("second"))
    for number in range(4):
        await lena.say(ROOM, f"/cutover {number}")
    assert [line.split()[1] for line in heard] == ["0", "1", "2", "3"]
    assert {line.split()[0] for line in heard} == {"first", "second"}


async def test_a_rotated_socket_comes_back_and_hears_again(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, lena: RoomPerson, switch: Switch
) -> None:
    plan(app, [])
    await connect(room, app)
    await switch({"rotate": True})
    await lena.wait_for(lambda me: me.bot["greeted"] == 2 and me.bot["connections"] == 1)
    assert (await lena.say(ROOM, "/cutover open"))[0]["text"] == "Opening the card."


async def test_a_deaf_socket_is_noticed_by_the_bot_which_comes_again(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, lena: RoomPerson, switch: Switch
) -> None:
    plan(app, [])
    await connect(room, app)
    await switch({"deaf": True})
    await lena.wait_for(lambda me: me.bot["greeted"] == 2 and me.bot["connections"] == 1, 15)
    assert (await lena.say(ROOM, "/cutover open"))[0]["text"] == "Opening the card."


async def test_an_event_nobody_acks_is_told_again_with_its_number_and_a_command_is_not(
    open_room: OpenRoom, connect: ConnectBot
) -> None:
    room = await open_room(events=("message",), timing={"ack_s": 0.1, "event_retries_s": (0.0, 0.05, 0.1)})
    app = AsyncApp(client=AsyncWebClient(token=room.bot_token, base_url=room.api_url))
    tries: list[tuple[str, str]] = []
    done, never = asyncio.Event(), asyncio.Event()

    @app.use
    async def count(req: Any, body: Json, next_: Any) -> None:
        if body.get("type") == "event_callback":
            tries.append((body["event_id"], req.headers.get("x-slack-retry-num", ["0"])[0]))
            if len(tries) == 4:
                done.set()
        else:
            tries.append(("command", "0"))
        await never.wait()
        await next_()

    await connect(room, app)
    async with RoomPerson(room.url, "U0LENA") as lena:
        await lena.say(ROOM, "hello")
        await asyncio.wait_for(done.wait(), 5)
        assert [number for _, number in tries] == ["0", "1", "2", "3"]
        assert len({event for event, _ in tries}) == 1
        await lena.say(ROOM, "/cutover status")
        assert [name for name, _ in tries].count("command") == 1
    never.set()


async def test_a_form_may_be_updated_pushed_upon_and_cleared(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, lena: RoomPerson
) -> None:
    steps = iter(["update", "push", "clear"])

    @app.command("/cutover")
    async def open_form(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=FORM)

    @app.view("reason")
    async def step(ack: Any) -> None:
        action = next(steps)
        title = {"type": "plain_text", "text": f"After {action}"}
        await ack(response_action=action, **({} if action == "clear" else {"view": {**FORM, "title": title}}))

    await connect(room, app)
    await lena.say(ROOM, "/cutover form")
    first = await lena.wait_for(lambda me: me.view)
    await lena.submit(first, {"why": "one"})
    second = await lena.wait_for(lambda me: me.view and me.view["title"]["text"] == "After update" and me.view)
    assert second["id"] == first["id"]
    assert second["hash"] != first["hash"]
    await lena.submit(second, {"why": "two"})
    third = await lena.wait_for(lambda me: me.view and me.view["title"]["text"] == "After push" and me.view)
    assert third["previous_view_id"] == third["root_view_id"] == first["id"]
    await lena.submit(third, {"why": "three"})
    await lena.wait_for(lambda me: me.view is None)


async def test_a_closed_form_is_told_when_it_asked_for_that(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, lena: RoomPerson
) -> None:
    closed = asyncio.Event()

    @app.command("/cutover")
    async def open_form(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view={**FORM, "notify_on_close": True})

    @app.view_closed("reason")
    async def note(ack: Any, body: Json) -> None:
        await ack()
        if body["is_cleared"] is False:
            closed.set()

    await connect(room, app)
    await lena.say(ROOM, "/cutover form")
    await lena.close_view(await lena.wait_for(lambda me: me.view))
    await asyncio.wait_for(closed.wait(), 5)
    await lena.wait_for(lambda me: me.view is None)


async def test_a_click_that_crosses_an_update_still_reaches_the_bot(
    room: RunningRoom, app: AsyncApp, connect: ConnectBot, client: AsyncWebClient, lena: RoomPerson
) -> None:
    heard: list[Json] = []
    plan(app, heard)
    await connect(room, app)
    card = await client.chat_postMessage(channel=ROOM, text="Go?", blocks=GO)
    shown = await lena.wait_for(lambda me: me.message(card["ts"]))
    lena_saw = dict(shown)
    await client.chat_update(channel=ROOM, ts=card["ts"], text="Decided.")
    await lena.wait_for(lambda me: me.messages(ROOM)[0]["text"] == "Decided.")
    lena._messages[ROOM][card["ts"]] = lena_saw
    await lena.click(card["ts"], "go")
    assert heard[0]["actions"][0]["value"] == "7:A"
