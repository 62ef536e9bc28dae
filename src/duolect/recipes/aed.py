"""The architectures of "Prepending or Cross-Attention for Speech-to-Text?" (arXiv 2501.02370) at smaller sizes.

    duolect train demo-aed --train corpus/train.jsonl --dev corpus/dev.jsonl --decoder prepend --out runs/prepend
    duolect recognize runs/prepend corpus/test.jsonl --out hyps.jsonl --search.no-repeat-ngram 5

Encoder and decoder are those of `paper-fbk-…` with the widths, front end and training of `demo-acoustic` and
`small-acoustic`. Other than there the Transformer encoder has a CTC head too: from the few hours of speech that such
models are trained on, a decoder alone hardly learns where to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from duolect.data import BatchConfig, SpecAugmentConfig, Target
from duolect.models import AcousticConfig, CompressionConfig, TransformerDecoderConfig
from duolect.nn import ConformerConfig, TransformerEncoderConfig
from duolect.recipes import demo, small
from duolect.recipes.settings import batches, run, spec_augment
from duolect.text import UnitsConfig
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    LoopConfig,
    OptimiserConfig,
    Recipe,
    UnitsFrom,
    WarmupCosine,
)

EncoderKind = Literal["conformer", "transformer", "none"]
Coupling = Literal["cross", "prepend"]


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """The Conformer, which of its layers has the CTC head, and the numbers of decoder layers: after an encoder, and
    without one to make a model of the Transformers' and of the Conformers' size."""

    conformer: ConformerConfig
    ctc_layer: int
    decoder: int
    alone: int
    alone_large: int
    pieces: tuple[int, int]
    """SentencePiece labels to transcribe and to translate."""


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the recipes' arguments of the same names say; `pieces`: their `units`."""

    encoder: EncoderKind
    decoder: Coupling
    large: bool
    causal_prefix: bool | None
    compress: bool
    target: Target
    tags: tuple[str, ...]
    start: Path | None
    pieces: int | None


_DEMO = _Sizes(conformer=demo.ENCODER, ctc_layer=3, decoder=2, alone=7, alone_large=12, pieces=(256, 512))
_SMALL = _Sizes(conformer=small.ENCODER, ctc_layer=5, decoder=4, alone=12, alone_large=20, pieces=(500, 1000))


