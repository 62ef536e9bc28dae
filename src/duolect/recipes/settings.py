"""What the recipes of one's own data share: augmentation, batches, the run around a model, and fine-tuning by name."""

from __future__ import annotations

from typing import Any, Literal, get_args

from duolect.data import BatchConfig, SpecAugmentConfig
from duolect.errors import ConfigError
from duolect.models import LORA_PRESETS
from duolect.training import LoopConfig, OptimiserConfig, WarmupCosine

LanguageFinetuning = Literal["full", "frozen-embeddings", "lora", "lora-speech-llm", "lora-language"]
"""What of an LLM is trained: all of it, all but its embeddings, or low-rank additions by the name of their settings:
lora (rank 32 on q, k, v, o), or the two of arXiv 2603.15045: lora-speech-llm (rank 320 on q, v), lora-language (rank 64
on all projections)."""

SpeechFinetuning = Literal[LanguageFinetuning, "frozen"]
"""The same, or nothing."""


def finetuning(how: LanguageFinetuning | SpeechFinetuning) -> dict[str, Any]:
    """The fields of a model's config by which its LLM is trained so. Raises ConfigError for an unknown name."""
    if how not in get_args(SpeechFinetuning):
        raise ConfigError(f"finetune must be one of {', '.join(get_args(SpeechFinetuning))}, not {how!r}.")
    if how in LORA_PRESETS:
        return {"finetune": "lora", "lora": LORA_PRESETS[how]}
    return {"finetune": "full", "freeze_embeddings": True} if how == "frozen-embeddings" else {"finetune": how}


def adapter_first(steps: int, *, llm: bool, encoder: bool) -> dict[str, int]:
    """`OptimiserConfig.freeze_until` of a speech LLM that trains what is new in it alone for so many steps.

    `llm`, `encoder`: whether they are trained afterwards. Raises ConfigError where neither is.
    """
    if not steps:
        return {}
    parts = {r"^llm\.": llm, r"^speech\.encoder\.": encoder}
    if not any(parts.values()):
        raise ConfigError("adapter_steps: LLM and encoder are frozen, so the adapter is trained alone all the time.")
    return {pattern: steps for pattern, trained in parts.items() if trained}


def spec_augment(steps: int) -> SpecAugmentConfig:
    """The paper's three switches, in a shorter run: at 5, 14 and 25 % of it (there at 3, 8 and 14 % or earlier)."""
    return SpecAugmentConfig(steps=(steps // 20, steps // 7, steps // 4))


def batches(max_seconds: float, longest: float = 20.0) -> BatchConfig:
    """Batches of so many seconds of sound; utterances of more than `longest` seconds, 20 at most, are left out."""
    return BatchConfig(max_seconds=max_seconds, max_utterances=64, buckets=15, longest=min(20.0, longest))


def run(
    steps: int, seed: int, lr: float, *, warmup: float = 0.1, weight_decay: float = 0.01, **optimiser: Any
) -> dict[str, Any]:
    """The fields of a recipe besides its task: AdamW, warm-up and cosine, ten evaluations and checkpoints."""
    between = max(1, steps // 10)
    return {
        "optimiser": OptimiserConfig(lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay, **optimiser),
        "schedule": WarmupCosine(warmup=warmup, minimum=0.02),
        "loop": LoopConfig(steps=steps, evaluate_every=between, checkpoint_every=between, log_every=25, seed=seed),
    }
