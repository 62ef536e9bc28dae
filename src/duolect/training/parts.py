"""What a run is put together from: texts, utterances, units, and a model with the weights to start from."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from duolect.audio.parquet import file_of
from duolect.data import BatchConfig, SkipLog, Skipped, Utterance, load_manifest, read_text, target_text, with_targets
from duolect.data.shards import Shards, is_shards, list_shards
from duolect.data.targets import utterance_tag
from duolect.data.text import fitting_labels
from duolect.errors import ManifestError, SystemFolderError, TrainingError, UnitsError
from duolect.models import AcousticModel, LanguageModel, Model, SpeechLLM, build_model, load_model
from duolect.models.lora import load_base_state, merged_state
from duolect.storage import atomic_folder
from duolect.systems import component_folder, trained_components
from duolect.text import Units, UnitsConfig, build_units, load_units, normalise, spell_prompts, tidy
from duolect.training.task import AcousticTask, LanguageTask, SpeechLLMTask, Task, UnitsFrom

Kind = TypeVar("Kind", bound=Model)
SEARCHED_FOR_AUDIO = 100


def load_utterances(manifests: Iterable[str], normalised: bool) -> list[Utterance]:
    """The utterances of all manifests, in order. Raises ManifestError where one cannot be read or two utterances have
    the same id, and TrainingError when no audio can be found."""
    read = [(manifest, load_manifest(manifest)) for manifest in manifests]
    _require_own_ids(read)
    utterances = [utterance for _, each in read for utterance in each]
    first = utterances[:SEARCHED_FOR_AUDIO]
    if not any(os.path.exists(file_of(utterance.audio_filepath)) for utterance in first):
        raise TrainingError(
            f"{read[0][0]}: none of the first {len(first)} audio files exists; the first would be "
            f"{first[0].audio_filepath}. Paths in a manifest are relative to it."
        )
    return [_written(utterance, normalised) for utterance in utterances]


def _require_own_ids(read: Sequence[tuple[str, Sequence[Utterance]]]) -> None:
    places: dict[str, tuple[int, int]] = {}
    for number, (manifest, utterances) in enumerate(read if len(read) > 1 else ()):  # within one they differ
        for utterance in utterances:
            before, line = places.setdefault(utterance.id, (number, utterance.line))
            if before != number:
                first = read[before][0]
                raise ManifestError(
                    f"{manifest}:{utterance.line}: the id {utterance.id!r} was already used in {first}:{line}; ids "
                    "must differ among all manifests of a training."
                )


def trainable_utterances(
    manifests: Sequence[str], task: AcousticTask | SpeechLLMTask, skipped: SkipLog
) -> list[Utterance]:
    """`load_utterances`, without those that lack the task's target or a tag of its model, which are noted in `skipped`.

    Raises TrainingError when none is left.
    """
    utterances = load_utterances(manifests, task.normalise)
    kept, lost = with_targets(utterances, task.target, task.model.tags)
    if not kept:
        raise TrainingError(
            f"{manifests[0]}: none of the {len(utterances)} utterances can be used; {lost[0].id}: {lost[0].reason}"
        )
    skipped.extend(lost)
    return kept


def open_shards(sources: Sequence[str], task: AcousticTask | SpeechLLMTask) -> Shards | None:
    """The parquet shards that `sources` stand for, each utterance as the task needs it; None where they are manifests.

    Raises ConfigError for a mixture of both, ManifestError or AudioError where there are none or the first is unfit.
    """
    if not any(map(is_shards, sources)):
        return None

    def adapt(utterance: Utterance) -> Utterance:
        changed = _written(utterance, task.normalise)
        target_text(changed, task.target)
        if task.model.tags:
            utterance_tag(changed, task.target, task.model.tags)
        return changed

    return Shards(list_shards(sources), task.shards, adapt)


def _written(utterance: Utterance, normalised: bool) -> Utterance:
    """The utterance with its texts as they are spelled."""
    text = normalise(utterance.text) if normalised else utterance.text
    translation = None if utterance.translation is None else tidy(utterance.translation)
    return dataclasses.replace(utterance, text=text, translation=translation)


def sentences_of(files: Iterable[str], normalised: bool) -> Iterator[str]:
    """The sentences of text files, one a line, read as they are asked for; empty ones are left out."""
    for line in read_text(files):
        sentence = normalise(line) if normalised else line
        if sentence:
            yield sentence


def fitting_sentences(
    sentences: Iterable[str], units: Units, positions: int | None, file: str, skipped: SkipLog
) -> Iterator[str]:
    """The sentences that `units` can spell and an LLM has `positions` for; the others are noted in `skipped`."""
    for number, sentence in enumerate(sentences, start=1):
        try:
            fitting_labels(sentence, units, positions)
        except UnitsError as error:
            skipped.extend([Skipped(f"sentence {number}", file, str(error))])
        else:
            yield sentence


def make_units(config: UnitsConfig | UnitsFrom, texts: Iterable[str], folder: Path) -> None:
    """Build the units, or copy another model's, into `folder`; units that stand there already are left alone."""
    if folder.exists():
        return
    if isinstance(config, UnitsFrom):
        units = units_of(config)
    else:
        units = build_units(config, texts)
    with atomic_folder(folder) as partial:
        units.save(partial)


