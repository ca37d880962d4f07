"""
The one door out: `deliver()`.

Takes due effects, one worker for each place, urgent lanes first, performs each, and reports back as
a command. What was refused three times goes out as plain text, then is parked and shown on the
board. `alarm()` needs no database: it tells the rooms that the ledger cannot be written.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from bot.core import messages as m
from bot.core.cutover.react import board, gate_cards
from bot.core.errors import Refused, StoreUnavailable, SwitchroomError
from bot.core.model import MACHINE, Via
from bot.core.ports import EffectRow, Lane, Runner, Store
from bot.core.runbook import Step
from bot.core.standing import current_steps
from bot.core.state import RunState, StepStatus
from bot.service import Commit, Service

log = structlog.get_logger()

#: So often a place may refuse an effect before it goes out as plain text; one more and it is parked.
REFUSALS = 3
#: After trouble of our own (nothing could be written), a place rests so long, in real seconds.
TROUBLE_S = 1.0
#: A runner has so many real seconds beyond the step's own timeout to say itself that it passed.
MARGIN_S = 1.0
#: The board follows readings at most this often, in real seconds; Slack allows 50 updates a minute.
BOARD_EVERY_S = 3.0
_URGENCY: Mapping[Lane, int] = {lane: order for order, lane in enumerate(Lane)}


class RoomBusy(SwitchroomError):
    """The place cannot take it now; try again after so many real seconds. Does not count as a refusal."""

    def __init__(self, why: str, after_s: float, *, maybe_sent: bool = False) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.maybe_sent = maybe_sent  #: the answer was lost: it may be there already


class RoomRefused(SwitchroomError):
    """The place will not take this message as it is."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Where it went: the reference is kept under the key."""

    key: str
    reference: str


class Deliverer(Protocol):
    """A room that takes messages."""

    async def deliver(self, effect: EffectRow, *, plain: bool, maybe_sent: bool) -> Sent:
        """Post or update what *effect* says. Raise RoomBusy to try later, RoomRefused if it never will."""
        ...

    async def update(self, effect: EffectRow) -> bool:
        """Bring what is there of *effect* up to date; post nothing. False: it was there and is no more."""
        ...

    async def alarm(self, text: str) -> None:
        """Tell every room, without the database."""
        ...


