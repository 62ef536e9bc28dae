"""What stages take, told before they are made: trainings counted on shapes, recognition from the models it asks.

Counting a large model takes seconds, so that what was counted is kept below the store for the next plan.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from duolect.configs import to_json
from duolect.data import read_manifest
from duolect.errors import DuolectError
from duolect.models.llm import LLMConfig
from duolect.models.sizing import architecture_of, published_vocabulary
from duolect.storage import read_json, write_json
from duolect.studies.stages import Stage, Store
from duolect.studies.stages.code import code_fingerprint
from duolect.studies.stages.corpora import SPLITS, GivenCorpus, SyntheticCorpus, is_manifest
from duolect.studies.stages.distillation import GivenTeacher
from duolect.studies.stages.llms import LLM, GivenLLM
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.sets import GivenSets
from duolect.studies.stages.training import Combined, Training, Tuned, outlines
from duolect.systems.methods import find_method
from duolect.training import Plan, Recipe, plan_training
from duolect.training.cost import StepCost
from duolect.training.plan import NOT_THERE

SEARCHING = 0.1
"""The share of its rate in training that a device reaches in recognition, where batches of steps are small."""
LABELS_PER_SECOND = 3.5
_ONCE = ("encoder", "ctc", "adapter")  # for all hypotheses of an utterance
_SYNTHETIC_SECONDS = 3.1  # of an utterance, on average
_PARTS = (*SPLITS, "lm")
_BYTES_PER_SECOND = 32_000  # 16 bit at 16 kHz
_HYPOTHESIS_BYTES = 200  # for a second of audio, with what a line says besides


def training_figures(stage: Training, store: Store) -> Plan | str:
    """The plan of a training, or a sentence why there is none.

    Trainings share one where they, and those that they start from, differ in their seeds alone.
    """
    for used in stage.inputs.values():
        if isinstance(used, GivenLLM) and store.made(used) is None and absent(used):
            return absent(used)
    with TemporaryDirectory() as root:
        inputs = _places(stage, store, Path(root))
        recipe = stage.recipe(inputs)
        kept = store.root / ".work" / "plans" / f"{_seen(stage, recipe, store, Path(root))}.json"
        if kept.exists():
            return _read(kept)
        try:
            found = plan_training(recipe, None if stage.needs.gpus else torch.device("cpu"))
        except DuolectError as error:
            return _named(str(error), stage, root)
        # That the files of stages not made are not there goes without saying.
        notes = [note for note in found.notes if not (note.startswith(root) and note.endswith(NOT_THERE))]
        found = dataclasses.replace(found, notes=tuple(_named(note, stage, root) for note in notes))
    with suppress(OSError):  # a plan is also for those who may not write there
        write_json(kept, dataclasses.asdict(found))
    return found


def _named(text: str, stage: Training, root: str) -> str:
    """With the names of inputs for where their outlines are."""
    for name, used in stage.inputs.items():
        place = os.path.join(root, f"<{name}>")
        text = text.replace(os.path.join(place, LLM), str(used.source)) if isinstance(used, GivenLLM) else text
        text = text.replace(place, used.whole)
    return text.replace(f"{root}{os.sep}", "")


@cache
def _architecture(source: str) -> Any:
    """Of an LLM of the hub; None where it cannot be had, which a hub out of reach may take long to say, or where the
    source is the "<part>" of a plan."""
    try:
        return None if source.startswith("<") else architecture_of(LLMConfig(vocabulary=1, source=source))
    except DuolectError:
        return None


def _seen(stage: Training, recipe: Recipe, store: Store, root: Path) -> str:
    """16 hex digits of all that a plan looks at: recipes, device, inputs where there are any, the code that counts."""
    recipes = [to_json(recipe), *(read_json(path)["recipe"] for path in sorted(root.rglob("recipe.json")))]
    for each in recipes:
        each["loop"]["seed"] = 1
    there = [
        used.key
        for used in stage.inputs.values()
        if isinstance(used, GivenLLM) or store.made(used) is not None or _given(used)
    ]
    said = json.dumps([recipes, stage.needs.gpus > 0, there, _code()], sort_keys=True).replace(f"{root}{os.sep}", "")
    return hashlib.sha256(said.encode()).hexdigest()[:16]


@cache
def _code() -> str:
    return code_fingerprint(("audio", "data", "text", "models", "nn", "training"))


def _given(stage: Stage) -> list[str]:
    """The parts of a corpus of the user's that are there; none of another stage."""
    return [part for part, path in stage.parts.items() if path.exists()] if isinstance(stage, GivenCorpus) else []


def _places(stage: Training, store: Store, root: Path) -> dict[str, Path]:
    """Where the inputs are, or else outlines of them: recipes of trainings, architectures of LLMs, given manifests."""
    found = outlines(stage, root)
    for name, used in stage.inputs.items():
        if store.made(used) is not None:
            found[name] = store.folder(used)
        elif isinstance(used, GivenLLM):
            place = found[name] / LLM
            place.parent.mkdir(parents=True, exist_ok=True)
            if used.source.is_dir():
                os.symlink(used.source.resolve(), place)
            else:
                _architecture(str(used.source)).save_pretrained(place)
        elif isinstance(used, GivenCorpus):
            found[name].mkdir(parents=True, exist_ok=True)
            for part in _given(used):
                os.symlink(used.parts[part].resolve(), found[name] / used.file(part))
    return found


