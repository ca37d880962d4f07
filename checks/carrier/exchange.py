"""
How the simulated network treats a call: who answers, after how long, with what sound.

The routing is that of a ported number: before the port the old network answers, afterwards the new one, and an
origin with stale routing still asks the old one. Faults are looked up for each call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checks.carrier.config import OWN, CarrierConfig
from checks.carrier.faults import Faults
from checks.carrier.npdb import Npdb
from checks.sip.media import PCMA, PCMU, payloads
from checks.sound.prompts import shipped_recordings
from checks.sound.tone import Samples

#: Seconds from INVITE to answer, as different networks differ.
_ANSWER_AFTER: Mapping[str, float] = {"mno-a": 0.06, "mno-b": 0.09, "donor": 0.05, "fixed": 0.04, OWN: 0.05}
_WRONG_PROMPT = "number-not-in-service"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What happens to one call."""

    status: int
    phrase: str
    after_s: float
    cause: int | None = None  #: Q.850, sent in a Reason header
    server: str = ""
    prompt: str = ""  #: a recording, or empty for a test line
    echoes: bool = True
    cut_off_after_s: float | None = None


class Exchange:
    """The routing of every origin."""

    def __init__(self, config: CarrierConfig, faults: Faults, npdb: Npdb) -> None:
        self.answer_after_s = config.answer_after_s
        self._config = config
        self._faults = faults
        self._npdb = npdb
        self._recordings = {name: _in_both_laws(pcm) for name, pcm in shipped_recordings().items()}

    def recording(self, prompt: str, payload_type: int) -> Sequence[bytes]:
        """Return the payloads of a prompt."""
        return self._recordings[prompt][payload_type]

    def treat(self, origin: str, number: str) -> Treatment:
        """Return what happens to a call from *origin* to *number* now."""
        config, faults = self._config, self._faults
        after = _ANSWER_AFTER.get(origin, 0.05) if self.answer_after_s is None else self.answer_after_s
        if number in config.test_numbers:
            return self._to_moved(origin, number, after)
        if number == config.ivr_number:
            prompt = _WRONG_PROMPT if faults.active("wrong-ivr-prompt") else config.ivr_prompt
            return Treatment(200, "OK", after, server="care-ivr", prompt=prompt)
        if number in config.control_numbers or number in config.outbound_numbers:
            return Treatment(200, "OK", after, server="other-network")
        return Treatment(404, "Not Found", 0.0, cause=1, server=origin)

    def _to_moved(self, origin: str, number: str, after: float) -> Treatment:
        faults, ported = self._faults, self._npdb.ported(number)
        if faults.active("origin-fails", origin) or (ported and faults.active("stale-routing", origin)):
            return Treatment(404, "Not Found", 0.0, cause=1, server="old-network")
        return Treatment(
            200,
            "OK",
            after,
            server="new-network" if ported else "old-network",
            echoes=not faults.active("one-way-audio", origin),
            cut_off_after_s=0.2 if faults.active("calls-cut-off", origin) else None,
        )


def _in_both_laws(pcm: Samples) -> dict[int, list[bytes]]:
    return {law: payloads(pcm, law) for law in (PCMU, PCMA)}
