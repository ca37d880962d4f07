"""
Tones: make one, and find one in what was heard (Goertzel, in blocks of 20 ms).

A tone found is a proof that audio passed, because silence, hiss and speech do not hold one frequency.
"""

import numpy as np
from numpy.typing import NDArray

RATE = 8000
BLOCK = 160  #: 20 ms

Samples = NDArray[np.int16]

PROBE_TONE_HZ = 1004  #: the telephone test tone
_AUDIBLE_RMS = 150.0  #: about -47 dBm0; line noise of a digital trunk is far below
_SHARE = 0.6  #: of the block's energy that must lie at the frequency


def tone(hertz: int, seconds: float = 1.0, level: float = 8000.0) -> Samples:
    """Return a sine; a whole second of a whole number of hertz can be repeated without a click."""
    at = np.arange(int(RATE * seconds)) / RATE
    return (level * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def audible_s(pcm: Samples) -> float:
    """Return how many seconds of *pcm* are louder than silence."""
    return float(np.count_nonzero(_rms(_blocks(pcm)) > _AUDIBLE_RMS)) * BLOCK / RATE


def tone_s(pcm: Samples, hertz: int) -> float:
    """Return for how many seconds *hertz* was the sound in *pcm*."""
    blocks = _blocks(pcm)
    if not len(blocks):
        return 0.0
    turn = np.exp(-2j * np.pi * hertz * np.arange(BLOCK) / RATE)
    energy = np.sum(blocks**2, axis=1)
    share = 2 * np.abs(blocks @ turn) ** 2 / (BLOCK * np.maximum(energy, 1.0))
    found = (share > _SHARE) & (_rms(blocks) > _AUDIBLE_RMS)
    return float(np.count_nonzero(found)) * BLOCK / RATE


def _blocks(pcm: Samples) -> NDArray[np.float64]:
    whole = len(pcm) // BLOCK * BLOCK
    return pcm[:whole].reshape(-1, BLOCK).astype(np.float64)


def _rms(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    levels: NDArray[np.float64] = np.sqrt(np.mean(blocks**2, axis=1)) if len(blocks) else np.zeros(0)
    return levels
