"""Speech translation at the demo's scale: English sound to German text, on the synthetic corpus.

    duolect train demo-translation --train corpus/train.jsonl --dev corpus/dev.jsonl --acoustic runs/demo/acoustic
    duolect recognize runs/demo-translation corpus/test.jsonl --out translations.jsonl
    duolect score translations.jsonl

As in arXiv 2501.02370: the encoder starts from an ASR model of the same architecture, its CTC heads go on hearing the
source transcript in the ASR model's units, and a new attention decoder writes the translation, cased, in units of its
own. Results: docs/results/translation.md.
"""

from __future__ import annotations

from pathlib import Path

from duolect.models import AcousticConfig, DecoderConfig
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


def demo_translation(
    *,
    train: Path,
    dev: Path,
    acoustic: Path | None = None,
    languages: tuple[str, ...] = (),
    steps: int = 600,
    units: int = 512,
    seed: int = 1,
) -> Recipe:
    """The demo's encoder with an attention decoder of two layers that writes translations.

    `acoustic`: the run of demo-acoustic to start from (none: from scratch). `languages`: those of the manifests'
    target_lang, where there are several; the decoder is then told which one to write.
    """
    heard = UnitsConfig(kind="sentencepiece", size=256) if acoustic is None else UnitsFrom(folder=str(acoustic))
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                encoder=ENCODER,
                ctc_layers=(3, 5),
                ctc_weight=0.5,
                decoder=DecoderConfig(width=144, layers=2, heads=4, dropout=0.0, auxiliary_layer=1),
                tags=languages,
            ),
            target="translation",
            units=UnitsConfig(kind="sentencepiece", size=units),
            ctc_units=heard,
            train=(str(train),),
            dev=str(dev),
            batches=BATCHES,
            initialise_encoder=None if acoustic is None else str(acoustic),
        ),
        optimiser=OptimiserConfig(kind="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=WarmupCosine(warmup=0.1, minimum=0.02),
        loop=LoopConfig(steps=steps, evaluate_every=300, checkpoint_every=300, log_every=25, seed=seed),
    )
