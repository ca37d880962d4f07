"""
Readings made from a model, in place of probes: everything works unless a fault says otherwise.

Decides what each measurement would have found at the time of the rehearsal's clock. Measures nothing, and
knows of a check only what its tick carries.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.core.model import Outcome, Reading, Tick, Utc
from bot.core.ports import Clock

Took = Callable[[Tick, Reading, int], Awaitable[None]]

#: What a kind measures where the network is well, so that criteria over a metric can be told.
WELL: Mapping[str, Mapping[str, float]] = {
    "voice": {"telephony_setup_time_s": 1.2},
    "ivr": {"telephony_setup_time_s": 1.2},
    "sms": {"sms_end_to_end_delivery_time_s": 3.0},
    "data": {"dns_time_s": 0.03, "connect_time_s": 0.02, "first_byte_time_s": 0.2},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Something that does not work for a while.

    Empty words stand for any check, origin or number; without `since` it has always been so, without `until` it
    stays. Numbers that are not being moved are spared unless `controls`.
    """

    check: str = ""
    origin: str = ""
    number: str = ""
    since: Utc | None = None
    until: Utc | None = None
    outcome: Outcome = Outcome.FAIL
    detail: str = "modelled fault"
    metrics: Mapping[str, float] = field(default_factory=dict)
    controls: bool = False

    def strikes(self, tick: Tick, now: Utc) -> bool:
        """Return whether this is what the measurement of *tick* finds at *now*."""
        if tick.cell.control and not self.controls:
            return False
        asked = ((self.check, tick.check), (self.origin, tick.cell.origin), (self.number, tick.cell.number))
        here = all(wanted in {"", found} for wanted, found in asked)
        return here and (self.since is None or self.since <= now) and (self.until is None or now < self.until)


class ModelledProber:
    """The Prober port: each tick is answered at once, at the clock's time, from the faults there are."""

    def __init__(self, clock: Clock, took: Took) -> None:
        self._clock = clock
        self._took = took
        self.faults: list[Fault] = []  #: the first that strikes is what is found
        self.taken = 0

    async def issue(self, ticks: Sequence[Tick], epoch: int) -> None:
        """Answer *ticks*, and return when every answer is recorded."""
        for tick in ticks:
            self.taken += 1
            await self._took(tick, self.reading(tick), epoch)

    def reading(self, tick: Tick) -> Reading:
        """Return what the measurement of *tick* finds now."""
        now = self._clock.now()
        fault = next((fault for fault in self.faults if fault.strikes(tick, now)), None)
        well = {**WELL.get(tick.kind, {}), **_figures(tick.params)}
        return Reading(
            check=tick.check,
            kind=tick.kind,
            cell=tick.cell,
            outcome=fault.outcome if fault else Outcome.PASS,
            at=now,
            # What broke did not measure; what failed may have measured something else.
            metrics={**({} if fault and not fault.outcome.decided else well), **(fault.metrics if fault else {})},
            detail=fault.detail if fault else "as it should be",
        )


def _figures(params: Mapping[str, Any]) -> Mapping[str, float]:
    """Return a good figure for each field that the parameters hold against a limit."""
    conditions = params.get("all_of", (params,))
    figures: dict[str, float] = {}
    for condition in conditions:
        if "field" not in condition:
            continue
        metric = str(condition["field"]).replace(".", "_")
        if "at_least" in condition:
            figures[metric] = float(condition["at_least"])
        elif "at_most" in condition:
            figures[metric] = min(0.0, float(condition["at_most"]))
    return figures
