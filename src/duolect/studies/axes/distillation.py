"""Sequence-level distillation: a text translation model writes the targets that speech translation is trained on."""

from __future__ import annotations

from typing import Literal

from duolect.studies.axes.attending import NAMES, PUBLISHED, SIZES, TABLE_1, attending
from duolect.studies.axes.rows import PREPENDING, grouped
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.study import ALIKE, Claim, Entry, Study

Targets = Literal["original", "original and distilled", "distilled"]
FIGURE = f"{PREPENDING}, Figure 2 and its text"
GAINS: dict[Architecture, str] = {
    "cross-transformer": "a gain of 3.44 BLEU",
    "prepend-transformer": "a gain of 4.18 BLEU",
    "cross-conformer": "a gain of more than 2 BLEU; 28.02 is the best of cross-attention",
    "prepend-conformer": "a gain of more than 2 BLEU; 28.15 is the best of prepending, with compression",
}


def distillation(scale: Scale) -> Study:
    """Original targets, both, and with a Conformer the distilled alone."""

    def name(architecture: Architecture, targets: Targets) -> str:
        return f"{NAMES[architecture]}, {targets}"

    def entry(architecture: Architecture, targets: Targets) -> Entry:
        named = name(architecture, targets)
        if targets == "original":
            published = f"{PUBLISHED[architecture, False].german} BLEU ({TABLE_1})"
            return attending(scale, architecture, named, published=published, translate=True)
        corpus = scale.distilled(only=targets == "distilled")
        published = f"{GAINS[architecture]} ({FIGURE})" if targets == "original and distilled" else ""
        return attending(scale, architecture, named, published=published, translate=True, corpus=corpus)

    def targets_of(architecture: Architecture) -> tuple[Targets, ...]:
        both: tuple[Targets, ...] = ("original", "original and distilled")
        return (*both, "distilled") if "conformer" in architecture else both

    return Study(
        name="distillation",
        title="Sequence-level distillation",
        question="Does a text translation model's German teach speech translation more than the corpus's own?",
        scale=scale.name,
        metric="bleu",
        entries=grouped(
            [entry(architecture, targets) for targets in targets_of(architecture)] for architecture in GAINS
        ),
        claims=[
            *(
                Claim(
                    text=f"Distilled targets beside the original ones help ({NAMES[architecture]}).",
                    source=f"{FIGURE}: {gain}",
                    better=name(architecture, "original and distilled"),
                    worse=name(architecture, "original"),
                )
                for architecture, gain in GAINS.items()
            ),
            Claim(
                text="With them cross-attention and prepending are alike.",
                source=f"{FIGURE}: 28.02 and 28.15 BLEU with Conformers, the latter with CTC compression",
                better=name("prepend-conformer", "original and distilled"),
                worse=name("cross-conformer", "original and distilled"),
                margin=ALIKE,
            ),
        ],
        notes=[
            SIZES,
            "All are trained for as many steps, whatever the targets, and start from the model that transcribes.",
            (
                "Published: NLLB-3.3B translates the transcripts of MuST-C. Without a translation model of yours "
                "(--data translator=FOLDER) a small Marian takes its place at the scales demo and small, trained on "
                "the synthetic corpus's sentence pairs but for those that are spoken; the corpus's own German comes "
                "from a grammar, so that there is little in it for a teacher to make more regular."
            ),
        ],
    )
