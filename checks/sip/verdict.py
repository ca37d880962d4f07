"""
What an unanswered call means: the same judgement for every check that calls.

FAIL says that the network did not carry the call. INCONCLUSIVE says that it did and somebody was busy. ERROR says
that the trunk did not accept the probe, which is no statement about the service.
"""

from bot.core.model import Outcome
from checks import Measured, NotMeasured, Targets
from checks.sip.call import Progress, Trunk
from checks.sip.causes import NOT_FOUND, UNALLOCATED
from checks.sip.media import Media
from checks.targets import SipTrunk, secret, target
from checks.units import limit, said

LEAST_AUDIO_S = 0.1  #: of sound before a direction counts as heard: five packets

_ON_TIME = 0.7  #: of our packets, below which silence proves nothing

_BUSY = frozenset({486, 600})
_OUR_ACCESS = frozenset({401, 407})
_FORBIDDEN = 403


def trunk_of(targets: Targets, name: str) -> Trunk:
    """Return the trunk of the origin *name*."""
    entry = target(targets, "sip", name, SipTrunk)
    return Trunk(name, entry.host, entry.port, entry.username, secret(entry.password))


def dialled(progress: Progress) -> dict[str, str]:
    """Return what the network answered, as evidence."""
    evidence = {"sip_status": f"{progress.status} {progress.phrase}".strip()} if progress.status else {}
    if progress.cause is not None:
        evidence["q850_cause"] = str(progress.cause)
    if progress.server:
        evidence["answered_by"] = progress.server[:80]
    return evidence


def refuse_if_stalled(media: Media) -> None:
    """
    Raise NotMeasured where our own packets did not go out on time.

    A probe on an overloaded machine hears nothing either; that must not read as a silent network.
    """
    due, sent = media.due, media.sent
    if sent < due * _ON_TIME:
        raise NotMeasured(f"this probe worker is too busy: {sent} of {due} audio packets sent on time")


def unanswered(progress: Progress, within: float, origin: str, *, moved: bool) -> Measured:
    """Return the verdict on a call without an answer. *moved* says that the number is one that was ported."""
    metrics, evidence = progress.figures(), dialled(progress)
    if not progress.status:
        rang = progress.figures().get("telephony_setup_time_s")
        state = "it never rang" if rang is None else f"ringing since {said(rang)}"
        detail = f"no answer in {limit(within)}, limit {limit(within)}: {state} ({origin})"
        return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=detail)
    after = said(metrics.get("session_request_delay_s", 0.0))
    answer = f"{progress.status} {progress.phrase}".strip()
    # A 403 alone may be the network's word on the number; after our credentials it is its word on us (RFC 3261, 21.4.4).
    if progress.status in _OUR_ACCESS or (progress.status == _FORBIDDEN and progress.credentials_sent):
        detail = f"not measured: the trunk of {origin} does not accept the probe: {answer}; check username and password"
        return Measured(outcome=Outcome.ERROR, metrics=metrics, evidence=evidence, detail=detail)
    if progress.status in _BUSY:
        detail = f"{answer} after {after}: the network found the number, and it was busy ({origin})"
        return Measured(outcome=Outcome.INCONCLUSIVE, metrics=metrics, evidence=evidence, detail=detail)
    cause = progress.cause
    lost = progress.status in NOT_FOUND or (cause is not None and cause.value == UNALLOCATED)
    hint = ": not found, the signature of stale routing" if lost and moved else ""
    detail = f"{answer} after {after}, an answer was due in {limit(within)}{hint} ({origin})"
    return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=detail)
