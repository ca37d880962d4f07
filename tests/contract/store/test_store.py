"""What every store keeps to: batches, ledger, ticks, effects, inbox. Once on SQLite, once on PostgreSQL."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from bot.adapters.sql import SqlStore
from bot.adapters.sql import store as store_module
from bot.core.errors import StoreUnavailable
from bot.core.ledger import GENESIS
from bot.core.ports import Batch, Lane, Snapshot
from tests.contract.store.rows import NOW, append, due, effect, event, inbox, positions, reading, tick

Hand = Callable[[str], None]
LATER = NOW + timedelta(seconds=30)


# ------------------------------------------------------------------------------------------- ledger


def test_events_and_readings_come_back_as_they_were_in_order_of_position(store: SqlStore) -> None:
    store.commit(Batch(events=[event(1), event(3)], readings=[reading(2), reading(4)]))
    store.commit(Batch(readings=[reading(5)], events=[event(6)]))
    assert list(store.rows()) == [event(1), reading(2), event(3), reading(4), reading(5), event(6)]
    assert list(store.rows(after=4)) == [reading(5), event(6)]


def test_rows_are_complete_when_they_fill_many_pages(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_PAGE", 3)
    store.commit(Batch(events=[event(n) for n in range(1, 11) if n % 4], readings=[reading(4), reading(8)]))
    assert positions(store) == list(range(1, 11))
    assert positions(store, after=5) == list(range(6, 11))


def test_rows_written_while_the_ledger_is_read_wait_for_the_next_reading(store: SqlStore) -> None:
    append(store, [1, 2])
    rows = store.rows()
    assert next(rows).position == 1
    append(store, [3])
    assert [row.position for row in rows] == [2]
    assert positions(store) == [1, 2, 3]


def test_the_head_is_the_last_event_and_genesis_before_the_first(store: SqlStore) -> None:
    assert store.head() == (0, GENESIS)
    store.commit(Batch(events=[event(1)], readings=[reading(2)]))
    assert store.head() == (1, event(1).hash)


def test_the_newest_events_are_found_behind_any_number_of_readings(store: SqlStore) -> None:
    store.commit(Batch(events=[event(1), event(2), event(3)], readings=[reading(n) for n in range(4, 600)]))
    assert store.newest(2) == [event(2), event(3)]
    assert store.newest(9) == [event(1), event(2), event(3)]


def test_a_batch_that_skips_or_repeats_a_position_is_refused(store: SqlStore) -> None:
    for batch in (
        Batch(events=[event(1), event(3)]),
        Batch(events=[event(1)], readings=[reading(1)]),
        Batch(events=[event(2)]),
    ):
        with pytest.raises(StoreUnavailable):
            store.commit(batch)
    assert positions(store) == []


def test_a_batch_decided_on_an_older_head_is_refused(store: SqlStore) -> None:
    append(store, [1, 2])
    with pytest.raises(StoreUnavailable, match="ends at position 2, and this batch begins at 2"):
        store.commit(Batch(readings=[reading(2)]))
    assert positions(store) == [1, 2]


def test_a_stream_holds_each_of_its_positions_once(store: SqlStore) -> None:
    append(store, [1])
    with pytest.raises(StoreUnavailable, match="stream"):
        store.commit(Batch(events=[event(2, "run/1", 1)]))
    store.commit(Batch(events=[event(2, "run/2", 1)]))
    assert positions(store) == [1, 2]


@pytest.mark.parametrize("table", ["entries", "readings"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET body = body", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_rewrite_the_ledger(
    store: SqlStore, by_hand: Hand, table: str, statement: str
) -> None:
    store.commit(Batch(events=[event(1)], readings=[reading(2)]))
    with pytest.raises(DBAPIError, match=f"append-only: rows of {table} are never changed"):
        by_hand(statement.format(table))
    assert list(store.rows()) == [event(1), reading(2)]


def test_a_body_rewritten_as_text_is_still_read_as_bytes(store: SqlStore, by_hand: Hand, engine: Engine) -> None:
    store.commit(Batch(events=[event(1)], readings=[reading(2)]))
    if engine.dialect.name == "sqlite":
        rewrites = ["DROP TRIGGER entries_no_update", "UPDATE entries SET body = '{}'"]
    else:
        rewrites = ["ALTER TABLE entries DISABLE TRIGGER USER", "UPDATE entries SET body = convert_to('{}', 'UTF8')"]
    for rewrite in rewrites:
        by_hand(rewrite)
    assert list(store.rows()) == [replace(event(1), body=b"{}"), reading(2)]


# ------------------------------------------------------------------------------------------ batches


def test_a_batch_that_fails_at_its_last_row_leaves_nothing(store: SqlStore) -> None:
    first = effect(1, replaces="board")
    store.commit(Batch(events=[event(1)], commands=[("c1", 1)], effects=[first], inbox=[inbox("a")]))
    bad = Batch(
        inbox=[inbox("b")],
        settled=[("a", "handled")],
        commands=[("c2", 2)],
        events=[event(2)],
        readings=[reading(3)],
        effects=[effect(2, replaces="board"), first],  # the same id again
        delivered=[("1.0", "message", "ts-1")],
        issued=[(tick(1), NOW)],
    )
    with pytest.raises(StoreUnavailable, match=r"breaks one of its rules .*effects"):
        store.commit(bad)
    assert positions(store) == [1]
    assert store.known_command("c2") is None
    assert [row.key for row in store.unsettled()] == ["a"]
    assert store.open_ticks() == []
    assert store.ended_ticks(["tick-3"]) == frozenset()
    assert store.reference("C1", "message") is None
    assert due(store) == ["1.0"]
    bad.effects.pop()
    store.commit(bad)
    assert positions(store) == [1, 2, 3]


def test_a_command_is_recorded_once_with_where_it_was_recorded(store: SqlStore) -> None:
    store.commit(Batch(events=[event(1)], commands=[("said", 1), ("nothing-to-do", 0)]))
    assert store.known_command("said") == 1
    assert store.known_command("nothing-to-do") == 0
    assert store.known_command("never") is None
    with pytest.raises(StoreUnavailable, match="commands"):
        store.commit(Batch(commands=[("said", 2)]))
    assert store.known_command("said") == 1


def test_many_commands_are_looked_up_at_once(store: SqlStore) -> None:
    store.commit(Batch(commands=[(f"c{n}", n) for n in range(1200)]))
    asked = [f"c{n}" for n in range(0, 2400, 2)]
    assert store.known_commands(asked) == {f"c{n}": n for n in range(0, 1200, 2)}
    assert store.known_commands([]) == {}


def test_an_empty_batch_is_no_work(store: SqlStore) -> None:
    store.commit(Batch())
    assert positions(store) == []


# -------------------------------------------------------------------------------------------- ticks


def test_an_issued_tick_is_open_until_its_reading(store: SqlStore) -> None:
    store.commit(Batch(issued=[(tick(1), NOW), (tick(2), LATER)]))
    assert store.open_ticks() == [(tick(1), NOW), (tick(2), LATER)]
    store.commit(Batch(readings=[reading(1, tick(1).id)]))
    assert store.open_ticks() == [(tick(2), LATER)]
    assert store.issued_ticks([tick(1).id, tick(2).id, tick(3).id]) == {tick(1).id, tick(2).id}
    assert store.ended_ticks([tick(1).id, tick(2).id, tick(3).id]) == {tick(1).id}


def test_a_tick_issued_twice_is_left_as_it_was(store: SqlStore) -> None:
    store.commit(Batch(issued=[(tick(1), NOW)]))
    store.commit(Batch(missed=[tick(1).id]))
    store.commit(Batch(issued=[(tick(1), LATER), (tick(2), NOW)]))
    store.commit(Batch(issued=[(tick(2), LATER)]))
    assert store.open_ticks() == [(tick(2), NOW)]


@pytest.mark.parametrize("first", ["reading", "missed"])
@pytest.mark.parametrize("second", ["reading", "missed"])
def test_a_tick_ends_exactly_once(store: SqlStore, first: str, second: str) -> None:
    name = tick(1).id
    store.commit(Batch(issued=[(tick(1), NOW)]))
    store.commit(_ending(1, first, name))
    head = len(positions(store))
    again = _ending(head + 1, second, name)
    again.missed.append(tick(2).id)
    with pytest.raises(StoreUnavailable, match="A tick ends once"):
        store.commit(again)
    assert len(positions(store)) == head
    assert store.ended_ticks([tick(2).id]) == frozenset()


def test_a_tick_does_not_end_twice_within_one_batch(store: SqlStore) -> None:
    with pytest.raises(StoreUnavailable, match="A tick ends once"):
        store.commit(Batch(readings=[reading(1, "t")], missed=["t"]))
    with pytest.raises(StoreUnavailable):
        store.commit(Batch(readings=[reading(1, "t"), reading(2, "t")]))
    assert positions(store) == []


def test_a_reading_of_a_tick_never_issued_counts_and_ends_it(store: SqlStore) -> None:
    store.commit(Batch(readings=[reading(1, tick(1).id)]))
    store.commit(Batch(issued=[(tick(1), NOW)]))
    assert store.open_ticks() == []


def _ending(position: int, how: str, name: str) -> Batch:
    return Batch(readings=[reading(position, name)]) if how == "reading" else Batch(missed=[name])


def test_the_newest_readings_of_a_check_come_first(store: SqlStore) -> None:
    others = [reading(4, check="sms"), reading(5, run="run-2")]
    store.commit(Batch(readings=[reading(1), reading(2), reading(3), *others]))
    assert [row.position for row in store.readings("run-1", "voice", 2)] == [3, 2]


# ------------------------------------------------------------------------------------------ effects


def test_effects_are_due_by_lane_and_by_age_within_a_lane(store: SqlStore) -> None:
    effects = [
        effect(1, Lane.REST),
        effect(2, Lane.STEP, ordinal=10),
        effect(2, Lane.STEP, ordinal=9),
        effect(3, Lane.ALERT),
        effect(4, Lane.ROLLBACK),
        effect(5, Lane.DECISION),
    ]
    store.commit(Batch(effects=effects))
    assert due(store) == ["4.0", "5.0", "3.0", "2.9", "2.10", "1.0"]
    assert store.due_effects(NOW, 2) == [effects[4], effects[5]]


def test_an_effect_waits_until_its_time(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(1, not_before=LATER)]))
    assert due(store) == []
    assert store.due_effects(LATER, 1) == [effect(1, not_before=LATER)]


def test_a_postponed_effect_counts_its_attempts(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(1)]))
    store.commit(Batch(postponed=[("1.0", LATER, "429 from Slack")]))
    store.commit(Batch(postponed=[("1.0", LATER, "429 from Slack")]))
    assert due(store) == []
    (found,) = store.due_effects(LATER, 1)
    assert (found.attempts, found.not_before) == (2, LATER)


def test_only_the_newest_effect_of_a_key_in_a_place_counts(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(1, replaces="board"), effect(1, place="C2", replaces="board", ordinal=1)]))
    store.commit(Batch(effects=[effect(2, replaces="board"), effect(2, replaces="other", ordinal=1)]))
    assert due(store) == ["1.1", "2.0", "2.1"]


def test_of_several_effects_of_a_key_in_one_batch_the_last_counts(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(n, replaces="board") for n in (1, 2, 3)] + [effect(4)]))
    assert due(store) == ["3.0", "4.0"]


def test_an_effect_that_was_dropped_stays_dropped(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(1, replaces="board")]))
    store.commit(Batch(effects=[effect(2, replaces="board")]))
    store.commit(Batch(postponed=[("1.0", NOW, "slow")], parked=[("1.0", "refused")]))
    assert due(store) == ["2.0"]
    assert store.parked() == []


def test_a_delivered_effect_is_not_due_and_its_reference_is_kept_for_its_place(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(1), effect(1, place="C2", ordinal=1), effect(1, ordinal=2)]))
    store.commit(Batch(delivered=[("1.0", "board", "C1:100"), ("1.1", "board", "C2:200"), ("1.2", "", "C1:300")]))
    assert due(store) == []
    assert store.reference("C1", "board") == "C1:100"
    assert store.reference("C2", "board") == "C2:200"
    assert store.reference("C1", "") is None
    store.commit(Batch(effects=[effect(2)], delivered=[("2.0", "board", "C1:400")]))
    assert store.reference("C1", "board") == "C1:400"


def test_a_message_that_went_out_before_it_was_replaced_keeps_its_reference(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(1, replaces="board")]))
    store.commit(Batch(effects=[effect(2, replaces="board")]))
    store.commit(Batch(delivered=[("1.0", "board", "C1:100")]))
    assert store.reference("C1", "board") == "C1:100"
    assert due(store) == ["2.0"]


def test_a_parked_effect_is_shown_with_its_reason_and_not_tried_again(store: SqlStore) -> None:
    store.commit(Batch(effects=[effect(1), effect(2)]))
    store.commit(Batch(postponed=[("1.0", NOW, "invalid_blocks")]))
    store.commit(Batch(parked=[("1.0", "channel_not_found")]))
    assert due(store) == ["2.0"]
    ((found, why),) = store.parked()
    assert (found.id, found.attempts, why) == ("1.0", 1, "channel_not_found")


# --------------------------------------------------------------------------------- inbox, snapshots


def test_what_comes_in_twice_counts_once(store: SqlStore) -> None:
    store.commit(Batch(inbox=[inbox("b", b"first"), inbox("a")]))
    store.commit(Batch(inbox=[inbox("b", b"again"), inbox("c")]))
    assert store.unsettled() == [inbox("b", b"first"), inbox("a"), inbox("c")]
    assert store.known_inbox("b")
    assert not store.known_inbox("d")


def test_a_settled_row_stays_settled_and_known(store: SqlStore) -> None:
    store.commit(Batch(inbox=[inbox("a"), inbox("b")], settled=[("a", "handled")]))
    store.commit(Batch(settled=[("a", "withdrawn")], inbox=[inbox("a")]))
    assert [row.key for row in store.unsettled()] == ["b"]
    assert store.known_inbox("a")


def test_the_first_settlement_stands(store: SqlStore, by_hand: Hand) -> None:
    store.commit(Batch(inbox=[inbox("a")], settled=[("a", "handled")]))
    store.commit(Batch(settled=[("a", "withdrawn")]))
    by_hand("UPDATE inbox SET state = 'new' WHERE state = 'handled'")
    assert [row.key for row in store.unsettled()] == ["a"]


def test_only_the_newest_snapshot_is_kept(store: SqlStore) -> None:
    assert store.snapshot() is None
    store.save_snapshot(Snapshot(1, "0.1.0", "d1", b"one"))
    newer = Snapshot(9, "0.1.0", "d9", b"nine")
    store.save_snapshot(newer)
    assert store.snapshot() == newer
