"""
The `ivr` check: call a service number and recognise the prompt that answers.

It decides whether the recording that callers are meant to hear is the one they hear. Another known prompt is a
failure; a sound that fits no reference is "inconclusive", because a prompt may simply have been re-recorded.
The call lasts only until the prompt is known.
"""

from functools import lru_cache
from time import perf_counter
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from bot.core.model import Cell, Outcome
from checks import Measured, NotMeasured, Params, Targets
from checks.sip.call import Call, Progress
from checks.sip.media import silence
from checks.sip.pacer import BEAT_S
from checks.sip.verdict import LEAST_AUDIO_S, dialled, refuse_if_stalled, trunk_of, unanswered
from checks.sound.fingerprint import Match, Prompts
from checks.sound.prompts import read_recording, shipped_recordings
from checks.sound.tone import audible_s
from checks.targets import PromptRecording, target
from checks.units import Duration, limit, said

_FIRST_LOOK_S, _NEXT_LOOK_S = 1.0, 0.25


class IvrParams(Params):
    """`with:` of an ivr check. The references are `targets.prompts`, or the shipped ones where there are none."""

    expect: Annotated[str, StringConstraints(min_length=1)]  #: the name of the prompt
    through: str = ""  #: a key of targets.sip; the cell's origin where empty
    answer_within: Annotated[Duration, Field(gt=0, le=180)] = 10.0
    listen: Annotated[Duration, Field(ge=_FIRST_LOOK_S, le=60)] = 3.0  #: the longest to listen
    min_score: Annotated[float, Field(gt=0, le=1)] = 0.65
    margin: Annotated[float, Field(ge=0, le=1)] = 0.15  #: lead over the second best

    def service_limit_s(self) -> float:
        return self.answer_within + self.listen

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:
        return (("sip", self.through or cell.origin),)


class IvrCheck:
    """Call, listen, recognise."""

    KIND: ClassVar[str] = "ivr"
    Params: ClassVar[type[Params]] = IvrParams

    def __init__(self, params: IvrParams) -> None:
        self.params = params

    async def take(self, cell: Cell, targets: Targets, deadline: float) -> Measured:
        params, name = self.params, self.params.through or cell.origin
        trunk = trunk_of(targets, name)
        prompts = _references(targets)
        if not cell.number:
            raise NotMeasured("an ivr check needs a number in its cell")
        if params.expect not in prompts.names:
            raise NotMeasured(f"there is no recording {params.expect!r}; there are: {', '.join(prompts.names)}")
        async with Call(trunk, cell.number, silence(), deadline) as call:
            progress = await call.dial(params.answer_within)
            if not progress.answered:
                return unanswered(progress, params.answer_within, name, moved=False)
            matches, listened = await self._listen(call, prompts)
            if not self._known(matches) and not call.over:
                refuse_if_stalled(call.media)
            return self._judge(call, matches, listened, name)

    async def _listen(self, call: Call, prompts: Prompts) -> tuple[list[Match], float]:
        """Listen until a prompt is known or the time is up; return the last look and how much was heard."""
        wanted, ends = _FIRST_LOOK_S, perf_counter() + self.params.listen
        # A line may stay silent for a while before its prompt; all of the time is its own.
        await call.listen(BEAT_S, self.params.listen)
        while True:
            step = _FIRST_LOOK_S if wanted == _FIRST_LOOK_S else _NEXT_LOOK_S
            # Twice the time: packets of a lossy line come late or not at all.
            arrived = call.media.heard_s > 0 and await call.listen(wanted, step * 2)
            matches = prompts.matches(call.media.pcm())
            wanted += _NEXT_LOOK_S
            over = perf_counter() >= ends or wanted > self.params.listen + 1e-9
            if self._known(matches) or over or not arrived:
                return matches, call.media.heard_s

    def _known(self, matches: list[Match]) -> bool:
        second = matches[1].score if len(matches) > 1 else 0.0
        return (
            bool(matches)
            and matches[0].score >= self.params.min_score
            and matches[0].score - second >= self.params.margin
        )

    def _judge(self, call: Call, matches: list[Match], listened: float, name: str) -> Measured:
        params, progress = self.params, call.progress
        best = matches[0]
        metrics = {**progress.figures(), **call.media.figures(), "prompt_score": best.score, "listened_s": listened}
        metrics["audio_received_s"] = heard = audible_s(call.media.pcm())
        guesses = ", ".join(f"{match.name} {match.score:.2f}" for match in matches[:3])
        evidence = {**dialled(progress), "prompts": guesses}

        def verdict(outcome: Outcome, sentence: str) -> Measured:
            return Measured(outcome=outcome, metrics=metrics, evidence=evidence, detail=f"{sentence} ({name})")

        if heard < LEAST_AUDIO_S:
            needed = f"at least {limit(LEAST_AUDIO_S)} needed"
            return verdict(Outcome.FAIL, f"{said(heard)} of audio heard, {needed}: the line is up and silent")
        score = f"{best.score:.2f} match, limit {params.min_score:g}"
        if self._known(matches):
            if best.name == params.expect:
                return verdict(
                    Outcome.PASS, f"{score}: the prompt is {best.name!r}, as wanted; {_answered(progress, params)}"
                )
            return verdict(Outcome.FAIL, f"{score}: the prompt is {best.name!r}, wanted {params.expect!r}")
        return verdict(Outcome.INCONCLUSIVE, f"{score}: no known prompt after {said(listened)}; nearest: {guesses}")


def _answered(progress: Progress, params: IvrParams) -> str:
    return f"answered in {said(progress.figures()['answer_time_s'])}, limit {limit(params.answer_within)}"


def _references(targets: Targets) -> Prompts:
    entries = targets.get("prompts") or {}
    return _prompts(tuple((key, target(targets, "prompts", key, PromptRecording).file) for key in sorted(entries)))


@lru_cache(maxsize=8)
def _prompts(recordings: tuple[tuple[str, str], ...]) -> Prompts:
    if not recordings:
        return Prompts(shipped_recordings())
    return Prompts({name: read_recording(file) for name, file in recordings})