class Outbox:
    """Delivers effects until stopped."""

    def __init__(
        self, service: Service, store: Store, room: Deliverer, runner: Runner, urls: Mapping[str, str]
    ) -> None:
        self._service = service
        self._store = store
        self._room = room
        self._runner = runner
        self._urls = urls
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._maybe_sent: set[str] = set()
        self._resting: dict[str, float] = {}
        self._answers: dict[str, dict[str, str]] = {}
        self._boards: set[str] = set()
        self._loop = asyncio.get_running_loop()
        service.on_commit(self._committed)
        service.on_trouble(self._troubled)

    def _committed(self, commit: Commit) -> None:
        """Hear of a commit, in the writer thread."""
        runs = {record.run for record in commit.records if record.run}
        self._loop.call_soon_threadsafe(self._stir, runs)

    def _stir(self, runs: set[str]) -> None:
        self._boards |= runs
        self._wake.set()

    def _troubled(self, why: str | None) -> None:
        text = (
            f"✖ The ledger cannot be written: {why} No step starts, no vote counts and no gate passes until it can. "
            "Probing goes on. Decide by voice and write it down on paper."
            if why
            else "✔ The ledger can be written again. Nothing that was answered is lost. What was refused must be said again."
        )
        self._loop.call_soon_threadsafe(lambda: self._spawn("alarm", self.alarm(text)))

    async def alarm(self, text: str) -> None:
        """Tell every room, without the database."""
        try:
            await self._room.alarm(text)
        except SwitchroomError as error:
            log.warning("alarm not delivered", why=str(error))

    def _spawn(self, name: str, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._busy[name] = task
        task.add_done_callback(lambda _: self._ended(name, task))

    def _ended(self, name: str, task: "asyncio.Task[None]") -> None:
        if self._busy.get(name) is task:
            del self._busy[name]
        if not task.cancelled() and task.exception() is not None:
            log.error("delivery stopped", place=name, error=repr(task.exception()))
            # Nothing was written: without a rest the same effect would be tried again at once, for ever.
            self._resting[name] = self._loop.time() + TROUBLE_S
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever; cancel to stop."""
        boards = asyncio.create_task(self._boards_follow(), name="boards")
        try:
            while True:
                self._wake.clear()
                await self.deliver()
                await self._wait()
        finally:
            boards.cancel()
            for task in list(self._busy.values()):
                task.cancel()
            await asyncio.gather(boards, *self._busy.values(), return_exceptions=True)

    async def _wait(self) -> None:
        """Wait for news, or until the first resting place may be tried again."""
        wakes = [until - self._loop.time() for until in self._resting.values()]
        timeout = max(0.05, min(wakes)) if wakes else None
        try:
            # Not `wait_for`: before Python 3.12 it can lose a cancellation that comes with the news, and never end.
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return

    async def deliver(self) -> None:
        """Give every due effect to a worker of its place, unless that place is at work or resting."""
        if self._service.lost:
            return  # what is due is another process's to send
        try:
            rows = await asyncio.to_thread(self._store.due_effects, self._service.now(), 500)
        except StoreUnavailable as error:
            log.warning("effects not readable", why=str(error))
            self._resting["store"] = self._loop.time() + 1
            return
        now = self._loop.time()
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        for place, waiting in _by_place(row for row in rows if row.id not in self._resting).items():
            if place not in self._busy and place not in self._resting:
                self._spawn(place, self._work(waiting))

    async def _work(self, rows: list[EffectRow]) -> None:
        """Deliver one effect; the next is chosen afresh, so that an urgent one never waits behind the rest."""
        row = min(rows, key=lambda row: (_URGENCY[row.lane], row.position, row.id))
        if row.kind == "perform":
            await self._perform(row)
            return
        maybe = row.id in self._maybe_sent or row.position <= self._service.started_at
        try:
            sent = await self._room.deliver(row, plain=row.attempts >= REFUSALS, maybe_sent=maybe)
        except RoomBusy as busy:
            if busy.maybe_sent:
                self._maybe_sent.add(row.id)
            # A board that waits for its turn holds up nobody: what is more urgent has another budget.
            self._resting[row.id if row.kind == "board" else row.place] = self._loop.time() + busy.after_s
        except RoomRefused as refused:
            await self._refused(row, str(refused))
        else:
            # It is out; if that cannot be written now, the next try must look for it before posting again.
            self._maybe_sent.add(row.id)
            await self._service.delivered(row.id, sent.key, sent.reference)
            self._maybe_sent.discard(row.id)

    async def _refused(self, row: EffectRow, why: str) -> None:
        log.warning("effect refused", effect=row.id, kind=row.kind, why=why)
        if row.attempts >= REFUSALS:
            await self._service.park(row.id, row.place, row.kind, why)
        else:
            await self._service.postpone(row.id, self._service.now() + timedelta(seconds=TROUBLE_S), why)
            self._resting[row.id] = self._loop.time() + TROUBLE_S  # nothing else may come that wakes us

    async def _boards_follow(self) -> None:
        """Bring the boards up to date after readings, at most so often; a lost update is made up by the next."""
        while True:
            await asyncio.sleep(BOARD_EVERY_S)
            runs, self._boards = self._boards, set()
            for name in runs:
                try:
                    await self._board_follows(name)
                except SwitchroomError as error:
                    log.info("board not updated", why=str(error))

    async def _board_follows(self, name: str) -> None:
        run = self._service.house.runs.get(name)
        if run is None or self._service.lost:
            return
        shown = (board(run, run.last_position), *gate_cards(run, run.last_position))
        # An effect that the ledger does not hold must not post: where it went could not be kept.
        gone = [effect for effect in shown if not await self._room.update(effect)]
        if gone:
            await self._service.again(gone)

    # ------------------------------------------------------------------ calls to targets

    async def _perform(self, row: EffectRow) -> None:
        """Call an action's target once, if its attempt still waits for an answer, and report what it said."""
        step_id, _, attempt = row.subject.partition("#")
        if self._service.lost:
            return
        run = self._service.house.runs[row.run]
        state = run.steps[step_id]
        if state.status is StepStatus.RUNNING and state.attempt == int(attempt):
            # Called once: when the report could not be written, the same answer is reported again.
            if row.id not in self._answers:
                self._answers[row.id] = await self._asked(run, run.plan.step(step_id), state.key)
            answer = self._answers[row.id]
            command = m.ReportStep.model_validate({"run": row.run, "step": step_id, "attempt": int(attempt), **answer})
            try:
                await self._service.handle(command, MACHINE, Via.OUTBOX, command_id=f"report:{row.id}")
            except Refused as refusal:
                log.info("answer came too late", step=step_id, why=refusal.sentence)
        await self._service.delivered(row.id, row.id, "performed")
        self._answers.pop(row.id, None)

    async def _asked(self, run: RunState, step: Step, key: str) -> dict[str, str]:
        """Return what came of the call, whatever came: one that raised would be made again for ever."""
        if step not in current_steps(run):
            return {"outcome": "failed", "detail": "not sent: the run is going back"}
        within_s = step.timeout.total_seconds()
        try:
            async with asyncio.timeout(within_s + MARGIN_S):
                return await self._call(run, step, key)
        except TimeoutError:
            why = f"no whole answer within {within_s:g} s"
        except Exception as error:  # raised from here, the call would be made again for ever
            log.exception("call failed on our side", step=step.id)
            why = f"our side failed ({type(error).__name__})"
        return {"outcome": "unknown", "detail": f"{why}; it may or may not have happened"}

    async def _call(self, run: RunState, step: Step, key: str) -> dict[str, str]:
        if step.do is None:
            return {"outcome": "failed", "detail": "the step says nothing to do"}
        http = step.do.http
        url = self._urls.get(http.target)
        if url is None:
            return {
                "outcome": "failed",
                "detail": f'target "{http.target}" is not in the deployment file; nothing was sent',
            }
        path = http.post[len(http.target) + 2 :]
        timeout_s = step.timeout.total_seconds()
        answer = await self._runner.perform(url, path, {**http.json_, "run": run.run}, key, timeout_s)
        return {"outcome": answer.outcome, "detail": answer.detail}


def _by_place(rows: Iterable[EffectRow]) -> dict[str, list[EffectRow]]:
    """Group by worker: one for each place, and one for each call so that calls never wait for words."""
    places: dict[str, list[EffectRow]] = {}
    for row in rows:
        name = f"call {row.id}" if row.kind == "perform" else row.place
        places.setdefault(name, []).append(row)
    return places
