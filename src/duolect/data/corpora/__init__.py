"""Corpora: from their own layout to manifests. A new one is a module here and a line in `CORPORA`."""

from __future__ import annotations

import difflib
import importlib

from duolect.data.corpora.base import UNKNOWN, Checkpoint, Corpus, Plan, Split, repeatable
from duolect.data.corpora.run import Imported, Progress, import_corpus
from duolect.errors import ConfigError

__all__ = [
    "CORPORA",
    "UNKNOWN",
    "Checkpoint",
    "Corpus",
    "Imported",
    "Plan",
    "Progress",
    "Split",
    "corpus_named",
    "import_corpus",
    "repeatable",
]

CORPORA = {
    "librispeech": "LibriSpeech, or a corpus laid out like it",
    "mustc": "MuST-C: talks in English, transcribed and translated",
    "covost2": "CoVoST 2: Common Voice with translations",
    "kaldi": "a Kaldi data directory",
    "lhotse": "a cut set of lhotse, or what one of its recipes wrote",
    "folder": "a folder of sound with text beside each file, in a table, or none",
    "huggingface": "any data set of Hugging Face: a name on the hub, a folder, or a parquet file",
    "loquacious": "25,000 hours of English: dev, test, and the training sets small, medium, clean, large",
    "open-asr-leaderboard": "the test sets of the Open ASR leaderboard, in its regime of March or August 2026",
}
"""Name of a corpus, which is also its module's (with "_" for "-"), and what it is."""


def corpus_named(name: str) -> Corpus:
    """The corpus of that name; only its module is imported. Raises ConfigError for a name that is not known."""
    if name not in CORPORA:
        near = difflib.get_close_matches(name, CORPORA, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CORPORA)}."
        raise ConfigError(f"there is no corpus {name!r}; {hint}")
    return importlib.import_module(f"duolect.data.corpora.{name.replace('-', '_')}").CORPUS
