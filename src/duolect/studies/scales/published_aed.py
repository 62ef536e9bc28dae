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
from duolect.studies.scales.base import Architecture
from duolect.studies.scales.building import corpus_file, training
from duolect.studies.stages import Needs, Stage
from duolect.studies.stages.training import Training
from duolect.training import Recipe

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
_PIECES, _PIECES_ST, _PIECES_MULTILINGUAL = 5000, 8000, 32_000


@dataclass(frozen=True, kw_only=True)
class PublishedAED:
    """How they are trained: on `transcribed` to transcribe, `gpus` sharing each step."""

    transcribed: Stage
    gpus: int

    def train(
        self,
        seed: int,
        architecture: Architecture,
        corpus: Stage,
        *,
        causal_prefix: bool | None = None,
        compress: bool = False,
        translate: bool = False,
        from_scratch: bool = False,
        languages: tuple[str, ...] = (),
    ) -> Training:
        """See `Scale.aed`."""
        recipe, arguments = _RECIPES[architecture]
        arguments = {**arguments, "accumulate": MICRO_BATCHES // self.gpus, "seed": seed, "pieces": _PIECES}
        if causal_prefix is not None:
            arguments["causal_prefix"] = causal_prefix
        if compress:
            arguments["compress"] = True
        inputs = {"corpus": corpus}
        if translate:
            arguments |= {"target": "translation", "tags": languages}
            arguments["pieces"] = _PIECES_MULTILINGUAL if languages else _PIECES_ST
            if not from_scratch:
                inputs["start"] = self.train(
                    seed, architecture, self.transcribed, causal_prefix=causal_prefix, compress=compress
                )

        def build(folders: Mapping[str, Path]) -> Recipe:
            train, dev = (corpus_file(corpus, folders["corpus"], part) for part in ("train", "dev"))
            made = recipe(train=(train,), dev=dev, start=folders.get("start"), **arguments)
            if translate and from_scratch:
                made = dataclasses.replace(made, loop=dataclasses.replace(made.loop, steps=2 * made.loop.steps))
            return made

        said: dict[str, Any] = {"causal prefix": causal_prefix, "compressed": compress or None}
        said |= {"translates": translate or None, "from scratch": from_scratch or None}
        said |= {"data": None if corpus is self.transcribed else corpus.name}
        return training(architecture, seed, said, build, inputs, Needs(gpus=self.gpus, processes=self.gpus))
