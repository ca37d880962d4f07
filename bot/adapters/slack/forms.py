"""
Forms before a verb is said: which opens, what is wrong in it, and what would be refused.

Opening a form changes nothing. What it will mean is asked of the service beforehand, so that nobody fills in
what cannot count.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot import verbs
from bot.adapters.slack.heard import Heard
from bot.core import messages as m
from bot.core.errors import Reason, Refused, RunbookRefused
from bot.core.model import Actor
from bot.core.standing import word_for_back
from bot.core.state import RunState
from bot.verbs import Desk
from bot.words import modals
from bot.words.message import Message, Press, buttons, section
from bot.words.safe import Said, said

log = structlog.get_logger()

#: Stands where the person will write, to ask what would be refused.
_SOMETHING = "because …"
SAY_WHY = "Say why…"


class Forms:
    """Opens and reads the forms."""

    def __init__(self, desk: Desk, client: AsyncWebClient) -> None:
        self._desk = desk
        self._client = client

    async def open(self, heard: Heard, actor: Actor, run_id: str, words: str, trigger: str) -> None:
        """Open the form that *words* (`fix-first 7 B`) name. Raise Refused where it could not count."""
        kind, _, args = words.partition(" ")
        run = self._desk.service.house.runs.get(run_id)
        if run is None or kind not in modals.KINDS:
            raise Refused(Reason.UNKNOWN_WORD, "Nothing was done: this button belongs to another night.")
        refusal = await asyncio.to_thread(self._refusal, _line(run, kind, args), heard, actor)
        if refusal is not None and refusal.reason is not Reason.BAD_ARGUMENT:
            raise refusal
        view = modals.modal(kind, run, self._desk.service.now(), args)
        try:
            await self._client.views_open(trigger_id=trigger, view=view)
        except (SlackApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("form not opened", kind=kind, why=repr(error))
            raise Refused(
                Reason.WRONG_STATE,
                f"The form did not open, nothing was done. Press again, or say /cutover {_line(run, kind, args)}",
            ) from error

    def faults(self, view: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong in a filled-in form, by block."""
        return modals.faults(view)

    def first_input(self, view: Mapping[str, Any]) -> str:
        """Return the block under which a refusal is shown."""
        return next((str(block["block_id"]) for block in view["blocks"] if block.get("type") == "input"), "")

    async def check(self, heard: Heard, actor: Actor) -> None:
        """Raise Refused where what a form means would be refused now: it is shown inside the form."""
        refusal = await asyncio.to_thread(self._refusal, heard.line, heard, actor)
        if refusal is not None:
            raise refusal

    def with_reason(self, heard: Heard, actor: Actor, answer: Message) -> Message:
        """Return *answer* with a button that asks why, where a vote counts that has no reason yet."""
        verb, _, rest = heard.line.partition(" ")
        number, _, more = rest.partition(" ")
        if heard.kind != "action" or verb != "decide" or not number.isdecimal() or not more:
            return answer
        run = self._desk.service.house.runs.get(heard.run)
        decision = run.decisions.get(int(number)) if run is not None else None
        vote = decision.votes.get(actor.person) if decision is not None else None
        if vote is None or vote.reason:
            return answer
        row = buttons(heard.run, (Press(SAY_WHY, "ask", f"reason {number}"),))
        blocks = answer.blocks or (section([said(answer.text, 2000)]),)
        return Message(answer.text, (*blocks, *row))

    def _refusal(self, line: str, heard: Heard, actor: Actor) -> Refused | None:
        try:
            meant = verbs.understand(line, self._desk, actor.person, heard.channel, heard.run)
        except Refused as refusal:
            return refusal
        except RunbookRefused as refusal:
            return Refused(Reason.BAD_ARGUMENT, str(refusal))
        if not isinstance(meant, m.Command):
            return None
        return self._desk.service.preview(meant, actor, heard.via)


def _line(run: RunState, kind: str, args: str) -> Said:
    """Return the verb line that a form of *kind* will come to, with something where the person will write."""
    match modals.KINDS[kind]:
        case "fix-first":
            return Said(f"decide {args}")
        case "continue":
            return Said(f"decide {args} {_SOMETHING}")
        case "go-back":
            return Said(f"{word_for_back(run)} {_SOMETHING}")
        case "fail":
            return Said(f"fail {args} {_SOMETHING}")
        case _:
            return Said(f"reason {args.partition(' ')[0]} {_SOMETHING}")
