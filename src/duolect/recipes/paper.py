"""The settings of "LLMs and Speech: Integration vs. Combination" (Schmitt et al., arXiv 2603.15045), at full size.

The configs follow the authors' public recipes. The word error rates beside them stand in comments of those recipes;
they may predate later fixes and are not the printed tables. None of them has been reproduced with Duolect yet. Texts
are lower-cased here where the recipes have upper case for the acoustic model, which no word error rate sees.
"""

from __future__ import annotations

from pathlib import Path

from duolect.data import BatchConfig, SpecAugmentConfig, WaveAugmentConfig
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
from duolect.recipes.settings import LanguageFinetuning, SpeechFinetuning, finetuning
from duolect.text import UnitsConfig, find_prompt
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    LanguageTask,
    LoopConfig,
    OptimiserConfig,
    PiecewiseLinear,
    Recipe,
    SpeechLLMTask,
    UnitsFrom,
    WarmupCosine,
)

LONGEST = 19.5
LIBRISPEECH_HOURS, LOQUACIOUS_HOURS = 960.0, 25_000.0


def encoder(layers: int = 16) -> ConformerConfig:
    """16 Conformer layers of width 1024, 8 heads, kernel 32, dropout 0.1; a frame of 60 ms."""
    return ConformerConfig(width=1024, layers=layers, heads=8, kernel=32, dropout=0.1, front_end=FrontEndConfig())


def librispeech_acoustic(
    *,
    train: tuple[Path, ...],
    dev: Path,
    epochs: float = 100.0,
    hours: float = LIBRISPEECH_HOURS,
    pieces: int = 10_240,
    accumulate: int = 1,
    seed: int = 1,
) -> Recipe:
    """AED + CTC on LibriSpeech 960 h: 100 epochs, speed perturbation 0.7 to 1.1.

    duolect train paper-librispeech-acoustic --train train-960.jsonl --dev dev-other.jsonl --out runs/librispeech-am

    Published with: one GPU of 96 GB, bf16, batches of 1000 s.
    Expected WER (dev-clean / dev-other / test-clean / test-other, from recipe comments): AED alone 2.87 / 4.71 / 2.79 /
    5.03; AED + CTC in one pass 1.87 / 4.06 / 2.06 / 4.38. A CTC model with an auxiliary AED: 2.27 / 5.04 / 2.43 / 5.34.
    Theirs draws a word's pieces anew now and then (probability 0.01); ours always takes the likeliest.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        epochs: Passes over the data.
        hours: Hours of the data; with EPOCHS they give the number of steps.
        pieces: SentencePiece labels.
        accumulate: Micro-batches a step; each then holds that much less sound.
        seed: Of weights, order and augmentation.
    """
    speed = WaveAugmentConfig(speed=(0.7, 0.8, 0.9, 1.0, 1.1))
    return _acoustic(train, dev, epochs * hours, pieces, accumulate, seed, speed)


def loquacious_acoustic(
    *,
    train: tuple[Path, ...],
    dev: Path,
    epochs: float = 20.0,
    hours: float = LOQUACIOUS_HOURS,
    pieces: int = 10_240,
    accumulate: int = 1,
    seed: int = 1,
) -> Recipe:
    """AED + CTC on Loquacious 25,000 h: 20 epochs (4 for fast experiments), no speed perturbation.

    duolect train paper-loquacious-acoustic --train LoquaciousSet/large --dev LoquaciousSet/dev --out runs/loquacious-am

    The baseline of the paper, and the encoder its prefix LLM starts from. Published with: one GPU of 96 GB, bf16,
    batches of 1000 s. Expected WER (dev / test, from recipe comments) of the 4-epoch model: CTC alone 7.32 / 8.10,
    AED + CTC in one pass 6.49 / 7.31; of the 20-epoch model, CTC with a fine-tuned Qwen2-0.5B of the same labels,
    label by label, beam 64: 5.30 / 5.82.

    Args:
        train: Folder of parquet shards to train on, read in place, or manifests.
        dev: Folder of parquet shards, or manifest, to measure on.
        epochs: Passes over the data.
        hours: Hours of the data; with EPOCHS they give the number of steps.
        pieces: SentencePiece labels, learnt from a million transcripts at most (published: ten million).
        accumulate: Micro-batches a step; each then holds that much less sound.
        seed: Of weights, order and augmentation.
    """
    return _acoustic(train, dev, epochs * hours, pieces, accumulate, seed, None)


