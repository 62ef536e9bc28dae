"""What the studies of arXiv 2501.02370 have in common: architectures, what was published of them, how they decode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from duolect.studies.axes.rows import PREPENDING, row
from duolect.studies.scales.base import AEDModel, Architecture, Scale
from duolect.studies.stages import Stage
from duolect.studies.study import Entry
from duolect.systems.measurement import Measure

NAMES: Mapping[Architecture, str] = {
    "cross-transformer": "cross-attention, Transformer",
    "prepend-transformer": "prepended, Transformer",
    "decoder-only": "decoder only",
    "cross-conformer": "cross-attention, Conformer",
    "prepend-conformer": "prepended, Conformer",
    "decoder-only-large": "decoder only, large",
}
DECODING: Mapping[str, Any] = {"beam": 5, "nbest": 5, "no_repeat_ngram": 5}
"""As published: a beam of 5, no 5 labels twice, and without CTC."""
TABLE_1, TABLE_2, TABLE_3 = (f"{PREPENDING}, Table {number}" for number in (1, 2, 3))


class Rates(NamedTuple):
    """A line of Table 1: error rates in per cent on MuST-C and CoVoST 2, and BLEU from English to German, of one model
    from English to eight languages (the mean), and on CoVoST 2 into English."""

    mustc: float
    covost: float
    german: float
    eight: float
    english: float

    @property
    def transcribed(self) -> str:
        """Both error rates."""
        return f"{self.mustc} % MuST-C, {self.covost} % CoVoST 2"


PUBLISHED: Mapping[tuple[Architecture, bool], Rates] = {
    ("cross-transformer", False): Rates(12.1, 23.7, 22.0, 25.1, 25.6),
    ("prepend-transformer", False): Rates(12.4, 24.7, 21.1, 24.6, 24.6),
    ("decoder-only", False): Rates(13.2, 26.1, 21.9, 25.3, 24.6),
    ("cross-conformer", False): Rates(10.4, 19.6, 25.2, 28.6, 29.7),
    ("cross-conformer", True): Rates(10.3, 21.8, 25.5, 28.1, 28.5),
    ("prepend-conformer", False): Rates(10.3, 19.9, 25.4, 28.3, 29.7),
    ("prepend-conformer", True): Rates(10.4, 19.9, 25.9, 28.0, 29.7),
    ("decoder-only-large", False): Rates(13.2, 24.3, 22.2, 26.8, 25.3),
}
"""Table 1 by architecture and whether frames are compressed."""
SIZES = (
    "Published: 12 encoder layers of 512 and 6 decoder layers, or 18 and 32 (large) decoder layers alone; MuST-C and "
    "CoVoST 2. Here the widths are those of the scale's acoustic model; at the scales demo and small the Transformer "
    "encoder has a CTC head as well as the Conformer, since from little speech attention alone hardly learns where to "
    "look. Decoder-only models have none anywhere."
)


def named(architecture: Architecture, compress: bool = False) -> str:
    """The name of a row."""
    return f"{NAMES[architecture]}, compressed" if compress else NAMES[architecture]


def attending(
    scale: Scale,
    architecture: Architecture,
    name: str = "",
    *,
    small_effect: bool = True,
    published: str = "",
    target_language: str | None = None,
    measure: Measure | None = None,
    against: str = "",
    corpus: Stage | None = None,
    transcribed: Stage | None = None,
    tested: Stage | None = None,
    **model: Any,
) -> Entry:
    """The row of an architecture; `model`: further fields of `AEDModel`, `tested`: another corpus than `translated`."""
    wanted = AEDModel(architecture=architecture, **model)
    return row(
        scale,
        name or named(architecture, wanted.compress),
        lambda seed: scale.aed(seed, wanted, corpus=corpus, transcribed=transcribed),
        "attention",
        small_effect=small_effect,
        published=published,
        corpus=tested or scale.translated,
        changes=DECODING,
        target_language=target_language,
        measure=measure,
        against=against,
    )
