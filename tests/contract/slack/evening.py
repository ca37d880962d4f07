"""One evening of a small manual runbook, and what its people look for in the room."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from bot.adapters.slack.adapter import SlackAdapter
from bot.adapters.slack.connection import Watch
from bot.adapters.slack.pace import Pace
from bot.adapters.sql import SqlStore
from bot.core.ledger import decode
from bot.core.messages import EVENTS, Event
from bot.core.ports import Answer, EventRow
from bot.outbox import Outbox
from bot.room import RoomPerson, RunningRoom, payloads
from bot.room.sockets import Delivery
from bot.service import Commit, Service
from bot.verbs import Book, Desk

ROOM = "C0ROOM"
EXEC = "C0EXEC"
RUN = "evening-1"
RUNBOOK = """
runbook: evening
title: A small evening
phase: readiness
timezone: Europe/London
roles:
  cutover-lead: {people: [lead], deputies: [deputy]}
  network-ops: {people: [noc]}
approvals:
  criteria: {one_of_each: [cutover-lead, network-ops]}
  go: {one_of_each: [cutover-lead, network-ops]}
  go_back: {before: {any: 1, of: [cutover-lead]}, after: {one_of_each: [cutover-lead, network-ops]}}
  fix_first: {any: 1, of: [network-ops], at_most: 20m}
  continue: {one_of_each: [cutover-lead, network-ops]}
steps:
  - {id: prepare, kind: manual, title: Prepare, owner: network-ops}
  - {id: go, kind: gate, title: Go for the change, approval: go, needs: [prepare]}
  - {id: change, kind: manual, title: Make the change, needs: [go]}
rollback: [{id: put-back, kind: manual, title: Put it back}]
digests: [{id: executive, every: 30m, to: {channel: executive}}]
"""
DEPLOYMENT = """
deployment: test
people:
  lead: {name: Lena, room: [U0LENA]}
  deputy: {name: Dev, room: [U0DEV]}
  noc: {name: Noor, room: [U0NOOR]}
rooms:
  main: {channel: C0ROOM}
  executive: {channel: C0EXEC}
"""
#: The room's limits refill twenty times as fast, and so does ours.
FAST = Pace(trouble_s=0.05, timeout_s=5).faster(20)
#: A busy machine is slow and not wrong.
PATIENCE_S = 15.0
WATCH = Watch(ping_s=1, look_s=0.05, grace_s=60)


_PRESSED = itertools.count(1)


class Shelf:
    """The one runbook there is, and one that cannot be taken off the shelf."""

    def __init__(self) -> None:
        self.evening = RUNBOOK

    def names(self) -> Sequence[str]:
        return ["broken", "evening"]

    def book(self, name: str) -> Book:
        if name == "broken":
            raise RuntimeError("the shelf fell down")
        return Book(self.evening, {})


class Dice:
    """Ids and salts that differ."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def fresh_id(self) -> str:
        return f"c{next(self._count)}"

    def salt(self) -> bytes:
        return next(self._count).to_bytes(16, "big")


class NoTargets:
    """There is nothing to call this evening."""

    async def perform(self, target: str, path: str, body: Mapping[str, Any], key: str, timeout_s: float) -> Answer:  # noqa: ARG002 - the port's signature
        return Answer("failed", f"{target}{path} is not listed")


@dataclass(slots=True)
class Evening:
    """One process of the bot, connected to the room."""

    service: Service
    store: SqlStore
    desk: Desk
    outbox: Outbox
    slack: SlackAdapter
    room: RunningRoom
    shelf: Shelf
    _stack: AsyncExitStack

    def events(self, kind: str) -> list[Event]:
        """Return every event of *kind* in the ledger, in order."""
        assert kind in EVENTS
        rows = [row for row in self.store.rows() if isinstance(row, EventRow) and row.type == kind]
        return [decode(row)[1] for row in rows]

    async def die(self) -> None:
        """End without settling anything more, as far as a test can."""
        await self._stack.aclose()


StartBot = Callable[..., Awaitable[Evening]]
Switch = Callable[[dict[str, Any]], Awaitable[None]]


def told(person: RoomPerson, text: str) -> list[dict[str, Any]]:
    """Return what *person* was told privately that holds *text*."""
    return [message for message in person.ephemerals() if text in message["text"]]


async def is_told(person: RoomPerson, text: str) -> dict[str, Any]:
    """Wait until *person* is told *text* privately, and return that message."""
    return (await person.wait_for(lambda me: told(me, text), PATIENCE_S))[-1]


