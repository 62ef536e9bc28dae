"""The recipes of arXiv 2501.02370: the published numbers of parameters, part by part, and the published settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from duolect.models import AcousticModel
from duolect.nn import FBK_CONFORMER, GatedFrontEnd, GatedFrontEndConfig, TransformerEncoder, TransformerEncoderConfig
from duolect.nn.conformer import ConformerLayer
from duolect.nn.transformer import CLASSIC, TransformerLayer
from duolect.recipes import RECIPES, find_recipe
from duolect.training import AcousticTask, Recipe
from duolect.training.parts import make_model

DATA: dict[str, Any] = {"train": (Path("train.jsonl"),), "dev": Path("dev.jsonl")}
NAMES = [name for name in RECIPES if name.startswith("paper-fbk")]


class Units:
    """Stands for any units of a given size."""

    kind, special_ids, fingerprint = "stand-in", frozenset({0}), "none"

    def __init__(self, size: int) -> None:
        self.size, self.eos_id, self.bos_id = size, 0, 1


def task(recipe: Recipe) -> AcousticTask:
    assert isinstance(recipe.task, AcousticTask)
    return recipe.task


def built(recipe: Recipe, labels: int, transcript: int | None = None) -> nn.Module:
    """The recipe's model on the meta device; CTC speaks `transcript` labels where these differ."""
    with torch.device("meta"):
        other = None if transcript is None else cast(Any, Units(transcript))
        return make_model(task(recipe), cast(Any, Units(labels)), other)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "given", "exact", "millions"),
    [
        ("cross-transformer", {}, 71_207_936, (74.28, 98.86)),
        ("prepend-transformer", {}, 64_898_048, (67.97, 92.55)),
        ("decoder-only", {}, 64_898_048, (67.97, 92.55)),
        ("decoder-only", {"layers": 32}, 109_031_424, (112.10, 136.68)),
        ("cross-conformer", {}, 111_822_217, (114.89, 139.47)),
        ("prepend-conformer", {}, 105_512_329, (108.58, 133.16)),
        ("prepend-conformer", {"compress": True}, 105_512_329, (108.58, 133.16)),
    ],
)
def test_each_architecture_has_the_published_number_of_parameters(
    name: str, given: dict[str, Any], exact: int, millions: tuple[float, float]
) -> None:
    recipe = find_recipe(f"paper-fbk-{name}")(**DATA, **given)
    assert count(built(recipe, 5000)) == exact
    translation = find_recipe(f"paper-fbk-{name}")(**DATA, **given, target="translation")
    transcript = 5000 if "conformer" in name else None
    for labels, expected in zip((8000, 32_000), millions, strict=True):
        assert count(built(translation, labels, transcript)) / 1e6 == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("name", "labels", "transcript", "millions"),
    [
        ("cross-conformer", 5000, 32_000, 125.67),
        ("prepend-conformer", 5000, 32_000, 119.36),
        ("cross-conformer", 32_000, None, 153.32),
        ("prepend-conformer", 32_000, None, 147.01),
    ],
)
def test_ctc_heads_count_the_transcripts_labels_and_the_blank(
    name: str, labels: int, transcript: int | None, millions: float
) -> None:
    target = "text" if transcript is None else "translation"
    recipe = find_recipe(f"paper-fbk-{name}")(**DATA, target=target)
    assert count(built(recipe, labels, transcript)) / 1e6 == pytest.approx(millions, abs=0.005)


def test_the_parts_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert count(TransformerLayer(512, 8, 2048, 0.1, style=CLASSIC)) == 3_152_384
        assert count(TransformerLayer(512, 8, 2048, 0.1, style=CLASSIC, encoder_width=512)) == 4_204_032
        assert count(ConformerLayer(FBK_CONFORMER)) == 6_323_200
        assert count(GatedFrontEnd(80, 512, GatedFrontEndConfig())) == 3_033_088
        assert count(TransformerEncoder(TransformerEncoderConfig(layers=0), 80)) == 3_033_088 + 2 * 512


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_the_published_ones(name: str) -> None:
    recipe = find_recipe(name)(**DATA)
    model, loop, batches = task(recipe).model, recipe.loop, task(recipe).batches
    assert (model.features.kind, model.features.mels, model.features.normalisation) == ("kaldi", 80, "per_feature")
    assert round(batches.max_seconds / model.features.seconds_per_frame) == 40_000
    assert round(batches.max_seconds * loop.accumulate / model.features.seconds_per_frame) == 320_000
    assert (loop.steps, loop.clip_norm, loop.average_last) == (100_000, 10.0, 5)
    rates = [recipe.optimiser.lr * recipe.schedule.factor(taken - 1, loop.steps) for taken in (12_500, 25_000, 100_000)]
    assert rates == pytest.approx([1e-3, 2e-3, 1e-3])
    assert (recipe.optimiser.betas, recipe.optimiser.weight_decay) == ((0.9, 0.98), 0.0)
    masks = model.spec_augment
    assert masks is not None
    assert masks.kind == "policy"
    assert (masks.frequency_masks, masks.frequency_width, masks.time_masks, masks.time_width) == (1, 27, 1, 100)
    decoder = model.decoder
    assert decoder is not None
    assert decoder.kind == "transformer"
    assert (decoder.dropout, decoder.label_smoothing, model.encoder.dropout) == (0.1, 0.1, 0.1)
    assert decoder.causal_prefix == ("decoder-only" not in name)
    assert decoder.coupling == ("cross" if "cross" in name else "prepend")
    assert (model.ctc_layers, model.ctc_weight) == ((8,) if "conformer" in name else (), 0.5)
    assert model.compression is None
    made = built(recipe, 5000)
    assert isinstance(made, AcousticModel)
    assert made.speech.feature_norm is None  # utterance-level normalisation alone
    assert made.seconds_per_frame == pytest.approx(0.04)


def test_translation_has_ctc_over_transcripts_and_starts_from_the_model_that_transcribes() -> None:
    given = {"target": "translation", "pieces": 8000, "start": Path("runs/asr")}
    cross = task(find_recipe("paper-fbk-cross-conformer")(**DATA, **given, compress=True))
    assert cross.ctc_units is not None
    assert (cross.units.size, cross.ctc_units.size, cross.initialise_encoder) == (8000, 5000, "runs/asr")
    assert cross.model.compression is not None
    assert (cross.model.compression.layer, cross.model.compression.policy) == (8, "mean")
    assert task(find_recipe("paper-fbk-cross-conformer")(**DATA)).ctc_units is None
    only = task(find_recipe("paper-fbk-decoder-only")(**DATA, **given))
    assert (only.initialise_encoder, only.initialise_from, only.fresh_labels) == (None, "runs/asr", True)
    many = task(find_recipe("paper-fbk-prepend-transformer")(**DATA, target="translation", tags=("de", "fr")))
    made = built(dataclasses.replace(find_recipe(NAMES[0])(**DATA), task=many), 100)
    assert isinstance(made, AcousticModel)
    assert made.decoder is not None
    assert made.decoder.starts.tags is not None
    assert made.decoder.starts.tags.num_embeddings == 2
