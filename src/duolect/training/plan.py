"""What a recipe asks for before anything is trained: parameters, memory and operations of a step, data, disk.

Nothing is trained, downloaded in bulk or written; the model has shapes but no weights.
"""

from __future__ import annotations

import dataclasses
import glob
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from duolect.audio.files import SAMPLE_RATE
from duolect.data import SpeechBatch, read_manifest
from duolect.data.shards import is_shards
from duolect.errors import DuolectError, TrainingError
from duolect.models import count_parameters
from duolect.models.sizing import build_unweighted, published_vocabulary
from duolect.nn.adapters import needs_ctc
from duolect.systems import trained_components
from duolect.text import UnitsConfig, build_units
from duolect.training.config import Precision
from duolect.training.cost import StepCost, step_cost
from duolect.training.distributed import mixed_precision
from duolect.training.freezing import Stages
from duolect.training.optimiser import parameter_groups
from duolect.training.parts import filled_config, open_shards, units_of
from duolect.training.stored import planned_units
from duolect.training.task import LanguageTask, Recipe, UnitsFrom

NOT_THERE = "is not there yet"
"""The end of a note on data."""

_LOOKED_AT = 2000  # utterances of a manifest that the averages are taken over
_SECONDS, _WORDS_PER_SECOND, _LABELS_PER_WORD = 12.0, 2.7, 1.3  # where there is no data to look at
_SENTENCE = 25  # labels of a sentence of text
_LABELS = {"sentencepiece": 10_240, "characters": 32, "phonemes": 64}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The figures of a recipe. Bytes and floating-point operations are of one optimiser step on one device.

    `parts`: {part: (parameters, of them trained)}; `cost` None where it cannot be told without data (`notes` say why).
    """

    parts: Mapping[str, tuple[int, int]]
    vocabulary: int
    steps: int
    utterances: int
    labels: int
    seconds: float  # of audio in a step, 0 for text
    weights: float
    gradients: float
    optimiser: float
    cost: StepCost | None
    checkpoint: float
    notes: tuple[str, ...]

    @property
    def memory(self) -> float:
        """Bytes of weights, gradients, optimiser and activations."""
        kept = 0.0 if self.cost is None else self.cost.activations
        return self.weights + self.gradients + self.optimiser + kept

    @property
    def hours(self) -> float:
        """Hours of audio that the whole run hears, repetitions counted."""
        return self.steps * self.seconds / 3600


def plan_training(recipe: Recipe, device: torch.device | None = None) -> Plan:
    """The plan of a recipe whose data and starting points need not exist yet, on `device` (None: a GPU with bfloat16).

    What cannot be read is assumed, and the assumption is noted. Raises ModelError or ConfigError where no model can be
    built of the recipe.
    """
    notes: list[str] = []
    task = recipe.task
    config = _config(task, notes)
    model = build_unweighted(config)
    later = Stages(model, recipe.optimiser, recipe.loop.steps).switches
    if later:
        notes.append(f"the figures are of steps from {max(later)} on, when all is trained that ever is")
    parts, groups = count_parameters(model), parameter_groups(model, recipe.optimiser)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    moments = sum(p.numel() * p.element_size() * (1 if g["muon"] else 2) for g in groups for p in g["params"])
    batch = _batch(task, model, notes)
    adapter = getattr(config, "adapter", None)
    cost = None
    try:
        cost = step_cost(model, batch, _parts(model))
        if getattr(config, "compression", None) is not None or (adapter is not None and needs_ctc(adapter)):
            notes.append("frames that CTC merges are counted one by one: how many become one is learnt")
        if _in_bfloat16(recipe.loop.precision, device):
            cost = dataclasses.replace(cost, activations=cost.activations / 2)
            notes.append("activations are counted as half of those in float32, for bfloat16")
    except TrainingError as error:
        notes.append(str(error).rstrip("."))
    accumulate = recipe.loop.accumulate
    seconds = float(batch.sample_lengths_B.sum()) / SAMPLE_RATE if isinstance(batch, SpeechBatch) else 0.0
    notes += [f"{file} {NOT_THERE}" for file in (*task.train, task.dev) if not _is_there(file)]
    return Plan(
        parts=parts,
        vocabulary=model.vocabulary,
        steps=recipe.loop.steps,
        utterances=len(batch.label_lengths_B) * accumulate,
        labels=int(batch.label_lengths_B.sum()) * accumulate,
        seconds=seconds * accumulate,
        weights=float(weights),
        gradients=float(trained),
        optimiser=float(moments),
        cost=None if cost is None else _times(cost, accumulate),
        checkpoint=float(trained + moments),
        notes=tuple(dict.fromkeys(notes)),
    )


def _in_bfloat16(precision: Precision, device: torch.device | None) -> bool:
    if device is None or precision == "bf16":
        return precision != "fp32"
    return mixed_precision(precision, device) == "bf16"


def _times(cost: StepCost, accumulate: int) -> StepCost:
    """Micro-batches follow one another: operations add up, what is kept does not."""
    forward = {part: count * accumulate for part, count in cost.forward.items()}
    return dataclasses.replace(cost, forward=forward, backward=cost.backward * accumulate)


@dataclass(frozen=True)
class _Assumed:
    """Stands in for label units that cannot be made yet: so many labels, a prompt's some four characters each."""

    size: int
    kind: str = "assumed"
    bos_id: int = 0
    eos_id: int = 0

    def encode(self, text: str) -> list[int]:
        """Labels of no meaning."""
        return [0] * math.ceil(len(text) / 4)


