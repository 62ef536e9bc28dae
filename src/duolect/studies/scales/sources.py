"""The corpora of the papers: what the scale paper takes of the user's, and how to come by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from duolect.recipes.paper import LIBRISPEECH_HOURS, LOQUACIOUS_HOURS
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.stages.corpora import SPLITS, GivenCorpus, Joined

TRANSLATOR = "facebook/nllb-200-3.3B"

PARTS: Mapping[str, str] = {
    "train": "the folder LoquaciousSet/large of parquet shards, or a manifest (docs/studies/scales.md)",
    "dev": "the manifest of dev by `duolect import loquacious LoquaciousSet --out FOLDER`, to choose scales on",
    "test": "the manifest of test by the same command, to recognise and score",
    "lm": "text for language models, one sentence a line; without it they learn the transcripts, as published",
    "mustc": (
        "a folder with en-de, en-es and so on, as `duolect import mustc MUSTC_v1.0/en-de --out FOLDER/en-de` makes them"
    ),
    "covost": (
        "a folder with fr, de, es and so on, as `duolect import covost2 cv-corpus-4/fr --out FOLDER/fr` makes them of "
        "the Common Voice folder and its covost_v2.fr_en.tsv"
    ),
    "leaderboard": (
        "the folder that `duolect import open-asr-leaderboard hf-audio/esb-datasets-test-only-sorted --regime"
        " open-asr-2026-03 --out FOLDER` makes"
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
    "covost": (
        "Make its manifests with `duolect import covost2 cv-corpus-4/fr --out corpora/covost/fr`, and so on for the "
        "other languages, and give --data covost=corpora/covost."
    ),
}
"""Corpus → the import that makes it."""

COVOST_LANGUAGES = (
    *("fr", "de", "es", "ca", "it", "ru", "zh-CN", "pt", "fa", "et", "mn"),
    *("nl", "tr", "ar", "sv-SE", "lv", "sl", "ta", "ja", "id", "cy"),
)
"""Those that CoVoST 2 translates into English."""
COVOST_TESTED = ("ca", "de", "es", "fr")
"""Those of which arXiv 2501.02370 gives the mean."""

HOURS: Mapping[str, Mapping[str, float]] = {
    "loquacious": {"train": LOQUACIOUS_HOURS, "dev": 15.0, "test": 21.0},
    "librispeech": {"train": LIBRISPEECH_HOURS, "dev": 5.3, "test": 5.1},
    "mustc": {"train": 408.0, "dev": 2.5, "test": 4.1},
}
"""Corpus → hours of its parts."""


def mustc(scale: Scale, language: str) -> GivenCorpus:
    """MuST-C, English to a language; tested on tst-COMMON."""
    splits = {"train": "train", "dev": "dev", "test": "tst-COMMON"}
    return _given(scale, f"MuST-C en-{language}", "mustc", f"en-{language}", splits)


def covost(scale: Scale, languages: Sequence[str]) -> Joined:
    """CoVoST 2, these languages to English."""
    splits: dict[str, str] = {split: split for split in SPLITS}
    corpora = {each: _given(scale, f"CoVoST 2 {each}-en", "covost", each, splits) for each in languages}
    said = ", ".join(languages) if len(languages) < 6 else f"{len(languages)} languages"
    return Joined(name=f"CoVoST 2, {said}", corpora=corpora)


def is_covost(corpus: Stage) -> bool:
    """Whether it is all of CoVoST 2."""
    return isinstance(corpus, Joined) and tuple(corpus.corpora) == COVOST_LANGUAGES


def _given(scale: Scale, name: str, part: str, folder: str, splits: Mapping[str, str]) -> GivenCorpus:
    """A folder of a part of the user's; `splits`: split → its manifest's name."""
    place = scale.given(part) / folder
    return GivenCorpus(
        name=name,
        parts={split: place / f"{manifest}.jsonl" for split, manifest in splits.items()},
        hint=IMPORTS[part],
        hours=HOURS.get(part, {}),
        planned=scale.planned,
    )
