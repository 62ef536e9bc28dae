"""Tiny random encoders of each real class, saved as a whole pre-trained model would be, in local folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    HubertConfig,
    HubertForCTC,
    ParakeetCTCConfig,
    ParakeetEncoderConfig,
    ParakeetFeatureExtractor,
    ParakeetForCTC,
    Wav2Vec2Config,
    Wav2Vec2ConformerConfig,
    Wav2Vec2ConformerForCTC,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

POSITIONS = 150  # of the tiny Whisper: 3 s
_SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
_WAVE = {
    **_SIZES,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 12,
    "layerdrop": 0.5,
    "mask_time_prob": 0.5,
    "mask_feature_prob": 0.1,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
}


def _whisper() -> tuple[Any, Any]:
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            d_model=16,
            encoder_layers=3,
            encoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=8,
            vocab_size=20,
            max_source_positions=POSITIONS,
            max_target_positions=10,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
            decoder_start_token_id=1,
            encoder_layerdrop=0.5,
            dropout=0.0,
        )
    )
    return model, WhisperFeatureExtractor(feature_size=80, chunk_length=30)


def _wave(model: Callable[..., Any], config: Any, normalise: bool = True, **settings: Any) -> tuple[Any, Any]:
    return model(config(**_WAVE, **settings)), Wav2Vec2FeatureExtractor(do_normalize=normalise)


def parakeet_features(mels: int) -> ParakeetFeatureExtractor:
    """Skips the test where it wants a package that is not there, as older versions do (5.17: librosa); Duolect does
    without."""
    try:
        return ParakeetFeatureExtractor(feature_size=mels)
    except ImportError as error:
        pytest.skip(" ".join(str(error).split()))


def _parakeet() -> tuple[Any, Any]:
    none = {"dropout": 0.0, "activation_dropout": 0.0, "attention_dropout": 0.0}
    sizes = {**_SIZES, "subsampling_conv_channels": 4, "num_mel_bins": 80}
    encoder = ParakeetEncoderConfig(**sizes, **none, layerdrop=0.5)
    model = ParakeetForCTC(ParakeetCTCConfig(vocab_size=12, pad_token_id=11, encoder_config=encoder))
    try:
        return model, ParakeetFeatureExtractor(feature_size=80)
    except ImportError:
        return model, _ParakeetSettings()


class _ParakeetSettings:
    """What the feature extractor writes, where it cannot be made for want of a package."""

    def save_pretrained(self, folder: Path) -> None:
        settings = {"feature_size": 80, "hop_length": 160, "n_fft": 512, "win_length": 400, "sampling_rate": 16_000}
        settings |= {"feature_extractor_type": "ParakeetFeatureExtractor", "preemphasis": 0.97}
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))


_LAYER = {"feat_extract_norm": "layer", "conv_bias": True}
_MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "whisper": _whisper,
    "wav2vec2": lambda: _wave(Wav2Vec2ForCTC, Wav2Vec2Config, **_LAYER, do_stable_layer_norm=True),
    "wav2vec2-group": lambda: _wave(Wav2Vec2ForCTC, Wav2Vec2Config, normalise=False),
    "hubert": lambda: _wave(HubertForCTC, HubertConfig, **_LAYER, do_stable_layer_norm=True),
    "hubert-group": lambda: _wave(HubertForCTC, HubertConfig),
    "hubert-batch-norm": lambda: _wave(
        HubertForCTC, HubertConfig, **_LAYER, do_stable_layer_norm=True, conv_pos_batch_norm=True
    ),
    "wavlm": lambda: _wave(WavLMModel, WavLMConfig, **_LAYER, do_stable_layer_norm=True, num_buckets=16),
    "wavlm-group": lambda: _wave(WavLMModel, WavLMConfig, normalise=False, num_buckets=16),
    "conformer": lambda: _wave(
        Wav2Vec2ConformerForCTC,
        Wav2Vec2ConformerConfig,
        **_LAYER,
        position_embeddings_type="relative",
        conformer_conv_dropout=0.0,
    ),
    "conformer-rotary": lambda: _wave(
        Wav2Vec2ConformerForCTC,
        Wav2Vec2ConformerConfig,
        **_LAYER,
        position_embeddings_type="rotary",
        conformer_conv_dropout=0.0,
    ),
    "parakeet": _parakeet,
}

SAFE = ["whisper", "wav2vec2", "hubert", "wavlm", "parakeet"]
UNSAFE = [name for name in _MAKERS if name not in SAFE]
ALL = SAFE + UNSAFE


class Sources(dict[str, Path]):
    """Name → its folder in `folder`, made when it is first asked for; the numbers that the test draws stay the same."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> Path:
        with torch.random.fork_rng(devices=[]):
            self[name] = make_source(name, self._folder / name)
        return self[name]


def make_source(name: str, folder: Path) -> Path:
    """A model of that class with weights large enough for everything to matter, and its feature extractor."""
    torch.manual_seed(3)
    model, extractor = _MAKERS[name]()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_(0.0, 0.3)
                module.running_var.uniform_(0.5, 2.0)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder
