"""From a trained run to the system a user keeps: weights, units and label prior, as one system folder."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from duolect.data import BatchConfig, SpeechBatches, SpeechLoader, Utterance
from duolect.data.batching import duration_misfit
from duolect.data.shards import RowBatches
from duolect.models import AcousticModel, Model, SpeechLLM, save_model
from duolect.storage import atomic_folder, save_tensors
from duolect.systems import ctc_prior, write_single
from duolect.systems.folder import write_trained_seconds
from duolect.text import Units


def export_system(
    run: Path, model: Model, log_prior_V: Tensor | None = None, trained_seconds: float | None = None
) -> Path:
    """Write `run`/system/, whole or not at all, from the model and the units in the run folder; returns that folder.

    Its one component is the folder acoustic, language or speech_llm, with config.json, model.safetensors, units/,
    ctc_units/ where the CTC heads have their own, prior.safetensors with `log_prior` where there is a prior, and
    training.json with the `trained_seconds` of its component, where that is known.
    """
    kind = model.config.kind
    with atomic_folder(run / "system") as partial:
        save_model(model, partial / kind)
        for name in ("units", "ctc_units"):
            if (run / name).is_dir():
                shutil.copytree(run / name, partial / kind / name)
        if log_prior_V is not None:
            save_tensors(partial / kind / "prior.safetensors", {"log_prior": log_prior_V})
        if trained_seconds is not None:
            write_trained_seconds(partial / kind, trained_seconds)
        write_single(partial, kind)
    return run / "system"


def training_prior(
    model: AcousticModel | SpeechLLM,
    utterances: Sequence[Utterance],
    units: Units,
    *,
    number: int,
    batches: BatchConfig,
    seed: int,
    workers: int = 0,
    shards: bool = False,
) -> Tensor:
    """The `ctc_prior` of the last head over `number` training utterances drawn by `seed`; those that cannot be read are
    passed over. The model must be in evaluation mode.

    As in recognition, nothing is padded where the encoder hears it. `shards`: the utterances are rows of parquet files,
    which are then heard in the order of these, so that each row group is read once.
    """
    if not model.speech.encoder.padding_safe:
        batches = dataclasses.replace(batches, max_utterances=1)
    utterances = [each for each in utterances if duration_misfit(each.duration, batches) is None]
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(utterances))[:number]
    config = dataclasses.replace(batches, shuffle=False, curriculum=None)
    chosen = [utterances[i] for i in sorted(drawn.tolist())]
    sample = RowBatches(chosen, config, seed) if shards else SpeechBatches(chosen, config, seed, epochs=1)
    loader = SpeechLoader(sample, None, workers=workers)
    return ctc_prior(model, units, ((batch.samples_BN, batch.sample_lengths_B) for batch in loader))