def with_text(person: RoomPerson, text: str, channel: str = ROOM) -> list[dict[str, Any]]:
    """Return the messages of a channel that hold *text*."""
    return [message for message in person.messages(channel) if text in message["text"]]


def keys(person: RoomPerson, channel: str = ROOM) -> list[str]:
    """Return the keys of everything posted in a channel, in order."""
    return [
        message["metadata"]["event_payload"]["key"] for message in person.messages(channel) if "metadata" in message
    ]


def with_key(person: RoomPerson, key: str) -> dict[str, Any] | None:
    """Return the message posted under *key*."""
    for message in person.messages(ROOM):
        if message.get("metadata", {}).get("event_payload", {}).get("key") == key:
            return message
    return None


async def sees(person: RoomPerson, key: str, text: str = "") -> dict[str, Any]:
    """Wait until the message under *key* is there and holds *text*."""

    def there(me: RoomPerson) -> dict[str, Any] | None:
        message = with_key(me, key)
        return message if message is not None and text in message["text"] else None

    return await person.wait_for(there, PATIENCE_S)


async def opened(lena: RoomPerson) -> None:
    """Open the run and wait for its board."""
    await lena.say(ROOM, "/cutover open evening")
    await lena.wait_for(lambda me: me.pinned(ROOM), PATIENCE_S)


async def started(lena: RoomPerson, noor: RoomPerson) -> None:
    """Open, sign and start the run."""
    await opened(lena)
    for who in (lena, noor):
        await who.say(ROOM, "/cutover sign")
        await is_told(who, "The criteria")
    await lena.say(ROOM, "/cutover start")
    await lena.wait_for(lambda me: with_text(me, "started by Lena"), PATIENCE_S)


async def to_the_gate(lena: RoomPerson, noor: RoomPerson) -> dict[str, Any]:
    """Go on until the gate asks, and return its card."""
    await started(lena, noor)
    await noor.say(ROOM, "/cutover start prepare")
    await noor.wait_for(lambda me: with_text(me, "Prepare"), PATIENCE_S)
    await noor.say(ROOM, "/cutover done prepare")
    return await sees(noor, f"{RUN}/card-1")


def labels(message: Mapping[str, Any]) -> list[str]:
    """Return the words on the buttons of *message*."""
    return [
        element["text"]["text"]
        for block in message.get("blocks", ())
        if block["type"] == "actions"
        for element in block["elements"]
    ]


async def press(evening: Evening, user: str, action_id: str, value: str) -> Delivery:
    """Press a button that the room shows no more, as a phone that was offline would."""
    room = evening.room
    action = {"type": "button", "action_id": action_id, "block_id": "b", "value": value, "action_ts": "1.000001"}
    payload = payloads.message_click(
        room.config,
        next(one for one in room.config.users if one.id == user),
        room.config.channels[0],
        {"ts": "1.000000", "text": "an old message"},
        {**action, "text": {"type": "plain_text", "text": "Press"}},
        {},
        f"old.{next(_PRESSED)}",
        f"{room.url}respond/nobody",
    )
    return await room.hub.deliver("interactive", payload)


def command(evening: Evening, user: str, text: str, trigger: str) -> dict[str, Any]:
    """Return the envelope's content for a command, to be told more than once."""
    room = evening.room
    somebody = next(one for one in room.config.users if one.id == user)
    hook = f"{room.url}respond/nobody"
    return payloads.slash_command(room.config, somebody, room.config.channels[0], "/cutover", text, trigger, hook)


async def settled(evening: Evening) -> None:
    """Wait until nothing is left to deliver."""
    loop, written = asyncio.get_running_loop(), asyncio.Event()

    def heard(_commit: Commit) -> None:
        loop.call_soon_threadsafe(written.set)

    evening.service.on_commit(heard)
    async with asyncio.timeout(15):
        while await asyncio.to_thread(evening.store.due_effects, evening.service.now(), 1):
            await written.wait()
            written.clear()


async def with_back(person: RoomPerson) -> dict[str, Any]:
    """Wait until the board offers to go back, and return it."""

    def offers(me: RoomPerson) -> dict[str, Any] | None:
        board = me.pinned(ROOM)
        return board if board is not None and any("Undo" in label for label in labels(board)) else None

    return await person.wait_for(offers, PATIENCE_S)