def _config(task: Any, notes: list[str]) -> Any:
    """The task's model config over as many labels as its units have, or can be assumed to have."""
    ctc_units = getattr(task, "ctc_units", None)
    units = _units(task.units, notes)
    return filled_config(task, units, None if ctc_units is None else _units(ctc_units, notes))


def _units(config: UnitsConfig | UnitsFrom, notes: list[str]) -> Any:
    """The units themselves where they can be had without training them."""
    if isinstance(config, UnitsFrom):
        try:
            return units_of(config)
        except (DuolectError, OSError):
            planned = planned_units(config)
            if planned is not None:
                return _units(planned, notes)
            if trained_components(config.folder):
                raise
            notes.append(f"{config.folder} {NOT_THERE}; {_LABELS['sentencepiece']} labels are assumed")
            return _Assumed(_LABELS["sentencepiece"])
    if config.kind == "sentencepiece":
        return _Assumed(config.size)
    if config.kind == "huggingface":
        size = published_vocabulary(config.source)
        return build_units(config, ()) if size is None else _Assumed(size)
    notes.append(f"{_LABELS[config.kind]} {config.kind} are assumed; how many there are stands in the texts")
    return _Assumed(_LABELS[config.kind])


def _batch(task: Any, model: Any, notes: list[str]) -> Any:
    """A full batch of average utterances or sentences, right in every shape and empty of meaning."""
    if isinstance(task, LanguageTask):
        count = max(1, task.max_tokens // (_SENTENCE + 1))
        return _labelled(count, 0, _SENTENCE)
    seconds, words = _averages(task, notes)
    seconds = min(seconds, task.batches.longest or math.inf, model.longest_seconds)
    count = max(1, min(int(task.batches.max_seconds / seconds), task.batches.max_utterances or 10**9))
    batch = _labelled(count, round(seconds * SAMPLE_RATE), max(1, round(seconds * words * _LABELS_PER_WORD)))
    return dataclasses.replace(batch, tags_B=torch.zeros_like(batch.seeds_B)) if task.model.tags else batch


def _is_there(source: str) -> bool:
    return Path(source).exists() or (is_shards(source) and bool(glob.glob(source, recursive=True)))


def _averages(task: Any, notes: list[str]) -> tuple[float, float]:
    """(seconds of an utterance, words per second), over the first utterances of what is there."""
    sources = [source for source in task.train if _is_there(source)]
    shards = open_shards(sources, task)
    if shards is None:
        found = [u for m in sources for u in islice(read_manifest(m), _LOOKED_AT)]
    else:
        sample = shards.sample(_LOOKED_AT)
        found, number = sample.utterances, len(shards.paths)
        if found:
            hours = sum(u.duration for u in found) / len(found) * sample.rows / sample.shards * number / 3600
            notes.append(
                f"{number:,} parquet shards hold about {hours:,.0f} h: {sample.shards} of them were opened, and "
                f"{len(found):,} of their {sample.rows:,} rows looked at"
            )
    if not found:
        notes.append(
            f"without training data to look at, utterances of {_SECONDS:g} s with {_WORDS_PER_SECOND} words a second "
            "are assumed"
        )
        return _SECONDS, _WORDS_PER_SECOND
    seconds = sum(u.duration for u in found)
    return seconds / len(found), sum(len(u.text.split()) for u in found) / seconds


def _labelled(count: int, samples: int, labels: int) -> SpeechBatch:
    lengths_B = torch.full((count,), labels)
    labels_BN = torch.ones(count, labels, dtype=torch.long)
    return SpeechBatch(
        ids=tuple(map(str, range(count))),
        utterances=(),
        samples_BN=torch.empty(count, samples, device="meta"),
        sample_lengths_B=torch.full((count,), samples),
        labels_BN=labels_BN,
        label_lengths_B=lengths_B,
        ctc_labels_BN=labels_BN,
        ctc_label_lengths_B=lengths_B,
        seeds_B=torch.arange(count),
    )


def _parts(model: Any) -> dict[str, nn.Module]:
    found: dict[str, nn.Module | None] = {}
    if hasattr(model, "speech"):
        found |= {"encoder": model.speech.encoder, "ctc": model.speech.ctc_heads}
    found |= {name: getattr(model, name, None) for name in ("adapter", "interface", "decoder", "llm")}
    return {name: part for name, part in found.items() if part is not None}
