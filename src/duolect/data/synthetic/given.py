"""A corpus of given sentences, spoken by the synthetic voices: any text, made into train, dev and test.

FOLDER/train.jsonl dev.jsonl test.jsonl     manifests; texts as they were given
FOLDER/audio/{train,dev,test}/*.wav         16 kHz, 16 bit
FOLDER/config.json                          written last: with it the corpus is complete
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from duolect.data.manifest import write_manifest
from duolect.data.synthetic.config import SpeakingConfig
from duolect.data.synthetic.folder import CorpusFolder, Progress
from duolect.data.synthetic.recordings import SPLITS, hours_of, record_texts
from duolect.data.synthetic.voices import Split, speakers
from duolect.errors import ConfigError
from duolect.text import normalise

_VERSION = 1  # changes when the same sentences and settings give other recordings than before


@dataclasses.dataclass(frozen=True)
class SpokenCorpus:
    """Where the manifests of a corpus are, and the hours of each split."""

    folder: Path
    train: Path
    dev: Path
    test: Path
    hours: dict[str, float]


def speak_sentences(
    folder: str | os.PathLike[str],
    sentences: Mapping[Split, Sequence[str]],
    config: SpeakingConfig | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    *,
    language: str = "en",
) -> SpokenCorpus:
    """Have sentences spoken into a corpus in `folder`, or find it there; `sentences` are those of train, dev and test.

    Voices, rooms and noise are those of `make_corpus`, and so are reuse, `workers`, `progress` and errors. No voice
    speaks in two splits; that no sentence does is up to the caller. Raises ConfigError for a split that is missing or
    empty, a sentence without a word in it, or a `language` that no voice speaks.
    """
    for split in SPLITS:
        speakers(split, language)  # or an error, before anything is cleared
        if not sentences.get(split):
            raise ConfigError(f"corpus of given sentences: {split} has no sentence.")
        for number, sentence in enumerate(sentences[split], 1):
            if not normalise(sentence):
                raise ConfigError(f"corpus of given sentences: {split} sentence {number}, {sentence!r}, has no word.")
    config = config or SpeakingConfig()
    texts = {split: list(sentences[split]) for split in SPLITS}
    parts = [f"{split}.jsonl" for split in SPLITS]
    said = {"version": _VERSION, "language": language, "speaking": config, "sentences": texts}
    place = CorpusFolder(folder, said, parts)
    hours = place.hours()
    if hours is None:
        place.clear()
        utterances = record_texts(place.path, texts, config, workers, progress, language)
        for split in SPLITS:
            write_manifest(place.path / f"{split}.jsonl", utterances[split])
        hours = hours_of(utterances)
        place.finish(hours)
    train, dev, test = (place.path / name for name in parts)
    return SpokenCorpus(place.path, train, dev, test, hours)
