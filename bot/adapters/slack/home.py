"""Who we are in Slack: the workspace and the user that our token belongs to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Home:
    """Learned once from `auth.test` at the start."""

    team: str
    user: str
    bot: str = ""
