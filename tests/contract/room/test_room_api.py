"""The Web API answers as Slack does, to the SDK's own client, wherever it puts its arguments."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.room import RoomPerson, RunningRoom
from bot.room.clock import RoomClock

ROOM = "C0ROOM"
Json = dict[str, Any]
OpenRoom = Callable[..., Awaitable[RunningRoom]]
Switch = Callable[[Json], Awaitable[None]]
BLOCKS: list[Json] = [{"type": "section", "text": {"type": "mrkdwn", "text": "*one*"}}]


async def word(call: Awaitable[Any]) -> str:
    """Return the error word the call is refused with."""
    with pytest.raises(SlackApiError) as refusal:
        await call
    return str(refusal.value.response["error"])


def client_of(room: RunningRoom, token: str) -> AsyncWebClient:
    return AsyncWebClient(token=token, base_url=room.api_url, retry_handlers=[])


async def test_tokens_are_told_apart(room: RunningRoom, client: AsyncWebClient) -> None:
    answer = await client.auth_test()
    assert answer["team_id"] == "TROOM"
    assert (answer["user_id"], answer["bot_id"]) == ("U0BOT", "B0BOT")
    assert await word(client_of(room, "xoxb-other").auth_test()) == "invalid_auth"
    assert await word(client_of(room, room.app_token).auth_test()) == "not_allowed_token_type"
    assert await word(client.apps_connections_open(app_token=room.bot_token)) == "not_allowed_token_type"
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.post(f"{room.api_url}auth.test")).json() == {"ok": False, "error": "not_authed"}


async def test_an_unknown_method_is_named(client: AsyncWebClient) -> None:
    assert await word(client.api_call("chat.shout")) == "unknown_method"


@pytest.mark.parametrize("how", ["query", "form", "json"])
async def test_arguments_are_found_in_query_form_and_json(room: RunningRoom, how: str) -> None:
    address, body = f"{room.api_url}chat.postMessage", {"channel": ROOM, "text": "hello"}
    where: Json = {"query": {"params": body}, "form": {"data": body}, "json": {"json": body}}[how]
    bearer = {"Authorization": f"Bearer {room.bot_token}"}
    async with httpx.AsyncClient(trust_env=False, headers=bearer) as http:
        for method in ("GET", "POST"):
            if (method, how) != ("GET", "form"):
                answer = (await http.request(method, address, **where)).json()
                assert answer["message"]["text"] == "hello", method


async def test_a_message_without_words_or_place_is_refused(client: AsyncWebClient) -> None:
    assert await word(client.api_call("chat.postMessage", json={"channel": ROOM})) == "no_text"
    assert await word(client.chat_postMessage(channel="C0NOWHERE", text="x")) == "channel_not_found"
    assert await word(client.chat_postMessage(channel=ROOM, text="x", thread_ts="1.1")) == "thread_not_found"
    by_name = await client.chat_postMessage(channel="#cutover-night", text="x")
    assert by_name["channel"] == ROOM


async def test_timestamps_name_messages_and_only_grow(open_room: OpenRoom) -> None:
    room = await open_room(clock=RoomClock(now=lambda: 1_700_000_000.0))
    client = client_of(room, room.bot_token)
    stamps = [(await client.chat_postMessage(channel=ROOM, text=str(number)))["ts"] for number in range(3)]
    assert stamps == ["1700000000.000000", "1700000000.000001", "1700000000.000002"]


async def test_an_update_with_blocks_shows_no_edited_mark_and_one_with_text_drops_them(client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=ROOM, text="a", blocks=BLOCKS)
    with_blocks = await client.chat_update(channel=ROOM, ts=posted["ts"], text="b", blocks=BLOCKS)
    assert "edited" not in with_blocks["message"]
    text_only = await client.chat_update(channel=ROOM, ts=posted["ts"], text="c")
    assert text_only["message"]["edited"]["user"] == "U0BOT"
    assert "blocks" not in text_only["message"]
    assert await word(client.chat_update(channel=ROOM, ts=posted["ts"], text="x" * 4001)) == "msg_too_long"
    assert await word(client.chat_update(channel=ROOM, ts="1.1", text="x")) == "message_not_found"


async def test_the_bot_may_not_change_what_people_wrote(client: AsyncWebClient, lena: RoomPerson) -> None:
    await lena.say(ROOM, "mine")
    mine = (await lena.wait_for(lambda me: me.messages(ROOM)))[0]
    assert await word(client.chat_update(channel=ROOM, ts=mine["ts"], text="yours")) == "cant_update_message"
    assert await word(client.chat_delete(channel=ROOM, ts=mine["ts"])) == "cant_delete_message"


async def test_metadata_is_kept_and_shown_only_when_asked_for(client: AsyncWebClient) -> None:
    metadata = {"event_type": "effect", "event_payload": {"key": "12-3"}}
    posted = await client.chat_postMessage(channel=ROOM, text="a", metadata=metadata)
    await client.chat_update(channel=ROOM, ts=posted["ts"], text="b")
    plain = await client.conversations_history(channel=ROOM)
    assert "metadata" not in plain["messages"][0]
    full = await client.conversations_history(channel=ROOM, include_all_metadata=True)
    assert full["messages"][0]["metadata"] == metadata


async def test_history_is_newest_first_in_pages_from_oldest(client: AsyncWebClient) -> None:
    stamps = [(await client.chat_postMessage(channel=ROOM, text=str(number)))["ts"] for number in range(4)]
    since = await client.conversations_history(channel=ROOM, oldest=stamps[1])
    assert [message["text"] for message in since["messages"]] == ["3", "2"]
    first = await client.conversations_history(channel=ROOM, limit=3)
    assert first["has_more"] is True
    rest = await client.conversations_history(channel=ROOM, cursor=first["response_metadata"]["next_cursor"])
    assert [message["text"] for message in rest["messages"]] == ["0"]


async def test_a_thread_stays_out_of_the_channel_unless_broadcast(client: AsyncWebClient) -> None:
    parent = await client.chat_postMessage(channel=ROOM, text="step 7")
    await client.chat_postMessage(channel=ROOM, text="result", thread_ts=parent["ts"])
    await client.chat_postMessage(channel=ROOM, text="red!", thread_ts=parent["ts"], reply_broadcast=True)
    history = await client.conversations_history(channel=ROOM)
    assert [message["text"] for message in history["messages"]] == ["red!", "step 7"]
    assert history["messages"][1]["reply_count"] == 2
    thread = await client.conversations_replies(channel=ROOM, ts=parent["ts"])
    assert [message["text"] for message in thread["messages"]] == ["step 7", "result", "red!"]


async def test_pins_are_single_and_known(client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=ROOM, text="the board")
    await client.pins_add(channel=ROOM, timestamp=posted["ts"])
    assert await word(client.pins_add(channel=ROOM, timestamp=posted["ts"])) == "already_pinned"
    assert await word(client.pins_add(channel=ROOM, timestamp="1.1")) == "message_not_found"
    listed = await client.pins_list(channel=ROOM)
    assert [item["message"]["text"] for item in listed["items"]] == ["the board"]
    await client.pins_remove(channel=ROOM, timestamp=posted["ts"])
    assert await word(client.pins_remove(channel=ROOM, timestamp=posted["ts"])) == "no_pin"


async def test_people_groups_topics_and_bookmarks_are_answered(client: AsyncWebClient, lena: RoomPerson) -> None:
    noor = (await client.users_info(user="U0NOOR"))["user"]
    assert (noor["name"], noor["profile"]["title"], noor["is_restricted"]) == ("noor", "network-ops", False)
    assert await word(client.users_info(user="U0NOBODY")) == "user_not_found"
    assert (await client.usergroups_users_list(usergroup="S0OPS"))["users"] == ["U0NOOR"]
    assert (await client.conversations_members(channel="C0LEAD"))["members"] == ["U0LENA", "U0BOT"]
    await client.conversations_setTopic(channel=ROOM, topic="▲ validation")
    assert (await client.conversations_info(channel=ROOM))["channel"]["topic"]["value"] == "▲ validation"
    await client.bookmarks_add(channel_id=ROOM, title="Bridge", type="link", link="https://meet.example/b")
    seen = await lena.wait_for(lambda me: [c for c in me.channels() if c["id"] == ROOM and c["bookmarks"]])
    assert (seen[0]["topic"], seen[0]["bookmarks"][0]["title"]) == ("▲ validation", "Bridge")
    assert await word(client.bookmarks_add(channel_id=ROOM, title="x", type="link", link="javascript:1")) == (
        "invalid_link"
    )


async def test_a_permalink_leads_to_the_message(client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=ROOM, text="here")
    link = (await client.chat_getPermalink(channel=ROOM, message_ts=posted["ts"]))["permalink"]
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(link)
    assert answer.headers["location"] == f"/?channel={ROOM}&ts={posted['ts']}"


async def test_two_people_see_only_their_own_ephemerals(
    client: AsyncWebClient, lena: RoomPerson, noor: RoomPerson
) -> None:
    await client.chat_postEphemeral(channel=ROOM, user="U0LENA", text="for lena")
    await client.chat_postEphemeral(channel=ROOM, user="U0NOOR", text="for noor")
    await lena.wait_for(lambda me: me.ephemerals())
    await noor.wait_for(lambda me: me.ephemerals())
    assert [message["text"] for message in lena.ephemerals()] == ["for lena"]
    assert [message["text"] for message in noor.ephemerals()] == ["for noor"]
    assert (await client.conversations_history(channel=ROOM))["messages"] == []
    assert await word(client.chat_postEphemeral(channel="C0LEAD", user="U0NOOR", text="x")) == "user_not_in_channel"


async def test_a_reload_loses_ephemerals(room: RunningRoom, client: AsyncWebClient, lena: RoomPerson) -> None:
    await client.chat_postEphemeral(channel=ROOM, user="U0LENA", text="for lena")
    await lena.wait_for(lambda me: me.ephemerals())
    await client.chat_postMessage(channel=ROOM, text="later")
    async with RoomPerson(room.url, "U0LENA") as reloaded:
        await reloaded.wait_for(lambda me: me.messages(ROOM))
        assert reloaded.ephemerals() == []


async def test_a_private_channel_is_not_seen_by_others(
    client: AsyncWebClient, lena: RoomPerson, noor: RoomPerson
) -> None:
    await client.chat_postMessage(channel="C0LEAD", text="leads only")
    await client.chat_postMessage(channel=ROOM, text="all")
    await noor.wait_for(lambda me: me.messages(ROOM))
    await lena.wait_for(lambda me: me.messages("C0LEAD"))
    assert [channel["id"] for channel in noor.channels()] == [ROOM]
    assert noor.messages("C0LEAD") == []


async def test_posting_is_limited_by_channel_and_says_when_to_come_again(open_room: OpenRoom) -> None:
    seconds = [100.0]
    room = await open_room(clock=RoomClock(monotonic=lambda: seconds[0]))
    client = client_of(room, room.bot_token)
    for _ in range(4):
        await client.chat_postMessage(channel=ROOM, text="burst")
    with pytest.raises(SlackApiError) as refusal:
        await client.chat_postMessage(channel=ROOM, text="fifth")
    assert refusal.value.response.status_code == 429
    assert refusal.value.response.headers["Retry-After"] == "1"
    await client.chat_postMessage(channel="C0LEAD", text="another channel has its own limit")
    seconds[0] += 1
    await client.chat_postMessage(channel=ROOM, text="fifth")
    texts = [message["text"] for message in (await client.conversations_history(channel=ROOM))["messages"]]
    assert texts == ["fifth", "burst", "burst", "burst", "burst"]


async def test_updates_are_limited_at_fifty_a_minute(open_room: OpenRoom) -> None:
    room = await open_room(clock=RoomClock(monotonic=lambda: 5.0))
    client = client_of(room, room.bot_token)
    ts = (await client.chat_postMessage(channel=ROOM, text="board"))["ts"]
    for number in range(50):
        await client.chat_update(channel=ROOM, ts=ts, text=str(number))
    assert await word(client.chat_update(channel=ROOM, ts=ts, text="51st")) == "ratelimited"


async def test_a_storm_refuses_the_next_calls_and_then_passes(client: AsyncWebClient, switch: Switch) -> None:
    await switch({"too_many": 2})
    assert await word(client.auth_test()) == "ratelimited"
    assert await word(client.users_info(user="U0LENA")) == "ratelimited"
    await client.auth_test()


async def test_a_failing_method_fails_as_often_as_told(client: AsyncWebClient, switch: Switch) -> None:
    await switch({"fail": {"users.info": 1}})
    assert await word(client.users_info(user="U0LENA")) == "internal_error"
    await client.users_info(user="U0LENA")


async def test_a_cut_after_commit_leaves_the_message_and_no_answer(client: AsyncWebClient, switch: Switch) -> None:
    await switch({"cut_after_commit": 1})
    with pytest.raises(Exception, match=r"[Dd]isconnected"):
        await client.chat_postMessage(channel=ROOM, text="said once")
    history = await client.conversations_history(channel=ROOM)
    assert [message["text"] for message in history["messages"]] == ["said once"]


async def test_a_direct_message_is_seen_by_its_person_only(
    room: RunningRoom, client: AsyncWebClient, lena: RoomPerson
) -> None:
    opened = (await client.conversations_open(users="U0NOOR"))["channel"]["id"]
    await client.chat_postMessage(channel="U0NOOR", text="for you")
    async with RoomPerson(room.url, "U0NOOR") as noor:
        assert [message["text"] for message in noor.messages(opened)] == ["for you"]
    assert [channel["id"] for channel in lena.channels()] == [ROOM, "C0LEAD"]
