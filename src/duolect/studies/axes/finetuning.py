"""What of a speech LLM is trained: all of it, its LLM by low-rank additions or not at all, its encoder or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from duolect.studies.axes.rows import NO_TABLE, UNTUNED, both_ways
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import Study

TITLES = {
    "full": "all trained",
    "frozen-embeddings": "embeddings frozen",
    "lora": "LoRA on q, k, v, o",
    "lora-speech-llm": "LoRA on q, v, rank 320",
    "lora-language": "LoRA on all projections",
    "frozen": "LLM frozen",
}


def finetuning(scale: Scale) -> Study:
    """All ways that the scale knows to train the LLM, and with the first of them the encoder frozen, and the adapter
    first; and the adapter alone."""
    train = scale.speech_llm
    systems: dict[str, Callable[[int], Stage]] = {
        TITLES[how]: partial(train, finetune=how) for how in scale.finetunings
    }
    first = scale.finetunings[0]
    systems |= {
        "encoder frozen": partial(train, finetune=first, freeze_encoder=True),
        "adapter first": partial(train, finetune=first, adapter_first=True),
        "adapter alone": partial(train, finetune="frozen", freeze_encoder=True),
    }
    return Study(
        name="finetuning",
        title="Fine-tuning strategies",
        question="What of a speech LLM has to be trained?",
        scale=scale.name,
        entries=both_ways(scale, systems, memory=False, small_effect=True),
        notes=[
            UNTUNED,
            NO_TABLE,
            (
                f"Encoder frozen and adapter first train the LLM as the first row does ({TITLES[first]}); adapter "
                "first trains nothing but the adapter and the CTC heads in the first tenth of the steps."
            ),
        ],
    )
