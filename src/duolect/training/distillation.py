"""Sequence-level knowledge distillation: a text translation model writes targets for a speech translation model.

Kim & Rush (2016); in arXiv 2501.02370 NLLB-3.3B translates the English transcripts of MuST-C into German, and training
on the original and the distilled data together gains more than two BLEU.

    OUT                     manifest: every original row that has a translation, after it the distilled row
    OUT.distill.json        what made it (`run_path`), and how many rows of which kind
    OUT.skipped.jsonl       what has no distilled row, and why
    OUT.partial.jsonl       translations so far, while it is at work
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolect import __version__
from duolect.configs import to_json
from duolect.data import SkipLog, Skipped, Utterance, read_manifest, write_manifest
from duolect.errors import DuolectError, TrainingError
from duolect.storage import file_hash, write_json
from duolect.training.translator import Translator, TranslatorConfig, names_of

Progress = Callable[[int, int], None]
SUFFIX = "+distilled"
"""What the id of a distilled row has besides that of its original, where both are written."""


@dataclass(frozen=True)
class Distilled:
    """How many rows of each kind were written, how many sentences were translated (and how many of them an earlier,
    interrupted call had done), and what has no distilled row."""

    originals: int
    distilled: int
    sentences: int
    reused: int
    skipped: SkipLog


def distill(
    manifest: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: TranslatorConfig,
    *,
    only_distilled: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Distilled:
    """Translate the transcripts of `manifest` and write the manifest `out`, whole or not at all.

    An original row is written as it is where it has a translation (unless `only_distilled`), and after it the distilled
    row, in which `translation`, `target_lang` and the further field `distilled_from` (the model) are new. Rows that are
    translated into another language than the target are not distilled, so that each sound gets one distilled row. What
    is spoken in another language than the source (`lang`), has no text, is too long for the model, or whose translation
    is empty or found no end, is not distilled either, but listed as skipped. Equal sentences are translated once.

    Sentences are translated in batches of like length, always the same ones: an interrupted call leaves its
    translations in OUT.partial.jsonl, goes on there with the same settings, and writes what an uninterrupted one would.
    `progress(done, total)` counts sentences. Raises ManifestError for a bad line, ModelError or ConfigError where model
    or language do not fit, TrainingError where there is nothing to distil, DuolectError where nothing can be written.
    """
    manifest, out = Path(manifest), Path(out)
    if manifest.exists() and out.exists() and os.path.samefile(manifest, out):
        raise TrainingError(f"{out}: is the manifest itself; the distilled rows go to another file.")
    sentences = list(dict.fromkeys(_sentence(row) for row in read_manifest(manifest) if _fault(row, config) is None))
    if not sentences:
        raise TrainingError(f"{manifest}: no row is to be translated from {config.source!r} into {config.target!r}.")
    translator = Translator(config, device)
    lengths = dict(zip(sentences, _lengths(translator, sentences), strict=True))
    short = [sentence for sentence in sentences if lengths[sentence] <= translator.longest]
    batches = list(_batches(short, lengths, config.batch))
    partial = out.with_name(out.name + ".partial.jsonl")
    found, reused = _translate(translator, batches, partial, progress)

    skipped, counts = SkipLog(), {"original": 0, "distilled": 0}

    def rows() -> Iterator[Utterance]:
        for row in read_manifest(manifest):
            if row.translation and not only_distilled:
                counts["original"] += 1
                yield row
            if _is_other(row.target_lang, config.target):
                continue
            sentence = _sentence(row)
            reason = _fault(row, config)
            if reason is None and sentence not in found:
                reason = f"has {lengths[sentence]} tokens, but the model takes {translator.longest:.0f}."
            elif reason is None and found[sentence] is None:
                reason = "the model's translation found no end."
            elif reason is None and not found[sentence]:
                reason = "the model's translation is empty."
            if reason is not None:
                skipped.extend([Skipped(row.id, str(row.audio_filepath), reason)])
                continue
            counts["distilled"] += 1
            yield dataclasses.replace(
                row,
                id=row.id if only_distilled else row.id + SUFFIX,
                translation=found[sentence],
                target_lang=row.target_lang or config.target,
                fields={**row.fields, "distilled_from": config.model},
            )

    write_manifest(out, rows())
    skipped.write(out.with_name(out.name + ".skipped.jsonl"))
    write_json(run_path(out), _record(manifest, config, only_distilled, counts, skipped))
    partial.unlink(missing_ok=True)
    return Distilled(counts["original"], counts["distilled"], len(sentences), reused, skipped)


def run_path(out: str | os.PathLike[str]) -> Path:
    """Where what made a distilled manifest is noted."""
    return Path(f"{out}.distill.json")


def _sentence(row: Utterance) -> str:
    return " ".join(row.text.split())


def _fault(row: Utterance, config: TranslatorConfig) -> str | None:
    """Why a row is not translated, as far as the row itself tells; other target languages are no fault of it."""
    if _is_other(row.target_lang, config.target):
        return "is translated into another language."
    if _is_other(row.lang, config.source):
        return f"is spoken in {row.lang!r}, not in {config.source!r}."
    return None if _sentence(row) else "has no text to translate."


def _is_other(language: str | None, asked: str) -> bool:
    """Whether a row names another language than is asked for, by whatever names ("en", "eng", "eng_Latn")."""
    return language is not None and not names_of(language) & names_of(asked)


def _lengths(translator: Translator, sentences: Sequence[str], step: int = 4096) -> list[int]:
    return [n for i in range(0, len(sentences), step) for n in translator.lengths(sentences[i : i + step])]


def _batches(sentences: Sequence[str], lengths: dict[str, int], size: int) -> Iterator[list[str]]:
    """The longest first, so that what does not fit into memory shows at once."""
    ordered = sorted(sentences, key=lambda sentence: (-lengths[sentence], sentence))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _translate(
    translator: Translator, batches: Sequence[list[str]], partial: Path, progress: Progress | None
) -> tuple[dict[str, str | None], int]:
    """Sentence → translation, and how many stood in the file `partial` already, to which each batch is added."""
    key = _key(translator, batches)
    found: dict[str, str | None] = {}
    total = sum(map(len, batches))
    done = _read_partial(partial, key, batches)
    for batch, translations in zip(batches, done, strict=False):
        found |= dict(zip(batch, translations, strict=True))
    reused = len(found)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        # Anew rather than added to: a line that was cut short would stay in the middle.
        with open(partial, "w", encoding="utf-8") as handle:
            for line in ({"settings": key}, *({"translations": each} for each in done)):
                handle.write(json.dumps(line, ensure_ascii=False) + "\n")
            handle.flush()
            for batch in batches[len(done) :]:
                if progress is not None:
                    progress(len(found), total)
                translations = translator.translate(batch)
                handle.write(json.dumps({"translations": translations}, ensure_ascii=False) + "\n")
                handle.flush()
                found |= dict(zip(batch, translations, strict=True))
    except OSError as error:
        raise DuolectError(f"{partial}: could not be written ({error.strerror or error}).") from error
    if progress is not None:
        progress(total, total)
    return found, reused


def _key(translator: Translator, batches: Sequence[list[str]]) -> str:
    """What a partial file must have been made with to be gone on with."""
    settings = {
        "config": to_json(translator.config),
        "model": translator.model.config.to_json_string(use_diff=False),
        "sentences": batches,
        "duolect": __version__,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _read_partial(path: Path, key: str, batches: Sequence[list[str]]) -> list[list[str | None]]:
    """The translations of the first batches, as far as they stand in the file whole and were made with `key`."""
    done: list[list[str | None]] = []
    try:
        lines = path.read_bytes().split(b"\n")
        if not lines or json.loads(lines[0]).get("settings") != key:
            return []
        for batch, line in zip(batches, lines[1:], strict=False):
            translations = json.loads(line)["translations"]
            if len(translations) != len(batch):
                break
            done.append(translations)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # not there, or cut short: what was read so far is whole
    return done


def _record(
    manifest: Path, config: TranslatorConfig, only_distilled: bool, counts: dict[str, int], skipped: SkipLog
) -> dict[str, Any]:
    import torch
    import transformers

    return {
        "manifest": str(manifest),
        "manifest_hash": file_hash(manifest),
        **to_json(config),
        "only_distilled": only_distilled,
        "rows": counts,
        "skipped": len(skipped),
        "versions": {"duolect": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
    }
