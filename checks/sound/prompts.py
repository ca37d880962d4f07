"""
Recordings of prompts: read from files, and the set that ships with the simulated carrier.

8 kHz u-law without a header (`.ul`), or 8 kHz mono 16-bit WAV.
"""

import wave
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import aiortp
import numpy as np

from checks import NotMeasured
from checks.sound.tone import RATE, Samples


def read_ulaw(recording: bytes) -> Samples:
    """Return the samples of a raw u-law recording."""
    return np.frombuffer(aiortp.get_codec(0).decode(recording), dtype="<i2")


@cache
def read_recording(file: str) -> Samples:
    """Return the samples of a recording; a file that cannot be used is our fault, not the service's."""
    try:
        if not file.endswith(".wav"):
            return read_ulaw(Path(file).read_bytes())
        with wave.open(file) as recording:
            if (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) != (RATE, 1, 2):
                raise NotMeasured(f"the recording {file} is not 8 kHz mono 16-bit")
            return np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2")
    except (OSError, wave.Error) as error:
        raise NotMeasured(f"the recording {file} cannot be read: {error}") from error


@cache
def shipped_recordings() -> Mapping[str, Samples]:
    """Return the recordings of the simulated carrier, by name."""
    shipped = files("checks") / "carrier" / "prompts"
    return {
        entry.name.removesuffix(".ul"): read_ulaw(entry.read_bytes())
        for entry in sorted(shipped.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".ul")
    }
