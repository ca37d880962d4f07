"""
Settings from the environment, typed, read once; secrets are masked wherever they are shown.

What people, rooms and targets there are is the deployment file's affair (`core/deployment.py`).
"""

import os
import sys
from pathlib import Path

import structlog
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting of the environment; `docs/settings.md` lists them for people."""

    model_config = SettingsConfigDict(env_prefix="", frozen=True, extra="ignore", populate_by_name=True)

    slack_bot_token: SecretStr = Field(default=SecretStr(""), alias="SLACK_BOT_TOKEN")
    slack_app_token: SecretStr = Field(default=SecretStr(""), alias="SLACK_APP_TOKEN")
    slack_api_url: str = Field(default="", alias="SLACK_API_URL")
    #: How many times Slack's own rate limits the server at SLACK_API_URL takes.
    slack_pace: float = Field(default=1.0, gt=0, alias="SLACK_PACE")
    database_url: SecretStr = Field(default=SecretStr(""), alias="SWITCHROOM_DATABASE_URL")
    deployment: Path = Field(default=Path("deployment.yaml"), alias="SWITCHROOM_DEPLOYMENT")
    state_dir: Path = Field(default=Path("var"), alias="SWITCHROOM_STATE_DIR")
    runbooks: Path | None = Field(default=None, alias="SWITCHROOM_RUNBOOKS")

    def database(self) -> str:
        """Return the database URL; a SQLite file in the state directory unless told."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.state_dir / 'switchroom.sqlite'}"

    def ledger(self) -> str:
        """Return where the ledger is, in words that hold no password."""
        return "that of SWITCHROOM_DATABASE_URL" if self.database_url.get_secret_value() else self.database()


def log_to_stderr() -> None:
    """Log warnings, or what SWITCHROOM_LOG says, to standard error: standard output belongs to answers."""
    level = os.environ.get("SWITCHROOM_LOG", "warning").upper()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"]),
        ],
    )
