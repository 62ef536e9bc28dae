"""The settings of "Prepending or Cross-Attention for Speech-to-Text?" (Lam et al., arXiv 2501.02370), at full size.

Five architectures, trained from scratch on the same data, to transcribe or to translate (`--target translation`), with
so many million parameters for 5,000, 8,000 and 32,000 labels:

| recipe | encoder | decoder | parameters |
|---|---|---|---|
| paper-fbk-cross-transformer | Transformer, 12 layers | 6 layers with cross-attention | 71.2, 74.3, 98.9 |
| paper-fbk-prepend-transformer | Transformer, 12 layers | 6 layers over audio and labels | 64.9, 68.0, 92.5 |
| paper-fbk-decoder-only | convolutions only | 18 layers over audio and labels | 64.9, 68.0, 92.5 |
| with 32 layers | convolutions only | 32 layers over audio and labels | 109.0, 112.1, 136.7 |
| paper-fbk-cross-conformer | Conformer, 12 layers, CTC at 8 | 6 layers with cross-attention | 111.8, 114.9, 139.5 |
| paper-fbk-prepend-conformer | Conformer, 12 layers, CTC at 8 | 6 layers over audio and labels | 105.5, 108.6, 133.2 |

All hear 80 mel bins, normalised for each utterance, and have a state every 40 ms; width 512, 8 heads, feed-forward
2048, dropout 0.1, label smoothing 0.1. Batches of 320,000 frames (3200 s), Adam with betas 0.9 and 0.98, a peak of 2e-3
after 25,000 steps and inverse-square-root decay, gradients clipped at a norm of 10, SpecAugment with one mask of up to
27 bins and one of up to 100 frames, 100,000 steps at most, the mean of the last five checkpoints, one for each pass
over one language pair of MuST-C (450 steps; of more data, such as all eight pairs, that is a part of a pass).

Published with: MuST-C v1.0 (English TED talks, some 400 to 500 h a language pair), 4 GPUs of 40 GB (A100), two days.
Texts keep their case and punctuation. To translate, the authors start from the model that transcribes (`--start`): from
its encoder, and where there is none from all of it but the tables of labels. They decode with a beam of 5, no 5-gram
twice (`no_repeat_ngram`) and without CTC. What differs here: training does not stop early (theirs does after ten passes
without a better dev loss), it is in bfloat16, and CTC's loss is divided by its own labels (theirs by those and a
sentence end each). None of the published scores has been reproduced with Duolect yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from duolect.audio import FeatureConfig
from duolect.data import BatchConfig, SpecAugmentPolicyConfig
from duolect.models import AcousticConfig, CompressionConfig, TransformerDecoderConfig
from duolect.nn import FBK_CONFORMER, ConformerConfig, TransformerEncoderConfig
from duolect.text import UnitsConfig
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    InverseSquareRoot,
    LoopConfig,
    OptimiserConfig,
    Recipe,
)

MICRO_BATCH_SECONDS = 400.0
STEPS_PER_PASS = 450  # of 400 h, 3200 s a step
LONGEST = 60.0
CTC_LAYER = 8

Target = Literal["text", "translation"]


def cross_transformer(
    *,
    train: tuple[Path, ...],
    dev: Path,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    pieces: int = 5000,
    start: Path | None = None,
    accumulate: int = 8,
    seed: int = 1,
) -> Recipe:
    """A Transformer encoder and a decoder with cross-attention: 12 and 6 layers (line 1 of the paper's Table 1).

    duolect train paper-fbk-cross-transformer --train train.jsonl --dev dev.jsonl --out runs/cross

    Expected on MuST-C: WER 12.1; BLEU 26.9 (en-es), 22.0 (en-de), 25.1 (en to eight languages, one model).

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several; each has its own tag, by the manifest's lang or target_lang.
        pieces: SentencePiece labels; published: 5000 to transcribe, 8000 for one target language, 32,000 for eight.
        start: Run or system folder of a model of this recipe that transcribes, whose encoder to start from.
        accumulate: Micro-batches of 400 s in a step; with several GPUs, 8 divided by their number.
        seed: Of weights, order and augmentation.
    """
    parts = TransformerEncoderConfig(), TransformerDecoderConfig()
    run = _run(accumulate, seed)
    return Recipe(task=_task(*parts, train, dev, target, tags, pieces, initialise_encoder=_name(start)), **run)


def prepend_transformer(
    *,
    train: tuple[Path, ...],
    dev: Path,
    causal_prefix: bool = True,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    pieces: int = 5000,
    start: Path | None = None,
    accumulate: int = 8,
    seed: int = 1,
) -> Recipe:
    """A Transformer encoder whose states stand before the labels of the decoder: 12 and 6 layers (line 2 of Table 1).

    duolect train paper-fbk-prepend-transformer --train train.jsonl --dev dev.jsonl --out runs/prepend

    Expected on MuST-C: WER 12.4; BLEU 26.9 (en-es), 21.1 (en-de), 24.6 (en to eight languages, one model). With a
    prefix that is not causal (Table 3): 13.2; 25.8, 20.8, 16.5.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        causal_prefix: Let the audio's states see those before them only.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several; each has its own tag, by the manifest's lang or target_lang.
        pieces: SentencePiece labels; published: 5000 to transcribe, 8000 for one target language, 32,000 for eight.
        start: Run or system folder of a model of this recipe that transcribes, whose encoder to start from.
        accumulate: Micro-batches of 400 s in a step; with several GPUs, 8 divided by their number.
        seed: Of weights, order and augmentation.
    """
    parts = TransformerEncoderConfig(), TransformerDecoderConfig(coupling="prepend", causal_prefix=causal_prefix)
    run = _run(accumulate, seed)
    return Recipe(task=_task(*parts, train, dev, target, tags, pieces, initialise_encoder=_name(start)), **run)


def decoder_only(
    *,
    train: tuple[Path, ...],
    dev: Path,
    layers: int = 18,
    causal_prefix: bool = False,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    pieces: int = 5000,
    start: Path | None = None,
    accumulate: int = 8,
    seed: int = 1,
) -> Recipe:
    """No encoder but the convolutions, 18 or 32 decoder layers over their states and the labels (lines 3 and 6).

    duolect train paper-fbk-decoder-only --layers 32 --train train.jsonl --dev dev.jsonl --out runs/decoder-only

    Expected on MuST-C: WER 13.2; BLEU 27.4 (en-es), 21.9 (en-de), 25.3 (en to eight languages, one model); with 32
    layers 13.2; 27.2, 22.2, 26.8. With a causal prefix (Table 3): 13.9; 26.0, 20.1, 24.2; with 32 layers 14.4; 26.0,
    20.2, 25.5.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        layers: Decoder layers: 18 make a model of the size of the Transformers, 32 one of the size of the Conformers.
        causal_prefix: Let the audio's states see those before them only.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several; each has its own tag, by the manifest's lang or target_lang.
        pieces: SentencePiece labels; published: 5000 to transcribe, 8000 for one target language, 32,000 for eight.
        start: Run or system folder of a model of this recipe that transcribes; all but its tables of labels is kept.
        accumulate: Micro-batches of 400 s in a step; with several GPUs, 8 divided by their number.
        seed: Of weights, order and augmentation.
    """
    encoder = TransformerEncoderConfig(layers=0)
    decoder = TransformerDecoderConfig(layers=layers, coupling="prepend", causal_prefix=causal_prefix)
    weights: dict[str, Any] = {} if start is None else {"initialise_from": str(start), "fresh_labels": True}
    run = _run(accumulate, seed)
    return Recipe(task=_task(encoder, decoder, train, dev, target, tags, pieces, **weights), **run)


def cross_conformer(
    *,
    train: tuple[Path, ...],
    dev: Path,
    compress: bool = False,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    pieces: int = 5000,
    transcript_pieces: int = 5000,
    start: Path | None = None,
    accumulate: int = 8,
    seed: int = 1,
) -> Recipe:
    """A Conformer with CTC at layer 8 of 12, and a decoder of 6 layers with cross-attention (lines 4 and 4.1).

    duolect train paper-fbk-cross-conformer --train train.jsonl --dev dev.jsonl --out runs/cross

    The loss is CE + 0.5 CTC, CTC over the transcript on uncompressed frames. Expected on MuST-C: WER 10.4; BLEU 29.9
    (en-es), 25.2 (en-de), 28.6 (en to eight languages, one model); with compression 10.3; 30.2, 25.5, 28.1.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        compress: Average neighbouring frames of which CTC says the same, after layer 8.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several; each has its own tag, by the manifest's lang or target_lang.
        pieces: SentencePiece labels; published: 5000 to transcribe, 8000 for one target language, 32,000 for eight.
        transcript_pieces: Labels of CTC where translations are written.
        start: Run or system folder of a model of this recipe that transcribes, whose encoder to start from.
        accumulate: Micro-batches of 400 s in a step; with several GPUs, 8 divided by their number.
        seed: Of weights, order and augmentation.
    """
    decoder, weights = TransformerDecoderConfig(), {"initialise_encoder": _name(start)}
    task = _task(FBK_CONFORMER, decoder, train, dev, target, tags, pieces, transcript_pieces, compress, **weights)
    return Recipe(task=task, **_run(accumulate, seed))


def prepend_conformer(
    *,
    train: tuple[Path, ...],
    dev: Path,
    compress: bool = False,
    causal_prefix: bool = True,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    pieces: int = 5000,
    transcript_pieces: int = 5000,
    start: Path | None = None,
    accumulate: int = 8,
    seed: int = 1,
) -> Recipe:
    """A Conformer with CTC at layer 8 of 12 whose states stand before the labels of 6 decoder layers (lines 5 and 5.1).

    duolect train paper-fbk-prepend-conformer --compress --train train.jsonl --dev dev.jsonl --out runs/prepend

    The loss is CE + 0.5 CTC, CTC over the transcript on uncompressed frames. Expected on MuST-C: WER 10.3; BLEU 30.2
    (en-es), 25.4 (en-de), 28.3 (en to eight languages, one model); with compression 10.4; 30.7, 25.9, 28.0. A prefix
    that is not causal changes little (Table 3): 10.6; 30.2, 25.3, 28.3.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        compress: Average neighbouring frames of which CTC says the same, after layer 8.
        causal_prefix: Let the audio's states see those before them only.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several; each has its own tag, by the manifest's lang or target_lang.
        pieces: SentencePiece labels; published: 5000 to transcribe, 8000 for one target language, 32,000 for eight.
        transcript_pieces: Labels of CTC where translations are written.
        start: Run or system folder of a model of this recipe that transcribes, whose encoder to start from.
        accumulate: Micro-batches of 400 s in a step; with several GPUs, 8 divided by their number.
        seed: Of weights, order and augmentation.
    """
    decoder = TransformerDecoderConfig(coupling="prepend", causal_prefix=causal_prefix)
    weights = {"initialise_encoder": _name(start)}
    task = _task(FBK_CONFORMER, decoder, train, dev, target, tags, pieces, transcript_pieces, compress, **weights)
    return Recipe(task=task, **_run(accumulate, seed))


def _task(
    encoder: TransformerEncoderConfig | ConformerConfig,
    decoder: TransformerDecoderConfig,
    train: tuple[Path, ...],
    dev: Path,
    target: Target,
    tags: tuple[str, ...],
    pieces: int,
    transcript_pieces: int | None = None,
    compress: bool = False,
    **weights: Any,
) -> AcousticTask:
    """The task of any of them; `transcript_pieces` is given where there is CTC, `weights` where it starts from some."""
    ctc = transcript_pieces is not None
    model = AcousticConfig(
        **FROM_UNITS,
        vocabulary=1,
        features=FeatureConfig(kind="kaldi", normalisation="per_feature"),
        encoder=encoder,
        ctc_layers=(CTC_LAYER,) if ctc else (),
        ctc_weight=0.5,
        compression=CompressionConfig(layer=CTC_LAYER) if compress else None,
        decoder=decoder,
        spec_augment=SpecAugmentPolicyConfig(),
        tags=tags,
    )
    transcripts = UnitsConfig(kind="sentencepiece", size=transcript_pieces) if ctc else None
    return AcousticTask(
        model=model,
        units=UnitsConfig(kind="sentencepiece", size=pieces),
        ctc_units=transcripts if target == "translation" else None,
        train=tuple(map(str, train)),
        dev=str(dev),
        batches=BatchConfig(max_seconds=MICRO_BATCH_SECONDS, max_utterances=1000, buckets=100, longest=LONGEST),
        normalise=False,
        target=target,
        prior_utterances=10_000,
        **weights,
    )


def _run(accumulate: int, seed: int) -> dict[str, Any]:
    """The fields of a recipe besides its task."""
    loop = LoopConfig(
        steps=100_000,
        accumulate=accumulate,
        clip_norm=10.0,
        precision="bf16",
        evaluate_every=STEPS_PER_PASS,
        checkpoint_every=STEPS_PER_PASS,
        keep=5,
        average_last=5,
        log_every=100,
        workers=8,
        seed=seed,
    )
    optimiser = OptimiserConfig(lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
    return {"optimiser": optimiser, "schedule": InverseSquareRoot(warmup=25_000.0), "loop": loop}


def _name(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)
