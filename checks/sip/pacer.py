"""
The 20 ms beat of RTP: one timer for every stream that was given to it.

A stream is a function that sends its next packet and returns whether it goes on. The beat stops when there is
no stream, so an idle pacer costs nothing and leaves nothing open.
"""

import asyncio
from collections.abc import Callable

BEAT_S = 0.02

Stream = Callable[[], bool]


class Pacer:
    """One beat."""

    def __init__(self) -> None:
        self._streams: dict[Stream, None] = {}
        self._next: asyncio.TimerHandle | None = None

    def add(self, stream: Stream) -> None:
        """Send *stream*'s packets from the next beat on."""
        self._streams[stream] = None
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.call_at(loop.time(), self._beat, loop.time())

    def discard(self, stream: Stream) -> None:
        """Send no more of *stream*."""
        self._streams.pop(stream, None)
        if not self._streams:
            self.stop()

    def stop(self) -> None:
        """Drop every stream."""
        self._streams.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _beat(self, due: float) -> None:
        for stream in [stream for stream in self._streams if not stream()]:
            self._streams.pop(stream, None)
        if not self._streams:
            self._next = None
            return
        loop = asyncio.get_running_loop()
        # After a stall the beat goes on from now: a burst of late packets would only look like jitter.
        following = max(due + BEAT_S, loop.time() - BEAT_S)
        self._next = loop.call_at(following, self._beat, following)
