"""
What is said to one person only: in the channel, visible to them alone.

Tries the channel first, then the address that came with the command. Never raises: the answer of something
that is done already must not undo anything.
"""

import asyncio

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.adapters.slack.pace import Pace
from bot.adapters.slack.trouble import as_outbox
from bot.outbox import RoomBusy, RoomRefused
from bot.words.message import Message

log = structlog.get_logger()

_TRIES = 3


class Whisperer:
    """Answers one person privately."""

    def __init__(self, client: AsyncWebClient, pace: Pace) -> None:
        self._client = client
        self._pace = pace

    async def whisper(self, channel: str, user: str, message: Message, response_url: str = "") -> None:
        """Show *message* to *user* alone."""
        text, blocks = inert(message.text) if not message.blocks else message.text, list(message.blocks)
        for left in reversed(range(_TRIES)):
            try:
                with as_outbox(self._pace):
                    await self._client.chat_postEphemeral(channel=channel, user=user, text=text, blocks=blocks or None)
            except RoomBusy as busy:
                if not left:
                    await self._by_address(response_url, text, blocks, str(busy))
                    return
                await asyncio.sleep(busy.after_s)
            except RoomRefused as refused:
                await self._by_address(response_url, text, blocks, str(refused))
                return
            else:
                return

    async def _by_address(self, url: str, text: str, blocks: list[dict[str, object]], why: str) -> None:
        if not url:
            log.warning("private answer not delivered", why=why)
            return
        hook = AsyncWebhookClient(url, timeout=int(self._pace.timeout_s) or 1, retry_handlers=[])
        try:
            answer = await hook.send(text=text, blocks=blocks or None, response_type="ephemeral")
        except (SlackApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("private answer not delivered", why=why, then=repr(error))
            return
        if answer.status_code != 200:
            log.warning("private answer not delivered", why=why, then=f"{answer.status_code} {answer.body}")


def inert(text: str) -> str:
    """Return *text* so that nothing in it calls or links: no mention, no channel, no link. Safe text stays as it is."""
    return text.replace("<", "&lt;").replace(">", "&gt;")
