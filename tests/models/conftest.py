"""Tiny models of each kind, made once, and batches for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from duolect.data.loader import SpeechBatch
from duolect.models import (
    AcousticConfig,
    DecoderConfig,
    LanguageConfig,
    LLMConfig,
    Model,
    SpeechLLMConfig,
    build_model,
)
from duolect.nn import ConformerConfig, FrontEndConfig, MaskedBatchNorm
from duolect.text import Prompt, SpelledPrompt

VOCABULARY = 11
ENCODER = ConformerConfig(width=16, layers=2, heads=2, kernel=4, front_end=FrontEndConfig(channels=(4, 6, 6)))
LLM = LLMConfig(vocabulary=VOCABULARY, width=16, layers=2, heads=4, kv_heads=2, max_positions=256)
CONFIGS: dict[str, Any] = {
    "acoustic": AcousticConfig(
        vocabulary=VOCABULARY,
        bos_id=1,
        eos_id=0,
        encoder=ENCODER,
        ctc_layers=(1, 2),
        decoder=DecoderConfig(width=16, layers=3, heads=2, auxiliary_layer=2),
    ),
    "language": LanguageConfig(llm=LLM, bos_id=1, eos_id=0),
    "speech_llm": SpeechLLMConfig(
        llm=LLM,
        bos_id=1,
        eos_id=0,
        encoder=ENCODER,
        ctc_layers=(2,),
        prompts=(SpelledPrompt(Prompt("ab", "c"), (3, 4), (5,)),),
    ),
}


def make(config: Any) -> Model:
    """A model in evaluation mode with weights and statistics that are not those of a fresh one."""
    torch.manual_seed(7)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for module in model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture(scope="session")
def configs() -> dict[str, Any]:
    return CONFIGS


@pytest.fixture(scope="session")
def build() -> Callable[[Any], Model]:
    return make


@pytest.fixture(scope="session")
def models() -> dict[str, Model]:
    """One of each kind, not to be changed."""
    return {kind: make(config) for kind, config in CONFIGS.items()}


@pytest.fixture(scope="session")
def batch() -> SpeechBatch:
    """Three utterances of different length; the second has no label, what lies in the padding is rubbish."""
    generator = torch.Generator().manual_seed(3)
    return SpeechBatch(
        ids=("a", "b", "c"),
        utterances=(),
        samples_BN=torch.randn(3, 12000, generator=generator) * 0.1,
        sample_lengths_B=torch.tensor([12000, 5000, 8000]),
        labels_BN=torch.randint(2, VOCABULARY, (3, 4), generator=generator),
        label_lengths_B=torch.tensor([4, 0, 3]),
        seeds_B=torch.tensor([1, 2, 3]),
    )