def _read(path: Path) -> Plan:
    stored: Any = read_json(path)
    cost = None if stored["cost"] is None else StepCost(**stored["cost"])
    stored |= {"parts": {name: tuple(counts) for name, counts in stored["parts"].items()}}
    stored |= {"cost": cost, "notes": tuple(stored["notes"])}
    return Plan(**stored)


def heard_seconds(corpus: Stage, split: str) -> float | None:
    """Seconds of a part of a corpus; None where that is not known."""
    if isinstance(corpus, SyntheticCorpus):
        return getattr(corpus.config, split) * _SYNTHETIC_SECONDS
    if not isinstance(corpus, GivenCorpus):
        return None
    path = corpus.parts[split]
    if is_manifest(path) and path.is_file():
        return sum(utterance.duration for utterance in read_manifest(path))
    return 3600 * corpus.hours[split] if split in corpus.hours else None


def recognition_operations(stage: Recognition | Tuned, plans: Mapping[str, Plan]) -> float | None:
    """Floating-point operations of recognising, roughly: encoders once, all that scores labels for each hypothesis.

    `plans`: key of a training → its plan. To tune is to recognise dev with as many hypotheses as are kept. None where
    the audio, or the cost of a model, is not known.
    """
    seconds = heard_seconds(stage.corpus, stage.split if isinstance(stage, Recognition) else "dev")
    if seconds is None:
        return None
    method = find_method(stage.method)
    trained = dict(_trained(stage.system))
    search = next((each for each in method.variants if each.parts().keys() <= trained.keys()), method.search)
    beam = stage.changes.get("beam", search.beam) if isinstance(stage, Recognition) else stage.nbest
    total = 0.0
    for component in search.parts():
        plan = plans.get(trained[component].key) if component in trained else None
        if plan is None or plan.cost is None:
            return None
        once = sum(count for part, count in plan.cost.forward.items() if part in _ONCE)
        rest = sum(plan.cost.forward.values()) - once
        steps = LABELS_PER_SECOND / plan.labels if not plan.seconds else 1 / plan.seconds
        total += (once + rest * beam) * steps * seconds
    return total


def _trained(system: Stage) -> Iterator[tuple[str, Training]]:
    """Component → the training that gives it."""
    if isinstance(system, Tuned):
        yield from _trained(system.system)
    elif isinstance(system, Combined):
        for name, part in system.parts.items():
            yield from ((name, found) for kind, found in _trained(part) if kind == name)
    elif isinstance(system, Training):
        yield system.settings()["task"]["kind"], system


def disk(stage: Stage, plan: Plan | None = None) -> float:
    """Bytes of its outcome, where they are worth a word: weights and checkpoints, sound, hypotheses."""
    if isinstance(stage, Training) and plan is not None:
        return plan.weights + (stage.settings()["loop"]["keep"] + 1) * plan.checkpoint
    if isinstance(stage, SyntheticCorpus):
        return sum(heard_seconds(stage, split) or 0.0 for split in ("train", "dev", "test")) * _BYTES_PER_SECOND
    if isinstance(stage, Recognition):
        return (heard_seconds(stage.corpus, stage.split) or 0.0) * _HYPOTHESIS_BYTES
    return 0.0


def absent(stage: Stage) -> str:
    """A sentence on what is the user's and a plan goes without, and how to come by it; "" where all is there."""
    return absences([stage]).get(stage.key, "")


def absences(stages: Iterable[Stage]) -> dict[str, str]:
    """Key → `absent`, for those of the stages that lack something; what one import makes is named in one sentence."""
    said: dict[str, str] = {}
    imports: dict[str, dict[str, dict[str, None]]] = {}  # hint → corpus → parts
    keys: dict[str, list[str]] = {}
    for stage in stages:
        if isinstance(stage, GivenCorpus):
            lost = [part for part, path in stage.parts.items() if not path.exists()]
            if lost:
                imports.setdefault(stage.hint, {}).setdefault(stage.whole, {}).update(dict.fromkeys(lost))
                keys.setdefault(stage.hint, []).append(stage.key)
        elif sentence := _absent(stage):
            said[stage.key] = sentence
    for hint, corpora in imports.items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for corpus, lost in corpora.items():
            alike.setdefault(tuple(sorted(lost, key=_PARTS.index)), []).append(corpus)
        named = "; ".join(f"{', '.join(names)}: {', '.join(parts)}" for parts, names in alike.items())
        said |= dict.fromkeys(keys[hint], f"{named} data are not there. {hint}".rstrip())
    return said


def _absent(stage: Stage) -> str:
    if isinstance(stage, GivenLLM):
        return _absent_llm(stage)
    if isinstance(stage, GivenSets) and not stage.manifests():
        return f"{stage.name}: no manifests are there. {stage.hint}".rstrip()
    if isinstance(stage, GivenTeacher) and not stage.source.is_dir() and stage.is_local:
        return f"{stage.name}: there is no folder {stage.source}; give --data translator=PATH, a folder or a hub name."
    return ""


def _absent_llm(llm: GivenLLM) -> str:
    source = str(llm.source)
    if llm.source.is_dir() or published_vocabulary(source) is not None or _architecture(source) is not None:
        return ""
    uncounted = "so that trainings which start from it are not counted"
    if source.startswith("<"):
        return f"{llm.name}: none is given, {uncounted}. Give --data {source.strip('<>')}=PATH, a folder or a hub name."
    return f"{source}: is neither a folder nor an LLM of the Hugging Face hub that can be reached, {uncounted}."
