"""Log-mel features: equal to their peers, the same in any batch, on any device."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from duolect.audio import FeatureConfig, LogMel, Waveform, WaveformConfig
from duolect.configs import from_json, to_json
from duolect.errors import ConfigError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lhotse.features.kaldi.layers import Wav2LogFilterBank
    from tiny_encoders import parakeet_features
    from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
    from transformers.audio_utils import mel_filter_bank

KINDS = [("log10", 512), ("whisper", 400), ("kaldi", 512), ("nemo", 512)]
CONFIGS = [
    FeatureConfig(kind=kind, fft=fft, normalisation=normalisation)  # type: ignore[arg-type]
    for (kind, fft), normalisation in product(KINDS, ("none", "utterance", "per_feature"))
]


def _noise(samples: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(samples // 2000 + 1, generator=generator).repeat_interleave(2000)[:samples]
    return 0.3 * level * torch.randn(samples, generator=generator)


def _alone(model: LogMel, samples_N: Tensor) -> Tensor:
    features_BTF, lengths_B = model(samples_N[None], torch.tensor([len(samples_N)]))
    assert features_BTF.shape[1] == lengths_B[0]
    return features_BTF[0]


@pytest.mark.parametrize("samples", [1, 81, 200, 400, 1600, 16_000, 16_079, 16_081, 48_123, 479_990, 480_000])
def test_whisper_equals_transformers(samples: int) -> None:
    sound = _noise(samples, samples)
    peer = WhisperFeatureExtractor()(
        sound.numpy(), sampling_rate=16_000, return_tensors="pt", return_attention_mask=True
    )
    found = _alone(LogMel(FeatureConfig(kind="whisper", fft=400)), sound)
    assert len(found) == int(peer.attention_mask.sum())
    error = (found - peer.input_features[0].T[: len(found)]).abs()
    # In half a minute there is a cell or two so faint that single precision itself allows more than 1e-5.
    assert (error > 1e-5).sum() <= 2e-5 * error.numel()
    assert error.max() < 1e-4


def test_whisper_clamps_below_a_maximum_in_the_last_samples() -> None:
    sound = _noise(16_000) * 1e-4
    sound[-20:] = 1.0
    peer = WhisperFeatureExtractor()(sound.numpy(), sampling_rate=16_000, return_tensors="pt")
    found = _alone(LogMel(FeatureConfig(kind="whisper", fft=400)), sound)
    torch.testing.assert_close(found, peer.input_features[0].T[: len(found)], atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [400, 1600, 16_000, 16_081, 48_123])
@pytest.mark.parametrize("mels", [40, 80])
def test_kaldi_equals_lhotse(samples: int, mels: int) -> None:
    sound = _noise(samples, samples)
    peer = Wav2LogFilterBank(
        sampling_rate=16_000, dither=0.0, snip_edges=False, num_filters=mels, low_freq=20.0, high_freq=0.0
    )
    # Empty bands at the bottom aside, single precision allows about 1e-4 where most energy lies in other bands.
    torch.testing.assert_close(
        _alone(LogMel(FeatureConfig(kind="kaldi", mels=mels)), sound), peer(sound[None])[0], atol=1e-3, rtol=0
    )


def _nemo(samples_N: np.ndarray, mels: int, frames: int) -> np.ndarray:
    """NeMo's features (frames, mels) in double precision."""
    window, shift, fft = 400, 160, 512
    emphasised = np.concatenate([samples_N[:1], samples_N[1:] - 0.97 * samples_N[:-1]])
    padded = np.pad(emphasised, (fft // 2, fft))
    weights = np.pad(np.hanning(window), (fft - window) // 2)
    spectra = np.stack([np.fft.rfft(padded[t * shift : t * shift + fft] * weights) for t in range(frames)])
    bands = mel_filter_bank(fft // 2 + 1, mels, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    logs = np.log(np.abs(spectra) ** 2 @ bands + 2.0**-24)
    return (logs - logs.mean(0)) / (logs.std(0, ddof=1) + 1e-5)


@pytest.mark.parametrize("samples", [400, 1600, 16_000, 16_081, 48_123])
@pytest.mark.parametrize("mels", [80, 128])
def test_nemo_equals_transformers(samples: int, mels: int) -> None:
    sound = _noise(samples, samples)
    peer = parakeet_features(mels)(sound.numpy(), sampling_rate=16_000, return_tensors="pt")
    found = _alone(LogMel(FeatureConfig(kind="nemo", mels=mels, normalisation="per_feature")), sound)
    assert len(found) == int(peer.attention_mask.sum())
    exact = torch.from_numpy(_nemo(sound.double().numpy(), mels, len(found)))
    # Both are rounded, each by up to 1.2e-4 with 128 bands on an AMD EPYC. Two frames have one difference, and
    # normalisation makes ±0.7 of it, however small: single precision shows.
    for rounded in (found, peer.input_features[0, : len(found)]):
        torch.testing.assert_close(rounded.double(), exact, atol=2e-4 if samples > 400 else 1e-3, rtol=0)


@pytest.mark.parametrize("normalise", [True, False])
def test_waveforms_equal_transformers_in_any_batch(normalise: bool) -> None:
    sounds = [3 * _noise(samples, samples) + 0.1 for samples in (400, 16_000, 30_123)]
    peer = Wav2Vec2FeatureExtractor(do_normalize=normalise)
    model, lengths_B = Waveform(WaveformConfig(normalise=normalise)), torch.tensor([400, 16_000, 30_123])
    samples_BN = torch.full((3, 31_000), 7.0)  # rubbish beyond the ends
    for row, sound in zip(samples_BN, sounds, strict=True):
        row[: len(sound)] = sound
    found_BN, found_lengths_B = model(samples_BN, lengths_B)
    assert torch.equal(found_lengths_B, lengths_B)
    for row, sound in zip(found_BN, sounds, strict=True):
        expected = peer(sound.numpy(), sampling_rate=16_000, return_tensors="pt").input_values[0]
        torch.testing.assert_close(row[: len(sound)], expected, atol=1e-5, rtol=1e-5)
        assert not row[len(sound) :].any()
    assert not model(torch.ones(1, 5), torch.tensor([0]))[0].any()


def test_log10_equals_its_definition() -> None:
    """In double precision, frame by frame, mel bands and all written out."""
    sound = _noise(4_321).double().numpy()
    padded = np.pad(sound, 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    hz = np.arange(257) * 16_000 / 512
    mel = np.linspace(0, 15 + np.log(8) / (np.log(6.4) / 27), 82)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    bands = np.array([np.interp(hz, edges[i : i + 3], [0, 2 / (edges[i + 2] - edges[i]), 0]) for i in range(80)])
    frames = [padded[t * 160 : t * 160 + 400] * window for t in range(27)]
    wanted = np.log10(np.maximum(np.abs(np.fft.rfft(frames, 512)) ** 2 @ bands.T, 1e-10))
    found = _alone(LogMel(), torch.from_numpy(sound))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.normalisation}")
def test_alone_in_a_batch_or_with_more_padding_is_the_same(data: st.DataObject, config: FeatureConfig) -> None:
    lengths = data.draw(st.lists(st.integers(0, 6_000), min_size=1, max_size=4))
    extra, rubbish = data.draw(st.integers(0, 2_000)), data.draw(st.sampled_from((0.0, 9.0, float("nan"))))
    model, sounds = LogMel(config), [_noise(length, length) for length in lengths]
    samples_BN = torch.full((len(sounds), max(lengths) + extra), rubbish)
    for row, sound in zip(samples_BN, sounds, strict=True):
        row[: len(sound)] = sound
    features_BTF, lengths_B = model(samples_BN, torch.tensor(lengths))
    assert torch.equal(lengths_B, model.frame_count(torch.tensor(lengths)))
    assert features_BTF.shape == (len(sounds), int(lengths_B.max()), config.mels)
    # Dividing by the deviation of next to equal values magnifies rounding; two frames are next to nothing.
    tolerance = 1e-5 if config.normalisation == "none" else 1e-3
    for row, frames, sound in zip(features_BTF, lengths_B.tolist(), sounds, strict=True):
        torch.testing.assert_close(row[:frames], _alone(model, sound), atol=tolerance, rtol=0)
        assert not row[frames:].any()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.normalisation}")
def test_silence_and_loudness_stay_finite(config: FeatureConfig) -> None:
    for sound in (torch.zeros(8_000), torch.ones(8_000), _noise(8_000) * 1e4):
        assert _alone(LogMel(config), sound).isfinite().all()


def test_normalisation() -> None:
    sound = _noise(32_000)
    whole = _alone(LogMel(FeatureConfig(normalisation="utterance")), sound)
    assert whole.mean().abs() < 1e-5
    assert whole.std(correction=0) == pytest.approx(1, abs=1e-3)
    assert whole.mean(dim=0).abs().max() > 0.1
    each = _alone(LogMel(FeatureConfig(normalisation="per_feature")), sound)
    torch.testing.assert_close(each.mean(dim=0), torch.zeros(80), atol=1e-4, rtol=0)
    torch.testing.assert_close(each.std(dim=0, correction=0), torch.ones(80), atol=1e-3, rtol=0)


def test_long_sound_is_worked_off_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = _noise(160_000)
    once = _alone(LogMel(), sound)
    monkeypatch.setattr("duolect.audio.features._FRAMES_AT_ONCE_CPU", 7)
    torch.testing.assert_close(_alone(LogMel(), sound), once, atol=1e-5, rtol=0)


def test_nothing_is_trained_saved_or_rounded() -> None:
    model = LogMel()
    assert not list(model.parameters())
    assert not model.state_dict()
    wanted = _alone(model, _noise(8_000))
    assert torch.equal(_alone(model.to(torch.bfloat16), _noise(8_000)), wanted)
    assert torch.equal(_alone(model.double(), _noise(8_000)), wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.normalisation}")
def test_gpu_equals_cpu(config: FeatureConfig) -> None:
    samples_BN, lengths_B = torch.stack((_noise(48_000), _noise(48_000, 1))), torch.tensor([48_000, 31_234])
    wanted, _ = LogMel(config)(samples_BN, lengths_B)
    found, _ = LogMel(config).cuda()(samples_BN.cuda(), lengths_B.cuda())
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-4, rtol=0)


def test_config() -> None:
    assert FeatureConfig() == from_json(FeatureConfig, to_json(FeatureConfig()))
    wrong = [
        {"mels": 0},
        {"shift_ms": -1.0},
        {"fft": 256},
        {"kind": "whisper"},
        {"kind": "mfcc"},
        {"normalisation": "x"},
    ]
    for fields in wrong:
        with pytest.raises(ConfigError, match="features"):
            FeatureConfig(**fields)  # type: ignore[arg-type]
