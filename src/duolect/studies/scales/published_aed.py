"""The architectures of arXiv 2501.02370 as published: the recipes paper-fbk-… on MuST-C."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolect.recipes.fbk import (
    cross_conformer,
    cross_transformer,
    decoder_only,
    prepend_conformer,
    prepend_transformer,
)
from duolect.studies.scales.base import AEDModel, Architecture
from duolect.studies.scales.building import corpus_file, heard_of, training
from duolect.studies.scales.changes import with_loop, with_task
from duolect.studies.stages import Needs, Stage
from duolect.studies.stages.training import Training
from duolect.training import AcousticTask, Recipe

MICRO_BATCHES = 8
"""Those of a step, which several GPUs share."""
LANGUAGES = ("de", "es", "fr", "it", "nl", "pt", "ro", "ru")

_RECIPES: Mapping[Architecture, tuple[Callable[..., Recipe], Mapping[str, Any]]] = {
    "cross-transformer": (cross_transformer, {}),
    "prepend-transformer": (prepend_transformer, {}),
    "decoder-only": (decoder_only, {}),
    "cross-conformer": (cross_conformer, {}),
    "prepend-conformer": (prepend_conformer, {}),
    "decoder-only-large": (decoder_only, {"layers": 32}),
}
_WITH_CTC: tuple[Architecture, ...] = ("cross-conformer", "prepend-conformer")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """What was published for a corpus. `pieces`: labels to transcribe; `translating`, `several`: to write one other
    language, or several; `seconds`: of a micro-batch; `steps`: at most, from the start of each training."""

    pieces: int
    translating: int
    several: int
    seconds: float
    steps: int


MUSTC = CorpusSettings(pieces=5000, translating=8000, several=32_000, seconds=400.0, steps=100_000)
COVOST = CorpusSettings(pieces=32_000, translating=5000, several=32_000, seconds=320.0, steps=60_000)


@dataclass(frozen=True, kw_only=True)
class PublishedAED:
    """How they are trained: on `transcribed` to transcribe, `gpus` sharing each step."""

    transcribed: Stage
    gpus: int
    settings: CorpusSettings = MUSTC

    def train(self, seed: int, model: AEDModel, corpus: Stage) -> Training:
        """See `Scale.aed`."""
        recipe, arguments = _RECIPES[model.architecture]
        arguments = {**arguments, "accumulate": MICRO_BATCHES // self.gpus, "seed": seed}
        arguments["pieces"] = self.settings.pieces
        if model.causal_prefix is not None:
            arguments["causal_prefix"] = model.causal_prefix
        if model.compress:
            arguments["compress"] = True
        inputs = {"corpus": heard_of(corpus)}
        if model.translate:
            arguments |= {"target": "translation", "tags": model.languages}
            arguments["pieces"] = self.settings.several if model.languages else self.settings.translating
            if model.architecture in _WITH_CTC:
                arguments["transcript_pieces"] = self.settings.pieces
            if not model.from_scratch:
                inputs["start"] = self.train(seed, model.transcribing, self.transcribed)

        def build(folders: Mapping[str, Path]) -> Recipe:
            train, dev = (corpus_file(corpus, folders["corpus"], part) for part in ("train", "dev"))
            made = recipe(train=(train,), dev=dev, start=folders.get("start"), **arguments)
            steps = self.settings.steps * (2 if model.from_scratch else 1)
            assert isinstance(made.task, AcousticTask)
            batches = dataclasses.replace(made.task.batches, max_seconds=self.settings.seconds)
            return with_loop(with_task(made, batches=batches), steps=steps)

        usual = corpus is self.transcribed and self.settings is MUSTC
        said = {**model.said, "data": None if usual else corpus.name}
        return training(model.architecture, seed, said, build, inputs, Needs(gpus=self.gpus, processes=self.gpus))
