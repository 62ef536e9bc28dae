"""Recipes that start from an encoder of Hugging Face: Whisper, wav2vec 2.0, HuBERT, WavLM, Parakeet.

    duolect train pretrained-acoustic --encoder openai/whisper-small --train train.jsonl --dev dev.jsonl --out runs/am
    duolect train pretrained-speech-llm --encoder openai/whisper-small --llm Qwen/Qwen2-0.5B \\
        --train train.jsonl --dev dev.jsonl --out runs/sllm

The encoder is a hub name or a local folder; features, sizes and CTC layer follow from its configuration, which is all
that is read before training begins. With `--random` it has the same architecture and no knowledge: the control.
"""

from __future__ import annotations

import math
from pathlib import Path

from duolect.data import WaveAugmentConfig
from duolect.models import (
    AcousticConfig,
    DecoderConfig,
    HuggingFaceEncoderConfig,
    LLMConfig,
    SpeechLLMConfig,
    inspect_source,
)
from duolect.recipes.adapters import AdapterName, adapter_config
from duolect.recipes.interfaces import InterfaceName, interface_config
from duolect.recipes.settings import SpeechFinetuning, adapter_first, batches, finetuning, run, spec_augment
from duolect.text import UnitsConfig, find_prompt
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    Recipe,
    SpeechLLMTask,
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
                spec_augment=spec_augment(steps),
            ),
            units=UnitsConfig(kind="sentencepiece", size=units),
            train=tuple(map(str, train)),
            dev=str(dev),
            batches=batches(max_seconds, source.longest_seconds or math.inf),
            wave_augment=_SPEED,
        ),
        **run(steps, seed, lr),
    )


def pretrained_speech_llm(
    *,
    train: tuple[Path, ...],
    dev: Path,
    encoder: str,
    llm: str,
    random: bool = False,
    train_encoder: bool = True,
    finetune: SpeechFinetuning = "lora",
    adapter_steps: int = 0,
    interface: InterfaceName = "prefix",
    prompts: tuple[str, ...] = ("none",),
    adapter: AdapterName = "concat",
    concatenate: int | None = None,
    ctc: bool = True,
    steps: int = 6000,
    lr: float = 5e-5,
    max_seconds: float = 60.0,
    seed: int = 1,
) -> Recipe:
    """A speech LLM from a pre-trained encoder and a pre-trained LLM, without a model of one's own before.

    The audio stands before the text unless INTERFACE says otherwise; neighbouring states of the encoder are put side by
    side for one position of the LLM. CTC on the encoder's last layer speaks the LLM's units, so that both can search
    together. With `--no-train-encoder --finetune frozen` only what stands between the two is trained, and CTC.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on; the best checkpoint on it is kept.
        encoder: Hub name or folder of a Whisper, wav2vec 2.0, HuBERT, WavLM, wav2vec2-conformer or Parakeet.
        llm: Hub name or folder of a decoder-only LLM.
        random: Random weights for the encoder instead of the pre-trained ones, as a control.
        train_encoder: Train the encoder too; its first convolutions stay as they are.
        finetune: What of the LLM is trained: all of it (full), all but its embeddings (frozen-embeddings), nothing
            (frozen), or low-rank additions: lora (rank 32), lora-speech-llm or lora-language (the paper's settings).
        adapter_steps: In so many first steps only what is new is trained: adapter, CTC head, cross-attention.
        interface: How the audio gets into the LLM: before the text in its input, causal (prefix) or bidirectional,
            beside the text in each layer's attention (merged), or by cross-attention in front of each layer (cross).
        prompts: Around the audio, by name (none, instruction, role-tagged) or as BEFORE<audio>AFTER; of several, one is
            drawn for each utterance, and recognition takes the first.
        adapter: What makes positions of the LLM from frames: putting them side by side (concat), a strided convolution
            (conv), a window-level Q-Former (qformer), or merging those of which CTC says the same (ctc).
        concatenate: Frames, after ctc what it leaves of them, to a position of the LLM (default: as many as make about
            120 ms, after ctc 1).
        ctc: Have a CTC head. Over a large LLM's vocabulary it has many weights.
        steps: Optimiser steps.
        lr: Peak learning rate.
        max_seconds: Seconds of sound in a batch, padding included; lower it where memory ends.
        seed: Of new weights, order and augmentation.
    """
    source = inspect_source(encoder)
    if concatenate is None and adapter != "ctc":
        concatenate = max(1, round(LLM_FRAME_SECONDS / source.seconds_per_frame))
    return Recipe(
        task=SpeechLLMTask(
            model=SpeechLLMConfig(
                **FROM_UNITS,
                llm=LLMConfig(vocabulary=1, source=llm),
                features=source.features,
                encoder=HuggingFaceEncoderConfig(source=encoder, pretrained=not random, train_front_end=random),
                freeze_encoder=not train_encoder,
                adapter=adapter_config(adapter, concatenate),
                interface=interface_config(interface),
                ctc_layers=(source.layers,) if ctc else (),
                ctc_weight=0.5,
                spec_augment=spec_augment(steps),
                **finetuning(finetune),
            ),
            units=UnitsConfig(kind="huggingface", source=llm),
            train=tuple(map(str, train)),
            dev=str(dev),
            prompts=tuple(map(find_prompt, prompts)),
            batches=batches(max_seconds, source.longest_seconds or math.inf),
            wave_augment=_SPEED,
        ),
        **run(
            steps,
            seed,
            lr,
            freeze_until=adapter_first(adapter_steps, llm=finetune != "frozen", encoder=train_encoder),
        ),
    )
