"""CoVoST 2: translations of Common Voice.

The sound and the sentences are Common Voice's (clips/, validated.tsv; the corpus was made from release 4), the
translations and the splits are those of covost_v2.SOURCE_TARGET.tsv (path, translation, split), joined by the clip's
name as CoVoST's get_covost_splits.py does; "train_covost" belongs to train.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from duolect.data.corpora.base import UNKNOWN, Corpus, Plan, Split, repeatable, sign_files, source_folder
from duolect.data.corpora.rows import Row, read_rows
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import ConfigError, ManifestError

_SPLITS = ("train", "dev", "test")
_NAME = re.compile(r"covost_v2\.([A-Za-z-]+)_([A-Za-z-]+)\.tsv")
_SUFFIX = re.compile(r"\.[^./\\\s]+")
_FIELDS = {"age": "age", "gender": "gender", "accent": "accent", "accents": "accent", "variant": "variant"}
"""Columns of Common Voice's releases, and the fields they become."""


@dataclass(frozen=True, kw_only=True)
class CoVoST2Options:
    """Options of `covost2`."""

    covost: Path | None = None
    """The file covost_v2.en_de.tsv (or of another pair); by default the one in SOURCE."""
    sentences: Path = Path("validated.tsv")
    """Common Voice's table of sentences, relative to SOURCE."""
    clip_suffix: str | None = None
    """Of the files in clips/, where they are no longer the .mp3 that Common Voice gives (.wav, .flac)."""

    def __post_init__(self) -> None:
        if self.clip_suffix is not None and not _SUFFIX.fullmatch(self.clip_suffix):
            raise ConfigError(f"clip_suffix: must be a suffix with its dot, such as .wav, not {self.clip_suffix!r}.")


def plan(source: str, options: CoVoST2Options, out: Path) -> Plan:
    """The splits train, dev and test. Raises ManifestError where a table or a column of it is missing."""
    root = source_folder(source)
    if not (root / "clips").is_dir():
        raise ManifestError(f"{root}: has no folder clips; expected a language of Common Voice, as cv-corpus-4/en.")
    covost, sentences = _covost(root, options), root / options.sentences
    spoken, target = _pair(covost)
    _check_columns(covost, ("path", "translation", "split"))
    _check_columns(sentences, ("path", "sentence", "client_id"))

    def reader(name: str) -> Callable[[], Iterator[Utterance | Skipped]]:
        return lambda: _utterances(root, name, covost, sentences, options)

    splits = tuple(Split(name, repeatable(reader(name))) for name in _SPLITS)
    notes = {"pair": f"{spoken}-{target}", "left out": "clips that CoVoST 2 does not translate"}
    return Plan(splits, sign_files([covost, sentences]), notes)


def _covost(root: Path, options: CoVoST2Options) -> Path:
    if options.covost is not None:
        return options.covost.expanduser().absolute()
    found = sorted(path for path in root.glob("covost_v2.*.tsv") if _NAME.fullmatch(path.name))
    if len(found) != 1:
        names = f"{', '.join(path.name for path in found)}; name one by the option covost" if found else "none"
        raise ManifestError(f"{root}: expected one covost_v2.SOURCE_TARGET.tsv, found {names}.")
    return found[0]


def _pair(path: Path) -> tuple[str, str]:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ManifestError(f"{path}: the name should tell the languages, as covost_v2.en_de.tsv does.")
    return match[1], match[2]


def _check_columns(path: Path, wanted: tuple[str, ...]) -> None:
    row = next((row for row in read_rows(path) if not row.fault), None)
    missing = [name for name in wanted if row is None or name not in row.values]
    if missing:
        raise ManifestError(f"{path}: has no column {', '.join(missing)}; expected {', '.join(wanted)}.")


def _utterances(
    root: Path, split: str, covost: Path, sentences: Path, options: CoVoST2Options
) -> Iterator[Utterance | Skipped]:
    spoken, target = _pair(covost)
    translations: dict[str, str] = {}
    for row in read_rows(covost):
        if row.fault:
            if split == _SPLITS[0]:  # which split it belonged to is not known
                yield _bad(covost, row)
        elif row.values["split"].removesuffix("_covost") == split:
            translations[row.values["path"]] = row.values["translation"]
    for row in read_rows(sentences):
        if row.fault:
            if split == _SPLITS[0]:
                yield _bad(sentences, row)
            continue
        values = row.values
        translation = translations.pop(values["path"], None)
        if translation is None:
            continue
        path = root / "clips" / values["path"]
        if not path.suffix:  # as the first releases had it
            path = path.with_name(f"{path.name}.mp3")
        if not translation.strip():
            yield Skipped(path.stem, str(path), "no translation")
            continue
        yield Utterance(
            audio_filepath=path.with_suffix(options.clip_suffix) if options.clip_suffix else path,
            duration=UNKNOWN,
            text=" ".join(values["sentence"].split()),
            speaker=values["client_id"].strip() or None,
            lang=spoken,
            translation=" ".join(translation.split()),
            target_lang=target,
            id=path.stem,
            fields={"corpus": "covost2"}
            | {field: value for column, field in _FIELDS.items() if (value := values.get(column, "").strip())},
        )
    for path in translations:
        yield Skipped(Path(path).stem, str(covost), f"no sentence: {sentences.name} does not have {path}")


def _bad(path: Path, row: Row) -> Skipped:
    place = f"{path}:{row.line}"
    return Skipped(place, str(path), f"bad line: {place} {row.fault}")


CORPUS = Corpus(
    name="covost2",
    title="CoVoST 2",
    source="the folder of a language of Common Voice, with clips/, validated.tsv and covost_v2.en_de.tsv in it",
    options=CoVoST2Options,
    plan=plan,
)