def units_of(config: UnitsFrom) -> Units:
    """The units of another model; of a folder that has one model only, its. Raises a DuolectError where there are
    none."""
    try:
        component = component_folder(config.folder, config.component)
    except SystemFolderError:
        trained = trained_components(config.folder)
        if not trained:
            return load_units(Path(config.folder))
        if len(trained) > 1:
            raise TrainingError(
                f"{config.folder}: has no model {config.component!r} whose label units to take, but "
                f"{' and '.join(sorted(trained))}; name the folder of one of them, such as {min(trained.values())}."
            ) from None
        (component,) = trained.values()
    return load_units(_units_folder(component, config.ctc))


def _units_folder(component: Path, ctc: bool) -> Path:
    """The folder of a component's units, or of those of its CTC heads."""
    return component / ("ctc_units" if ctc and (component / "ctc_units").is_dir() else "units")


def make_model(task: Task, units: Units, ctc_units: Units | None) -> Model:
    """The task's model over `units`, with the weights it starts from.

    Raises SystemFolderError, ModelError or TrainingError where a folder to start from does not fit.
    """
    config = filled_config(task, units, ctc_units)
    if not isinstance(task, SpeechLLMTask) and task.initialise_from is not None:
        return _started_from(task.initialise_from, task, config, units, ctc_units or units)
    start = None if isinstance(task, LanguageTask) else task.initialise_encoder
    language = task.initialise_llm if isinstance(task, SpeechLLMTask) else None
    model = build_model(
        config,
        None if start is None else component_folder(start, "acoustic"),
        None if language is None else component_folder(language, "language"),
    )
    if start is not None:
        assert not isinstance(model, LanguageModel)
        heads = _same_units(ctc_units or units, start, "acoustic", ctc=True)
        model.initialise_encoder(_load(start, "acoustic", AcousticModel), heads=heads)
    if language is not None:
        assert isinstance(model, SpeechLLM)
        _require_units(units, language, "language")
        model.initialise_llm(_load(language, "language", LanguageModel))
    return model


def _started_from(folder: str, task: AcousticTask | LanguageTask, config: Any, units: Units, ctc_units: Units) -> Model:
    """The model with all weights of the one in `folder`, but for what belongs to labels where those are to be fresh."""
    fresh = isinstance(task, AcousticTask) and task.fresh_labels
    if not fresh:
        _require_units(units, folder, task.kind)
        _require_units(ctc_units, folder, task.kind, ctc=True)
    model = build_model(config, component_folder(folder, task.kind))
    other = _load(folder, task.kind, type(model))
    state = merged_state(other)
    if isinstance(model, AcousticModel) and isinstance(other, AcousticModel):
        if fresh:
            heads = not _same_units(ctc_units, folder, task.kind, ctc=True)
            state = {name: tensor for name, tensor in state.items() if name not in other.label_tensors(heads)}
            state |= {name: tensor for name, tensor in model.state_dict().items() if name in model.label_tensors(heads)}
        elif other.config.tags != config.tags:
            raise TrainingError(
                f"{folder}: the model to start from has the tags {', '.join(other.config.tags) or 'none'}, this one "
                f"{', '.join(config.tags) or 'none'}; with fresh_labels it may have others."
            )
    load_base_state(model, state, f"{folder}: the model to start from")
    return model


def within_hearing(batches: BatchConfig, model: AcousticModel | SpeechLLM, slowest: float = 1.0) -> BatchConfig:
    """`batches` without utterances that, slowed down by the factor `slowest`, are too long for encoder or LLM."""
    limit = model.longest_seconds * slowest
    if math.isinf(limit) or (batches.longest is not None and batches.longest <= limit):
        return batches
    return dataclasses.replace(batches, longest=limit)


def filled_config(task: Task, units: Units, ctc_units: Units | None) -> Any:
    """The task's model config with what only the units know: numbers of labels, BOS, EOS, and spelled prompts."""
    ids = {"bos_id": units.bos_id, "eos_id": units.eos_id}
    ctc_vocabulary = None if ctc_units is None else ctc_units.size
    if isinstance(task, AcousticTask):
        return dataclasses.replace(
            task.model, vocabulary=units.size, ctc_vocabulary=ctc_vocabulary, target=task.target, **ids
        )
    llm = dataclasses.replace(task.model.llm, vocabulary=units.size)
    if isinstance(task, LanguageTask):
        return dataclasses.replace(task.model, llm=llm, **ids)
    return dataclasses.replace(
        task.model,
        llm=llm,
        **ids,
        prompts=spell_prompts(task.prompts, units, "task: prompts"),
        ctc_vocabulary=ctc_vocabulary,
        target=task.target,
    )


def _load(folder: str, component: str, kind: type[Kind]) -> Kind:
    model = load_model(component_folder(folder, component))
    if not isinstance(model, kind):
        raise TrainingError(f"{folder}: expected a {kind.__name__} to start from, found a {type(model).__name__}.")
    return model


def _same_units(units: Units, folder: str, component: str, ctc: bool = False) -> bool:
    """Whether the model in `folder` (or its CTC heads) speaks `units`; taken to be so where it does not tell."""
    other = _units_folder(component_folder(folder, component), ctc)
    return not other.exists() or load_units(other).fingerprint == units.fingerprint


def _require_units(units: Units, folder: str, component: str, ctc: bool = False) -> None:
    if not _same_units(units, folder, component, ctc):
        raise UnitsError(f"{folder}: the model to start from speaks other units than this run; take its units.")
