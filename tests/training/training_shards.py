"""A tiny recipe over parquet shards, and a script that trains it: training_shards.py CORPUS FOLDER '{keywords}'."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from training_corpus import acoustic_recipe

from duolect.data import BatchConfig
from duolect.data.shards import ShardsConfig
from duolect.training import AcousticTask, Recipe, train_recipe


def shard_recipe(corpus: Path, **settings) -> Recipe:
    """The acoustic recipe with batch norm, dropout, SpecAugment and noise, over shards with a small buffer."""
    recipe = acoustic_recipe(corpus, **settings)
    assert isinstance(recipe.task, AcousticTask)
    task = dataclasses.replace(
        recipe.task,
        train=(str(corpus / "train"),),
        dev=str(corpus / "dev" / "*.parquet"),
        batches=BatchConfig(max_seconds=2.5, buckets=2),
        shards=ShardsConfig(buffer=8, open_shards=2),
    )
    return dataclasses.replace(recipe, task=task)


if __name__ == "__main__":
    train_recipe(shard_recipe(Path(sys.argv[1]), **json.loads(sys.argv[3])), sys.argv[2], device="cpu")
