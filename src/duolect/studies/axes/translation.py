"""Speech translation with each architecture: from a model that transcribes or from scratch, one language or several."""

from __future__ import annotations

from typing import Any

from duolect.studies.axes.attending import NAMES, PUBLISHED, SIZES, TABLE_1, attending
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.study import ALIKE, Claim, Entry, Study

SCRATCH: tuple[Architecture, ...] = ("cross-conformer", "prepend-conformer")


def translation(scale: Scale) -> Study:
    """Into German: every architecture; two from scratch; and models of several languages where the corpus has them."""

    def entry(architecture: Architecture) -> Entry:
        bleu = f"{PUBLISHED[architecture, False].german} BLEU, MuST-C en-de ({TABLE_1})"
        return attending(scale, architecture, published=bleu, translate=True)

    def from_scratch(architecture: Architecture) -> Entry:
        name = f"{NAMES[architecture]}, from scratch"
        return attending(scale, architecture, name, against=NAMES[architecture], translate=True, from_scratch=True)

    several = scale.multilingual

    def multilingual(architecture: Architecture) -> Entry:
        return attending(
            scale,
            architecture,
            f"{NAMES[architecture]}, {len(scale.target_languages)} languages",
            published=f"{PUBLISHED[architecture, False].eight} BLEU, the mean of MuST-C's eight languages ({TABLE_1})",
            target_language="de",
            against=NAMES[architecture],
            translate=True,
            languages=scale.target_languages,
            corpus=several,
        )

    def claim(text: str, better: Architecture, worse: Architecture, **fields: Any) -> Claim:
        rates = f"{PUBLISHED[better, False].german} and {PUBLISHED[worse, False].german} BLEU, MuST-C en-de"
        return Claim(text=text, source=f"{TABLE_1}: {rates}", better=NAMES[better], worse=NAMES[worse], **fields)

    one = "one language, German" if several is None else f"{', '.join(scale.target_languages)}"
    return Study(
        name="translation",
        title="Speech translation",
        question="Does what holds of the architectures hold when they translate, and must they transcribe first?",
        scale=scale.name,
        metric="bleu",
        entries=[
            *map(entry, NAMES),
            *map(from_scratch, SCRATCH),
            *([] if several is None else map(multilingual, NAMES)),
        ],
        claims=[
            claim(
                "Prepending to a Conformer's states translates as well as cross-attention.",
                "prepend-conformer",
                "cross-conformer",
                margin=ALIKE,
                one_sided=True,
            ),
            claim(
                "Cross-attention to a Transformer is better than prepending.",
                "cross-transformer",
                "prepend-transformer",
            ),
            claim(
                "With a Conformer prepending is better than a large decoder alone.",
                "prepend-conformer",
                "decoder-only-large",
            ),
        ],
        notes=[
            SIZES,
            (
                "All but those from scratch start from the model of the same architecture that transcribes (study "
                "architecture): from its encoder, a decoder alone from all but its labels. From scratch they are "
                "trained for as many steps as both together."
            ),
            f"The corpus is translated into {one}. "
            + (
                "Models that write several languages cannot be compared on it."
                if several is None
                else "Models of several languages are told to write German here, the published means are of all eight."
            ),
        ],
    )