def transformer_language(
    *,
    text: tuple[Path, ...],
    dev: Path,
    units: Path,
    steps: int = 500_000,
    accumulate: int = 1,
    seed: int = 1,
) -> Recipe:
    """The LLM's rival: a Transformer LM of 32 layers of 1024, from scratch, in the acoustic model's units.

    duolect train paper-transformer-lm --text train.jsonl --dev dev.jsonl --units runs/loquacious-am --out runs/lm

    Trained on the transcripts of Loquacious, or on the LM text of LibriSpeech. Only depth, width and labels (10,240
    SentencePiece) are published: rotary positions, RMSNorm, a gated feed-forward of 2816, dropout 0.1, learning rate
    and length of training are ours. Expected WER with CTC, label by label, beam 64 (from recipe comments): Loquacious
    dev / test 6.12 / 6.94 with the 4-epoch acoustic model (scales 0.428 for the LM, 0.267 for the prior; rescoring 6.34
    / 7.10); LibriSpeech dev-clean / dev-other / test-clean / test-other 1.85 / 3.93 / 2.00 / 4.27.

    Args:
        text: Text files, one sentence a line (.gz too), or manifests (.jsonl), whose texts are taken.
        dev: Text file or manifest to measure perplexity on.
        units: Run or system folder of the acoustic model whose labels to speak.
        steps: Optimiser steps, of 20,000 labels each.
        accumulate: Micro-batches a step; each then holds that many fewer labels.
        seed: Of weights, order and dropout.
    """
    network = LLMConfig(
        vocabulary=1,
        architecture="llama",
        width=1024,
        layers=32,
        heads=8,
        intermediate=2816,
        max_positions=1024,
        dropout=0.1,
    )
    return Recipe(
        task=LanguageTask(
            model=LanguageConfig(**FROM_UNITS, llm=network),
            units=UnitsFrom(folder=str(units)),
            train=tuple(map(str, text)),
            dev=str(dev),
            max_tokens=20_000 // accumulate,
        ),
        optimiser=OptimiserConfig(lr=5e-4, weight_decay=0.01),
        schedule=PiecewiseLinear(),
        loop=_loop(steps, seed, accumulate),
    )


def qwen_language(
    *,
    text: tuple[Path, ...],
    dev: Path,
    llm: str = "Qwen/Qwen2-0.5B",
    units: Path | None = None,
    finetune: LanguageFinetuning = "full",
    steps: int = 280_000,
    seed: int = 1,
) -> Recipe:
    """Qwen2 fine-tuned on transcripts as a language model: in its own units, or in the acoustic model's.

    duolect train paper-language --text train.jsonl --dev dev.jsonl --units runs/loquacious-am --out runs/qwen-spm

    With UNITS the embeddings are replaced by new ones for those labels, as label-wise fusion needs. The 7B model was
    trained with `--finetune lora-language`: rank 64, alpha 128, dropout 0.1, rank-stabilised, all projections; theirs
    ends a sentence with a newline, ours as all sizes do, with the tokeniser's end. Batches of 1,800 labels, warm-up
    over 2.5 % of the run, cosine, peak 1e-5. Perplexity on Loquacious test, per token and word (from recipe comments):
    0.5B lower-case in its own units 43.38 and 59.54, with SentencePiece labels 35.59 and 60.26;
    upper-case in its own units 14.39 and 65.40, with frozen embeddings 14.68 and 67.44. `duolect perplexity` measures
    them.

    Args:
        text: Text files or manifests (.jsonl), whose texts are taken.
        dev: Text file or manifest to measure perplexity on.
        llm: Hub name or folder: Qwen/Qwen2-0.5B, -1.5B, -7B.
        units: Run or system folder of the acoustic model whose labels to speak; without it the LLM keeps its own.
        finetune: What of the LLM is trained: all of it (full), all but its embeddings (frozen-embeddings), or low-rank
            additions (lora-language).
        steps: Optimiser steps; the recipes have two epochs, about 280,000 steps for all Loquacious transcripts.
        seed: Of new weights and order.
    """
    return Recipe(
        task=LanguageTask(
            model=LanguageConfig(
                **FROM_UNITS,
                llm=LLMConfig(vocabulary=1, source=llm, replace_embeddings=units is not None),
                **finetuning(finetune),
            ),
            units=UnitsConfig(kind="huggingface", source=llm) if units is None else UnitsFrom(folder=str(units)),
            train=tuple(map(str, text)),
            dev=str(dev),
            max_tokens=1800,
        ),
        optimiser=OptimiserConfig(lr=1e-5, weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.025),
        loop=_loop(steps, seed),
    )


