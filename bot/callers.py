"""
Answers for callers on an event loop: the loop is woken once for a whole commit, not once for each caller.

Knows nothing of what is asked or answered.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress


class LoopAnswer:
    """As much of a `concurrent.futures.Future` as the writer needs. What is set arrives with `tell`."""

    __slots__ = ("_error", "_loop", "_result", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._result: object = None
        self._error: BaseException | None = None
        self.future: asyncio.Future[object] = loop.create_future()

    def set_running_or_notify_cancel(self) -> bool:
        """Return False where the caller waits no more."""
        return not self.future.cancelled()

    def set_result(self, result: object) -> None:
        """Keep *result* for the caller."""
        self._result = result

    def set_exception(self, error: BaseException) -> None:
        """Keep *error* for the caller."""
        self._error = error

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where the caller waits."""
        return self._loop

    def arrive(self) -> None:
        """On the caller's loop: hand over what was set."""
        if self.future.done():
            return  # cancelled meanwhile
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)


def tell(answers: Iterable[object]) -> None:
    """Let those of *answers* that loops wait for arrive. A loop that has closed waits for nothing."""
    waiting: dict[asyncio.AbstractEventLoop, list[LoopAnswer]] = {}
    for answer in answers:
        if isinstance(answer, LoopAnswer):
            waiting.setdefault(answer.loop, []).append(answer)
    for loop, told in waiting.items():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_arrive, told)


def _arrive(answers: list[LoopAnswer]) -> None:
    for answer in answers:
        answer.arrive()
