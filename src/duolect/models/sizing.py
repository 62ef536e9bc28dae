"""Models without weights: built on the meta device, for counting what they hold and what a training step costs.

B utterances · N samples or labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from duolect.models.acoustic import AcousticConfig, AcousticModel
from duolect.models.language import LanguageConfig, LanguageModel
from duolect.models.llm import LLMConfig, llm_architecture
from duolect.models.speech_llm import SpeechLLM, SpeechLLMConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from duolect.models.io import Model

# The published sizes of the LLMs that our recipes name: for them no hub need be reached.
_QWEN2: dict[str, Any] = {"max_position_embeddings": 131_072, "rope_theta": 1e6}
_QWEN2_LABELS = 151_646  # of the tokeniser; the tables have more rows
_PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    name: (
        "qwen2",
        _QWEN2
        | {
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": groups,
            "vocab_size": rows,
            "tie_word_embeddings": tied,
        },
    )
    for name, width, inner, layers, heads, groups, rows, tied in (
        ("Qwen/Qwen2-0.5B", 896, 4864, 24, 14, 2, 151_936, True),
        ("Qwen/Qwen2-1.5B", 1536, 8960, 28, 12, 2, 151_936, True),
        ("Qwen/Qwen2-7B", 3584, 18_944, 28, 28, 4, 152_064, False),
    )
}


def architecture_of(config: LLMConfig) -> PreTrainedConfig:
    """The architecture of the LLM, weights not loaded; of one that our recipes name, without a look at the hub.

    Raises ModelError where the source cannot be read.
    """
    from transformers import AutoConfig

    if config.source in _PUBLISHED:
        kind, sizes = _PUBLISHED[config.source]
        architecture = AutoConfig.for_model(kind, **sizes)
    else:
        architecture = llm_architecture(config)
    if config.replace_embeddings:
        architecture.vocab_size = config.vocabulary
    return architecture


def build_unweighted(config: AcousticConfig | LanguageConfig | SpeechLLMConfig) -> Model:
    """The model on the meta device: names, shapes and what is trained, but no numbers. Seconds, whatever its size."""
    stored = None if isinstance(config, AcousticConfig) else architecture_of(config.llm)
    with torch.device("meta"):
        if isinstance(config, AcousticConfig):
            return AcousticModel(config)
        if isinstance(config, LanguageConfig):
            return LanguageModel(config, stored)
        return SpeechLLM(config, stored)


def published_vocabulary(source: str | None) -> int | None:
    """The labels of the tokeniser of an LLM whose sizes are known here; None for another."""
    return _QWEN2_LABELS if source in _PUBLISHED else None
