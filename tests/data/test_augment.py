"""Augmentation: drawn from each utterance's own seed, within the bounds it promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duolect.data import augment
from duolect.data.augment import (
    SpecAugmentConfig,
    SpecAugmentPolicyConfig,
    WaveAugmentConfig,
    active_level,
    add_noise,
    augment_wave,
    change_speed,
    coloured_noise,
    reverberate,
    room_response,
    spec_augment,
)
from duolect.errors import ConfigError

PAPER = SpecAugmentConfig()
POLICY = SpecAugmentPolicyConfig()


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _speech(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Noise in bursts with pauses between them, which is what speech is to an augmentation."""
    count = int(seconds * 16000)
    burst = (np.arange(count) // 2000) % 2
    return (0.1 * burst * _rng(seed).standard_normal(count)).astype(np.float32)


def _runs(masked: torch.Tensor) -> list[int]:
    edges = torch.diff(torch.nn.functional.pad(masked.int(), (1, 1)))
    return ((edges == -1).nonzero() - (edges == 1).nonzero()).flatten().tolist()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=5),
    st.integers(0, 40000),
    st.integers(0, 2**62),
    st.sampled_from([PAPER, POLICY]),
)
def test_spec_augment_does_not_depend_on_the_batch(
    lengths: list[int], step: int, seed: int, config: SpecAugmentConfig | SpecAugmentPolicyConfig
) -> None:
    seeds_B = torch.arange(len(lengths)) + seed
    lengths_B = torch.tensor(lengths)
    features_BTF = torch.randn(len(lengths), max(lengths) + 7, 40)
    together = spec_augment(features_BTF, lengths_B, seeds_B, step, config)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        alone = spec_augment(features_BTF[one, :length], lengths_B[one], seeds_B[one], step, config)
        assert torch.equal(alone[0], together[row, :length])


@pytest.mark.parametrize(
    ("step", "time_most", "frequency_least", "frequency_most"),
    [(5000, 5 * 1, 0, 2), (15000, 5 * 2, 1, 3), (25000, 5 * 4, 2, 5)],
)
def test_spec_augment_follows_the_paper_schedule(
    step: int, time_most: int, frequency_least: int, frequency_most: int
) -> None:
    ones_BTF, lengths_B = torch.ones(200, 500, 80), torch.full((200,), 500)
    masked_BTF = spec_augment(ones_BTF, lengths_B, torch.arange(200), step, PAPER) == 0
    time_BT, frequency_BF = masked_BTF.all(dim=2), masked_BTF.all(dim=1)
    assert torch.equal(masked_BTF, time_BT[:, :, None] | frequency_BF[:, None, :])
    time_runs, frequency_runs = [_runs(row) for row in time_BT], [_runs(row) for row in frequency_BF]
    assert max(map(len, time_runs)) <= time_most
    assert max(time_BT.sum(dim=1)) <= time_most * 20
    assert max(map(len, frequency_runs)) <= frequency_most
    assert max(frequency_BF.sum(dim=1)) <= frequency_most * 16
    # Overlapping spans count once, so only "at least one" shows from outside.
    assert all(runs for runs in frequency_runs) == (frequency_least > 0)
    assert max(map(len, time_runs)) > time_most / 2  # the bound is reached for, too
    assert torch.equal(ones_BTF, torch.ones(200, 500, 80))  # not in place


def test_a_policy_has_one_mask_of_each_kind_anywhere_and_of_any_width() -> None:
    ones_BTF, lengths_B = torch.ones(2000, 150, 80), torch.full((2000,), 150)
    masked_BTF = spec_augment(ones_BTF, lengths_B, torch.arange(2000), 0, POLICY) == 0
    time_BT, frequency_BF = masked_BTF.all(dim=2), masked_BTF.all(dim=1)
    assert torch.equal(masked_BTF, time_BT[:, :, None] | frequency_BF[:, None, :])
    for masked, widest in ((time_BT, 100), (frequency_BF, 27)):
        assert max(len(_runs(row)) for row in masked) == 1
        widths = masked.sum(1)
        assert set(widths.tolist()) == set(range(widest + 1))
        assert widths.float().mean() == pytest.approx(widest / 2, rel=0.05)
        assert masked.any(0).all()  # the edges too
    assert (time_BT[:, 0].float().mean() - time_BT[:, -1].float().mean()).abs() < 0.02


