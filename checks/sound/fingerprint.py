"""
Which recording is this? Prompts are recognised by the shape of their sound, not by their words.

A log-mel picture of what was heard is laid over the beginning of each reference at every small offset; the
score is their correlation. Loudness and the line's colour drop out of it, noise and loss only lower it. It
recognises the same recording only: a new recording of the same text is another prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from checks.sound.tone import RATE, Samples

_WINDOW, _HOP, _FFT, _BANDS = 200, 80, 256, 24
_LOWEST_HZ, _HIGHEST_HZ = 200.0, 3400.0
_RANGE = 1e-4  #: 40 dB below the loudest moment counts as silence: noise there is no shape
_SLACK_S = 0.25  #: how late the prompt may have begun within what was heard

Picture = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    """A reference and how well it fits: 1 is the same recording, near 0 is another."""

    name: str
    score: float


class Prompts:
    """The references to choose from."""

    def __init__(self, recordings: Mapping[str, Samples]) -> None:
        self._pictures = {name: picture(pcm) for name, pcm in recordings.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the references."""
        return tuple(self._pictures)

    def matches(self, heard: Samples) -> list[Match]:
        """Return how well each reference's beginning fits what was *heard*, best first."""
        seen = picture(heard)
        found = [Match(name, _fit(seen, reference)) for name, reference in self._pictures.items()]
        return sorted(found, key=lambda match: -match.score)


def picture(pcm: Samples) -> Picture:
    """Return the log-mel energies of *pcm*: a row per 10 ms, a column per band."""
    if len(pcm) < _WINDOW:
        return np.zeros((0, _BANDS))
    frames = sliding_window_view(pcm.astype(np.float64), _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    energy = np.abs(np.fft.rfft(frames, _FFT, axis=1)) ** 2 @ _filters()
    loudest = float(energy.max(initial=0.0))
    return np.log(energy + loudest * _RANGE + 1.0)


def _fit(seen: Picture, reference: Picture) -> float:
    rows = min(len(seen) - int(_SLACK_S * RATE / _HOP), len(reference))
    if rows < 1:
        return 0.0
    wanted = _shape(reference[:rows].T[np.newaxis])
    offered = _shape(sliding_window_view(seen, rows, axis=0))
    return float(np.max(offered @ wanted[0]))


def _shape(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each window flat, without its mean colour and of length one."""
    flat = (windows - windows.mean(axis=2, keepdims=True)).reshape(len(windows), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    shaped: NDArray[np.float64] = flat / np.maximum(length, 1e-9)
    return shaped


@lru_cache(maxsize=1)
def _filters() -> NDArray[np.float64]:
    """Return the triangular mel filters."""
    mel = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), _BANDS + 2)
    corners = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    hertz = np.fft.rfftfreq(_FFT, 1 / RATE)[:, np.newaxis]
    rising = (hertz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hertz) / (corners[2:] - corners[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling))


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))
