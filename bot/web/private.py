"""Small files that only their owner may read: where the bot listens, and the token that opens the door."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from bot.core.errors import SettingsRefused

#: Where the command line finds the running bot.
CONTROL_FILE = "control.json"
#: Where a probe worker finds it.
PROBES_FILE = "probes.json"


def write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write *content* so that only its owner can read it; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
    beside.replace(path)


def read_private(path: Path) -> dict[str, str] | None:
    """Return what `write_private` wrote, or None where there is no file. Raise SettingsRefused on a bad one."""
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise SettingsRefused(
            f"{path} is another user's: the bot runs as them. Say it as that user, or in the room."
        ) from None
    except (OSError, ValueError) as error:
        raise SettingsRefused(
            f"{path} cannot be read ({type(error).__name__}). Remove it and start switchroom again."
        ) from None
    return {str(key): str(value) for key, value in raw.items()}
