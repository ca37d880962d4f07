"""
Slack put together: who we are, what is heard, what is said.

The order matters: ask who we are, listen, then do what an earlier process recorded and did not do.
"""

from dataclasses import dataclass, field

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from bot.adapters.slack.connection import SlackConnection, Watch, home_of, web_client
from bot.adapters.slack.deliver import SlackRoom
from bot.adapters.slack.home import Home
from bot.adapters.slack.listen import Listener
from bot.adapters.slack.pace import Pace
from bot.verbs import Desk

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """How to reach Slack. `api_url` is another server that speaks like it."""

    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)
    api_url: str | None = None
    pace: Pace = field(default_factory=Pace)
    watch: Watch = field(default_factory=Watch)


@dataclass(frozen=True, slots=True)
class SlackAdapter:
    """Slack, connected. `room` is what the outbox delivers to."""

    room: SlackRoom
    home: Home
    connection: SlackConnection
    _listener: Listener

    @property
    def connected(self) -> bool:
        """Whether people are heard now."""
        return self.connection.connected

    async def close(self) -> None:
        """Hear nothing more, then stop."""
        await self.connection.close()
        await self._listener.close()


async def run_slack(desk: Desk, settings: SlackSettings) -> SlackAdapter:
    """Connect, and return when people are heard. Raise SettingsRefused with what to do when that cannot be."""
    pace = settings.pace
    client = web_client(settings.bot_token, settings.api_url, pace.timeout_s)
    home = await home_of(client)

    async def authorize(**_: object) -> AuthorizeResult:
        # Known since the start: a call of the Web API before each ack would cost the ack.
        return AuthorizeResult(
            enterprise_id=None,
            team_id=home.team,
            bot_token=settings.bot_token,
            bot_id=home.bot,
            bot_user_id=home.user,
        )

    # Without a token of its own: bolt takes the one of `authorize`.
    app = AsyncApp(client=web_client(None, settings.api_url, pace.timeout_s), authorize=authorize)
    listener = Listener(desk, client, home, pace)
    listener.listen(app)
    connection = SlackConnection(app, settings.app_token, settings.watch)
    await connection.start()
    await listener.replay()
    log.info("slack connected", team=home.team, url=client.base_url)
    room = SlackRoom(client, desk.service, desk.store, desk.deployment, pace)
    return SlackAdapter(room, home, connection, listener)
