"""A System: trained models, their units and a search; from audio to text."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch

from duolect.configs import to_json
from duolect.data import Target, Utterance
from duolect.data.targets import LANGUAGE_KEYS
from duolect.errors import ConfigError, DuolectError, SystemFolderError
from duolect.evaluation import HypothesisRow, Skipped
from duolect.evaluation.rows import kept_fields
from duolect.models.precision import WeightPrecision
from duolect.systems.arrays import Audio, recordings
from duolect.systems.batches import LONGEST_SECONDS, utterance_source
from duolect.systems.components import KINDS, Component, check_kind, check_search, written
from duolect.systems.config import SearchConfig
from duolect.systems.folder import Contents, read_folder, require_nothing_lost, system_folder, write_folder
from duolect.systems.languages import reference, with_languages
from duolect.systems.measurement import Measure, count_flops, measure_latency
from duolect.systems.methods import METHODS, find_method
from duolect.systems.provenance import TuningRecord, utterance_set_hash
from duolect.systems.recognition import Progress, Recognition, run_batches
from duolect.systems.recordings import TranscribeConfig, Transcriber, Transcript
from duolect.systems.rows import Candidate
from duolect.text import Prompt, find_prompt
from duolect.text.chunks import parent_of

BATCH_SECONDS = 60.0
_WRITTEN = ("scales", "length_exponent", "nbest", "time")  # into rows, if asked for


@dataclass(frozen=True, eq=False)
class System:
    """Immutable: the `with_…` methods give another system that shares its models.

    `search` is None for a system that cannot recognise (a language model alone). `method` names the search where it is
    one of `METHODS`; `tuned` holds, per method, the scales chosen on a development set.
    """

    acoustic: Component | None = None
    language: Component | None = None
    speech_llm: Component | None = None
    search: SearchConfig | None = None
    method: str | None = None
    tuned: Mapping[str, TuningRecord] = field(default_factory=dict)
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise SystemFolderError("A system needs at least one component: acoustic, language or speech_llm.")
        for name, component in self.parts.items():
            check_kind(name, component)
        if self.search is not None:
            check_search(self.parts, self.search)

    @classmethod
    def of(cls, parts: Mapping[str, Component]) -> System:
        """A system of components by name, without a search."""
        return cls(acoustic=parts.get("acoustic"), language=parts.get("language"), speech_llm=parts.get("speech_llm"))

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        precision: WeightPrecision = "stored",
    ) -> System:
        """Read a system folder, or that of a finished run folder; in precision "bf16" with weights in bfloat16, which
        cannot be saved again.

        Raises SystemFolderError, ModelError or ConfigError naming the file at fault.
        """
        if precision not in get_args(WeightPrecision):
            raise ConfigError(f"precision must be {' or '.join(get_args(WeightPrecision))}, not {precision!r}.")
        folder = system_folder(folder)
        contents = read_folder(folder, device if precision == "stored" else "cpu")
        parts = contents.parts
        if precision == "bf16":  # before it is moved, so that the device never holds more
            parts = {name: part.in_bfloat16().to(device) for name, part in parts.items()}
        return dataclasses.replace(
            cls.of(parts),
            search=contents.search,
            method=contents.method,
            tuned=contents.tuned,
            folder=folder,
        )

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write a system folder, whole or not at all; unchanged weights of a loaded system are linked, not written.

        overwrite: also where the folder has models or tuned scales that this system has not; else SystemFolderError.
        """
        write_folder(folder, self.contents, overwrite=overwrite)

    def require_nothing_lost(self, folder: str | os.PathLike[str], method: str) -> None:
        """Raise SystemFolderError where this system, with other scales for `method`, cannot be saved to `folder`, or
        that would lose a model there, or scales that were tuned for another method."""
        require_nothing_lost(folder, self.contents, method)

    @property
    def contents(self) -> Contents:
        """What a system folder keeps of it."""
        return Contents(self.parts, self.search, self.method, dict(self.tuned))

    @property
    def parts(self) -> dict[str, Component]:
        """The components it has, by name."""
        return {name: part for name in KINDS if (part := getattr(self, name)) is not None}

    @property
    def device(self) -> torch.device:
        """Where its models are."""
        return next(next(iter(self.parts.values())).model.parameters()).device

    def to(self, device: str | torch.device) -> System:
        """The system on another device; its models are moved."""
        moved = System.of({name: part.to(device) for name, part in self.parts.items()})
        return dataclasses.replace(self, acoustic=moved.acoustic, language=moved.language, speech_llm=moved.speech_llm)

    def with_search(self, search: SearchConfig, method: str | None = None) -> System:
        """The same models under another search. Raises as `check_search` where they cannot run it."""
        return dataclasses.replace(self, search=search, method=method)

    def with_prompt(self, prompt: Prompt | str) -> System:
        """The same models, but another prompt around the audio, be it one that was never trained with.

        `prompt` may be a name or "before<audio>after" (see `find_prompt`). Where the speech LLM has tags it is for all
        of them, or for its own alone. Raises SystemFolderError where there is no speech LLM, ConfigError or UnitsError
        where the prompt does not fit it.
        """
        if self.speech_llm is None:
            raise SystemFolderError(f"A prompt is for a speech LLM, but this system has only {', '.join(self.parts)}.")
        prompt = find_prompt(prompt) if isinstance(prompt, str) else prompt
        return dataclasses.replace(self, speech_llm=self.speech_llm.with_prompt(prompt))

    def with_method(self, name: str) -> System:
        """The same models under a named method, with the scales tuned for it where there are any."""
        return self.with_search(self.search_of(name), name)

    def search_of(self, name: str, *, tuned: bool = True) -> SearchConfig:
        """The search of a named method for this system: tuned where it has been, else the first variant it can run."""
        variants = find_method(name).variants
        if tuned and name in self.tuned:
            return self.tuned[name].search
        return next((search for search in variants if self._can(search)), variants[0])

    def with_tuning(self, record: TuningRecord) -> System:
        """The system under the tuned search, which it remembers for that method."""
        tuned = {**self.tuned, record.method: record}
        return dataclasses.replace(self, search=record.search, method=record.method, tuned=tuned)

    def methods(self) -> list[str]:
        """The named methods that this system can run."""
        return [name for name in METHODS if self._can(self.search_of(name))]

    def _can(self, search: SearchConfig) -> bool:
        try:
            check_search(self.parts, search)
        except DuolectError:
            return False
        return True

    @property
    def tuning(self) -> TuningRecord | None:
        """Where the scales now in use come from: the record with these scales, of this method where it has a name."""
        search, records = self.search, self.tuned.values()
        if search is None:
            return None
        able = (r for r in records if self.method in (None, r.method) and r.search.scales == search.scales)
        return next(able, None)

    def fingerprint(self) -> str:
        """16 hex digits of models, units and search: what determines the hypotheses."""
        parts = {name: part.fingerprint() for name, part in self.parts.items()}
        text = json.dumps({"parts": parts, "search": to_json(self.search)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def recognize(
        self,
        utterances: Iterable[Utterance],
        *,
        batch_seconds: float = BATCH_SECONDS,
        max_seconds: float = LONGEST_SECONDS,
        nbest: bool = False,
        warm_up: bool = False,
        measure: Measure | None = None,
        target_language: str | None = None,
        progress: Progress | None = None,
    ) -> Recognition:
        """Recognise a manifest's utterances; rows come in its order, and do not depend on how they were batched.

        With `nbest` each row carries the whole list in its field "nbest", and in "scales" and "length_exponent" what
        its scores are made with (docs/hypothesis-files.md). Audio that is missing, damaged, shorter than
        25 ms or longer than `max_seconds` is skipped and listed, the rest goes on.

        `measure`: find `flops` and `latency` afterwards, with a warm-up before, and give each row its share of its
        batch's seconds in the field "time" (docs/cost.md); the hypotheses are the same.

        `target_language`: what to write all of them in, where a model has to be told; by default each utterance says
        its own, and one that says none is skipped. The reference is what the system is to write, transcript or
        translation. Raises SearchError where a model gives NaN, ConfigError where `target_language` is unknown, or is
        missing of every utterance.
        """
        utterances, search = list(utterances), self._search()
        sources = [utterance_source(i, u) for i, u in enumerate(utterances)]
        sources, speechless = with_languages(self.parts, search, sources, utterances, target_language)
        run = run_batches(
            self.parts,
            search,
            sources,
            batch_seconds=batch_seconds,
            max_seconds=max_seconds,
            device=self.device,
            progress=progress,
            warm_up=warm_up or measure is not None,
            measured=measure is not None,
        )
        target, languages = written(self.parts, search), {source.index: source.language for source in sources}
        rows = [
            _row(u, target, languages[i], run.candidates[i], run.seconds[i], search if nbest else None)
            for i, u in enumerate(utterances)
            if i in run.candidates
        ]
        flops: dict[str, float] = {}
        latency = None
        if measure is not None:
            times = [run.row_seconds[i] for i in sorted(run.candidates)]
            rows = [
                dataclasses.replace(row, fields={**row.fields, "time": time})
                for row, time in zip(rows, times, strict=True)
            ]
            at = {"max_seconds": max_seconds, "device": self.device}
            count = measure.batches
            flops = count_flops(self.parts, search, sources, batches=count, batch_seconds=batch_seconds, **at)
            latency = measure_latency(self.parts, search, sources, utterances=measure.utterances, **at)
        skipped = [
            Skipped(
                id=utterances[i].id,
                reason=reason,
                file=source.file,
                reference=reference(utterances[i], target),
                parent_id=parent_of(utterances[i].fields),
                fields=_fields(utterances[i], target, source.language),
            )
            for i, (source, reason) in sorted({**run.bad, **speechless}.items())
        ]
        return Recognition(
            rows=rows,
            skipped=skipped,
            timing=run.timing(with_files=False),
            timing_with_files=run.timing(with_files=True),
            statistics=run.counts(),
            host_memory=run.host_memory,
            device_memory=run.device_memory,
            tuned_on_this_set=self.tuning is not None and self.tuning.set_hash == utterance_set_hash(utterances),
            target=target,
            stages=run.stages,
            flops=flops,
            latency=latency,
        )

    def transcribe(
        self,
        audio: Audio | Sequence[Audio],
        *,
        batch_seconds: float = BATCH_SECONDS,
        segment_seconds: float | None = None,
        keep_silence: bool = False,
        words: bool = False,
        nbest: bool = False,
        target_language: str | None = None,
        progress: Progress | None = None,
    ) -> list[Transcript]:
        """The text of files, or of arrays of samples; one transcript for each, in the same order.

        Arrays and tensors have one channel at 16 kHz: floating-point samples in [-1, 1], or integers, which are divided
        by their full scale. `{"array": samples, "sampling_rate": 44100}`, as in data sets of Hugging Face, has a rate
        of its own.

        What lasts longer than `segment_seconds` (None: what the models were trained on, from 5 to 30 s, but 10 s stay
        whole) is cut while it is read, at pauses where there are some, and in memory for some minutes of it. The
        silence between its pieces is not shown to the models, nor a recording in which nothing is said (flag
        "no_speech"), unless `keep_silence`. With `words` every word has its times, where a CTC head can tell.

        What cannot be recognised never stops the rest, and nothing is raised for it, not even for a single file: its
        transcript has `error` set. `target_language`: what to write them in, which a model of several must be told
        (else ConfigError, which names them). `progress` is called with (seconds done, seconds in all). Raises
        SystemFolderError where the system has no search, ConfigError for a length that is none.
        """
        items = recordings(audio)
        config = TranscribeConfig(
            batch_seconds=batch_seconds,
            segment_seconds=segment_seconds,
            keep_silence=keep_silence,
            words=words,
            nbest=nbest,
        )
        transcriber = Transcriber(self.parts, self._search(), self.device, config, target_language)
        return transcriber.transcribe(items, progress)

    def _search(self) -> SearchConfig:
        if self.search is None:
            raise SystemFolderError(
                f"This system has no search, only {', '.join(self.parts)}; combine it with a model that listens."
            )
        return self.search


def load(
    folder: str | os.PathLike[str], device: str | torch.device = "cpu", precision: WeightPrecision = "stored"
) -> System:
    """The system in `folder` (a system folder, or the run folder of a finished training), ready to `transcribe`.

    precision: "bf16" rounds the weights to bfloat16, which halves the memory they take.
    """
    return System.load(folder, device, precision)


def _row(
    utterance: Utterance,
    target: Target,
    language: str | None,
    candidates: Sequence[Candidate],
    seconds: float,
    listed: SearchConfig | None,
) -> HypothesisRow:
    """`language`: what it was written in, where a model was told; `listed`: the search, where the row is to carry its
    n-best list."""
    best, fields = candidates[0], _fields(utterance, target, language)
    if listed is not None:
        fields["scales"] = {term: getattr(listed.scales, term) for term in listed.scales.active}
        fields["length_exponent"] = listed.length_exponent
        fields["nbest"] = [
            {"text": c.text, "score": c.score, "terms": c.terms, "labels": len(c.labels), "flags": list(c.flags)}
            for c in candidates
        ]
    return HypothesisRow(
        id=utterance.id,
        text=best.text,
        reference=reference(utterance, target),
        score=best.score,
        terms=best.terms,
        flags=best.flags,
        duration=seconds,
        fields=fields,
    )


def _fields(utterance: Utterance, target: Target, language: str | None) -> dict[str, Any]:
    """What is kept of an utterance, recognised or not."""
    kept = ("speaker", "lang", "target_lang", "translation" if target == "text" else "text")
    found = {name: getattr(utterance, name) for name in kept}
    if language is not None:
        found[LANGUAGE_KEYS[target]] = language
    if target == "translation":
        found["transcript"] = found.pop("text")
    return {
        **{name: value for name, value in found.items() if value is not None},
        **kept_fields(utterance.fields, {*_WRITTEN, *(["transcript"] if target == "translation" else [])}),
    }
