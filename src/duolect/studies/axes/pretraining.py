"""Does it matter that the LLM of a speech LLM knows its language beforehand?

A pre-trained LLM against the same architecture with random weights, all else equal (arXiv 2603.15045). Where the
scale's own corpus is not of texts that the LLM knows, the speech is of the LLM's own domain: sentences sampled from it,
as it writes them, spoken by the synthetic voices. Then the study says how much can be gained at most, where text beyond
the transcripts cannot come from anywhere but the LLM.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from duolect.studies.axes.rows import HOW, NO_TABLE, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages.llms import Foreknowledge
from duolect.studies.study import Entry, Study

STARTS = {"pre-trained": True, "random": False}
FINETUNE = {"full": "all trained", "frozen": "LLM frozen"}


def pretraining(scale: Scale) -> Study:
    """Pre-trained and random, all trained and with the LLM frozen; and the acoustic model that they start from."""
    corpus, llm = scale.llm_corpus, scale.llm
    entries: list[Entry] = []
    for how, method in HOW.items():
        for finetune, trained in FINETUNE.items():
            for start, known in STARTS.items():
                entry = row(
                    scale,
                    f"{start}, {trained}, {how}",
                    partial(scale.speech_llm, corpus=corpus, pretrained=known, finetune=finetune),
                    method,
                    against="" if known else f"pre-trained, {trained}, {how}",
                    small_effect=finetune == "full",
                    corpus=corpus,
                )
                before = Foreknowledge(name=f"perplexity, {start}", llm=llm, corpus=corpus, pretrained=known)
                entries.append(dataclasses.replace(entry, measured=[before]))
    entries.append(
        row(
            scale,
            "attention + CTC of the acoustic model",
            partial(scale.acoustic, corpus=corpus),
            "attention+ctc",
            corpus=corpus,
        )
    )
    return Study(
        name="pretraining",
        title="A pre-trained LLM against one with random weights",
        question="Does it matter that the LLM knows its language before it hears any speech?",
        scale=scale.name,
        entries=entries,
        notes=[
            NO_TABLE,
            (
                "The LLMs of a pair differ in the weights that they start from and in nothing else; a frozen LLM "
                "ends a sentence only where its pre-training taught it to. PPL before: perplexity of the test "
                "sentences before any training, their ends left out."
            ),
        ],
    )
