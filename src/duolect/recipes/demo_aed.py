"""The architectures of "Prepending or Cross-Attention for Speech-to-Text?" (arXiv 2501.02370) at the demo's size.

    duolect train demo-aed --train corpus/train.jsonl --dev corpus/dev.jsonl --decoder prepend --out runs/prepend
    duolect recognize runs/prepend corpus/test.jsonl --out hyps.jsonl --search.no-repeat-ngram 5

Encoder and decoder are as in `paper-fbk-…`, with the demo's widths, front end and optimiser: 5 encoder layers for 12, 2
decoder layers for 6; without an encoder 7 decoder layers make a model of the Transformers' size (18 in the paper), 12
one of the Conformers' (32). Other than there the Transformer encoder has a CTC head too: from the few hours that such a
model hears, a decoder alone hardly learns where to look.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from duolect.data import Target
from duolect.models import AcousticConfig, CompressionConfig, TransformerDecoderConfig
from duolect.nn import ConformerConfig, TransformerEncoderConfig
from duolect.recipes.demo import BATCHES, ENCODER
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

CTC_LAYER = 3
LAYERS, LAYERS_ALONE = 2, 7


def demo_aed(
    *,
    train: Path,
    dev: Path,
    encoder: Literal["conformer", "transformer", "none"] = "conformer",
    decoder: Literal["cross", "prepend"] = "cross",
    layers: int | None = None,
    causal_prefix: bool | None = None,
    compress: bool = False,
    target: Target = "text",
    tags: tuple[str, ...] = (),
    start: Path | None = None,
    steps: int = 1400,
    units: int | None = None,
    seed: int = 1,
) -> Recipe:
    """An encoder, or convolutions alone, and a decoder with cross-attention or with the audio before its labels.

    Args:
        train: Manifest to train on.
        dev: Manifest to measure on.
        encoder: Five layers of a Conformer or a Transformer with a CTC head at the third; none has no layers.
        decoder: How it hears: by cross-attention, or with the encoder's states before the labels (prepend).
        layers: Decoder layers (default: 2; without an encoder 7).
        causal_prefix: Let the states before the labels see those before them only (default: where there is an encoder).
        compress: Average neighbouring frames of which CTC says the same, after the third layer.
        target: What is written: the transcript, or the manifest's translation.
        tags: Languages to write, where there are several.
        start: Run of this recipe that transcribes, to start from: its encoder, or without one all but label tables.
        steps: Optimiser steps.
        units: SentencePiece labels (default: 256 to transcribe, 512 to translate).
        seed: Of weights, order and augmentation.
    """
    alone = encoder == "none"
    ctc_units: UnitsConfig | UnitsFrom | None = None
    if target == "translation" and not alone:
        heard = UnitsConfig(kind="sentencepiece", size=256)
        ctc_units = heard if start is None else UnitsFrom(folder=str(start), ctc=True)
    weights: dict[str, Any] = {}
    if start is not None:
        weights = {"initialise_from": str(start), "fresh_labels": True} if alone else {"initialise_encoder": str(start)}
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                encoder=_encoder(encoder),
                ctc_layers=() if alone else (CTC_LAYER,),
                ctc_weight=0.5,
                compression=CompressionConfig(layer=CTC_LAYER) if compress else None,
                decoder=TransformerDecoderConfig(
                    width=ENCODER.width,
                    layers=layers or (LAYERS_ALONE if alone else LAYERS),
                    heads=ENCODER.heads,
                    feed_forward=ENCODER.feed_forward,
                    dropout=0.0,
                    coupling=decoder,
                    causal_prefix=not alone if causal_prefix is None else causal_prefix,
                ),
                tags=tags,
            ),
            units=UnitsConfig(kind="sentencepiece", size=units or (256 if target == "text" else 512)),
            ctc_units=ctc_units,
            train=(str(train),),
            dev=str(dev),
            batches=BATCHES,
            target=target,
            **weights,
        ),
        optimiser=OptimiserConfig(kind="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1, minimum=0.02),
        loop=LoopConfig(steps=steps, evaluate_every=300, checkpoint_every=300, log_every=25, seed=seed),
    )


def _encoder(kind: Literal["conformer", "transformer", "none"]) -> ConformerConfig | TransformerEncoderConfig:
    if kind == "conformer":
        return ENCODER
    return TransformerEncoderConfig(
        width=ENCODER.width,
        layers=0 if kind == "none" else ENCODER.layers,
        heads=ENCODER.heads,
        feed_forward=ENCODER.feed_forward,
        dropout=0.0,
        front_end=ENCODER.front_end,
    )
