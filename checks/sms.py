"""
The `sms` check: one message into a carrier's SMSC, and its delivery receipt back.

It decides whether the network took and delivered the message within the limits. End to end means here: from
the submission until the receipt reaches us. A refused account or a carrier that takes no connection is the
probe's own access, hence "not measured"; it does not read what the subscriber's phone shows.
"""

from time import perf_counter
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from bot.core.model import Cell, Outcome
from checks import Measured, NotMeasured, Params, Targets
from checks.smpp.session import LONGEST_MESSAGE, Accepted, Account, Session
from checks.targets import SmppBind, secret, target
from checks.units import Duration, limit, said

_THROTTLED = 0x58
_REFUSALS = {
    0x0B: "invalid destination",
    0x0A: "invalid source",
    0x14: "message queue full",
    0x08: "system error",
    0x45: "submit failed",
}


class SmsParams(Params):
    """`with:` of an sms check. The cell's origin names the carrier unless `carrier` does."""

    carrier: str = ""  #: a key of targets.smpp
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_MESSAGE, pattern=r"^[ -~]+$")] = (
        "Switchroom test"
    )
    bind_within: Annotated[Duration, Field(gt=0)] = 5.0
    submit_within: Annotated[Duration, Field(gt=0)] = 5.0
    receipt_within: Annotated[Duration, Field(gt=0)] = 30.0

    def service_limit_s(self) -> float:
        return self.submit_within + self.receipt_within

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        return (("smpp", self.carrier or cell.origin),)


class SmsCheck:
    """Send one message and wait for its receipt."""

    KIND: ClassVar[str] = "sms"
    Params: ClassVar[type[Params]] = SmsParams

    def __init__(self, params: SmsParams) -> None:
        self.params = params

    async def take(self, cell: Cell, targets: Targets, _deadline: float) -> Measured:
        params, carrier = self.params, self.params.carrier or cell.origin
        if not cell.number:
            raise NotMeasured("an sms check needs a number in its cell")
        bind = target(targets, "smpp", carrier, SmppBind)
        account = Account(carrier, bind.host, bind.port, bind.system_id, secret(bind.password), bind.system_type)
        async with Session(account, params.bind_within) as session:
            began = perf_counter()
            try:
                accepted = await session.submit(
                    bind.source, cell.number, params.text.encode("ascii"), params.submit_within
                )
            except TimeoutError:
                waited = perf_counter() - began
                detail = f"no answer to the submission in {limit(params.submit_within)}, limit {limit(params.submit_within)} ({carrier})"
                return Measured(outcome=Outcome.FAIL, metrics={"sms_submit_time_s": waited}, detail=detail)
            metrics = {"sms_submit_time_s": perf_counter() - began}
            if accepted.status:
                return _refused(accepted, carrier, metrics)
            return await self._await_receipt(session, accepted.message_id, began, carrier, metrics)

    async def _await_receipt(
        self, session: Session, message_id: str, began: float, carrier: str, metrics: dict[str, float]
    ) -> Measured:
        allowed = self.params.receipt_within
        evidence = {"message_id": message_id}
        try:
            receipt = await session.receipt(message_id, allowed)
        except TimeoutError:
            detail = f"no delivery receipt in {limit(allowed)}, limit {limit(allowed)} ({carrier})"
            return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=detail)
        took = perf_counter() - began
        evidence["receipt_state"] = receipt.state
        if receipt.error:
            evidence["receipt_error"] = receipt.error
        if receipt.state != "DELIVRD":
            detail = f"0 of 1 messages delivered: receipt {receipt.state} after {said(took)} ({carrier})"
            return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=detail)
        metrics["sms_end_to_end_delivery_time_s"] = took
        detail = f"receipt in {said(took)}, limit {limit(allowed)} ({carrier})"
        return Measured(outcome=Outcome.PASS, metrics=metrics, evidence=evidence, detail=detail)


def _refused(accepted: Accepted, carrier: str, metrics: dict[str, float]) -> Measured:
    code = f"0x{accepted.status:02x}"
    evidence = {"smpp_status": code}
    if accepted.status == _THROTTLED:
        detail = f"not measured: {carrier} says we send too fast ({code}); lower the rate of this account"
        return Measured(outcome=Outcome.ERROR, metrics=metrics, evidence=evidence, detail=detail)
    why = _REFUSALS.get(accepted.status, "refused")
    detail = f"0 of 1 messages taken: {why} ({code}, {carrier})"
    return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=detail)
