"""
The socket to Slack: opened, watched, and built anew when it has gone deaf.

The SDK comes back by itself from most troubles; this watches whether it did, by what it hears, and then
starts over with everything new. Decides nothing about what is heard.
"""

import asyncio
import os
import random
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.home import Home
from bot.adapters.slack.trouble import word
from bot.core.errors import SettingsRefused

log = structlog.get_logger()

SLACK_URL = "https://slack.com/api/"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@dataclass(frozen=True, slots=True)
class Watch:
    """When a silent socket counts as deaf, in real seconds."""

    ping_s: float = 5.0  #: the SDK asks this often whether anybody is there
    look_s: float = 1.0
    #: The SDK's own recovery takes about four pings; being faster would only fight it.
    grace_s: float = 30.0
    open_s: float = 15.0  #: for opening a socket
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0


def web_client(bot_token: str | None, api_url: str | None, timeout_s: float) -> AsyncWebClient:
    """
    Return a client that calls once: a retry by the SDK would post twice.

    On a loopback address the proxy variables are taken out of this process's environment: the SDK sends even
    127.0.0.1 to the proxy, whatever NO_PROXY says.
    """
    url = api_url or SLACK_URL
    if not url.endswith("/"):
        url += "/"
    if is_local(url):
        without_proxies(os.environ)
    return AsyncWebClient(token=bot_token, base_url=url, timeout=max(1, int(timeout_s)), retry_handlers=[])


def is_local(url: str) -> bool:
    """Return whether *url* is on this machine."""
    return (urlsplit(url).hostname or "") in {"127.0.0.1", "localhost", "::1"}


def without_proxies(environment: MutableMapping[str, str]) -> None:
    """Take the proxy variables out of *environment*."""
    for name in _PROXIES:
        environment.pop(name, None)


async def home_of(client: AsyncWebClient) -> Home:
    """Ask who we are. Raise SettingsRefused when the server does not answer or does not know the token."""
    try:
        answer = await client.auth_test()
    except SlackApiError as error:
        raise SettingsRefused(
            f'{client.base_url} does not take the bot token: "{word(error) or "no answer of Slack"}". Set'
            " SLACK_BOT_TOKEN to the token (xoxb-...) of the app installed in this workspace."
        ) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SettingsRefused(_unreachable(client, error)) from error
    return Home(team=str(answer["team_id"]), user=str(answer["user_id"]), bot=str(answer.get("bot_id") or ""))


def _unreachable(client: AsyncWebClient, error: Exception) -> str:
    if is_local(client.base_url):
        return (
            f"Nobody answers at {client.base_url} ({error}). Start the embedded room first, or set SLACK_API_URL to"
            " where it listens; without SLACK_API_URL real Slack is used."
        )
    return (
        f"Nobody answers at {client.base_url} ({error}). Check the network and HTTPS_PROXY, or SLACK_API_URL if"
        " another server is meant."
    )


class SlackConnection:
    """One socket for *app*, for as long as this is open: `start`, then `close`."""

    def __init__(self, app: AsyncApp, app_token: str, watch: Watch) -> None:
        self._app = app
        self._app_token = app_token
        self._watch = watch
        self._handler: AsyncSocketModeHandler | None = None
        self._watching: asyncio.Task[None] | None = None
        self._last_pong: float | None = None
        self._heard_at = 0.0

    @property
    def connected(self) -> bool:
        """Whether somebody answered on the socket lately."""
        return self._open() and self.silent_s < self._watch.ping_s * 4

    @property
    def silent_s(self) -> float:
        """For how many seconds nobody has answered."""
        self._listen_for_pong()
        return time.monotonic() - self._heard_at

    async def start(self) -> None:
        """Connect. Raise SettingsRefused when the app token is not taken."""
        try:
            await self._connect()
        except SlackApiError as error:
            raise SettingsRefused(
                f'{self._app.client.base_url} does not open a socket: "{word(error)}". Set SLACK_APP_TOKEN to an'
                " app-level token (xapp-...) with the scope connections:write, and switch Socket Mode on."
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SettingsRefused(_unreachable(self._app.client, error)) from error
        self._watching = asyncio.create_task(self._supervise(), name="slack-socket")

    async def close(self) -> None:
        """Disconnect and stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._drop()

    # ------------------------------------------------------------------ one handler

    async def _connect(self) -> None:
        """Open a socket with a new handler. The SDK would try for ever with a token that is not taken: we ask first."""
        answer = await self._app.client.apps_connections_open(app_token=self._app_token)
        handler = AsyncSocketModeHandler(self._app, self._app_token, ping_interval=self._watch.ping_s)
        self._handler = handler
        handler.client.wss_uri = str(answer["url"])
        try:
            async with asyncio.timeout(self._watch.open_s):
                await handler.connect_async()  # type: ignore[no-untyped-call]  # the SDK does not annotate it
        except BaseException:
            await self._drop()
            raise
        self._last_pong = None
        self._heard_at = time.monotonic()

    async def _drop(self) -> None:
        handler, self._handler = self._handler, None
        if handler is None:
            return
        client = handler.client
        tasks = [client.message_processor, client.current_session_monitor, client.message_receiver]
        with suppress(aiohttp.ClientError, OSError):
            await handler.close_async()  # type: ignore[no-untyped-call]  # the SDK does not annotate it
        # The SDK cancels its tasks and does not wait for them.
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    def _open(self) -> bool:
        client = self._handler.client if self._handler is not None else None
        return (
            client is not None
            and not client.closed
            and not client.stale
            and client.current_session is not None
            and not client.current_session.closed
        )

    def _listen_for_pong(self) -> None:
        """Notice an answer on the monotonic clock: the SDK keeps its time by the wall, which may step."""
        pong = self._handler.client.last_ping_pong_time if self._handler is not None else None
        if pong is not None and pong != self._last_pong:
            self._last_pong = pong
            self._heard_at = time.monotonic()

    # ------------------------------------------------------------------ watching

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(self._watch.look_s)
            if self.silent_s >= self._watch.grace_s:
                log.warning("socket deaf, starting over", silent_s=round(self.silent_s))
                await self._rebuild()

    async def _rebuild(self) -> None:
        """Start over until it works, waiting longer each time, never all bots at the same moment."""
        wait_s = self._watch.first_wait_s
        while True:
            await self._drop()
            try:
                await self._connect()
            except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("socket not opened", why=repr(error))
            else:
                log.info("socket opened again")
                return
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, hides nothing
            wait_s = min(wait_s * 2, self._watch.longest_wait_s)
