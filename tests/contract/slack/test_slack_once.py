"""Recorded first, acknowledged in time, counted once: whatever the network and the process do."""

import asyncio
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.heard import heard, without_secrets
from bot.adapters.slack.listen import NOT_RECORDED, OUR_FAULT
from bot.core.model import Via
from bot.core.ports import InboxRow
from bot.room import RoomPerson
from bot.service import Inbound
from tests.contract.slack.evening import (
    FAST,
    ROOM,
    RUN,
    Evening,
    StartBot,
    command,
    is_told,
    opened,
    press,
    started,
    to_the_gate,
    told,
    with_back,
    with_text,
)


async def test_a_double_click_counts_once_and_the_second_is_told(
    bot: Evening, lena: RoomPerson, noor: RoomPerson
) -> None:
    card = await to_the_gate(lena, noor)
    await asyncio.gather(*(lena.click(card["ts"], f"{RUN}|decide 1 A") for _ in range(2)))
    await is_told(lena, "was counted at")
    assert len(bot.events("VoteCast")) == 1


async def test_an_envelope_told_again_counts_once(bot: Evening, lena: RoomPerson, noor: RoomPerson) -> None:
    await started(lena, noor)
    payload = command(bot, "U0LENA", 'add "call the bridge" @noc', "1.trigger")
    for _ in range(3):
        assert (await bot.room.hub.deliver("slash_commands", payload)).acked
    await noor.wait_for(lambda me: with_text(me, "call the bridge"))
    assert (await bot.room.hub.deliver("slash_commands", payload)).acked
    await lena.say(ROOM, "/cutover note the end")
    await noor.wait_for(lambda me: with_text(me, "the end"))
    assert len(bot.events("TaskAdded")) == 1


async def test_what_is_not_recorded_in_time_is_said_to_be_not_recorded_and_never_happens(
    start_bot: StartBot, lena: RoomPerson, noor: RoomPerson
) -> None:
    bot = await start_bot(replace(FAST, record_s=0.2))
    card = await to_the_gate(lena, noor)
    release = threading.Event()
    busy = bot.service._submit(lambda _: release.wait(10))
    assert [reply["text"] for reply in await lena.say(ROOM, "/cutover note too slow")] == [NOT_RECORDED]
    await lena.click(card["ts"], f"{RUN}|decide 1 A")
    await is_told(lena, NOT_RECORDED)
    release.set()
    await asyncio.wrap_future(busy)

    await lena.say(ROOM, "/cutover note in time")
    await noor.wait_for(lambda me: with_text(me, "in time"))
    assert [event.model_dump()["text"] for event in bot.events("NoteTaken")] == ["in time"]
    assert not bot.events("VoteCast")
    assert not bot.store.unsettled()


