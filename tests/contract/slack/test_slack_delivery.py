"""What goes out: each message once, in order, in time, and found again when its answer was lost."""

from dataclasses import replace
from functools import partial

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.pace import Budgets, Pace
from bot.adapters.slack.trouble import as_outbox
from bot.core.deployment import Deployment
from bot.core.ports import EffectRow, Lane
from bot.outbox import RoomBusy, RoomRefused
from bot.room import RoomPerson
from tests.contract.slack.evening import (
    EXEC,
    FAST,
    ROOM,
    RUN,
    Evening,
    StartBot,
    Switch,
    keys,
    opened,
    sees,
    settled,
    started,
    with_text,
)


async def test_a_post_whose_answer_was_lost_is_found_and_not_posted_twice(
    bot: Evening, lena: RoomPerson, noor: RoomPerson, switch: Switch
) -> None:
    await started(lena, noor)
    await switch({"cut_after_commit": 1})
    await lena.say(ROOM, "/cutover note cut off")
    await lena.say(ROOM, "/cutover note after it")
    await noor.wait_for(lambda me: with_text(me, "after it"))
    await settled(bot)
    assert len(with_text(noor, "cut off")) == 1
    assert len(keys(noor)) == len(set(keys(noor)))


async def test_what_a_dead_process_posted_is_found_by_the_next(
    start_bot: StartBot, lena: RoomPerson, noor: RoomPerson, switch: Switch
) -> None:
    # The place rests for a minute after a lost answer, so the first process never looks again.
    first = await start_bot(replace(FAST, trouble_s=60))
    await started(lena, noor)
    await settled(first)
    await switch({"cut_after_commit": 1})
    await lena.say(ROOM, "/cutover note last words")
    await noor.wait_for(lambda me: with_text(me, "last words"))
    await first.die()

    second = await start_bot()
    await lena.say(ROOM, "/cutover note good morning")
    await noor.wait_for(lambda me: with_text(me, "good morning"))
    await settled(second)
    assert len(with_text(noor, "last words")) == 1
    assert len(keys(noor)) == len(set(keys(noor)))


async def test_a_board_that_was_posted_and_lost_is_taken_up_and_pinned(
    start_bot: StartBot, lena: RoomPerson, switch: Switch
) -> None:
    first = await start_bot(replace(FAST, trouble_s=60), deliver=False)
    await lena.say(ROOM, "/cutover open evening")
    await lena.wait_for(lambda _: first.events("RunOpened"))
    board = next(row for row in first.store.due_effects(first.service.now(), 10) if row.kind == "board")
    await switch({"cut_after_commit": 1})
    with pytest.raises(RoomBusy) as lost:
        await first.slack.room.deliver(board, plain=False, maybe_sent=False)
    assert lost.value.maybe_sent
    await first.die()

    second = await start_bot()
    await lena.wait_for(lambda me: me.pinned(ROOM))
    await settled(second)
    assert keys(lena).count(f"{RUN}/board") == 1


async def test_a_storm_of_too_many_calls_loses_nothing_and_keeps_the_order(
    bot: Evening, lena: RoomPerson, noor: RoomPerson, switch: Switch
) -> None:
    await started(lena, noor)
    await settled(bot)
    await switch({"too_many": 2})
    for number in range(8):
        await lena.say(ROOM, f"/cutover note number {number}.")
    await noor.wait_for(lambda me: with_text(me, "number 7."), 15)
    await settled(bot)
    texts = [message["text"] for message in with_text(noor, "number ")]
    assert [text[text.index("number ") :][:9] for text in texts] == [f"number {n}." for n in range(8)]