def qwen_speech_llm(
    *,
    train: tuple[Path, ...],
    dev: Path,
    acoustic: Path,
    llm: str = "Qwen/Qwen2-0.5B",
    finetune: SpeechFinetuning = "lora-speech-llm",
    layers: int = 18,
    interface: InterfaceName = "prefix",
    adapter: AdapterName = "concat",
    concatenate: int = 2,
    prompts: tuple[str, ...] = ("role-tagged",),
    lr: float = 1e-4,
    epochs: float = 1.0,
    hours: float = LOQUACIOUS_HOURS,
    accumulate: int = 1,
    seed: int = 1,
) -> Recipe:
    """The speech LLM on Qwen2: encoder of the AED, two frames to a vector, LLM with LoRA, CTC in its units.

    duolect train paper-speech-llm --train train.jsonl --dev dev.jsonl --acoustic runs/loquacious-am --out runs/sllm

    The audio stands between "USER: " and "Transcribe speech to text. ASSISTANT: ". As in the decoded checkpoint: the
    16 trained Conformer layers and two new ones, CTC at the last over Qwen's vocabulary; LoRA on q_proj and v_proj,
    rank 320, alpha 16, dropout 0.1, rank-stabilised; encoder trained; SpecAugment; one epoch. Batches of 500 s. The
    published learning rate is not known; students' variants have 1e-5 to 1e-4, warm-up of a tenth of an epoch, cosine
    down to 1e-7.
    No word error rate of it is public; beam 4 jointly with CTC was behind CTC + LLM with beam 64.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        acoustic: Run or system folder of the acoustic model whose encoder to start from.
        llm: Hub name or folder: Qwen/Qwen2-0.5B, -1.5B, -7B.
        finetune: What of the LLM is trained: all of it (full), all but its embeddings (frozen-embeddings), nothing
            (frozen), or low-rank additions (lora-speech-llm, as published).
        layers: Encoder layers; those beyond the acoustic model's are new.
        interface: How the audio gets into the LLM: before the text in its input, causal (prefix, as published) or
            bidirectional, beside the text in each layer's attention (merged), or by cross-attention in front of each
            layer (cross).
        adapter: What makes positions of the LLM from frames: putting them side by side (concat, as published), a
            strided convolution (conv), a window-level Q-Former (qformer), or merging those of which CTC says the same.
        concatenate: Encoder frames (60 ms), after ctc what it leaves of them, to a position of the LLM: 2 or 1.
        prompts: Around the audio, by name (none, instruction, role-tagged) or as BEFORE<audio>AFTER; of several, one is
            drawn for each utterance, and recognition takes the first.
        lr: Peak learning rate.
        epochs: Passes over the data, 1 or 2.
        hours: Hours of the data; with EPOCHS they give the number of steps.
        accumulate: Micro-batches a step; each then holds that much less sound.
        seed: Of new weights, order and augmentation.
    """
    return Recipe(
        task=SpeechLLMTask(
            model=SpeechLLMConfig(
                **FROM_UNITS,
                llm=LLMConfig(vocabulary=1, source=llm),
                encoder=encoder(layers),
                adapter=adapter_config(adapter, concatenate),
                interface=interface_config(interface),
                ctc_layers=(layers,),
                spec_augment=SpecAugmentConfig(),
                **finetuning(finetune),
            ),
            units=UnitsConfig(kind="huggingface", source=llm),
            train=tuple(map(str, train)),
            dev=str(dev),
            batches=_batches(500.0 / accumulate),
            prompts=tuple(map(find_prompt, prompts)),
            initialise_encoder=str(acoustic),
        ),
        optimiser=OptimiserConfig(lr=lr, weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1 / max(epochs, 0.2), minimum=min(round(1e-7 / lr, 12), 1.0)),
        loop=_loop(_steps(epochs * hours, 500.0), seed, accumulate),
    )


def _acoustic(
    train: tuple[Path, ...],
    dev: Path,
    hours: float,
    pieces: int,
    accumulate: int,
    seed: int,
    augment: WaveAugmentConfig | None,
) -> Recipe:
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                encoder=encoder(),
                ctc_layers=(4, 10, 16),
                decoder=DecoderConfig(width=1024, layers=6, heads=8, dropout=0.1, auxiliary_layer=3),
                spec_augment=SpecAugmentConfig(),
            ),
            units=UnitsConfig(kind="sentencepiece", size=pieces),
            train=tuple(map(str, train)),
            dev=str(dev),
            batches=_batches(1000.0 / accumulate),
            wave_augment=augment,
            prior_utterances=100_000,
        ),
        optimiser=OptimiserConfig(lr=5e-4, eps=1e-16, weight_decay=0.01),
        schedule=PiecewiseLinear(),
        loop=_loop(_steps(hours, 1000.0), seed, accumulate),
    )


def _steps(hours: float, batch_seconds: float) -> int:
    """Optimiser steps for so many hours of sound in all; padding, of which there is little, is not counted."""
    return max(1, round(hours * 3600 / batch_seconds))


def _batches(seconds: float) -> BatchConfig:
    return BatchConfig(max_seconds=seconds, max_utterances=200, buckets=100, longest=LONGEST)


def _loop(steps: int, seed: int, accumulate: int = 1) -> LoopConfig:
    between = min(5000, max(1, steps // 20))
    return LoopConfig(
        steps=steps,
        accumulate=accumulate,
        clip_norm=5.0,
        precision="bf16",
        evaluate_every=between,
        checkpoint_every=between,
        keep=4,
        log_every=100,
        workers=8,
        seed=seed,
    )
