"""
What the Web API answers when it refuses: Slack's own words, with its extra fields.

Decides nothing; the methods raise these and the door turns them into `{"ok": false, "error": ...}`.
"""

from collections.abc import Sequence
from typing import Any

#: A JSON object as it comes over the wire; its shape is checked where it is used.
Json = dict[str, Any]


class ApiError(Exception):
    """A refusal of the Web API: *word* is Slack's error code, *extra* goes beside it."""

    def __init__(self, word: str, **extra: Any) -> None:
        super().__init__(word)
        self.word = word
        self.extra = extra

    def body(self) -> Json:
        return {"ok": False, "error": self.word, **self.extra}


class RateLimited(ApiError):
    """HTTP 429; *retry_after* are whole seconds, at least one."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("ratelimited")
        self.retry_after = retry_after


def refused_payload(word: str, faults: Sequence[str], root: str = "") -> ApiError:
    """Return the error *word* with every fault as Slack words it: `[ERROR] why [json-pointer:/where]`."""
    told = [_told(fault, root) for fault in faults]
    return ApiError(
        word, errors=[fault.removeprefix("[ERROR] ") for fault in told], response_metadata={"messages": told}
    )


def _told(fault: str, root: str) -> str:
    where, _, why = fault.partition(": ")
    return f"[ERROR] {why} [json-pointer:{root}{where}]"
