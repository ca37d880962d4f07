"""People walk an evening in the room: from the first command to the record of a decision."""

from typing import Any

import pytest

from bot.room import RoomPerson
from tests.contract.slack.evening import (
    EXEC,
    ROOM,
    RUN,
    Evening,
    is_told,
    keys,
    labels,
    opened,
    press,
    sees,
    started,
    to_the_gate,
    told,
    with_back,
    with_text,
)


async def test_an_evening_goes_from_open_to_the_record_of_a_decision(
    bot: Evening, lena: RoomPerson, noor: RoomPerson
) -> None:
    card = await to_the_gate(lena, noor)
    assert any(label.startswith("A ") for label in labels(card))

    await lena.click(card["ts"], f"{RUN}|decide 1 A")
    await is_told(lena, "1")
    assert not bot.events("Decided")
    await noor.click(card["ts"], f"{RUN}|decide 1 A")
    record = await lena.wait_for(lambda me: [m for m in me.messages(ROOM) if m["ts"] == card["ts"] and not labels(m)])
    assert "Lena" in record[0]["text"]
    assert "Noor" in record[0]["text"]
    assert [event.model_dump()["voters"] for event in bot.events("Decided")] == [("lead", "noc")]
    assert keys(lena).count(f"{RUN}/card-1") == 1
    assert [message["metadata"]["event_payload"]["key"] for message in [lena.pinned(ROOM) or {}]] == [f"{RUN}/board"]


async def test_the_reason_is_asked_after_the_vote_counts_and_reaches_the_record(
    bot: Evening, lena: RoomPerson, noor: RoomPerson
) -> None:
    card = await to_the_gate(lena, noor)
    await lena.click(card["ts"], f"{RUN}|decide 1 A")
    asked = (await lena.wait_for(lambda me: [m for m in me.ephemerals() if "Say why…" in labels(m)]))[0]
    assert bot.events("VoteCast")

    await lena.click(asked["ts"], "Say why…")
    form = await lena.wait_for(lambda me: me.view)
    assert await lena.submit(form, {"reason": 'it\'s quiet, "all green"'}) == {}
    await lena.wait_for(lambda me: me.view is None)
    record = await sees(noor, f"{RUN}/card-1", "all green")
    assert "Lena" in record["text"]
    assert len(bot.events("VoteCast")) == 1
    assert [event.model_dump()["person"] for event in bot.events("ReasonGiven")] == ["lead"]


async def test_refusals_are_told_to_one_person_and_say_what_would_work(
    bot: Evening, lena: RoomPerson, noor: RoomPerson, guest: RoomPerson
) -> None:
    await opened(lena)
    heard = len(lena.messages(ROOM))
    assert "not listed" in (await guest.say(ROOM, "/cutover sign"))[0]["text"]
    assert "/cutover open RUNBOOK" in (await guest.say(ROOM, "/cutover help"))[0]["text"]
    await noor.say(ROOM, "/cutover sgin")
    assert "Did you mean: /cutover sign" in (await is_told(noor, "sgin"))["text"]
    await noor.say(ROOM, "/cutover start")
    await is_told(noor, "sign")
    board = lena.pinned(ROOM)
    assert board is not None
    await guest.click(board["ts"], f"{RUN}|sign")
    await is_told(guest, "not listed")
    assert len(lena.messages(ROOM)) == heard
    assert not lena.ephemerals() or not told(lena, "sgin")
    assert not bot.events("CriteriaSigned")


async def test_every_verb_has_its_actor_with_the_account_and_the_door(bot: Evening, lena: RoomPerson) -> None:
    await opened(lena)
    rows = [row for row in bot.store.rows() if b'"RunOpened"' in getattr(row, "body", b"")]
    assert b'"account":"room:U0LENA"' in rows[0].body
    assert b'"via":"room"' in rows[0].body


async def test_a_note_that_calls_the_channel_stays_text(bot: Evening, lena: RoomPerson, noor: RoomPerson) -> None:
    await started(lena, noor)
    await lena.say(ROOM, "/cutover note <!channel> <@U0NOOR> <https://x.example|click> 07700 900123")
    line = (await noor.wait_for(lambda me: with_text(me, "!channel")))[0]
    shown = str([line["text"], line.get("blocks")])
    assert "<!channel>" not in shown
    assert "<@U0NOOR>" not in shown
    assert "<https" not in shown
    assert "900123" not in shown
    assert bot.events("NoteTaken")[0].model_dump()["text"].startswith("<!channel>")


