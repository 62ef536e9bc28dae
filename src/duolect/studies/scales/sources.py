"""The corpora of the papers: what the scale paper takes of the user's, and how to come by it."""

from __future__ import annotations

from collections.abc import Mapping

from duolect.recipes.paper import LIBRISPEECH_HOURS, LOQUACIOUS_HOURS

TRANSLATOR = "facebook/nllb-200-3.3B"

PARTS: Mapping[str, str] = {
    "train": "the folder LoquaciousSet/large of parquet shards, or a manifest (docs/studies/scales.md)",
    "dev": "the manifest of dev by `duolect import loquacious LoquaciousSet --out FOLDER`, to choose scales on",
    "test": "the manifest of test by the same command, to recognise and score",
    "lm": "text for language models, one sentence a line; without it they learn the transcripts, as published",
    "mustc": (
        "a folder with en-de, en-es and so on, as `duolect import mustc MUSTC_v1.0/en-de --out FOLDER/en-de` makes them"
    ),
    "leaderboard": (
        "the folder that `duolect import open-asr-leaderboard hf-audio/open-asr-leaderboard --out FOLDER` makes"
    ),
    "translator": f"a translation model instead of {TRANSLATOR}, as a folder or by its name on the hub",
}
"""Part → what it is."""

IMPORTS: Mapping[str, str] = {
    "loquacious": (
        "Fetch it with `hf download --repo-type dataset speechbrain/LoquaciousSet --local-dir LoquaciousSet`, make dev "
        "and test with `duolect import loquacious LoquaciousSet --out corpora/loquacious`, and give --data "
        "train=LoquaciousSet/large dev=corpora/loquacious/dev.jsonl test=corpora/loquacious/test.jsonl."
    ),
    "librispeech": (
        "Make manifests with `duolect import librispeech LibriSpeech --out corpora/librispeech`, join those of the "
        "training set (`cat train-*.jsonl > train.jsonl` in that folder), and give --data train=…/train.jsonl "
        "dev=…/dev-other.jsonl test=…/test-other.jsonl, and lm=librispeech-lm-norm.txt.gz."
    ),
    "mustc": (
        "Make its manifests with `duolect import mustc MUSTC_v1.0/en-de --out corpora/mustc/en-de`, and so on for the "
        "other languages, and give --data mustc=corpora/mustc."
    ),
}
"""Corpus → the import that makes it."""

HOURS: Mapping[str, Mapping[str, float]] = {
    "loquacious": {"train": LOQUACIOUS_HOURS, "dev": 15.0, "test": 21.0},
    "librispeech": {"train": LIBRISPEECH_HOURS, "dev": 5.3, "test": 5.1},
    "mustc": {"train": 408.0, "dev": 2.5, "test": 4.1},
}
"""Corpus → hours of its parts."""
