"""Recipes for a few hours of one's own speech, on a CPU or one GPU.

    duolect train small-acoustic --train train.jsonl --dev dev.jsonl --out runs/am
    duolect train small-language --text text/*.txt --dev dev.jsonl --units runs/am --out runs/lm
    duolect train small-speech-llm --train train.jsonl --dev dev.jsonl --acoustic runs/am --language runs/lm

The structure is that of arXiv 2603.15045, narrower. The language side may also start from a pre-trained LLM.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from duolect.data import SpecAugmentConfig, WaveAugmentConfig
from duolect.errors import ConfigError
from duolect.models import (
    AcousticConfig,
    DecoderConfig,
    LanguageConfig,
    LLMConfig,
    SpeechLLMConfig,
)
from duolect.nn import ConformerConfig, FrontEndConfig
from duolect.recipes.adapters import AdapterName, adapter_config
from duolect.recipes.interfaces import InterfaceName, interface_config
from duolect.recipes.settings import (
    LanguageFinetuning,
    SpeechFinetuning,
    adapter_first,
    batches,
    finetuning,
    run,
    spec_augment,
)
from duolect.text import UnitsConfig, find_prompt
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    LanguageTask,
    Recipe,
    SpeechLLMTask,
    UnitsFrom,
    stored_config,
)

ENCODER = ConformerConfig(
    width=192,
    layers=8,
    heads=4,
    kernel=15,
    feed_forward=768,
    dropout=0.1,
    front_end=FrontEndConfig(channels=(16, 24, 32), time_strides=(1, 3, 2), frequency_strides=(1, 2, 2)),
)
_WAVES = WaveAugmentConfig(speed=(0.9, 1.0, 1.1), noise_snr=(5.0, 30.0), noise_probability=0.3)


def small_acoustic(
    *,
    train: tuple[Path, ...],
    dev: Path,
    steps: int = 6000,
    units: int = 500,
    ctc_phonemes: str | None = None,
    max_seconds: float = 120.0,
    seed: int = 1,
) -> Recipe:
    """A Conformer of 192 x 8 with CTC at layers 4 and 8 and an attention decoder, for a few hours of speech.

    Speed perturbation, noise and SpecAugment make the most of little sound. Units are SentencePiece pieces trained on
    the transcripts. Ten million parameters: one core of a CPU trains on some 40 s of sound a second, on some 65 with
    `--loop.precision bf16` where it has instructions for that, so that without a GPU the default steps take hours;
    fewer steps, or the smaller demo-acoustic, are for that.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on; the best checkpoint on it is kept.
        steps: Optimiser steps.
        units: Pieces of the label units; a few hundred for an hour of speech, a few thousand for hundreds.
        ctc_phonemes: Language in whose phonemes the CTC heads speak, an espeak-ng voice such as en-gb; without it they
            speak the pieces. Their hypotheses then need a language model, which tells words that sound alike apart.
        max_seconds: Seconds of sound in a batch, padding included; lower it where memory ends.
        seed: Of weights, order and augmentation.
    """
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                encoder=ENCODER,
                ctc_layers=(4, 8),
                decoder=DecoderConfig(width=192, layers=4, heads=4, dropout=0.1, auxiliary_layer=2),
                spec_augment=spec_augment(steps),
            ),
            units=UnitsConfig(kind="sentencepiece", size=units),
            ctc_units=None if ctc_phonemes is None else UnitsConfig(kind="phonemes", language=ctc_phonemes),
            train=tuple(map(str, train)),
            dev=str(dev),
            batches=batches(max_seconds),
            wave_augment=_WAVES,
        ),
        **run(steps, seed, lr=1.5e-3),
    )


def small_language(
    *,
    text: tuple[Path, ...],
    dev: Path,
    units: Path | None = None,
    llm: str | None = None,
    replace_embeddings: bool = False,
    finetune: LanguageFinetuning = "full",
    steps: int = 4000,
    lr: float | None = None,
    seed: int = 1,
) -> Recipe:
    """A language model: a small Qwen2 in the acoustic model's units, or a pre-trained LLM fine-tuned.

    Three kinds: with UNITS alone, a model of 256 x 6 from scratch; with LLM alone, that LLM in its own units (it can
    rescore, but not take part in a search over other units); with both and REPLACE_EMBEDDINGS, that LLM with new
    embeddings for the acoustic model's units (as the recipes for arXiv 2603.15045 have it).

    Args:
        text: Text files, one sentence a line (.gz too), or manifests (.jsonl), whose texts are taken.
        dev: Text file or manifest to measure perplexity on.
        units: Run or system folder whose label units to speak, usually the acoustic model's.
        llm: Folder or hub name of a Hugging Face causal LM to start from.
        replace_embeddings: Give LLM new embeddings for UNITS.
        finetune: What of LLM is trained: all of it (full), all but its embeddings (frozen-embeddings), or low-rank
            additions: lora (rank 32), lora-language (the paper's for 7B), lora-speech-llm (the paper's for speech).
        steps: Optimiser steps.
        lr: Peak learning rate (default: 2e-3 from scratch, 1e-4 with new embeddings or low-rank additions, 2e-5 else).
        seed: Of weights, order and dropout.
    """
    if llm is None:
        if units is None:
            raise ConfigError("small-language: name --units (a run folder whose units to speak), --llm, or both.")
        if replace_embeddings or finetune != "full":
            raise ConfigError(
                "small-language: --replace-embeddings and --finetune belong to --llm, which is not given."
            )
    elif replace_embeddings != (units is not None):
        raise ConfigError(
            "small-language: --replace-embeddings goes with --units, whose labels the LLM then speaks; "
            "without both it keeps its own tokeniser."
        )
    if llm is None:
        network = LLMConfig(
            vocabulary=1, width=256, layers=6, heads=4, intermediate=768, max_positions=1024, dropout=0.1
        )
    else:
        network = LLMConfig(vocabulary=1, source=llm, replace_embeddings=replace_embeddings)
    gentle = 1e-4 if replace_embeddings or finetune.startswith("lora") else 2e-5
    return Recipe(
        task=LanguageTask(
            model=LanguageConfig(**FROM_UNITS, llm=network, **finetuning(finetune)),
            units=UnitsConfig(kind="huggingface", source=llm) if units is None else UnitsFrom(folder=str(units)),
            train=tuple(map(str, text)),
            dev=str(dev),
            max_tokens=4000 if llm is None else 2000,
        ),
        **run(steps, seed, lr=(2e-3 if llm is None else gentle) if lr is None else lr, warmup=0.05, weight_decay=0.05),
    )


def small_speech_llm(
    *,
    train: tuple[Path, ...],
    dev: Path,
    acoustic: Path,
    language: Path | None = None,
    llm: str | None = None,
    random_llm: bool = False,
    as_written: bool = False,
    finetune: SpeechFinetuning = "full",
    freeze_encoder: bool = False,
    adapter_steps: int = 0,
    interface: InterfaceName = "prefix",
    prompts: tuple[str, ...] = ("none",),
    ctc: Literal["llm", "acoustic"] = "llm",
    adapter: AdapterName = "concat",
    concatenate: int | None = None,
    steps: int = 4000,
    lr: float = 5e-4,
    max_seconds: float = 120.0,
    seed: int = 1,
) -> Recipe:
    """A speech LLM from a trained acoustic model's encoder and a trained language model, or a pre-trained LLM.

    Encoder, features and LLM are as in those, whatever their sizes. The acoustic model's CTC heads are taken over where
    they speak the same units.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on; the best checkpoint on it is kept.
        acoustic: Run or system folder of the acoustic model.
        language: Run or system folder of the language model.
        llm: Instead of that, folder or hub name of a Hugging Face causal LM, which keeps its own units.
        random_llm: Random weights for LLM instead of the pre-trained ones, as a control.
        as_written: Learn to write the transcripts with their case and punctuation, as a pre-trained LLM knows text.
        finetune: What of the LLM is trained: all of it (full), all but its embeddings (frozen-embeddings), nothing
            (frozen), or low-rank additions: lora (rank 32), lora-speech-llm or lora-language (the paper's settings).
        freeze_encoder: Leave the encoder as it is.
        adapter_steps: In so many first steps only what is new is trained: adapter, CTC heads, cross-attention.
        interface: How the audio gets into the LLM: before the text in its input, causal (prefix) or bidirectional,
            beside the text in each layer's attention (merged), or by cross-attention in front of each layer (cross).
        prompts: Around the audio, by name (none, instruction, role-tagged) or as BEFORE<audio>AFTER; of several, one is
            drawn for each utterance, and recognition takes the first.
        ctc: Units of the CTC heads: the LLM's, so that both can search together (llm), or those of the acoustic model's
            heads, so that these need not be learnt anew and the LLM's labels may be many (acoustic).
        adapter: What makes positions of the LLM from frames: putting them side by side (concat), a strided convolution
            (conv), a window-level Q-Former (qformer), or merging those of which CTC says the same (ctc).
        concatenate: Frames, after ctc what it leaves of them, to a position of the LLM (default: 2, after ctc 1).
        steps: Optimiser steps.
        lr: Peak learning rate.
        max_seconds: Seconds of sound in a batch, padding included; lower it where memory ends.
        seed: Of new weights, order and augmentation.
    """
    if (language is None) == (llm is None):
        raise ConfigError(
            "small-speech-llm: name either --language, the run of a language model, or --llm, a pre-trained one."
        )
    if random_llm and llm is None:
        raise ConfigError("small-speech-llm: --random-llm belongs to --llm, which is not given.")
    sound = stored_config(acoustic, "acoustic", AcousticConfig)
    return Recipe(
        task=SpeechLLMTask(
            model=SpeechLLMConfig(
                **FROM_UNITS,
                llm=(
                    LLMConfig(vocabulary=1, source=llm, pretrained=not random_llm)
                    if language is None
                    else dataclasses.replace(stored_config(language, "language", LanguageConfig).llm, vocabulary=1)
                ),
                features=sound.features,
                encoder=sound.encoder,
                compression=sound.compression,
                adapter=adapter_config(adapter, concatenate),
                interface=interface_config(interface),
                ctc_layers=sound.ctc_layers,
                ctc_weight=0.5,
                spec_augment=SpecAugmentConfig(steps=(0, 0, 0)),
                freeze_encoder=freeze_encoder,
                **finetuning(finetune),
            ),
            units=(
                UnitsConfig(kind="huggingface", source=llm)
                if language is None
                else UnitsFrom(folder=str(language), component="language")
            ),
            ctc_units=UnitsFrom(folder=str(acoustic), ctc=True) if ctc == "acoustic" else None,
            train=tuple(map(str, train)),
            dev=str(dev),
            prompts=tuple(map(find_prompt, prompts)),
            batches=batches(max_seconds),
            normalise=not as_written,
            wave_augment=_WAVES,
            initialise_encoder=str(acoustic),
            initialise_llm=None if language is None else str(language),
        ),
        **run(
            steps,
            seed,
            lr,
            freeze_until=adapter_first(adapter_steps, llm=finetune != "frozen", encoder=not freeze_encoder),
        ),
    )
