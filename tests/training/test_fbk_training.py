"""The recipes of arXiv 2501.02370 at a tiny size: from a recipe to a system that recognises."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from fbk_configs import CONFORMER, NOTHING, TRANSFORMER, decoder
from training_corpus import make_corpus

from duolect.configs import from_json, to_json
from duolect.data import BatchConfig
from duolect.models import AcousticModel
from duolect.recipes import find_recipe
from duolect.systems import System
from duolect.text import UnitsConfig
from duolect.training import AcousticTask, InverseSquareRoot, Recipe, train_recipe

WITH_CTC = ("attention+ctc", "ctc+attention-rescoring", "ctc-beam", "ctc-greedy")
ENCODERS = {"transformer": TRANSFORMER, "conformer": CONFORMER, "only": NOTHING}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones") / "corpus")


def tiny(name: str, corpus: Path, **given: Any) -> Recipe:
    """The recipe with small parts, but its own coupling, CTC, compression, features, masks and optimisation."""
    recipe = find_recipe(f"paper-fbk-{name}")(train=(corpus / "train.jsonl",), dev=corpus / "dev.jsonl", **given)
    task = recipe.task
    assert isinstance(task, AcousticTask)
    large: Any = task.model.decoder
    small = decoder(layers=2, coupling=large.coupling, causal_prefix=large.causal_prefix)
    compression = task.model.compression and dataclasses.replace(task.model.compression, layer=2)
    model = dataclasses.replace(
        task.model,
        features=dataclasses.replace(task.model.features, mels=20),
        encoder=ENCODERS[name.split("-")[-1]],
        ctc_layers=(2,) if task.model.ctc_layers else (),
        decoder=small,
        compression=compression,
    )
    units, batches = UnitsConfig(kind="characters"), BatchConfig(max_seconds=4, buckets=2)
    loop = dataclasses.replace(
        recipe.loop, steps=2, accumulate=1, evaluate_every=2, checkpoint_every=1, precision="fp32", workers=0
    )
    return dataclasses.replace(
        recipe,
        task=dataclasses.replace(task, model=model, units=units, batches=batches),
        schedule=InverseSquareRoot(warmup=1),
        loop=loop,
    )


@pytest.mark.parametrize(
    ("name", "given", "methods"),
    [
        ("cross-transformer", {}, {"attention"}),
        ("prepend-transformer", {"causal_prefix": False}, {"attention"}),
        ("decoder-only", {}, {"attention"}),
        ("cross-conformer", {}, {"attention", *WITH_CTC}),
        ("prepend-conformer", {"compress": True}, {"attention", *WITH_CTC}),
    ],
)
def test_a_recipe_trains_and_its_system_recognises(
    name: str, given: dict[str, Any], methods: set[str], corpus: Path, tmp_path: Path
) -> None:
    recipe = tiny(name, corpus, **given)
    assert from_json(Recipe, to_json(recipe)) == recipe
    train_recipe(recipe, tmp_path / "run", device="cpu")
    system = System.load(tmp_path / "run" / "system")
    model = system.parts["acoustic"].model
    assert isinstance(model, AcousticModel)
    assert model.config.decoder == recipe.task.model.decoder
    assert set(system.methods()) == methods
    audio = [corpus / f"{number}.wav" for number in range(2)]
    for method in sorted(methods & {"attention", "attention+ctc"}):
        chosen = system.with_method(method)
        together = chosen.transcribe(audio)
        alone = [chosen.transcribe(file)[0] for file in audio]
        assert [t.error for t in together] == [None] * 2
        assert [t.text for t in together] == [t.text for t in alone]


def test_a_decoder_only_model_that_translates_starts_from_one_that_transcribes(corpus: Path, tmp_path: Path) -> None:
    train_recipe(tiny("decoder-only", corpus), tmp_path / "asr", device="cpu")
    recipe = tiny("decoder-only", corpus, start=tmp_path / "asr", pieces=30)
    units = UnitsConfig(kind="sentencepiece", size=20)
    recipe = dataclasses.replace(
        recipe,
        task=dataclasses.replace(recipe.task, units=units),
        loop=dataclasses.replace(recipe.loop, steps=1, average_last=0, checkpoint_every=1),
        optimiser=dataclasses.replace(recipe.optimiser, lr=1e-12),
    )
    train_recipe(recipe, tmp_path / "st", device="cpu")
    source, target = (System.load(tmp_path / run / "system").parts["acoustic"].model for run in ("asr", "st"))
    old, new = source.state_dict(), target.state_dict()
    fresh = {name for name in new if old[name].shape != new[name].shape or not old[name].allclose(new[name])}
    assert fresh == {"decoder.embedding.weight", "decoder.output.weight"}
