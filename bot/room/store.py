"""
The room's own SQLite file: messages, pins, bookmarks, topics, views.

Knows rows and nothing of Slack's rules. What is written here survives the room and the bot. Timestamps
are Slack's (`1700000000.000100`): they name a message in its channel and sort as text.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.room.answers import Json

_SCHEMA = """
create table if not exists message (
  channel text not null, ts text not null, thread_ts text, body text not null, primary key (channel, ts));
create index if not exists message_thread on message (channel, thread_ts);
create table if not exists pin (
  channel text not null, ts text not null, at real not null, by text not null, primary key (channel, ts));
create table if not exists bookmark (id text primary key, channel text not null, body text not null);
create table if not exists topic (channel text primary key, topic text not null);
create table if not exists view (id text primary key, user text not null, place integer not null, body text not null);
create table if not exists home (user text primary key, body text not null);
"""


class RoomStore:
    """Rows in, rows out. One connection, used from the room's event loop only."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # messages

    def last_ts(self) -> str:
        row = self._db.execute("select max(ts) from message").fetchone()
        return str(row[0] or "0000000000.000000")

    def put_message(self, channel: str, message: Json) -> None:
        self._db.execute(
            "insert into message (channel, ts, thread_ts, body) values (?, ?, ?, ?)"
            " on conflict (channel, ts) do update set body = excluded.body",
            (channel, message["ts"], message.get("thread_ts"), json.dumps(message)),
        )

    def message(self, channel: str, ts: str) -> Json | None:
        rows = self._db.execute("select body from message where channel = ? and ts = ?", (channel, ts))
        return next(_bodies(rows), None)

    def messages(
        self, channel: str, *, oldest: str = "", latest: str = "9", inclusive: bool = False, limit: int = 100
    ) -> list[Json]:
        """Return the newest top-level messages between the two times, newest first."""
        low, high = (">=", "<=") if inclusive else (">", "<")
        rows = self._db.execute(
            f"select body from message where channel = ? and ts {low} ? and ts {high} ?"  # noqa: S608 - < or <= only
            " and (thread_ts is null or thread_ts = ts or json_extract(body, '$.subtype') = 'thread_broadcast')"
            " order by ts desc limit ?",
            (channel, oldest, latest, limit),
        )
        return list(_bodies(rows))

    def replies(self, channel: str, thread_ts: str) -> list[Json]:
        rows = self._db.execute(
            "select body from message where channel = ? and thread_ts = ? and ts <> thread_ts order by ts",
            (channel, thread_ts),
        )
        return list(_bodies(rows))

    def delete_message(self, channel: str, ts: str) -> None:
        with self._transaction():
            self._db.execute("delete from message where channel = ? and ts = ?", (channel, ts))
            self._db.execute("delete from pin where channel = ? and ts = ?", (channel, ts))

    # pins, bookmarks, topics

    def pin(self, channel: str, ts: str, at: float, by: str) -> bool:
        """Pin a message; False when it was pinned before."""
        made = self._db.execute(
            "insert into pin (channel, ts, at, by) values (?, ?, ?, ?) on conflict do nothing", (channel, ts, at, by)
        )
        return made.rowcount == 1

    def unpin(self, channel: str, ts: str) -> bool:
        return self._db.execute("delete from pin where channel = ? and ts = ?", (channel, ts)).rowcount == 1

    def pins(self, channel: str) -> list[tuple[str, float, str]]:
        """Return (ts, pinned at, by), the newest pin first."""
        rows = self._db.execute("select ts, at, by from pin where channel = ? order by at desc, ts desc", (channel,))
        return [(str(ts), float(at), str(by)) for ts, at, by in rows]

    def put_bookmark(self, bookmark: Json) -> None:
        self._db.execute(
            "insert into bookmark (id, channel, body) values (?, ?, ?)",
            (bookmark["id"], bookmark["channel_id"], json.dumps(bookmark)),
        )

    def bookmarks(self, channel: str) -> list[Json]:
        return list(_bodies(self._db.execute("select body from bookmark where channel = ? order by rowid", (channel,))))

    def set_topic(self, channel: str, topic: str) -> None:
        self._db.execute(
            "insert into topic (channel, topic) values (?, ?) on conflict (channel) do update set topic = excluded.topic",
            (channel, topic),
        )

    def topics(self) -> dict[str, str]:
        return {str(channel): str(topic) for channel, topic in self._db.execute("select channel, topic from topic")}

    # views

    def view(self, view_id: str) -> Json | None:
        return next(_bodies(self._db.execute("select body from view where id = ?", (view_id,))), None)

    def view_owner(self, view_id: str) -> str:
        row = self._db.execute("select user from view where id = ?", (view_id,)).fetchone()
        return str(row[0]) if row else ""

    def view_by_external_id(self, external_id: str) -> Json | None:
        rows = self._db.execute("select body from view where json_extract(body, '$.external_id') = ?", (external_id,))
        return next(_bodies(rows), None)

    def stack(self, user: str) -> list[Json]:
        """Return the open modals of *user*, the lowest first."""
        return list(_bodies(self._db.execute("select body from view where user = ? order by place", (user,))))

    def put_stack(self, user: str, views: Iterable[Json]) -> None:
        with self._transaction():
            self._db.execute("delete from view where user = ?", (user,))
            self._db.executemany(
                "insert into view (id, user, place, body) values (?, ?, ?, ?)",
                [(view["id"], user, place, json.dumps(view)) for place, view in enumerate(views)],
            )

    def put_home(self, user: str, view: Json) -> None:
        self._db.execute(
            "insert into home (user, body) values (?, ?) on conflict (user) do update set body = excluded.body",
            (user, json.dumps(view)),
        )

    def home(self, user: str) -> Json | None:
        return next(_bodies(self._db.execute("select body from home where user = ?", (user,))), None)


def _bodies(rows: Iterable[tuple[str]]) -> Iterator[Json]:
    for (body,) in rows:
        found: Json = json.loads(body)
        yield found
