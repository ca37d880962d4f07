"""
What went wrong with a call, in the outbox's words: try later, perhaps sent already, or never.

Decides from Slack's own error word. Whatever leaves open whether the call was done counts as perhaps sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from slack_sdk.errors import SlackApiError

from bot.adapters.slack.pace import Pace
from bot.outbox import RoomBusy, RoomRefused

#: Slack says of these that part of the call may have been done.
_MAYBE_DONE = frozenset(
    {"internal_error", "fatal_error", "request_timeout", "service_unavailable", "team_added_to_org", ""}
)
#: Nothing is wrong with the message: who asks is not let in, until somebody mends that.
_CLOSED = frozenset(
    {
        "access_denied",
        "account_inactive",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "token_expired",
        "token_revoked",
    }
)
_BUSY = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})


@contextmanager
def as_outbox(pace: Pace) -> Iterator[None]:
    """Raise RoomBusy or RoomRefused for whatever a call of the Web API ends with."""
    try:
        yield
    except SlackApiError as error:
        raise _told(error, pace) from error
    except aiohttp.ClientConnectorError as error:
        raise RoomBusy(f"nobody answers: {error}", pace.trouble_s) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise RoomBusy(f"the answer was lost: {error!r}", pace.trouble_s, maybe_sent=True) from error


def word(error: SlackApiError) -> str:
    """Return Slack's word for *error*; empty where the answer was not Slack's."""
    data = getattr(error.response, "data", error.response)
    return str(data.get("error") or "") if isinstance(data, dict) else ""


def _told(error: SlackApiError, pace: Pace) -> RoomBusy | RoomRefused:
    why = word(error)
    status = getattr(error.response, "status_code", 200)
    if status == 429 or why in _BUSY:
        return RoomBusy("too many calls", _retry_after(error, pace.trouble_s))
    if status >= 500 or why in _MAYBE_DONE:
        return RoomBusy(f"Slack has trouble of its own: {why or status}", pace.trouble_s, maybe_sent=True)
    if why in _CLOSED:
        return RoomBusy(f"Slack does not let us in: {why}", pace.closed_s)
    return RoomRefused(f"{why}{_places(error)}")


def _retry_after(error: SlackApiError, otherwise: float) -> float:
    headers = getattr(error.response, "headers", None) or {}
    found = next((str(value) for name, value in headers.items() if str(name).lower() == "retry-after"), "")
    return float(found) if found.replace(".", "", 1).isdigit() else otherwise


def _places(error: SlackApiError) -> str:
    """Return where in the blocks the fault is, as Slack names it."""
    data = getattr(error.response, "data", None)
    metadata = data.get("response_metadata") if isinstance(data, dict) else None
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    return f": {'; '.join(str(message) for message in messages)}" if messages else ""
