"""The synthetic corpus: an English speech corpus with German translations and LM text, made on the spot.

    FOLDER/train.jsonl dev.jsonl test.jsonl     manifests
    FOLDER/lm.txt lm.de                         LM text, one sentence a line, and its translation line by line
    FOLDER/audio/{train,dev,test}/*.wav         16 kHz, 16 bit
    FOLDER/config.json                          written last: with it the corpus is complete

Everything in it follows from the config alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from duolect.data.manifest import Utterance, write_manifest
from duolect.data.synthetic.config import Size, SyntheticConfig, synthetic_config
from duolect.data.synthetic.domains import DEV_ONLY, TEST_ONLY
from duolect.data.synthetic.folder import CorpusFolder, Progress
from duolect.data.synthetic.grammar import Sentence
from duolect.data.synthetic.recordings import SPLITS, hours_of, record_texts
from duolect.data.synthetic.text import draw_texts
from duolect.storage import atomic_file

_PARTS = ("train.jsonl", "dev.jsonl", "test.jsonl", "lm.txt", "lm.de")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Where the parts of a corpus are: manifests, LM text and its German (line by line); hours of each split."""

    folder: Path
    train: Path
    dev: Path
    test: Path
    lm_text: Path
    translations: Path
    hours: dict[str, float]


def make_corpus(
    folder: str | os.PathLike[str],
    size: Size = "demo",
    seed: int = 1,
    workers: int | None = None,
    progress: Progress | None = None,
    *,
    config: SyntheticConfig | None = None,
) -> Corpus:
    """Make the corpus in `folder`, or find it there: a complete one of the same config is used as it is.

    `workers` processes share the work (default: one for each core); the bytes do not depend on it. `progress(done,
    total)` is called with numbers of recordings. `config` replaces the preset of `size` and `seed`.
    An unfinished corpus, or one of another config, is made anew. Raises DuolectError when the folder holds something
    else or cannot be written, ConfigError for an unknown size.
    """
    config = config or synthetic_config(size, seed)
    place = CorpusFolder(folder, config, _PARTS)
    hours = place.hours()
    if hours is None:
        place.clear()
        texts = draw_texts(config)
        sentences = {split: getattr(texts, split) for split in SPLITS}
        spoken = {split: [sentence.text for sentence in found] for split, found in sentences.items()}
        utterances = record_texts(place.path, spoken, config.speaking, workers, progress)
        for split in SPLITS:
            write_manifest(place.path / f"{split}.jsonl", _described(utterances[split], sentences[split]))
        for name, lines in (("lm.txt", [s.text for s in texts.lm]), ("lm.de", [s.translation for s in texts.lm])):
            with atomic_file(place.path / name) as handle:
                handle.writelines(line + "\n" for line in lines)
        hours = hours_of(utterances)
        place.finish(hours)
    train, dev, test, lm_text, translations = (place.path / name for name in _PARTS)
    return Corpus(place.path, train, dev, test, lm_text, translations, hours)


def _described(utterances: Sequence[Utterance], sentences: Sequence[Sentence]) -> Iterator[Utterance]:
    """The utterances with what the grammar knows of their sentences."""
    for utterance, sentence in zip(utterances, sentences, strict=True):
        known = {
            "domain": sentence.domain,
            "template": sentence.template,
            "seen_template": sentence.template not in TEST_ONLY | DEV_ONLY,
        }
        fields = {**known, **utterance.fields}
        yield dataclasses.replace(utterance, translation=sentence.translation, target_lang="de", fields=fields)