@pytest.mark.usefixtures("bot")
async def test_an_unknown_word_with_a_mention_in_it_is_not_a_mention_in_the_answer(lena: RoomPerson) -> None:
    await lena.say(ROOM, "/cutover <!channel>")
    answer = await is_told(lena, "I do not know")
    assert "<!" not in str([answer["text"], answer.get("blocks")])


async def test_a_button_on_a_decided_card_says_who_was_first(bot: Evening, lena: RoomPerson, noor: RoomPerson) -> None:
    card = await to_the_gate(lena, noor)
    await noor.say(ROOM, "/cutover decide 1")
    mine = (await noor.wait_for(lambda me: [m for m in me.ephemerals() if labels(m)]))[-1]
    await lena.click(card["ts"], f"{RUN}|decide 1 A")
    await noor.click(card["ts"], f"{RUN}|decide 1 A")
    await lena.wait_for(lambda me: [m for m in me.messages(ROOM) if m["ts"] == card["ts"] and not labels(m)])
    await noor.click(mine["ts"], f"{RUN}|decide 1 B")
    assert "nothing changed" in (await is_told(noor, "Too late"))["text"]
    assert len(bot.events("VoteCast")) == 2


async def test_a_form_about_a_decided_question_is_not_opened(bot: Evening, lena: RoomPerson, noor: RoomPerson) -> None:
    card = await to_the_gate(lena, noor)
    for who in (lena, noor):
        await who.click(card["ts"], f"{RUN}|decide 1 A")
    await lena.wait_for(lambda me: [m for m in me.messages(ROOM) if m["ts"] == card["ts"] and not labels(m)])
    assert (await press(bot, "U0NOOR", "ask-1", f"{RUN}|continue 1 A")).acked
    await is_told(noor, "Too late, nothing changed")
    assert noor.view is None


async def test_a_card_that_was_replaced_says_by_which(bot: Evening, lena: RoomPerson, noor: RoomPerson) -> None:
    await to_the_gate(lena, noor)
    bot.shelf.evening = bot.shelf.evening.replace("Go for the change", "Go for the smaller change")
    await lena.say(ROOM, "/cutover amend evening because it was too large")
    await sees(lena, f"{RUN}/card-2")
    await press(bot, "U0NOOR", "say-1", f"{RUN}|decide 1 A")
    assert "Decision 2 replaced it" in (await is_told(noor, "decision 1 ended"))["text"]
    assert not bot.events("VoteCast")


@pytest.mark.usefixtures("bot")
async def test_a_form_with_a_fault_stays_open_and_says_which(lena: RoomPerson, noor: RoomPerson) -> None:
    await started(lena, noor)
    board = await with_back(noor)
    await noor.click(board["ts"], f"{RUN}|go-back")
    form = await noor.wait_for(lambda me: me.view)
    errors = await noor.submit(form, {"typed": "undone", "reason": "it is broken"})
    assert list(errors) == ["typed"]
    assert noor.view is not None
    assert await noor.submit(form, {"typed": "UNDO", "reason": "it is broken"}) == {}
    await sees(lena, f"{RUN}/card-1")


async def test_the_digest_goes_to_its_own_channel(bot: Evening, lena: RoomPerson, noor: RoomPerson) -> None:
    card = await to_the_gate(lena, noor)
    for who in (lena, noor):
        await who.click(card["ts"], f"{RUN}|decide 1 A")
    digest: list[dict[str, Any]] = await lena.wait_for(lambda me: me.messages(EXEC))
    number = bot.events("DigestDue")[0].model_dump()["number"]
    assert number == 1
    assert digest[0]["metadata"]["event_payload"]["key"]


@pytest.mark.usefixtures("bot")
async def test_a_word_in_a_channel_without_a_run_names_the_channels_that_have_one(lena: RoomPerson) -> None:
    await opened(lena)
    await lena.say(EXEC, "/cutover status")
    answer = await is_told(lena, "no run was opened in this channel")
    assert f"Active runs: {RUN} in {ROOM}" in answer["text"]
    assert "--run" not in answer["text"]