def test_a_policy_masks_no_more_than_its_share_of_a_short_utterance() -> None:
    policy = SpecAugmentPolicyConfig(time_masks=2, frequency_masks=0, time_fraction=0.2)
    masked_BTF = spec_augment(torch.ones(300, 40, 8), torch.full((300,), 40), torch.arange(300), 0, policy) == 0
    assert masked_BTF[:, :, 0].sum(1).max() == 2 * 8
    assert torch.equal(masked_BTF.all(2), masked_BTF.any(2))  # no bins
    for wrong in ({"time_width": -1}, {"time_fraction": 0.0}):
        with pytest.raises(ConfigError, match="spec_augment"):
            SpecAugmentPolicyConfig(**wrong)


def test_spec_augment_before_its_first_step_and_scaled() -> None:
    features_BTF, lengths_B, seeds_B = torch.ones(4, 300, 80), torch.full((4,), 300), torch.arange(4)
    assert torch.equal(spec_augment(features_BTF, lengths_B, seeds_B, 4999, PAPER), features_BTF)
    short = SpecAugmentConfig(scale=0.01)
    at_250 = spec_augment(features_BTF, lengths_B, seeds_B, 250, short)
    assert torch.equal(at_250, spec_augment(features_BTF, lengths_B, seeds_B, 25000, PAPER))
    assert not torch.equal(at_250, spec_augment(features_BTF, lengths_B, seeds_B, 249, short))


def test_spec_augment_leaves_the_global_random_state_alone() -> None:
    state = torch.get_rng_state()
    spec_augment(torch.ones(2, 100, 80), torch.tensor([100, 50]), torch.tensor([1, 2]), 30000, PAPER)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_spec_augment_is_the_same_on_a_gpu() -> None:
    features_BTF, lengths_B, seeds_B = torch.randn(4, 300, 80), torch.tensor([300, 200, 100, 1]), torch.arange(4)
    here = spec_augment(features_BTF, lengths_B, seeds_B, 30000, PAPER)
    there = spec_augment(features_BTF.cuda(), lengths_B.cuda(), seeds_B.cuda(), 30000, PAPER)
    assert torch.equal(here, there.cpu())


@pytest.mark.parametrize(
    "wrong",
    [{"steps": (2, 1, 3)}, {"steps": (-1, 1, 3)}, {"scale": -1.0}, {"time_width": 0}, {"frequency_fraction": 0.0}],
)
def test_spec_augment_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="spec_augment"):
        SpecAugmentConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": (0.0,)},
        {"noise_snr": (9.0, 3.0)},
        {"noise_probability": 1.5},
        {"room_rt60": (0.0, 1.0)},
        {"noise_colours": ("blue",)},
        {"noise_colours": ()},
    ],
)
def test_wave_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="wave_augment"):
        WaveAugmentConfig(**wrong)


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 30), st.sampled_from(["white", "pink", "brown"]), st.integers(0, 1000))
def test_noise_has_the_level_asked_for(snr_db: float, colour: augment.Colour, seed: int) -> None:
    speech = _speech()
    noise = add_noise(speech, snr_db=snr_db, colour=colour, rng=_rng(seed)) - speech
    assert 10 * np.log10(active_level(speech) / np.mean(np.square(noise))) == pytest.approx(snr_db, abs=0.01)


def test_the_level_is_that_of_the_speech_and_not_of_the_pauses() -> None:
    assert active_level(_speech()) == pytest.approx(0.01, rel=0.1)
    assert active_level(np.zeros(1000, np.float32)) == 0.0
    silence = np.zeros(1000, np.float32)
    assert np.array_equal(add_noise(silence, snr_db=0.0, rng=_rng()), silence)


