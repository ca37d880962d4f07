"""
The words of an effect, made at the moment it goes out, from the state of that moment.

Decides which text an effect is; knows nothing of channels and calls.
"""

from collections.abc import Callable

from bot.core.errors import StoreUnavailable
from bot.core.ledger import decode
from bot.core.ports import EffectRow, EventRow, Store
from bot.core.state import RunState
from bot.service import Service
from bot.words import board, card, digest, lines
from bot.words.message import Message


class Words:
    """Turns effects into messages. `of` blocks: it may read the store."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._kinds: dict[str, Callable[[EffectRow, RunState], Message]] = {
            "line": self._line,
            "card": self._card,
            "card-update": self._card,
            "doubt": self._doubt,
            "board": self._board,
            "digest": self._digest,
        }

    def of(self, effect: EffectRow) -> Message:
        """Return what *effect* says now."""
        return self._kinds[effect.kind](effect, self._service.house.runs[effect.run])

    def _line(self, effect: EffectRow, run: RunState) -> Message:
        row = next(self._store.rows(effect.position - 1))
        if not isinstance(row, EventRow) or row.position != effect.position:
            raise StoreUnavailable(f"entry {effect.position} cannot be read")
        envelope, event = decode(row)
        house = self._service.house
        return lines.line(house, run, event, envelope.at, envelope.actor.person, envelope.via.value)

    def _card(self, effect: EffectRow, run: RunState) -> Message:
        return card.card(self._service.house, run, run.decisions[int(effect.subject)], self._service.now())

    def _doubt(self, effect: EffectRow, run: RunState) -> Message:
        step, _, attempt = effect.subject.partition("#")
        return card.doubt(run, step, self._service.now(), int(attempt))

    def _board(self, _effect: EffectRow, run: RunState) -> Message:
        return board.board(self._service.house, run, self._service.now())

    def _digest(self, effect: EffectRow, run: RunState) -> Message:
        return digest.digest(self._service.house, run, effect.subject.partition("#")[0], self._service.now())
