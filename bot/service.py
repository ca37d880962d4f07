"""
The one door in: `handle(command)`.

A writer thread owns the folded state. It takes all waiting work, decides each piece against the
state that the one before left, writes everything in one transaction, and only then answers. If the
transaction fails, the state is dropped and folded again, and every caller gets the error.
Nothing here knows Slack, probes or files.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import structlog

from bot.callers import LoopAnswer, tell
from bot.core import messages as m
from bot.core.cutover import next_due
from bot.core.errors import Refused, StaleEpoch, StoreUnavailable
from bot.core.model import MACHINE, Actor, Tick, Utc, Via
from bot.core.ports import Clock, EffectRow, InboxRow, Store
from bot.core.state import House
from bot.draft import Draft, Expected, Fold, Record, Rolls, restore, snapshot_of

log = structlog.get_logger()
_Heard = TypeVar("_Heard")

#: How many records may pass before the folded state is kept again.
SNAPSHOT_EVERY = 5000
#: How long the writer waits for work before it renews the lease, in real seconds; a lease lasts ten.
RENEW_S = 3.0


@dataclass(frozen=True, slots=True)
class Done:
    """What an order made happen, after the commit. `repeated`: it came before, and that answer stands."""

    house: House
    records: tuple[Record, ...] = ()
    repeated: bool = False

    @property
    def events(self) -> tuple[m.Event, ...]:
        """The events, in order."""
        return tuple(record.event for record in self.records if record.event is not None)


_NOTHING = Expected()


@dataclass(slots=True)
class _Ask:
    """One piece of work for the writer: `work` adds to the draft and returns the answer."""

    work: Callable[[Draft], object]
    answer: "Future[object] | LoopAnswer"
    expects: Expected = _NOTHING


@dataclass(slots=True)
class Commit:
    """What subscribers hear after each commit."""

    house: House
    records: tuple[Record, ...]


class Inbound:
    """
    An inbox row on its way: either recorded or given up, never both.

    The listener gives up after its time; the writer settles after the commit. Whoever is first wins.
    """

    def __init__(self, row: InboxRow) -> None:
        self.row = row
        self._lock = threading.Lock()
        self._state = "pending"

    def recorded(self) -> bool:
        """Claim the row as recorded. False: the person was told that it was not."""
        return self._move("recorded")

    def give_up(self) -> bool:
        """Claim the row as given up. False: it was recorded in time after all."""
        return self._move("withdrawn")

    def _move(self, state: str) -> bool:
        with self._lock:
            if self._state == "pending":
                self._state = state
            return self._state == state


class Service:
    """Everything that happens goes through here; see the module's docstring."""

    def __init__(self, store: Store, clock: Clock, rolls: Rolls, software: str) -> None:
        self._store = store
        self._clock = clock
        self._rolls = rolls
        self._software = software
        self._fold: Fold | None = None
        self._waiting: deque[_Ask] = deque()
        self._ready = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._subscribers: list[Callable[[Commit], None]] = []
        self._trouble: list[Callable[[str | None], None]] = []
        self._failing = False
        self._kept_at = 0
        self.lost = False  #: another process took the lease: this one must end
        self.epoch = 0
        self.started_at = 0  #: the position at which this process took over: effects before it may have gone out

    # ------------------------------------------------------------------ life

    def look(self) -> None:
        """Fold the ledger to read it, without the lease: nothing can be handled."""
        self._fold = restore(self._store, self._software)
        self._stopping = True

    def start(self, owner: str) -> Done:
        """Take the lease, fold the ledger, write that we are here. Blocks. Raise StoreUnavailable if held."""
        self.epoch = self._store.acquire(owner)
        try:
            self._fold = restore(self._store, self._software)
        except BaseException:
            self._store.release()
            raise
        self._kept_at = self._fold.house.position
        self.started_at = self._fold.house.position
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()
        started = m.StartService(epoch=self.epoch, software=self._software)
        done = self._submit(lambda draft: draft.take(self._order(started, MACHINE, Via.TIMER, None))).result()
        if not isinstance(done, Done):
            raise TypeError(f"the writer answered {done!r} to the start")
        return done

    def stop(self) -> None:
        """Finish what is waiting, keep the folded state, give the lease up."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()
        if self._fold is not None and not self._failing:
            self._keep(self._fold)
        self._store.release()

    @property
    def house(self) -> House:
        """The state after the last commit."""
        if self._fold is None:
            raise StoreUnavailable("The ledger cannot be read now; nothing moves until it can.")
        return self._fold.house

    def now(self) -> Utc:
        """The time on the service's clock."""
        return self._clock.now()

    def next_due(self) -> Utc | None:
        """Return when something follows by itself next: see `core/cutover/due.py`, and the sealing of readings."""
        if self._fold is None:
            return None
        times = [when for when in (next_due(self._fold.house, self.now()), self._fold.seal_due()) if when is not None]
        return min(times, default=None)

    def on_commit(self, call: Callable[[Commit], None]) -> None:
        """Call *call* in the writer thread after each commit; it must not block."""
        self._subscribers.append(call)

    def on_trouble(self, call: Callable[[str | None], None]) -> None:
        """Call *call* in the writer thread when the ledger cannot be written (why), and when it can again (None)."""
        self._trouble.append(call)

    # ------------------------------------------------------------------ doors

    async def handle(
        self, command: m.Command, actor: Actor, via: Via, *, command_id: str | None = None, inbox: str | None = None
    ) -> Done:
        """
        Decide *command*, write what it makes happen, and return after the commit.

        *command_id* makes it count once. *inbox* settles the inbox row it came from in the same
        transaction, also when it is refused. Raise Refused (nothing happened) or StoreUnavailable.
        """
        order = self._order(command, actor, via, command_id)
        ended = (command.tick.id,) if isinstance(command, m.RecordReading | m.RecordMiss) else ()
        expects = Expected(commands=(command_id,) if command_id is not None else (), ended=ended)
        answer = await self._asked(lambda draft: draft.take(order, inbox=inbox, known=command_id is not None), expects)
        if isinstance(answer, Refused):
            raise answer
        if not isinstance(answer, Done):
            raise TypeError(f"the writer answered {answer!r}")
        return answer

    def preview(self, command: m.Command, actor: Actor, via: Via) -> Refused | None:
        """Return the refusal that *command* would meet now, or None. Writes nothing."""
        if self._fold is None:
            raise StoreUnavailable("The ledger cannot be read now; nothing moves until it can.")
        draft = Draft(self._fold, self._clock, self._rolls, self._store, self.epoch, self._software)
        answer = draft.take(self._order(command, actor, via, None))
        return answer if isinstance(answer, Refused) else None

    async def receive(self, inbound: Inbound) -> bool:
        """
        Record what came in by a door, joining the group commit; return after it. False: it came before.

        If the listener gave it up meanwhile, the row that landed is withdrawn.
        """
        landed = self._submit(lambda draft: draft.receive(inbound.row))
        # In the writer, not here: the listener that gave up may have cancelled this wait.
        landed.add_done_callback(lambda answer: self._landed(inbound, answer))
        fresh = await asyncio.wrap_future(landed)
        return bool(fresh) and inbound.recorded()

    def _landed(self, inbound: Inbound, answer: "Future[object]") -> None:
        """Claim a row that was just written; one that was given up is withdrawn. One that came before is not ours."""
        written = not answer.cancelled() and answer.exception() is None and answer.result() is True
        if written and not inbound.recorded():
            self._submit(lambda draft: draft.settle(inbound.row.key, "withdrawn"))

    async def settle(self, key: str, how: str) -> None:
        """Write that an inbox row is dealt with, where nothing else is written for it."""
        await self._asked(lambda draft: draft.settle(key, how))

    async def delivered(self, effect: str, key: str, reference: str) -> None:
        """Write that an effect went out, and the outside reference kept for *key*."""
        await self._asked(lambda draft: draft.delivered(effect, key, reference))

    async def again(self, effects: Sequence[EffectRow]) -> None:
        """Write that what was shown and is gone goes out anew; *effects* are one run's, at its last position."""
        await self._asked(lambda draft: draft.again(effects))

    async def postpone(self, effect: str, until: Utc, why: str) -> None:
        """Write that an effect is tried again after *until*."""
        await self._asked(lambda draft: draft.postpone(effect, until, why))

    async def park(self, effect: str, place: str, kind: str, why: str) -> None:
        """Write that an effect is given up; the board shows it."""
        parking = m.ParkEffect(effect=effect, place=place, kind=kind, why=why)
        order = self._order(parking, MACHINE, Via.OUTBOX, None)
        await self._asked(lambda draft: draft.park(order, effect, why))

    async def issue(self, ticks: Sequence[tuple[Tick, Utc]]) -> frozenset[str]:
        """Write that *ticks* are given out until their lease ends; return the ids that are new."""
        expects = Expected(issued=tuple(tick.id for tick, _ in ticks))
        answer = await self._asked(lambda draft: draft.issue(ticks), expects)
        return answer if isinstance(answer, frozenset) else frozenset()

    # ------------------------------------------------------------------ the writer

    def _order(self, command: m.Command, actor: Actor, via: Via, command_id: str | None) -> m.Order:
        return m.Order.model_construct(
            command=command, actor=actor, via=via, command_id=command_id or self._rolls.fresh_id(), caused_by=None
        )

    async def _asked(self, work: Callable[[Draft], object], expects: Expected = _NOTHING) -> object:
        """Let the writer do *work* and return its answer after the commit."""
        answer = LoopAnswer(asyncio.get_running_loop())
        if not self._queued(_Ask(work, answer, expects)):
            raise _stopping()
        return await answer.future

    def _submit(self, work: Callable[[Draft], object]) -> "Future[object]":
        """As `_asked`, for callers without an event loop, and for what goes on although nobody waits."""
        answer: Future[object] = Future()
        if not self._queued(_Ask(work, answer)):
            answer.set_exception(_stopping())
        return answer

    def _queued(self, ask: _Ask) -> bool:
        with self._ready:
            if not self._stopping:
                self._waiting.append(ask)
                self._ready.notify()
            return not self._stopping

    def _write(self) -> None:
        while (asks := self._next()) is not None:
            if asks:
                self._commit(asks)
            else:
                self._renew()

    def _next(self) -> list[_Ask] | None:
        """Wait for work and take all of it. Empty after a while without any; None at the end."""
        with self._ready:
            if not self._waiting and not self._stopping:
                self._ready.wait(RENEW_S)
            if not self._waiting and self._stopping:
                return None
            # From here on a caller that stops waiting cannot cancel: setting a cancelled answer would end this thread.
            asks = [ask for ask in self._waiting if ask.answer.set_running_or_notify_cancel()]
            self._waiting.clear()
        return asks

    def _renew(self) -> None:
        """Keep the lease; what is wrong with the ledger is told although nobody is writing."""
        try:
            self._store.renew()
        except Exception as error:  # noqa: BLE001 - the writer outlives every fault, also between two commits
            self._dropped([], error)

    def _commit(self, asks: list[_Ask]) -> None:
        """Decide all of *asks*, write them in one transaction, answer them."""
        try:
            if self._fold is None:
                self._fold = restore(self._store, self._software)
            expected = _all_expected(asks)
            draft = Draft(self._fold, self._clock, self._rolls, self._store, self.epoch, self._software, expected)
            answers = [self._answer(ask, draft) for ask in asks]
            if not draft.empty:
                self._store.commit(draft.batch)
        except Exception as error:  # noqa: BLE001 - the writer outlives every fault: it is told, and memory folded again
            self._dropped(asks, error)
            return
        self._fold = draft.fold()
        self._told(draft)
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, Refused):
                ask.answer.set_exception(answer)
            else:
                ask.answer.set_result(Done(self._fold.house, *answer) if isinstance(answer, tuple) else answer)
        tell(ask.answer for ask in asks)

    def _answer(self, ask: _Ask, draft: Draft) -> object:
        """Return what the work answers; a bug in deciding one order must not take the others with it."""
        mark = draft.mark()
        try:
            return ask.work(draft)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it is handed to the one who asked, and the rest is written
            draft.back_to(mark)
            return error

    def _dropped(self, asks: list[_Ask], error: Exception) -> None:
        """The transaction failed: what memory holds may be wrong, so it is folded again."""
        trouble = error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error) or repr(error))
        if isinstance(error, StaleEpoch):
            with self._ready:
                self._stopping = True
            self.lost = True
        try:
            self._fold = restore(self._store, self._software)
        except Exception:  # noqa: BLE001 - whatever it is, the next commit tries again
            self._fold = None
        if not self._failing or isinstance(error, StaleEpoch):
            self._failing = True
            for call in self._trouble:
                self._tell(call, str(trouble))
        for ask in asks:
            ask.answer.set_exception(trouble)
        tell(ask.answer for ask in asks)

    def _tell(self, call: Callable[[_Heard], None], heard: _Heard) -> None:
        """A listener that fails (its loop has gone) must not take the writer with it."""
        try:
            call(heard)
        except Exception:  # the writer outlives whoever listens
            log.exception("a listener of the ledger failed", listener=repr(call))

    def _told(self, draft: Draft) -> None:
        if draft.empty:
            return
        if self._failing:
            self._failing = False
            for trouble in self._trouble:
                self._tell(trouble, None)
        fold = draft.fold()
        for call in self._subscribers:
            self._tell(call, Commit(fold.house, draft.records))
        if fold.house.position - self._kept_at >= SNAPSHOT_EVERY:
            self._keep(fold)

    def _keep(self, fold: Fold) -> None:
        try:
            self._store.save_snapshot(snapshot_of(fold, self._software))
        except StoreUnavailable:
            return  # a cache: the ledger itself is whole, and the next commit tells of the trouble
        self._kept_at = fold.house.position


def _stopping() -> StoreUnavailable:
    return StoreUnavailable("switchroom is stopping; nothing was recorded.")


def _all_expected(asks: Sequence[_Ask]) -> Expected:
    return Expected(
        commands=[name for ask in asks for name in ask.expects.commands],
        ended=[name for ask in asks for name in ask.expects.ended],
        issued=[name for ask in asks for name in ask.expects.issued],
    )
