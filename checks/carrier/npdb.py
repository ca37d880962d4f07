"""
The number portability database of the simulated carrier: who serves a number, and each order it took.

An order moves numbers to the new network (activate) or back (port-back). It takes a set time, and an order
repeated under its idempotency key gets the first answer and does nothing. Voice routing asks `ported()`.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from bot.core.errors import SwitchroomError

Msisdn = Annotated[str, StringConstraints(pattern=r"^\+?\d{6,15}$")]
Act = Literal["activate", "port-back"]


class OrderConflict(SwitchroomError):
    """The idempotency key was used before, for another order."""


class Span(BaseModel):
    """A range of numbers, both ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Msisdn
    last: Msisdn

    def holds(self, number: str) -> bool:
        """Return whether *number* lies in this range."""
        return int(self.first.lstrip("+")) <= int(number.lstrip("+")) <= int(self.last.lstrip("+"))

    def __len__(self) -> int:
        return max(0, int(self.last.lstrip("+")) - int(self.first.lstrip("+")) + 1)


class Order(BaseModel):
    """The body of an order; without numbers and range it means every number of the wave."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # runbooks may send more than this database reads

    numbers: tuple[Msisdn, ...] = ()
    range: Span | None = None
    key: str = ""
    takes_s: float | None = Field(default=None, ge=0, le=3600)

    @model_validator(mode="before")
    @classmethod
    def _split_range(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and isinstance(raw.get("range"), str):
            first, _, last = raw["range"].partition("-")
            return {**raw, "range": {"first": first.strip(), "last": (last or first).strip()}}
        return raw

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.range is not None and not len(self.range):
            raise ValueError("the range ends before it begins")
        return self

    def covers(self, number: str) -> bool:
        """Return whether this order moves *number*."""
        if not self.numbers and self.range is None:
            return True
        return number in self.numbers or (self.range is not None and self.range.holds(number))


@dataclass(slots=True)
class _Taken:
    print: str
    answer: asyncio.Future[dict[str, Any]]


@dataclass(slots=True)
class Npdb:
    """The database."""

    watched: tuple[str, ...]  #: the numbers whose routing is simulated
    batch: int
    takes_s: float
    history: list[dict[str, Any]] = field(default_factory=list)
    _ported: set[str] = field(default_factory=set)
    _orders: dict[str, _Taken] = field(default_factory=dict)
    _last: str = "none"

    def ported(self, number: str) -> bool:
        """Return whether *number* is served by the new network now."""
        return number in self._ported

    async def order(self, act: Act, order: Order, key: str = "") -> dict[str, Any]:
        """Carry out an order once; a repetition under the same key waits for, and gets, the first answer."""
        key = key or order.key
        printed = _fingerprint(act, order)
        if key and key in self._orders:
            known = self._orders[key]
            if known.print != printed:
                raise OrderConflict(f"the key {key!r} was used for another order")
            return {**await asyncio.shield(known.answer), "replayed": True}
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if key:
            self._orders[key] = _Taken(printed, answer)
        try:
            await asyncio.sleep(self.takes_s if order.takes_s is None else order.takes_s)
            result = self._carry_out(act, order, key)
        except asyncio.CancelledError:
            self._orders.pop(key, None)
            answer.cancel()
            raise
        answer.set_result(result)
        return result

    def _carry_out(self, act: Act, order: Order, key: str) -> dict[str, Any]:
        moved = {number for number in self.watched if order.covers(number)}
        self._ported = self._ported | moved if act == "activate" else self._ported - moved
        self._last = act
        count = len(order.numbers) or (len(order.range) if order.range is not None else self.batch)
        result = {"ok": True, "operation": act, "key": key, "count": count, "replayed": False}
        self.history.append(result)
        return result

    def state(self) -> dict[str, Any]:
        """Return what `GET /npdb/state` answers."""
        all_ported = bool(self.watched) and self._ported.issuperset(self.watched)
        return {
            "activated": all_ported,
            "ported": self.batch if all_ported else len(self._ported),
            "expected": self.batch,
            "last": self._last,
            "holder": {number: "new" if number in self._ported else "old" for number in self.watched},
            "orders": self.history,
        }


def _fingerprint(act: Act, order: Order) -> str:
    body = json.dumps([act, order.model_dump(mode="json", exclude={"key"})], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()