def demo_aed(
    *,
    train: Path,
    dev: Path,
    encoder: EncoderKind = "conformer",
    decoder: Coupling = "cross",
    large: bool = False,
    causal_prefix: bool | None = None,
    compress: bool = False,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    start: Path | None = None,
    steps: int = 1400,
    units: int | None = None,
    seed: int = 1,
) -> Recipe:
    """Five encoder layers and two decoder layers with cross-attention or with the audio before the labels.

    Without an encoder seven decoder layers, or 12, as many weights as with the Transformer or the Conformer.

    Args:
        train: Manifest to train on.
        dev: Manifest to measure on.
        encoder: A Conformer or a Transformer with a CTC head at the third layer; none has no layers but convolutions.
        decoder: How it hears: by cross-attention, or with the encoder's states before the labels (prepend).
        large: Without an encoder: 12 decoder layers.
        causal_prefix: Let the states before the labels see those before them only (default: where there is an encoder).
        compress: Average neighbouring frames of which CTC says the same, after the third layer.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several.
        start: Run of this recipe that transcribes, to start from: its encoder, or without one all but label tables.
        steps: Optimiser steps.
        units: SentencePiece labels (default: 256 to transcribe, 512 to translate).
        seed: Of weights, order and augmentation.
    """
    wanted = _Wanted(
        encoder=encoder,
        decoder=decoder,
        large=large,
        causal_prefix=causal_prefix,
        compress=compress,
        target=target,
        tags=tags,
        start=start,
        pieces=units,
    )
    task = _task(_DEMO, wanted, (train,), dev, demo.BATCHES)
    return Recipe(
        task=task,
        optimiser=OptimiserConfig(kind="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1, minimum=0.02),
        loop=LoopConfig(steps=steps, evaluate_every=300, checkpoint_every=300, log_every=25, seed=seed),
    )


def small_aed(
    *,
    train: tuple[Path, ...],
    dev: Path,
    encoder: EncoderKind = "conformer",
    decoder: Coupling = "cross",
    large: bool = False,
    causal_prefix: bool | None = None,
    compress: bool = False,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    start: Path | None = None,
    steps: int = 6000,
    units: int | None = None,
    max_seconds: float = 120.0,
    seed: int = 1,
) -> Recipe:
    """Eight encoder layers and four decoder layers with cross-attention or with the audio before the labels.

    Without an encoder 12 decoder layers, or 20, as many weights as with the Transformer or the Conformer.

    Args:
        train: Manifests to train on.
        dev: Manifest to measure on.
        encoder: A Conformer or a Transformer with a CTC head at the fifth layer; none has no layers but convolutions.
        decoder: How it hears: by cross-attention, or with the encoder's states before the labels (prepend).
        large: Without an encoder: 20 decoder layers.
        causal_prefix: Let the states before the labels see those before them only (default: where there is an encoder).
        compress: Average neighbouring frames of which CTC says the same, after the fifth layer.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several.
        start: Run of this recipe that transcribes, to start from: its encoder, or without one all but label tables.
        steps: Optimiser steps.
        units: SentencePiece labels (default: 500 to transcribe, 1000 to translate).
        max_seconds: Seconds of sound in a batch, padding included; lower it where memory ends.
        seed: Of weights, order and augmentation.
    """
    wanted = _Wanted(
        encoder=encoder,
        decoder=decoder,
        large=large,
        causal_prefix=causal_prefix,
        compress=compress,
        target=target,
        tags=tags,
        start=start,
        pieces=units,
    )
    task = _task(_SMALL, wanted, train, dev, batches(max_seconds), spec_augment(steps))
    return Recipe(task=task, **run(steps, seed, lr=1.5e-3))


def _task(
    sizes: _Sizes,
    wanted: _Wanted,
    train: tuple[Path, ...],
    dev: Path,
    batch: BatchConfig,
    augment: SpecAugmentConfig | None = None,
) -> AcousticTask:
    alone, own, translates = wanted.encoder == "none", sizes.conformer, wanted.target == "translation"
    start, causal = wanted.start, not alone if wanted.causal_prefix is None else wanted.causal_prefix
    weights: dict[str, Any] = {}
    if start is not None:
        weights = {"initialise_from": str(start), "fresh_labels": True} if alone else {"initialise_encoder": str(start)}
    pieces = sizes.pieces[translates] if wanted.pieces is None else wanted.pieces
    heard: UnitsConfig | UnitsFrom = UnitsConfig(kind="sentencepiece", size=sizes.pieces[0])
    if start is not None:
        heard = UnitsFrom(folder=str(start), ctc=True)
    without = sizes.alone_large if wanted.large else sizes.alone
    return AcousticTask(
        model=AcousticConfig(
            **FROM_UNITS,
            vocabulary=1,
            encoder=own if wanted.encoder == "conformer" else _transformer(own, 0 if alone else own.layers),
            ctc_layers=() if alone else (sizes.ctc_layer,),
            ctc_weight=0.5,
            compression=CompressionConfig(layer=sizes.ctc_layer) if wanted.compress else None,
            decoder=TransformerDecoderConfig(
                width=own.width,
                layers=without if alone else sizes.decoder,
                heads=own.heads,
                feed_forward=own.feed_forward,
                dropout=own.dropout,
                coupling=wanted.decoder,
                causal_prefix=causal,
            ),
            spec_augment=augment,
            tags=wanted.tags,
        ),
        units=UnitsConfig(kind="sentencepiece", size=pieces),
        ctc_units=heard if translates and not alone else None,
        train=tuple(map(str, train)),
        dev=str(dev),
        batches=batch,
        target=wanted.target,
        **weights,
    )


def _transformer(own: ConformerConfig, layers: int) -> TransformerEncoderConfig:
    """A Transformer of the Conformer's widths."""
    return TransformerEncoderConfig(
        width=own.width,
        layers=layers,
        heads=own.heads,
        feed_forward=own.feed_forward,
        dropout=own.dropout,
        front_end=own.front_end,
    )
