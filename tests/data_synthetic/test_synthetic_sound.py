"""Speakers and recordings."""

import dataclasses
import random

import numpy as np
import pytest

from duolect.audio.speech import Voice, variants, voices
from duolect.data.synthetic.config import SoundConfig, SyntheticConfig, synthetic_config
from duolect.data.synthetic.sound import Scene, babble_track, draw_scene, record
from duolect.data.synthetic.voices import ACCENTS, VARIANTS, speakers
from duolect.errors import ConfigError

QUIET = Scene(
    text="the sun shone on our son",
    voice=Voice(name="en-gb"),
    seed=1,
    noise="white",
    snr_db=100.0,
    rt60=None,
    direct_db=6.0,
    band=None,
    level_db=3.0,
    pauses=(0.2, 0.1),
)


@pytest.fixture(scope="module")
def babble():
    return [babble_track(["one for you", "two for me"], [Voice(name="en-us"), Voice(name="en-gb", variant="f3")], 2.0)]


def test_no_voice_quality_speaks_in_two_splits():
    train, dev, test = (set(VARIANTS[split]) for split in ("train", "dev", "test"))
    assert len(train | dev | test) == sum(map(len, VARIANTS.values()))
    assert train | dev | test <= {None, *variants()}
    assert set(ACCENTS["en"]) <= set(voices("en"))
    assert len(speakers("test")) >= 12
    assert len({s.name for split in ("train", "dev", "test") for s in speakers(split)}) == sum(
        len(speakers(split)) for split in ("train", "dev", "test")
    )
    for split in ("dev", "test"):
        assert {speaker.accent for speaker in speakers(split)} == set(ACCENTS["en"])


def test_every_speaker_can_be_heard():
    from duolect.audio.speech import speak

    for split in ("dev", "test"):
        for speaker in speakers(split):
            samples = speak("hello", speaker.voice(random.Random(1)))
            assert np.sqrt(np.mean(np.square(samples))) > 0.01, speaker.name


def test_a_recording_depends_on_its_scene_alone(babble):
    scenes = [
        dataclasses.replace(QUIET, noise=noise, snr_db=5.0, rt60=0.3, seed=seed, band=(300.0, 3400.0))
        for seed, noise in enumerate(("white", "pink", "brown", "babble"))
    ]
    forwards = [record(scene, babble) for scene in scenes]
    backwards = [record(scene, babble) for scene in reversed(scenes)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one, other)


def test_level_and_pauses(babble):
    for level in (3.0, 20.0):
        samples = record(dataclasses.replace(QUIET, level_db=level), babble)
        assert np.abs(samples).max() == pytest.approx(32767 * 10 ** (-level / 20), abs=1)
    assert np.abs(samples[:3000]).max() < 5  # 0.2 s before the speech
    assert np.abs(samples[3300:4000]).max() > 5


@pytest.mark.parametrize("noise", ["white", "pink", "brown", "babble"])
def test_noise_has_the_level_asked_for(noise, babble):
    clean = record(dataclasses.replace(QUIET, level_db=20.0), babble).astype(float)
    noisy = record(dataclasses.replace(QUIET, level_db=20.0, noise=noise, snr_db=10.0), babble).astype(float)
    gain = np.dot(noisy, clean) / np.dot(clean, clean)  # both are scaled to the same peak
    rest = noisy / gain - clean
    active = clean[3200:-1600]
    assert 10 * np.log10(np.mean(active**2) / np.mean(rest**2)) == pytest.approx(10.0, abs=2.5)


def test_telephone_keeps_its_band(babble):
    scene = dataclasses.replace(QUIET, snr_db=10.0, band=(300.0, 3400.0))
    spectrum = np.abs(np.fft.rfft(record(scene, babble).astype(float))) ** 2
    frequency = np.linspace(0, 8000, len(spectrum))
    outside = spectrum[(frequency < 280) | (frequency > 3420)].sum()
    assert outside / spectrum.sum() < 1e-4


def test_scenes_keep_to_the_config():
    config = SoundConfig(snr_db=(5.0, 6.0), noise_weights=(0.0, 0.0, 0.0, 1.0), room_share=0.0, telephone_share=1.0)
    rng = random.Random(1)
    for _ in range(50):
        scene = draw_scene("a b c d", Voice(), rng, config)
        assert scene.noise == "babble"
        assert 5.0 <= scene.snr_db <= 6.0
        assert scene.rt60 is None
        assert scene.band == config.telephone_band


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoundConfig(snr_db=(9.0, 3.0)),
        lambda: SoundConfig(room_share=1.5),
        lambda: SoundConfig(noise_weights=(0.0, 0.0, 0.0, 0.0)),
        lambda: SyntheticConfig(train=0, dev=1, test=1, lm_sentences=1),
        lambda: SyntheticConfig(train=1, dev=1, test=1, lm_sentences=1, unseen_share=2.0),
        lambda: SyntheticConfig(train=1, dev=1, test=1, lm_sentences=1, babble_seconds=0.0),
        lambda: synthetic_config("huge"),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ConfigError):
        make()
