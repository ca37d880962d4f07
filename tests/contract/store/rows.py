"""Rows to write, with only what a test is about left to say."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from bot.core.model import Cell, Tick, Utc
from bot.core.ports import Batch, EffectRow, EventRow, InboxRow, Lane, ReadingRow, Store

NOW: Utc = datetime(2026, 12, 8, 2, 0, tzinfo=UTC)


def event(position: int, stream: str = "run/1", stream_position: int | None = None) -> EventRow:
    return EventRow(
        position=position,
        stream=stream,
        stream_position=position if stream_position is None else stream_position,
        type="NoteTaken",
        body=b'{"note":"\xc3\xa9 %d"}' % position,
        salt=bytes([position % 256]) * 16,
        hash=position.to_bytes(32, "big"),
    )


def reading(position: int, tick: str | None = None, check: str = "voice", run: str = "run-1") -> ReadingRow:
    return ReadingRow(position, run, check, "mno-a/1", tick or f"tick-{position}", b'{"outcome":"pass"}')


def effect(
    position: int,
    lane: Lane = Lane.REST,
    place: str = "C1",
    replaces: str = "",
    ordinal: int = 0,
    not_before: Utc | None = None,
) -> EffectRow:
    return EffectRow(
        id=f"{position}.{ordinal}",
        position=position,
        run="run-1",
        lane=lane,
        place=place,
        kind="post",
        subject="step:go",
        replaces=replaces,
        not_before=not_before,
    )


def inbox(key: str, payload: bytes = b"{}") -> InboxRow:
    return InboxRow(key, "slack", NOW, payload)


def tick(number: int) -> Tick:
    return Tick(
        run="run-1",
        check="voice",
        kind="voice",
        cell=Cell(origin="mno-a", number="+447700900001"),
        scheduled_at=NOW + timedelta(seconds=number),
        timeout_s=30,
        params={"direction": "inbound"},
    )


def append(store: Store, positions: Iterable[int]) -> None:
    store.commit(Batch(events=[event(position) for position in positions]))


def positions(store: Store, after: int = 0) -> list[int]:
    return [row.position for row in store.rows(after)]


def due(store: Store, now: Utc = NOW) -> list[str]:
    return [row.id for row in store.due_effects(now, 100)]
