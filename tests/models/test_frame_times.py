"""When a state is heard: in the middle of the samples that it is made of, whatever the features and the front end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoders import make_source
from torch import Tensor, nn

from duolect.audio.features import FeatureConfig
from duolect.audio.waveform import InputConfig, WaveformConfig
from duolect.models import HuggingFaceEncoderConfig, inspect_source
from duolect.models.speech_encoder import SpeechEncoder
from duolect.nn.conformer import ConformerConfig
from duolect.nn.frontend import FrontEndConfig, GatedFrontEndConfig

RATE = 16_000
SIZES: dict[str, Any] = {"width": 8, "layers": 1, "heads": 2, "kernel": 3}
OURS: dict[str, tuple[InputConfig, ConformerConfig]] = {
    "60 ms": (FeatureConfig(mels=20), ConformerConfig(**SIZES, front_end=FrontEndConfig(channels=(4, 4, 4)))),
    "kaldi": (
        FeatureConfig(kind="kaldi", mels=20),
        ConformerConfig(**SIZES, front_end=FrontEndConfig(channels=(4, 4, 4))),
    ),
    "gated": (FeatureConfig(mels=20), ConformerConfig(**SIZES, front_end=GatedFrontEndConfig(channels=8))),
}


def speech_encoder(name: str, folder: Path) -> SpeechEncoder:
    if name in OURS:
        return SpeechEncoder(*OURS[name], (1,), 4, None)
    config = HuggingFaceEncoderConfig(source=str(make_source(name, folder / name)))
    features = inspect_source(config.source).features
    speech = SpeechEncoder(features, config, (1,), 4, None)
    # Normalised, every frame would depend on all samples.
    plain = {"normalise": False} if isinstance(features, WaveformConfig) else {"normalisation": "none"}
    speech.features.config = dataclasses.replace(features, **plain)
    return speech


@pytest.mark.parametrize("name", [*OURS, "whisper", "wav2vec2", "wavlm", "parakeet"])
def test_a_state_is_centred_on_the_samples_it_is_made_of(name: str, tmp_path: Path) -> None:
    speech = speech_encoder(name, tmp_path).eval()
    samples_BN = (0.1 * torch.randn(1, 2 * RATE)).requires_grad_()
    lengths_B = torch.tensor([2 * RATE])
    seen: list[Tensor] = []
    front = speech.encoder.front_end[-1] if isinstance(speech.encoder.front_end, list) else speech.encoder.front_end

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    front.register_forward_hook(keep)
    inputs, lengths_B = speech.features(samples_BN, lengths_B)
    _, frames_B, _ = speech.encoder(inputs, lengths_B, (1,))
    states = seen[0][0] if seen[0].dim() == 3 else seen[0][0].flatten(1)
    axis = 0 if abs(len(states) - int(frames_B)) < abs(states.shape[1] - int(frames_B)) else 1
    for t in (int(frames_B) // 3, int(frames_B) // 2):
        (gradient_BN,) = torch.autograd.grad(states.select(axis, t).square().sum(), samples_BN, retain_graph=True)
        heard_N = gradient_BN[0].abs()
        inside = (heard_N > 1e-9 * heard_N.max()).nonzero().flatten()
        middle = float(inside[0] + inside[-1]) / 2 / RATE
        assert middle == pytest.approx(speech.first_centre + t * speech.seconds_per_frame, abs=0.0011), (name, t)
