"""The demo's three models: what two CPU cores can train from scratch in about ten minutes together.

    duolect demo            # trains all three, tunes, recognises, compares
    duolect train demo-acoustic --train corpus/train.jsonl --dev corpus/dev.jsonl --out runs/am

They keep the structure of arXiv 2603.15045 (three strided convolutions, Conformer with CTC heads, attention decoder
with an auxiliary loss; prefix speech LLM that starts from the acoustic model's encoder and the language model) at less
than a hundredth of its size. What is different makes the most of few minutes: Muon instead of AdamW, and a curriculum
that begins with the shortest utterances.
"""

from __future__ import annotations

from pathlib import Path

from duolect.data import BatchConfig, SpecAugmentConfig
from duolect.errors import ConfigError
from duolect.models import AcousticConfig, DecoderConfig, LanguageConfig, LLMConfig, SpeechLLMConfig
from duolect.nn import ConformerConfig, FrontEndConfig
from duolect.recipes.adapters import AdapterName, adapter_config
from duolect.recipes.interfaces import InterfaceName, interface_config
from duolect.recipes.settings import SpeechFinetuning, finetuning
from duolect.text import UnitsConfig
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    LanguageTask,
    LoopConfig,
    OptimiserConfig,
    Recipe,
    SpeechLLMTask,
    UnitsFrom,
    WarmupCosine,
)

ENCODER = ConformerConfig(
    width=144,
    layers=5,
    heads=4,
    kernel=15,
    feed_forward=432,
    dropout=0.0,
    front_end=FrontEndConfig(channels=(8, 16, 16), time_strides=(1, 3, 2), frequency_strides=(1, 2, 2)),
)
LLM = LLMConfig(vocabulary=1, width=160, layers=3, heads=4, intermediate=448, max_positions=1024, dropout=0.1)
BATCHES = BatchConfig(max_seconds=28.0, max_utterances=24, buckets=12, longest=20.0, curriculum=0.1)


def demo_acoustic(*, train: Path, dev: Path, steps: int = 1400, units: int = 256, seed: int = 1) -> Recipe:
    """A Conformer of five layers with two CTC heads, and an attention decoder of two."""
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                encoder=ENCODER,
                ctc_layers=(3, 5),
                decoder=DecoderConfig(width=144, layers=2, heads=4, dropout=0.0, auxiliary_layer=1),
            ),
            units=UnitsConfig(kind="sentencepiece", size=units),
            train=(str(train),),
            dev=str(dev),
            batches=BATCHES,
        ),
        optimiser=OptimiserConfig(kind="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1, minimum=0.02),
        loop=LoopConfig(steps=steps, evaluate_every=300, checkpoint_every=300, log_every=25, seed=seed),
    )


def demo_language(*, text: tuple[Path, ...], dev: Path, units: Path, steps: int = 400, seed: int = 1) -> Recipe:
    """A Qwen2-architecture language model in the acoustic model's units."""
    return Recipe(
        task=LanguageTask(
            model=LanguageConfig(**FROM_UNITS, llm=LLM),
            units=UnitsFrom(folder=str(units)),
            train=tuple(map(str, text)),
            dev=str(dev),
            max_tokens=2500,
        ),
        optimiser=OptimiserConfig(kind="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05),
        schedule=WarmupCosine(warmup=0.05, minimum=0.02),
        loop=LoopConfig(steps=steps, evaluate_every=250, checkpoint_every=500, log_every=25, seed=seed),
    )


def demo_speech_llm(
    *,
    train: Path,
    dev: Path,
    acoustic: Path,
    language: Path | None = None,
    llm: str | None = None,
    random_llm: bool = False,
    finetune: SpeechFinetuning = "full",
    as_written: bool = False,
    interface: InterfaceName = "prefix",
    adapter: AdapterName = "concat",
    concatenate: int | None = None,
    steps: int = 500,
    seed: int = 1,
) -> Recipe:
    """A speech LLM: the acoustic model's encoder, two frames to a position, a language model; all trained.

    The language model is that of the run `language`, or the pre-trained one of the folder or hub name `llm` in its own
    units; with `random_llm` its architecture with random weights, the control. `finetune`: what of it is trained.
    `as_written`: learn to write the transcripts with their case and punctuation, as a pre-trained LLM knows text.
    """
    if (language is None) == (llm is None):
        raise ConfigError(
            "demo-speech-llm: name either --language, the run of a language model, or --llm, a pre-trained one."
        )
    if random_llm and llm is None:
        raise ConfigError("demo-speech-llm: --random-llm belongs to --llm, which is not given.")
    return Recipe(
        task=SpeechLLMTask(
            model=SpeechLLMConfig(
                **FROM_UNITS,
                llm=LLM if llm is None else LLMConfig(vocabulary=1, source=llm, pretrained=not random_llm),
                encoder=ENCODER,
                adapter=adapter_config(adapter, concatenate),
                interface=interface_config(interface),
                ctc_layers=(3, 5),
                ctc_weight=0.5,
                spec_augment=SpecAugmentConfig(steps=(0, 0, 100_000), time_width=10),
                **finetuning(finetune),
            ),
            units=(
                UnitsFrom(folder=str(language), component="language")
                if llm is None
                else UnitsConfig(kind="huggingface", source=llm)
            ),
            train=(str(train),),
            dev=str(dev),
            batches=BATCHES,
            normalise=not as_written,
            initialise_encoder=str(acoustic),
            initialise_llm=None if language is None else str(language),
        ),
        optimiser=OptimiserConfig(kind="muon", lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1, minimum=0.02),
        loop=LoopConfig(steps=steps, evaluate_every=300, checkpoint_every=300, log_every=25, seed=seed),
    )