@pytest.mark.parametrize(("colour", "fall_db"), [("white", 0.0), ("pink", -3.0), ("brown", -6.0)])
def test_noise_falls_with_frequency(colour: augment.Colour, fall_db: float) -> None:
    power = np.square(np.abs(np.fft.rfft(coloured_noise(2**17, colour, _rng()))))
    hertz = np.fft.rfftfreq(2**17, 1 / 16000)
    low, high = (power[(hertz >= f) & (hertz < 1.1 * f)].mean() for f in (500.0, 4000.0))
    assert 10 * np.log10(high / low) / 3 == pytest.approx(fall_db, abs=0.4)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1.5), st.floats(-3, 15), st.integers(0, 1000))
def test_a_room_begins_with_the_direct_sound(rt60: float, direct_db: float, seed: int) -> None:
    response = room_response(rt60, direct_db, _rng(seed))
    energy = np.square(response)
    assert energy.sum() == pytest.approx(1.0)
    assert 10 * np.log10(energy[0] / energy[1:].sum()) == pytest.approx(direct_db, abs=1e-6)
    assert not response[1 : int(0.002 * 16000)].any()


def test_a_room_decays_by_60_db_in_its_time() -> None:
    rt60 = 0.5
    response = np.stack([room_response(rt60, 0.0, _rng(seed), reflections=0) for seed in range(200)])
    level = np.log10(np.square(response).mean(axis=0)[800:])  # past the onset of the tail
    slope = np.polyfit(np.arange(len(level)) / 16000, 10 * level, 1)[0]
    assert slope * rt60 == pytest.approx(-60, abs=1.5)


def test_reverberation_keeps_place_length_and_level() -> None:
    speech = np.zeros(16000, np.float32)
    speech[4000:8000] = _speech()[2000:4000].repeat(2)
    wet = reverberate(speech, rt60=0.3, rng=_rng())
    assert wet.shape == speech.shape
    assert wet.dtype == np.float32
    assert np.abs(wet[:4000]).max() < 1e-6  # nothing is heard before it is said
    assert np.square(wet[8100:]).sum() > 1e-3 * np.square(wet).sum()  # but after it is
    assert active_level(wet) == pytest.approx(active_level(speech), rel=1e-3)
    assert len(reverberate(np.zeros(0, np.float32), rt60=0.3, rng=_rng())) == 0
    assert not reverberate(np.zeros(100, np.float32), rt60=0.3, rng=_rng()).any()


@pytest.mark.parametrize("factor", [0.7, 0.9, 1.0, 1.1])
def test_speed_changes_length_and_pitch(factor: float) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    fast = change_speed(tone, factor)
    assert abs(len(fast) - 16000 / factor) <= 1
    peak = np.argmax(np.abs(np.fft.rfft(fast * np.hanning(len(fast))))) * 16000 / len(fast)
    assert peak == pytest.approx(440 * factor, abs=2)


def test_a_seed_decides_everything_about_a_wave() -> None:
    config = WaveAugmentConfig(speed=(0.9, 1.0, 1.1), room_probability=0.5, noise_snr=(0.0, 20.0))
    speech = _speech()
    first, second = ([augment_wave(speech, seed, config) for seed in range(30)] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert len({len(wave) for wave in first}) == 3
    assert all(wave.dtype == np.float32 and np.isfinite(wave).all() for wave in first)
    assert np.array_equal(augment_wave(speech, 1, WaveAugmentConfig()), speech)


def test_a_wave_is_not_driven_into_clipping() -> None:
    speech = _speech() / np.abs(_speech()).max()
    loud = augment_wave(speech, 0, WaveAugmentConfig(noise_snr=(-10.0, -10.0)))
    assert np.abs(loud).max() == pytest.approx(1.0)
    assert len(augment_wave(np.zeros(0, np.float32), 0, WaveAugmentConfig(room_probability=1.0, noise_snr=(0, 1)))) == 0


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 16001, 99999])
def test_fast_sizes(size: int) -> None:
    fast = augment._fast_size(size)
    assert size <= fast <= max(1.34 * size, size + 1)
    assert (fast >> ((fast & -fast).bit_length() - 1)) in (1, 3, 5)