async def test_somebody_who_stops_waiting_does_not_stop_the_writer(
    bot: Evening, lena: RoomPerson, noor: RoomPerson
) -> None:
    await started(lena, noor)
    release = threading.Event()
    busy = bot.service._submit(lambda _: release.wait(10))
    waiting = [asyncio.create_task(bot.service.settle("nothing", "withdrawn")) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    release.set()
    await asyncio.wait_for(asyncio.wrap_future(busy), 5)
    await asyncio.wait_for(waiting[1], 5)
    await lena.say(ROOM, "/cutover note still writing")
    await noor.wait_for(lambda me: with_text(me, "still writing"))


async def test_a_form_that_is_not_recorded_keeps_what_was_written(
    start_bot: StartBot, lena: RoomPerson, noor: RoomPerson
) -> None:
    bot = await start_bot(replace(FAST, record_s=0.2))
    await started(lena, noor)
    await press(bot, "U0NOOR", "ask-1", f"{RUN}|go-back")
    # An old trigger opens nothing: the person is told how to say it.
    await is_told(noor, "The form did not open, nothing was done. Press again, or say /cutover undo because …")
    board = await with_back(noor)
    await noor.click(board["ts"], f"{RUN}|go-back")
    form = await noor.wait_for(lambda me: me.view)
    release = threading.Event()
    busy = bot.service._submit(lambda _: release.wait(10))
    filled = {"typed": "undo", "reason": "it is broken"}
    assert NOT_RECORDED in (await noor.submit(form, filled)).values()
    release.set()
    await asyncio.wrap_future(busy)
    assert await noor.submit(form, filled) == {}
    await noor.wait_for(lambda me: me.view is None)
    await lena.wait_for(lambda me: [m for m in me.messages(ROOM) if "DECISION 1" in m["text"]])
    assert len(bot.events("DecisionOpened")) == 1


@pytest.mark.usefixtures("bot")
async def test_a_form_whose_words_would_be_refused_says_so_inside(lena: RoomPerson, noor: RoomPerson) -> None:
    await started(lena, noor)
    board = await with_back(noor)
    await noor.click(board["ts"], f"{RUN}|go-back")
    form = await noor.wait_for(lambda me: me.view)
    await lena.say(ROOM, "/cutover undo because I was faster")
    await noor.wait_for(lambda me: with_text(me, "A, UNDO"))
    errors = await noor.submit(form, {"typed": "undo", "reason": "too late"})
    assert list(errors.values()) == ["The run is going back already, by decision 1."]


async def test_a_fault_of_ours_after_the_ack_takes_no_ack_back_and_is_told(bot: Evening, lena: RoomPerson) -> None:
    assert await lena.say(ROOM, "/cutover open broken") == []
    await is_told(lena, OUR_FAULT)
    assert not told(lena, "operation_timeout")
    await lena.say(ROOM, "/cutover open evening")
    await lena.wait_for(lambda me: me.pinned(ROOM))
    assert not bot.store.unsettled()


async def test_a_button_of_another_time_is_acknowledged_all_the_same(
    bot: Evening, lena: RoomPerson, client: AsyncWebClient
) -> None:
    button = {"type": "button", "action_id": "elsewhere", "value": "1", "text": {"type": "plain_text", "text": "Old"}}
    await client.chat_postMessage(channel=ROOM, text="old", blocks=[{"type": "actions", "elements": [button]}])
    old = (await lena.wait_for(lambda me: with_text(me, "old")))[0]
    assert await lena.click(old["ts"], "elsewhere") == []
    assert bot.slack.connected


async def test_what_was_recorded_and_not_done_before_a_restart_is_done_and_answered(
    start_bot: StartBot, lena: RoomPerson, noor: RoomPerson
) -> None:
    bot = await start_bot()
    await started(lena, noor)
    body = command(bot, "U0LENA", "note before the restart", "9.trigger")
    key = heard(body, "TROOM").key
    row = InboxRow(key, "slack", datetime(2026, 12, 8, 2, tzinfo=UTC), without_secrets(body))
    await bot.slack.close()
    await bot.service.receive(Inbound(row))
    await bot.die()

    again = await start_bot()
    await noor.wait_for(lambda me: with_text(me, "before the restart"))
    assert len(again.events("NoteTaken")) == 1
    assert not again.store.unsettled()
    assert (await again.room.hub.deliver("slash_commands", body)).acked
    assert len(again.events("NoteTaken")) == 1


async def test_the_inbox_holds_no_token_and_no_address_to_answer_as_us(bot: Evening, lena: RoomPerson) -> None:
    await opened(lena)
    kept = without_secrets(command(bot, "U0LENA", "status", "1.t"))
    assert set(json.loads(kept)) & {"token", "response_url"} == set()
    assert json.loads(kept)["text"] == "status"


def test_an_account_belongs_to_the_workspace_its_user_is_from() -> None:
    body = {"command": "/cutover", "user_id": "U1", "team_id": "T1", "channel_id": "C1", "text": "", "trigger_id": "1"}
    assert (heard(body, "T1").via, heard(body, "T1").account) == (Via.SLACK, "slack:T1/U1")
    click = {
        "type": "block_actions",
        "user": {"id": "U1", "team_id": "T2"},
        "team": {"id": "T1"},
        "trigger_id": "1",
        "actions": [{"action_id": "say-1", "value": "run-1|pause"}],
    }
    assert heard(click, "T1").account == "slack:T2/U1"
    # A workspace elsewhere that calls itself the room's has none of the room's people.
    assert heard({**body, "team_id": "TROOM"}, "T1").account == "slack:TROOM/U1"
    assert heard({**body, "team_id": "TROOM"}, "TROOM").account == "room:U1"
