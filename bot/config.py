"""
Settings from the environment, typed, read once; secrets are masked wherever they are shown.

What people, rooms and targets there are is the deployment file's affair (`core/deployment.py`).
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting of the environment; `docs/settings.md` lists them for people."""

    model_config = SettingsConfigDict(env_prefix="", frozen=True, extra="ignore", populate_by_name=True)

    slack_bot_token: SecretStr = Field(default=SecretStr(""), alias="SLACK_BOT_TOKEN")
    slack_app_token: SecretStr = Field(default=SecretStr(""), alias="SLACK_APP_TOKEN")
    slack_signing_secret: SecretStr = Field(default=SecretStr(""), alias="SLACK_SIGNING_SECRET")
    slack_api_url: str = Field(default="", alias="SLACK_API_URL")
    database_url: str = Field(default="", alias="SWITCHROOM_DATABASE_URL")
    deployment: Path = Field(default=Path("deployment.yaml"), alias="SWITCHROOM_DEPLOYMENT")
    state_dir: Path = Field(default=Path("var"), alias="SWITCHROOM_STATE_DIR")
    runbooks: Path | None = Field(default=None, alias="SWITCHROOM_RUNBOOKS")

    def database(self) -> str:
        """Return the database URL; a SQLite file in the state directory unless told."""
        return self.database_url or f"sqlite:///{self.state_dir / 'switchroom.sqlite'}"
