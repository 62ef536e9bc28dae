"""Corpora laid out by tests: real sound files, text files, and what an import made of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from duolect.data.corpora import Imported, corpus_named, import_corpus
from duolect.data.skips import SkipLog

RATE = 16_000


def sound(path: Path, seconds: float = 0.2, *, channels: int = 1) -> Path:
    """A file of noise in the format of its suffix; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (round(seconds * RATE), channels)
    soundfile.write(path, np.random.default_rng(len(path.name)).uniform(-0.1, 0.1, shape), RATE)
    return path


def lines(path: Path, *texts: str) -> Path:
    """A text file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def imported(corpus_name: str, source: Path, out: Path, /, *, splits: tuple[str, ...] = (), **options: Any) -> Imported:
    """An import by the corpus' name, with its options as keywords."""
    corpus = corpus_named(corpus_name)
    return import_corpus(corpus, str(source), out, options=corpus.options(**options), splits=splits, workers=2)


def rows(manifest: Path) -> list[dict[str, Any]]:
    """The lines of a manifest as they are written."""
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").split("\n") if line]


def skipped(manifest: Path) -> dict[str, str]:
    """Why each of the utterances beside a manifest was left out."""
    return {entry.id: entry.reason for entry in SkipLog.read(manifest.with_suffix(".skipped.jsonl"))}
