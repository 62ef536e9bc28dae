"""Recipes that start from an encoder of Hugging Face: Whisper, wav2vec 2.0, HuBERT, WavLM, Parakeet.

    duolect train pretrained-acoustic --encoder openai/whisper-small --train train.jsonl --dev dev.jsonl --out runs/am
    duolect train pretrained-speech-llm --encoder openai/whisper-small --llm Qwen/Qwen2-0.5B \\
        --train train.jsonl --dev dev.jsonl --out runs/sllm

The encoder is a hub name or a local folder; features, sizes and CTC layer follow from its configuration, which is all
that is read before training begins. With `--random` it has the same architecture and no knowledge: the control.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from duolect.data import BatchConfig, SpecAugmentConfig, WaveAugmentConfig
from duolect.models import (
    AcousticConfig,
    DecoderConfig,
    HuggingFaceEncoderConfig,
    LLMConfig,
    PretrainedSource,
    SpeechLLMConfig,
    inspect_source,
)
from duolect.nn import ConcatLinearConfig
from duolect.recipes.small import LORA
from duolect.text import UnitsConfig
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    LoopConfig,
    OptimiserConfig,
    Recipe,
    SpeechLLMTask,
    WarmupCosine,
)

LLM_FRAME_SECONDS = 0.12  # what one position of the LLM stands for by default, as in arXiv 2603.15045
_SPEED = WaveAugmentConfig(speed=(0.9, 1.0, 1.1))


def pretrained_acoustic(
    *,
    train: tuple[Path, ...],
    dev: Path,
    encoder: str,
    random: bool = False,
    train_encoder: bool = True,
    train_front_end: bool = False,
    decoder: bool = False,
    steps: int = 6000,
    units: int = 500,
    lr: float = 5e-5,
    max_seconds: float = 120.0,
    seed: int = 1,
) -> Recipe:
    """CTC on the last layer of a pre-trained encoder, and an attention decoder where wanted.

    Fine-tuned with SpecAugment and speed perturbation. As in the wav2vec 2.0 paper (arXiv 2006.11477) the convolutions
    before the layers stay as they are. One GPU of 24 GB trains a base or small model; one of 80 GB a large one.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on; the best checkpoint on it is kept.
        encoder: Hub name or folder of a Whisper, wav2vec 2.0, HuBERT, WavLM, wav2vec2-conformer or Parakeet.
        random: Random weights instead of the pre-trained ones, as a control.
        train_encoder: Train the encoder too, not only what stands on it.
        train_front_end: Train its first convolutions too.
        decoder: Add an attention decoder of four layers.
        steps: Optimiser steps.
        units: SentencePiece labels.
        lr: Peak learning rate.
        max_seconds: Seconds of sound in a batch, padding included; lower it where memory ends.
        seed: Of new weights, order and augmentation.
    """
    source = inspect_source(encoder)
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                features=source.features,
                encoder=HuggingFaceEncoderConfig(
                    source=encoder, pretrained=not random, train_front_end=train_front_end or random
                ),
                freeze_encoder=not train_encoder,
                ctc_layers=(source.layers,),
                decoder=DecoderConfig(width=256, layers=4, heads=4, dropout=0.1) if decoder else None,
                spec_augment=_spec_augment(steps),
            ),
            units=UnitsConfig(kind="sentencepiece", size=units),
            train=tuple(map(str, train)),
            dev=str(dev),
            batches=_batches(max_seconds, source),
            wave_augment=_SPEED,
        ),
        optimiser=OptimiserConfig(lr=lr, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1, minimum=0.02),
        loop=_loop(steps, seed),
    )


def pretrained_speech_llm(
    *,
    train: tuple[Path, ...],
    dev: Path,
    encoder: str,
    llm: str,
    random: bool = False,
    train_encoder: bool = True,
    finetune: Literal["full", "frozen", "lora"] = "lora",
    concatenate: int | None = None,
    ctc: bool = True,
    steps: int = 6000,
    lr: float = 5e-5,
    max_seconds: float = 60.0,
    seed: int = 1,
) -> Recipe:
    """A prefix speech LLM from a pre-trained encoder and a pre-trained LLM, without a model of one's own before.

    The audio stands before the text; neighbouring states of the encoder are put side by side for one position of the
    LLM. CTC on the encoder's last layer speaks the LLM's units, so that both can search together. With
    `--no-train-encoder --finetune frozen` the adapter alone is trained, and CTC.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on; the best checkpoint on it is kept.
        encoder: Hub name or folder of a Whisper, wav2vec 2.0, HuBERT, WavLM, wav2vec2-conformer or Parakeet.
        llm: Hub name or folder of a decoder-only LLM.
        random: Random weights for the encoder instead of the pre-trained ones, as a control.
        train_encoder: Train the encoder too; its first convolutions stay as they are.
        finetune: What of the LLM is trained: all, nothing, or low-rank additions.
        concatenate: Encoder states to a position of the LLM (default: as many as make about 120 ms).
        ctc: Have a CTC head. Over a large LLM's vocabulary it has many weights.
        steps: Optimiser steps.
        lr: Peak learning rate.
        max_seconds: Seconds of sound in a batch, padding included; lower it where memory ends.
        seed: Of new weights, order and augmentation.
    """
    source = inspect_source(encoder)
    factor = max(1, round(LLM_FRAME_SECONDS / source.seconds_per_frame)) if concatenate is None else concatenate
    return Recipe(
        task=SpeechLLMTask(
            model=SpeechLLMConfig(
                **FROM_UNITS,
                llm=LLMConfig(vocabulary=1, source=llm),
                features=source.features,
                encoder=HuggingFaceEncoderConfig(source=encoder, pretrained=not random, train_front_end=random),
                freeze_encoder=not train_encoder,
                adapter=ConcatLinearConfig(factor=factor),
                ctc_layers=(source.layers,) if ctc else (),
                ctc_weight=0.5,
                spec_augment=_spec_augment(steps),
                finetune=finetune,
                lora=LORA if finetune == "lora" else None,
            ),
            units=UnitsConfig(kind="huggingface", source=llm),
            train=tuple(map(str, train)),
            dev=str(dev),
            batches=_batches(max_seconds, source),
            wave_augment=_SPEED,
        ),
        optimiser=OptimiserConfig(lr=lr, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1, minimum=0.02),
        loop=_loop(steps, seed),
    )


def _spec_augment(steps: int) -> SpecAugmentConfig:
    return SpecAugmentConfig(steps=(steps // 20, steps // 7, steps // 4))


def _batches(max_seconds: float, source: PretrainedSource) -> BatchConfig:
    longest = 20.0 if source.longest_seconds is None else min(20.0, source.longest_seconds)
    return BatchConfig(max_seconds=max_seconds, max_utterances=64, buckets=15, longest=longest)


def _loop(steps: int, seed: int) -> LoopConfig:
    between = max(1, steps // 10)
    return LoopConfig(steps=steps, evaluate_every=between, checkpoint_every=between, log_every=25, seed=seed)