async def test_our_pace_never_makes_slack_say_too_many(
    start_bot: StartBot, lena: RoomPerson, noor: RoomPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await start_bot()
    await started(lena, noor)
    await settled(bot)
    # An Outbox that hears "busy" only from our own budget hears "paced".
    heard: list[str] = []
    deliver = bot.slack.room.deliver

    async def listening(effect: EffectRow, *, plain: bool, maybe_sent: bool) -> object:
        try:
            return await deliver(effect, plain=plain, maybe_sent=maybe_sent)
        except RoomBusy as busy:
            heard.append(str(busy))
            raise

    monkeypatch.setattr(bot.slack.room, "deliver", listening)
    for number in range(12):
        await lena.say(ROOM, f"/cutover note number {number}.")
    await noor.wait_for(lambda me: with_text(me, "number 11."), 20)
    await settled(bot)
    assert set(heard) <= {"paced"}
    assert len(with_text(noor, "number ")) == 12


async def test_a_board_that_waits_for_its_turn_holds_up_no_line(
    start_bot: StartBot, lena: RoomPerson, noor: RoomPerson
) -> None:
    await start_bot(replace(FAST, update_every_s=1000, update_burst=2))
    await started(lena, noor)
    for number in range(3):
        await lena.say(ROOM, f"/cutover note number {number}.")
    await noor.wait_for(lambda me: with_text(me, "number 2."))


async def test_the_board_is_one_message_and_comes_back_when_somebody_deletes_it(
    bot: Evening, lena: RoomPerson, noor: RoomPerson, client: AsyncWebClient
) -> None:
    await opened(lena)
    board = lena.pinned(ROOM)
    assert board is not None
    await client.chat_delete(channel=ROOM, ts=board["ts"])
    await lena.wait_for(lambda me: not [m for m in me.messages(ROOM) if m["ts"] == board["ts"]])
    await noor.say(ROOM, "/cutover sign")
    again = await sees(noor, f"{RUN}/board", "cutover-lead")
    assert again["ts"] != board["ts"]
    await noor.wait_for(lambda me: (me.pinned(ROOM) or {}).get("ts") == again["ts"])
    await settled(bot)
    assert keys(noor).count(f"{RUN}/board") == 1


async def test_a_message_that_slack_refuses_is_refused_for_good_and_plain_text_goes_out(
    bot: Evening, lena: RoomPerson
) -> None:
    await opened(lena)
    await settled(bot)
    position = bot.service.house.position
    line = EffectRow(f"{position}.9", 2, RUN, Lane.REST, "C0NOWHERE", "line", "")
    with pytest.raises(RoomRefused, match="channel_not_found"):
        await bot.slack.room.deliver(line, plain=False, maybe_sent=False)
    there = replace(line, place=ROOM)
    sent = await bot.slack.room.deliver(there, plain=True, maybe_sent=False)
    ts = sent.reference.partition(":")[2]
    message = await lena.wait_for(lambda me: me.message(ts))
    assert "blocks" not in message
    assert sent.key == line.id
    assert not [shown for shown in bot.slack.room._shown if shown.endswith(line.id)], "what is never replaced is kept"


async def test_words_that_cannot_be_made_are_refused_and_hold_up_nothing(bot: Evening, lena: RoomPerson) -> None:
    await opened(lena)
    ghost = EffectRow("1.9", 1, RUN, Lane.REST, ROOM, "card", "99")
    with pytest.raises(RoomRefused, match="no words for card"):
        await bot.slack.room.deliver(ghost, plain=False, maybe_sent=False)


async def test_the_alarm_reaches_every_room_without_the_ledger(
    bot: Evening, lena: RoomPerson, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(lena)
    await settled(bot)
    monkeypatch.setattr(bot.slack.room, "_store", None)
    await switch({"too_many": 1})
    await bot.slack.room.alarm("✖ The ledger cannot be written: <disk full>")
    for channel in (ROOM, EXEC):
        await lena.wait_for(partial(with_text, text="cannot be written: &lt;disk full&gt;", channel=channel))


def test_budgets_give_a_short_burst_and_then_one_a_second() -> None:
    now = [100.0]
    budgets = Budgets(Pace(post_every_s=1, post_burst=3, update_every_s=2, update_burst=2), lambda: now[0])
    assert [budgets.post("C1") for _ in range(3)] == [0, 0, 0]
    assert budgets.post("C1") == pytest.approx(1)
    assert budgets.post("C2") == 0
    now[0] += 0.5
    assert budgets.post("C1") == pytest.approx(0.5)
    now[0] += 0.5
    assert budgets.post("C1") == 0


def test_a_board_leaves_the_last_update_to_a_card() -> None:
    budgets = Budgets(Pace(update_every_s=2, update_burst=2), lambda: 0.0)
    assert budgets.update(leave=1) == 0
    assert budgets.update(leave=1) == pytest.approx(2)
    assert budgets.update() == 0


@pytest.mark.parametrize(
    ("word", "kind", "maybe_sent"),
    [
        ("invalid_blocks", RoomRefused, False),
        ("msg_too_long", RoomRefused, False),
        ("channel_not_found", RoomRefused, False),
        ("internal_error", RoomBusy, True),
        ("ratelimited", RoomBusy, False),
        ("token_revoked", RoomBusy, False),
    ],
)
def test_each_word_of_slack_is_later_or_never(word: str, kind: type[Exception], maybe_sent: bool) -> None:
    with pytest.raises(kind) as told, as_outbox(FAST):
        raise SlackApiError("no", {"ok": False, "error": word})  # type: ignore[no-untyped-call]  # the SDK does not annotate it
    assert getattr(told.value, "maybe_sent", False) is maybe_sent


@pytest.mark.parametrize(("error", "maybe_sent"), [(TimeoutError(), True), (ConnectionResetError(), True)])
def test_a_lost_answer_is_perhaps_sent(error: Exception, maybe_sent: bool) -> None:
    with pytest.raises(RoomBusy) as told, as_outbox(FAST):
        raise error
    assert told.value.maybe_sent is maybe_sent


def test_a_place_is_a_key_of_the_deployment_or_a_channel(deployment: Deployment) -> None:
    assert [deployment.channel_of(place) for place in ("executive", ROOM)] == [EXEC, ROOM]
