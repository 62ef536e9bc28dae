"""Several languages heard by one model: which architecture transcribes them best, and which translates into English."""

from __future__ import annotations

import dataclasses
from typing import Any

from duolect.studies.axes.attending import PUBLISHED, SIZES, TABLE_1, attending, named
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.stages import Stage
from duolect.studies.stages.measures import AVERAGE, SetRates
from duolect.studies.study import ALIKE, Claim, Entry, Metric, Study

Heard = tuple[Architecture, bool]
"""An architecture, and whether frames are compressed."""


def languages(scale: Scale) -> Study:
    """One model transcribes them all."""
    heard = scale.languages
    return _study(
        scale,
        name="languages",
        title="Speech of several languages",
        question="Does what holds of the architectures hold when one model transcribes several languages?",
        metric="wer",
        tested=heard.test_transcribed,
        corpus=heard.transcribed,
    )


def into_english(scale: Scale) -> Study:
    """One model translates them; it starts from that of `languages`."""
    heard = scale.languages
    return _study(
        scale,
        name="into-english",
        title="Speech of other languages into English",
        question="Which architecture translates speech into English best, and does it have to hear every frame?",
        metric="bleu",
        tested=heard.test_translated,
        corpus=heard.translated,
        transcribed=heard.transcribed,
        translate=True,
        note="Each starts from the model of its architecture that transcribes (study languages).",
    )


def _study(
    scale: Scale,
    *,
    name: str,
    title: str,
    question: str,
    metric: Metric,
    tested: Stage,
    note: str = "",
    **trained: Any,
) -> Study:
    columns = "per cent of words, normalised as plain" if metric == "wer" else "BLEU"

    def rate(heard: Heard) -> str:
        return f"{PUBLISHED[heard].covost} %" if metric == "wer" else f"{PUBLISHED[heard].english} BLEU"

    def entry(heard: Heard) -> Entry:
        architecture, compress = heard
        made = attending(
            scale,
            architecture,
            published=f"{rate(heard)} ({TABLE_1})",
            tested=tested,
            compress=compress,
            **trained,
        )
        rates = SetRates(
            name=f"languages: {made.name}, {metric}",
            runs=list(made.runs.values()),
            corpus=tested,
            field="lang",
            normaliser="plain",
            metric=metric,
        )
        return dataclasses.replace(made, measured=[rates])

    def claim(text: str, better: Heard, worse: Heard, *, as_good: bool = False) -> Claim:
        numbers = " and ".join(map(rate, (better, worse)))
        source = f"{TABLE_1}: CoVoST 2, {numbers}"
        margin: dict[str, Any] = {"margin": ALIKE, "one_sided": True} if as_good else {}
        return Claim(text=text, source=source, better=named(*better), worse=named(*worse), **margin)

    cross, prepend = ("cross-conformer", False), ("prepend-conformer", False)
    return Study(
        name=name,
        title=title,
        question=question,
        scale=scale.name,
        metric=metric,
        entries=[entry(heard) for heard in PUBLISHED],
        claims=[
            claim("With a Conformer prepending is as good as cross-attention.", prepend, cross, as_good=True),
            claim(
                "Behind a Transformer cross-attention is better than prepending.",
                ("cross-transformer", False),
                ("prepend-transformer", False),
            ),
            claim("Compression hurts cross-attention.", cross, ("cross-conformer", True)),
            claim("Compression does not hurt prepending.", ("prepend-conformer", True), prepend, as_good=True),
            claim("A Conformer is better than a decoder of its size.", prepend, ("decoder-only-large", False)),
        ],
        notes=[
            SIZES,
            (
                f"No model is told which language it hears. Columns by language: {columns}; {AVERAGE}: their plain "
                "mean. Published are means of Catalan, German, Spanish and French, by models of 21 languages."
            ),
            *([note] if note else []),
        ],
    )
