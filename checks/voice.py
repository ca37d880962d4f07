"""
The `voice` check: one real call, its set-up timed, its audio proven from what was heard.

The probe plays a subscriber of the cell's origin and calls the cell's number through that origin's trunk. It decides
whether the network set the call up and carried sound within the limits. A trunk that is not there, or that does
not accept the probe, is "not measured": that is our access, not the service.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bot.core.model import Cell, Outcome
from checks import Measured, NotMeasured, Params, Targets
from checks.sip.call import Call, Progress, Trunk
from checks.sip.media import Media
from checks.sip.verdict import LEAST_AUDIO_S, dialled, refuse_if_stalled, trunk_of, unanswered
from checks.sound.tone import PROBE_TONE_HZ, audible_s, tone, tone_s
from checks.units import Duration, limit, said

Audio = Literal["both-ways", "to-us", "none"]
_TONE = tone(PROBE_TONE_HZ)
_LOOK_AGAIN_S = 0.1


class VoiceParams(Params):
    """`with:` of a voice check. The cell's origin names the trunk unless `through` does."""

    direction: Literal["inbound", "outbound"] = "inbound"
    through: str = ""  #: a key of targets.sip
    answer_within: Annotated[Duration, Field(gt=0, le=180)] = 10.0
    audio: Audio = "both-ways"  #: both-ways needs a line that echoes
    hold: Annotated[Duration, Field(ge=0.2, le=3600)] = 0.6  #: how long to keep the call up with media
    audio_within: Annotated[Duration, Field(gt=0, le=60)] = 2.0  #: from the answer until the audio is proven

    def service_limit_s(self) -> float:
        return self.answer_within + (0.0 if self.audio == "none" else max(self.hold, self.audio_within))

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        return (("sip", self.through or cell.origin),)


class VoiceCheck:
    """Place one call and measure it."""

    KIND: ClassVar[str] = "voice"
    Params: ClassVar[type[Params]] = VoiceParams

    def __init__(self, params: VoiceParams) -> None:
        self.params = params

    async def take(self, cell: Cell, targets: Targets, deadline: float) -> Measured:
        params, name = self.params, self.params.through or cell.origin
        trunk = trunk_of(targets, name)
        if not cell.number:
            raise NotMeasured("a voice check needs a number in its cell")
        async with Call(trunk, cell.number, _TONE, deadline) as call:
            progress = await call.dial(params.answer_within)
            if not progress.answered:
                moved = params.direction == "inbound" and not cell.control
                return unanswered(progress, params.answer_within, name, moved=moved)
            if params.audio != "none":
                await self._hold(call)
            return self._judge(progress, call.media, trunk)

    async def _hold(self, call: Call) -> None:
        """Keep the call up; stay longer, up to the limit, only while the audio is not proven."""
        await call.hold(self.params.hold)
        left = self.params.audio_within - self.params.hold
        while left > 0 and not call.over and self._unheard(call.media):
            await call.hold(min(_LOOK_AGAIN_S, left))
            left -= _LOOK_AGAIN_S
        if self._unheard(call.media) and not call.over:
            refuse_if_stalled(call.media)

    def _unheard(self, media: Media) -> str:
        """Return which sound is missing, or nothing."""
        pcm, needed = media.pcm(), f"in {limit(self.params.audio_within)}, at least {limit(LEAST_AUDIO_S)} needed"
        heard, echoed = audible_s(pcm), tone_s(pcm, PROBE_TONE_HZ)
        if heard < LEAST_AUDIO_S:
            return f"{said(heard)} of audio heard {needed}: the call is up and silent"
        if self.params.audio == "both-ways" and echoed < LEAST_AUDIO_S:
            return (
                f"{said(echoed)} of our audio came back {needed}: one-way audio, we hear them and they do not hear us"
            )
        return ""

    def _judge(self, progress: Progress, media: Media, trunk: Trunk) -> Measured:
        pcm = media.pcm()
        heard, echoed = audible_s(pcm), tone_s(pcm, PROBE_TONE_HZ)
        metrics = {**progress.figures(), "cut_off": float(progress.cut_off)}
        if self.params.audio != "none":
            metrics |= {**media.figures(), "audio_received_s": heard, "audio_echoed_s": echoed}
            if media.first_packet_at is not None and progress.final_at is not None:
                metrics["audio_delay_s"] = max(0.0, media.first_packet_at - progress.final_at)
        fault = self._fault(progress, media)
        evidence = dialled(progress)
        if fault:
            return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=f"{fault} ({trunk.name})")
        sound = {"both-ways": "; audio both ways", "to-us": "; audio to us", "none": ""}[self.params.audio]
        allowed = limit(self.params.answer_within)
        detail = f"answered in {said(metrics['answer_time_s'])}, limit {allowed}{sound} ({trunk.name})"
        return Measured(outcome=Outcome.PASS, metrics=metrics, evidence=evidence, detail=detail)

    def _fault(self, progress: Progress, media: Media) -> str:
        if progress.cut_off and progress.cut_off_at is not None and progress.final_at is not None:
            kept = self.params.hold if self.params.audio != "none" else 0.0
            up = progress.cut_off_at - progress.final_at
            if up >= kept:
                # The time we stayed on to hear something, or to say goodbye: the limit to name is not the hold.
                return f"cut off by the network after {said(up)}, before this probe ended the call"
            return f"cut off by the network after {said(up)}, to be kept up for {limit(kept)}"
        return "" if self.params.audio == "none" else self._unheard(media)
