"""
What a room is told when it opens: its people, channels, tokens, limits and file.

Everything comes in one value (or one JSON file, mode 0600, since it holds tokens); nothing is read
from the environment, so two rooms on one machine never meet.
"""

import ipaddress
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_USER = r"^[UW][A-Z0-9]{2,}$"
_CHANNEL = r"^[CGD][A-Z0-9]{2,}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RoomUser(_Part):
    """A person of the room. `title` is the role shown beside the name in the switcher."""

    id: Annotated[str, Field(pattern=_USER)]
    name: Annotated[str, Field(pattern=r"^[a-z0-9._-]+$")]
    real_name: str = ""
    title: str = ""
    tz: str = "Europe/London"
    guest: bool = False

    @property
    def shown(self) -> str:
        return self.real_name or self.name


class RoomChannel(_Part):
    """A channel. Without `members` everybody is in it."""

    id: Annotated[str, Field(pattern=_CHANNEL)]
    name: Annotated[str, Field(pattern=r"^[a-z0-9._-]+$")]
    topic: str = ""
    members: tuple[str, ...] | None = None


class RoomGroup(_Part):
    """A user group, as `usergroups.users.list` answers it."""

    id: Annotated[str, Field(pattern=r"^S[A-Z0-9]{2,}$")]
    handle: str
    users: tuple[str, ...] = ()


class Timing(_Part):
    """Slack's own waits, in seconds. Tests shorten them; a room for people keeps them."""

    ack_s: Annotated[float, Field(gt=0)] = 3.0
    trigger_s: Annotated[float, Field(gt=0)] = 3.0
    ticket_s: Annotated[float, Field(gt=0)] = 30.0
    response_url_s: Annotated[float, Field(gt=0)] = 1800.0
    response_url_uses: Annotated[int, Field(gt=0)] = 5
    event_retries_s: tuple[float, ...] = (0.0, 60.0, 300.0)
    beat_s: Annotated[float, Field(gt=0)] = 3.0
    #: How many times faster than Slack's the rate limits refill; 1 is Slack.
    pace: Annotated[float, Field(gt=0)] = 1.0


class RoomConfig(_Part):
    """One embedded room. `port` 0 takes any free port."""

    team_id: str = "TROOM"
    team_name: str = "War room"
    bot_name: str = "switchroom"
    bot_user_id: str = "U0BOT"
    bot_id: str = "B0BOT"
    app_id: str = "A0ROOM"
    app_token: str = Field(default_factory=lambda: f"xapp-room-{secrets.token_urlsafe(24)}", repr=False)
    bot_token: str = Field(default_factory=lambda: f"xoxb-room-{secrets.token_urlsafe(24)}", repr=False)
    users: tuple[RoomUser, ...]
    channels: tuple[RoomChannel, ...]
    groups: tuple[RoomGroup, ...] = ()
    commands: tuple[str, ...] = ("/cutover",)
    #: Event types the app is subscribed to, of `message`, `app_mention`, `app_home_opened`, `reaction_added`.
    events: tuple[str, ...] = ()
    database: Path
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    #: More names the page may be reached by, where a tunnel or a container renames it (`Host` check).
    extra_hosts: tuple[str, ...] = ()
    carrier_url: str = ""
    rehearsal: bool = False
    #: Lines a newcomer reads above the message box; empty shows none.
    hints: tuple[str, ...] = ()
    frames_log: Path | None = None
    switches: bool = False
    timing: Timing = Timing()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _refuse_double("user id", [*(user.id for user in self.users), self.bot_user_id])
        _refuse_double("user name", [user.name for user in self.users])
        _refuse_double("channel id", [channel.id for channel in self.channels])
        _refuse_double("channel name", [channel.name for channel in self.channels])
        if not self.users or not self.channels:
            raise ValueError("a room needs at least one user and one channel")
        known = {user.id for user in self.users}
        for channel in self.channels:
            strangers = sorted(set(channel.members or ()) - known)
            if strangers:
                raise ValueError(f"channel {channel.name} has members nobody declared: {', '.join(strangers)}")
        if not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is not loopback: the people of this room are not authenticated, so it listens"
                " on 127.0.0.1 only; put a tunnel in front of it to show it elsewhere"
            )
        return self


def _refuse_double(what: str, values: Sequence[str]) -> None:
    doubles = sorted({value for value in values if values.count(value) > 1})
    if doubles:
        raise ValueError(f"{what} used twice: {', '.join(doubles)}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
