"""Tones and fingerprints, on PCM alone."""

import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.sound.fingerprint import Prompts
from checks.sound.prompts import read_recording, shipped_recordings
from checks.sound.tone import RATE, Samples, audible_s, tone, tone_s

RECORDINGS = shipped_recordings()
PROMPTS = Prompts(RECORDINGS)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(RECORDINGS)),
    gain=st.floats(0.05, 1.0),
    late_s=st.floats(0.0, 0.2),
    snr_db=st.floats(10.0, 40.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_prompt_is_recognised_whatever_its_loudness_delay_and_noise(
    name: str, gain: float, late_s: float, snr_db: float, seed: int
) -> None:
    heard = np.concatenate([np.zeros(int(late_s * RATE), np.int16), RECORDINGS[name]])[: int(1.2 * RATE)]
    best, second, *_ = PROMPTS.matches(noisy(heard * gain, snr_db, seed))

    assert best.name == name
    assert best.score >= 0.65
    assert best.score - second.score >= 0.15


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_noise_is_no_prompt(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert PROMPTS.matches(rng.normal(0, 3000, RATE).astype(np.int16))[0].score < 0.65


def test_too_little_sound_fits_nothing() -> None:
    assert all(match.score == 0 for match in PROMPTS.matches(np.zeros(100, np.int16)))
    assert all(match.score <= 0.01 for match in PROMPTS.matches(np.zeros(RATE, np.int16)))


@pytest.mark.parametrize("level", [500.0, 8000.0, 30000.0])
def test_the_probe_tone_is_found_at_any_level(level: float) -> None:
    heard = np.concatenate([tone(425, 0.2, level), tone(1004, 0.4, level), np.zeros(1600, np.int16)])
    assert tone_s(heard, 1004) == pytest.approx(0.4, abs=0.02)
    assert audible_s(heard) == pytest.approx(0.6, abs=0.02)


def test_speech_silence_and_other_tones_are_not_the_probe_tone() -> None:
    for name, recording in RECORDINGS.items():
        assert tone_s(recording, 1004) <= 0.04, name
    assert tone_s(tone(425), 1004) == 0
    assert tone_s(np.zeros(RATE, np.int16), 1004) == 0
    assert tone_s(np.zeros(0, np.int16), 1004) == audible_s(np.zeros(10, np.int16)) == 0


def test_a_recording_can_be_a_wav_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("prompts") / "own.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(RECORDINGS["welcome"].astype("<i2").tobytes())
    assert np.array_equal(read_recording(str(path)), RECORDINGS["welcome"])


def noisy(pcm: np.ndarray[tuple[int, ...], np.dtype[np.float64]], snr_db: float, seed: int) -> Samples:
    power = float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)))
    noise = np.random.default_rng(seed).normal(0, power / 10 ** (snr_db / 20), len(pcm))
    return np.clip(pcm + noise, -32768, 32767).astype(np.int16)
