"""Several languages heard by one model: which architecture transcribes them best, and which translates into English."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duolect.studies.axes.attending import SIZES, TABLE_1, attending, named
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.stages import Stage
from duolect.studies.stages.measures import AVERAGE, SetRates
from duolect.studies.study import ALIKE, Claim, Entry, Metric, Study

Heard = tuple[Architecture, bool]
"""An architecture, and whether frames are compressed."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What was published for transcribing or translating: a number for each row, and of the rows what is to hold."""

    name: str
    title: str
    question: str
    metric: Metric
    published: Mapping[Heard, float]


ASR = Task(
    name="languages",
    title="Speech of several languages",
    question="Does what holds of the architectures hold when one model transcribes several languages?",
    metric="wer",
    published={
        ("cross-transformer", False): 23.7,
        ("prepend-transformer", False): 24.7,
        ("decoder-only", False): 26.1,
        ("cross-conformer", False): 19.6,
        ("cross-conformer", True): 21.8,
        ("prepend-conformer", False): 19.9,
        ("prepend-conformer", True): 19.9,
        ("decoder-only-large", False): 24.3,
    },
)
ST = Task(
    name="into-english",
    title="Speech of other languages into English",
    question="Which architecture translates speech into English best, and does it have to hear every frame?",
    metric="bleu",
    published={
        ("cross-transformer", False): 25.6,
        ("prepend-transformer", False): 24.6,
        ("decoder-only", False): 24.6,
        ("cross-conformer", False): 29.7,
        ("cross-conformer", True): 28.5,
        ("prepend-conformer", False): 29.7,
        ("prepend-conformer", True): 29.7,
        ("decoder-only-large", False): 25.3,
    },
)


def languages(scale: Scale) -> Study:
    """One model transcribes them all."""
    heard = scale.languages
    return _study(scale, ASR, heard.test_transcribed, corpus=heard.transcribed)


def into_english(scale: Scale) -> Study:
    """One model translates them; it starts from that of `languages`."""
    heard = scale.languages
    return _study(
        scale,
        ST,
        heard.test_translated,
        corpus=heard.translated,
        transcribed=heard.transcribed,
        translate=True,
        note="Each starts from the model of its architecture that transcribes (study languages).",
    )


def _study(scale: Scale, task: Task, tested: Stage, *, note: str = "", **trained: Any) -> Study:
    unit = "%" if task.metric == "wer" else "BLEU"
    columns = "per cent of words, normalised as plain" if task.metric == "wer" else "BLEU"

    def entry(heard: Heard) -> Entry:
        architecture, compress = heard
        made = attending(
            scale,
            architecture,
            published=f"{task.published[heard]} {unit} ({TABLE_1})",
            tested=tested,
            compress=compress,
            **trained,
        )
        rates = SetRates(
            name=f"languages: {made.name}, {task.metric}",
            runs=list(made.runs.values()),
            corpus=tested,
            field="lang",
            normaliser="plain",
            metric=task.metric,
        )
        return dataclasses.replace(made, measured=[rates])

    def claim(text: str, better: Heard, worse: Heard, margin: float | None = None) -> Claim:
        numbers = " and ".join(f"{task.published[each]} {unit}" for each in (better, worse))
        source = f"{TABLE_1}: CoVoST 2, {numbers}"
        return Claim(text=text, source=source, better=named(*better), worse=named(*worse), margin=margin)

    cross, prepend = ("cross-conformer", False), ("prepend-conformer", False)
    return Study(
        name=task.name,
        title=task.title,
        question=task.question,
        scale=scale.name,
        metric=task.metric,
        entries=[entry(heard) for heard in task.published],
        claims=[
            claim("With a Conformer prepending is as good as cross-attention.", prepend, cross, ALIKE),
            claim(
                "Behind a Transformer cross-attention is better than prepending.",
                ("cross-transformer", False),
                ("prepend-transformer", False),
            ),
            claim("Compression hurts cross-attention.", cross, ("cross-conformer", True)),
            claim("Compression does not hurt prepending.", ("prepend-conformer", True), prepend, ALIKE),
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
