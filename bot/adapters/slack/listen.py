"""
What people say in Slack, on its way to the one door in: recorded first, then acknowledged, then done.

Decides whose word it is, that it counts once, and what they are told privately. What a word does, and
whether it may, is decided elsewhere: here it is only a line that somebody said.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot import verbs
from bot.adapters.slack.forms import Forms
from bot.adapters.slack.heard import Heard, button, heard, without_secrets
from bot.adapters.slack.home import Home
from bot.adapters.slack.pace import Pace
from bot.adapters.slack.whisper import Whisperer, inert
from bot.core.errors import Reason, Refused, StoreUnavailable
from bot.core.model import Actor
from bot.core.ports import InboxRow
from bot.service import Inbound
from bot.verbs import Desk
from bot.words.message import Message

log = structlog.get_logger()

DOOR = "slack"
NOT_RECORDED = "NOT recorded, say it again. The ledger did not answer in time; nothing was done."
OUR_FAULT = (
    "Not done: switchroom met a fault of its own and wrote it to its log. Look at the board, then say it again or"
    " decide by voice and write it down."
)
_ANY = re.compile(".*")
_Tell = Callable[[str], Awaitable[object]]


class _NotRecorded(Exception):
    """What was said did not reach the ledger in time."""


class Listener:
    """Hears commands, buttons and forms. `close` waits for nothing: what is recorded is done after a restart."""

    def __init__(self, desk: Desk, client: AsyncWebClient, home: Home, pace: Pace) -> None:
        self._desk = desk
        self._home = home
        self._pace = pace
        self._whisperer = Whisperer(client, pace)
        self._forms = Forms(desk, client)
        self._later: set[asyncio.Task[None]] = set()

    def listen(self, app: AsyncApp) -> None:
        """Give *app* a listener for everything that can come, so that nothing stays without an answer."""
        app.command("/cutover")(self._command)
        app.action(re.compile(r"^say-"))(self._say_button)
        app.action(re.compile(r"^ask-"))(self._ask_button)
        app.view("verb")(self._form)
        app.command(_ANY)(self._other_command)
        for other in (app.action, app.view, app.view_closed, app.shortcut, app.options):
            other(_ANY)(self._other)
        app.event(_ANY)(self._other)
        app.error(self._fault)

    async def replay(self) -> None:
        """Do what was recorded and not done before a restart, oldest first, and answer whoever said it."""
        for row in await asyncio.to_thread(self._desk.store.unsettled):
            if row.door != DOOR:
                continue
            try:
                said = heard(json.loads(row.payload), self._home.team)
                actor = self._actor(said)
            except (Refused, ValueError, KeyError) as error:
                log.warning("recorded word not understood", key=row.key, why=str(error))
                await self._desk.service.settle(row.key, "refused")
                continue
            await self._do(said, actor)

    async def close(self) -> None:
        """Stop. What was recorded and not done yet is done at the next start."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    # ------------------------------------------------------------------ doors

    async def _command(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        async def tell(text: str) -> None:
            await ack(inert(text))

        await self._take(ack, body, tell)

    async def _say_button(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        await self._take(ack, body, self._privately(ack, body))

    async def _ask_button(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        """A form needs no record: what is filled in does."""
        await ack()
        self._spawn(self._ask(body))

    async def _form(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        view = body["view"]

        async def tell(text: str) -> None:
            await ack(response_action="errors", errors={self._forms.first_input(view): text})

        try:
            faults = self._forms.faults(view)
        except Exception:  # whatever broke, the person hears it: silence is the worst answer
            log.exception("form not read")
            faults = {self._forms.first_input(view): OUR_FAULT}
        if faults:
            await ack(response_action="errors", errors=faults)
            return
        await self._take(ack, body, tell, check=self._forms.check)

    async def _other_command(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        await ack(f"{inert(str(body.get('command')))} does nothing here. Say /cutover help")

    async def _other(self, ack: AsyncAck) -> None:
        await ack()

    async def _fault(self, error: Exception, body: Mapping[str, Any]) -> BoltResponse:
        log.error("listener failed", error=repr(error), type=body.get("type"))
        return BoltResponse(status=200, body="")

    # ------------------------------------------------------------------ recorded first

    async def _take(
        self,
        ack: AsyncAck,
        body: Mapping[str, Any],
        tell: _Tell,
        check: Callable[[Heard, Actor], Awaitable[None]] | None = None,
    ) -> None:
        """
        Record, acknowledge, then do.

        Nothing may raise after the ack: bolt would then take the ack back. So what follows runs by itself.
        """
        try:
            said = heard(body, self._home.team)
            actor = self._actor(said)
            if check is not None:
                await check(said, actor)
            fresh = await self._record(said, body)
        except Refused as refusal:
            await tell(refusal.sentence)
        except (_NotRecorded, StoreUnavailable):
            await tell(NOT_RECORDED)
        except Exception:  # whatever broke, the person hears it: silence is the worst answer
            log.exception("word not taken")
            await tell(OUR_FAULT)
        else:
            await ack()
            if fresh:
                self._spawn(self._do(said, actor))

    async def _record(self, said: Heard, body: Mapping[str, Any]) -> bool:
        """Write the word into the inbox. False: it came before. Raise _NotRecorded when that takes too long."""
        service = self._desk.service
        inbound = Inbound(InboxRow(said.key, DOOR, service.now(), without_secrets(body)))
        writing = asyncio.create_task(service.receive(inbound))
        # Not wait_for: it would cancel the writing, and a row that lands late must still be withdrawn.
        await asyncio.wait({writing}, timeout=self._pace.record_s)
        if not writing.done() and inbound.give_up():
            self._spawn(self._given_up(writing))
            raise _NotRecorded
        return await writing

    async def _given_up(self, writing: "asyncio.Task[bool]") -> None:
        try:
            await writing
        except StoreUnavailable as error:
            log.warning("word given up", why=str(error))

    def _actor(self, said: Heard) -> Actor:
        """Return who said it. Raise Refused for anybody who is not listed; they may ask for help only."""
        if said.user in {self._home.user, "USLACKBOT", ""}:
            raise Refused(Reason.UNKNOWN_PERSON, "Nothing was done: programs have no say here.")
        person = self._desk.deployment.person_of(said.account)
        if person is None:
            raise Refused(Reason.UNKNOWN_PERSON, self._not_listed(said))
        return Actor(person=person, account=said.account)

    def _not_listed(self, said: Heard) -> str:
        if said.kind == "command" and said.line.split()[:1] == ["help"]:
            meant = verbs.understand(said.line, self._desk, "", said.channel)
            if isinstance(meant, Message):
                return meant.text
        return (
            f"You are not listed, so nothing was done. Whoever runs switchroom can add your account {said.account} to"
            " the people of the deployment file. To speak to the room, call the bridge or write in the channel."
        )

    # ------------------------------------------------------------------ done, after the ack

    async def _do(self, said: Heard, actor: Actor) -> None:
        """Do what was said and tell whoever said it what came of it."""
        place = said.channel or self._place(said.run)
        try:
            done, answer = await verbs.say(
                said.line, self._desk, actor, said.via, place, run_id=said.run, command_id=said.key, inbox=said.key
            )
        except Exception:  # whatever broke, the person hears it: silence is the worst answer
            log.exception("word not done", key=said.key)
            done, answer = False, Message(OUR_FAULT, ())
        if not done:
            self._spawn(self._withdraw(said.key))
        if done:
            answer = self._forms.with_reason(said, actor, answer)
        await self._whisperer.whisper(place, said.user, answer, said.response_url)

    async def _withdraw(self, key: str) -> None:
        """The person was told that it was not done, so it must not be done after a restart either."""
        while True:
            try:
                await self._desk.service.settle(key, "withdrawn")
            except StoreUnavailable:
                await asyncio.sleep(self._pace.trouble_s)
            else:
                return

    async def _ask(self, body: Mapping[str, Any]) -> None:
        said = heard(body, self._home.team)
        try:
            actor = self._actor(said)
            run, words = button(body)
            await self._forms.open(said, actor, run, words, str(body["trigger_id"]))
        except Refused as refusal:
            why = refusal.sentence
        except Exception:  # whatever broke, the person hears it: silence is the worst answer
            log.exception("form not opened")
            why = OUR_FAULT
        else:
            return
        await self._whisperer.whisper(said.channel, said.user, Message(why, ()), said.response_url)

    def _privately(self, ack: AsyncAck, body: Mapping[str, Any]) -> _Tell:
        """A button's ack carries no words: the words follow."""

        async def tell(text: str) -> None:
            said = heard(body, self._home.team)
            await ack()
            self._spawn(self._whisperer.whisper(said.channel, said.user, Message(text, ()), said.response_url))

        return tell

    def _place(self, run_id: str) -> str:
        run = self._desk.service.house.runs.get(run_id)
        return self._desk.deployment.channel_of(run.place) if run is not None else ""

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._later.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("after the ack", error=repr(task.exception()))
