"""Sounds without speech: the same for the same seed, finite, within bounds, and what their names say."""

import numpy as np
import pytest

from duolect.audio import SAMPLE_RATE
from duolect.data.augment import active_level
from duolect.data.nonspeech import SOUNDS, make_sound, mixed, with_silence
from duolect.data.nonspeech.noise import band_noise, slow_curve
from duolect.data.nonspeech.sounds import PEAK
from duolect.data.nonspeech.strained import quietest_place
from duolect.errors import ConfigError


def spectrum(samples: np.ndarray, low: float, high: float) -> float:
    """The share of the power between two frequencies."""
    power = np.square(np.abs(np.fft.rfft(samples.astype(np.float64))))
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum() / max(power.sum(), 1e-30))


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_follows_from_its_name_length_seed_and_take(name: str) -> None:
    lengths = (0.1, 1.37)
    first = [make_sound(name, seconds, seed=1) for seconds in lengths]
    again = [make_sound(name, seconds, seed=1) for seconds in reversed(lengths)][::-1]
    for samples, other, seconds in zip(first, again, lengths, strict=True):
        assert samples.dtype == np.float32
        assert len(samples) == round(seconds * SAMPLE_RATE)
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= PEAK + 1e-6
        assert np.array_equal(samples, other)
    if name != "zeros":
        assert not np.array_equal(first[1], make_sound(name, 1.37, seed=2))
        assert not np.array_equal(first[1], make_sound(name, 1.37, seed=1, take=1))
    level = 10 * np.log10(max(float(np.mean(np.square(first[1], dtype=np.float64))), 1e-20))
    assert level < -64 if SOUNDS[name].condition == "silence" else -55 < level < -17, level


def test_sounds_are_what_they_are_called() -> None:
    assert not make_sound("zeros", 2).any()
    assert 0 < np.abs(make_sound("dither", 2)).max() <= 1 / 32768
    assert spectrum(make_sound("white", 5), 4000, 8000) == pytest.approx(0.5, abs=0.02)
    assert spectrum(make_sound("brown", 5), 0, 200) > 0.8
    assert 0.2 < spectrum(make_sound("pink", 5), 0, 200) < 0.6
    hum = make_sound("hum", 5)
    lines = sum(spectrum(hum, base * n - 1, base * n + 1) for base in (50, 60) for n in range(1, 31))
    assert lines > 0.95
    assert spectrum(make_sound("wind", 5), 0, 1000) > 0.9
    assert spectrum(make_sound("birds", 5), 1500, 7000) > 0.9
    assert spectrum(make_sound("telephone", 5), 300, 600) > 0.9


def test_babble_is_many_voices_and_backwards_is_one_reversed() -> None:
    babble, backwards = make_sound("babble", 3), make_sound("backwards", 3)
    frames = [np.square(x.reshape(-1, 320), dtype=np.float64).mean(axis=1) for x in (babble, backwards)]
    depth = [np.quantile(f, 0.1) / f.mean() for f in frames]
    assert depth[0] > 10 * depth[1]  # one voice pauses, twelve do not


def test_a_band_of_noise_is_of_that_band_and_power() -> None:
    noise = band_noise(16000, 1000, 2000, np.random.default_rng(0))
    assert spectrum(noise, 800, 2500) > 0.999
    assert np.mean(np.square(noise)) == pytest.approx(1)
    curve = slow_curve(50_000, 0.5, np.random.default_rng(0))
    assert 0 <= curve.min() < 0.3
    assert 0.7 < curve.max() <= 1
    assert np.abs(np.diff(curve)).max() < 0.001


def test_speech_is_mixed_at_the_level_that_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    speech = (0.01 * rng.standard_normal(16_000)).astype(np.float32)
    for snr in (20.0, 0.0, -5.0):
        noise = mixed(speech, snr, "pink") - speech
        assert 10 * np.log10(active_level(speech) / np.mean(np.square(noise))) == pytest.approx(snr, abs=0.01)
    assert np.abs(mixed(50 * speech, -10, "white")).max() <= PEAK + 1e-6
    assert np.array_equal(mixed(np.zeros(1600, np.float32), 0, "pink"), np.zeros(1600))


def test_silence_goes_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    speech = np.concatenate([np.full(8000, 0.1), np.zeros(1600), np.full(6400, 0.1)]).astype(np.float32)
    assert 8000 <= quietest_place(speech) < 9600
    for where, place in (("before", 0), ("after", len(speech)), ("inside", quietest_place(speech))):
        longer = with_silence(speech, where, 0.5, rng)
        assert np.array_equal(np.delete(longer, np.s_[place : place + 8000]), speech)
        assert np.abs(longer[place : place + 8000]).max() <= 1 / 32768
    assert quietest_place(np.ones(100, np.float32)) == 50


def test_wrong_sounds_are_refused() -> None:
    with pytest.raises(ConfigError, match="there is no sound 'flute'; known are zeros"):
        make_sound("flute", 1)
    with pytest.raises(ConfigError, match="lasts from"):
        make_sound("pink", 0.01)
