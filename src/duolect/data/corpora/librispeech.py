"""LibriSpeech and corpora laid out like it (mini LibriSpeech): SUBSET/SPEAKER/CHAPTER/*.flac and *.trans.txt.

Each line of a chapter's .trans.txt is "SPEAKER-CHAPTER-NUMBER WORDS IN CAPITALS"; SPEAKERS.TXT tells the speakers' sex
(openslr.org/12).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from duolect.data.corpora.base import UNKNOWN, Corpus, Plan, Split, repeatable, sign_files, source_folder
from duolect.data.corpora.lines import GENDERS, bad_line, text_lines, undecodable
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import ManifestError

_SPEAKERS = "SPEAKERS.TXT"


@dataclass(frozen=True, kw_only=True)
class LibriSpeechOptions:
    """Options of `librispeech`."""

    case: Literal["lower", "keep"] = "lower"
    """lower: in small letters, as the labels of models and language models want them; keep: in capitals, as the corpus
    has them."""


def plan(source: str, options: LibriSpeechOptions, out: Path) -> Plan:
    """A split for each subset that is there. Raises ManifestError where there is none."""
    root = source_folder(source)
    if not _subsets(root) and (root / "LibriSpeech").is_dir():
        root /= "LibriSpeech"
    subsets = _subsets(root)
    if not subsets:
        raise ManifestError(
            f"{root}: holds no subset of LibriSpeech; expected folders like train-clean-100 with "
            "SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt in them."
        )
    index = [path for subset in subsets for path in (root / subset).glob("*/*/*.trans.txt")]
    if (root / _SPEAKERS).exists():
        index.append(root / _SPEAKERS)

    def reader(subset: str) -> Callable[[], Iterator[Utterance | Skipped]]:
        return lambda: _utterances(root, subset, options)

    splits = tuple(Split(subset, repeatable(reader(subset))) for subset in subsets)
    return Plan(splits, sign_files(index), {"licence": "CC BY 4.0"})


def _subsets(root: Path) -> list[str]:
    """Folders with transcripts two levels down."""
    return sorted(
        path.name for path in root.iterdir() if path.is_dir() and next(path.glob("*/*/*.trans.txt"), None) is not None
    )


def _utterances(root: Path, subset: str, options: LibriSpeechOptions) -> Iterator[Utterance | Skipped]:
    genders = _genders(root / _SPEAKERS)
    for speaker in _folders(root / subset):
        for chapter in _folders(speaker):
            told = set()
            for transcripts in sorted(chapter.glob("*.trans.txt")):
                for line, text in text_lines(transcripts):
                    name, _, words = text.partition(" ")
                    parts = name.split("-")
                    if len(parts) != 3 or parts[:2] != [speaker.name, chapter.name] or name in told:
                        place = f"{transcripts}:{line}"
                        wanted = f"{speaker.name}-{chapter.name}-NUMBER (each once) and its words"
                        yield Skipped(place, str(transcripts), f"bad line: {place} expected {wanted}")
                        continue
                    told.add(name)
                    if undecodable(text):
                        yield bad_line(transcripts, line, name)
                        continue
                    words = " ".join(words.split())
                    yield Utterance(
                        audio_filepath=chapter / f"{name}.flac",
                        duration=UNKNOWN,
                        text=words.lower() if options.case == "lower" else words,
                        speaker=speaker.name,
                        lang="en",
                        id=name,
                        fields={"corpus": "librispeech", "subset": subset, "chapter": chapter.name}
                        | ({"gender": genders[speaker.name]} if speaker.name in genders else {}),
                    )
            for path in sorted(chapter.glob("*.flac")):
                if path.stem not in told:
                    yield Skipped(path.stem, str(path), "no transcript")


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _genders(path: Path) -> dict[str, str]:
    """Of the speakers, from lines "ID | SEX | SUBSET | MINUTES | NAME"; empty where the file is missing."""
    genders = {}
    if path.exists():
        for line, text in text_lines(path):
            if text.startswith(";"):
                continue
            cells = [cell.strip() for cell in text.split("|")]
            if len(cells) < 2 or cells[1].lower() not in GENDERS:
                raise ManifestError(f"{path}:{line}: expected 'ID | F or M | SUBSET | MINUTES | NAME', found {text!r}.")
            genders[cells[0]] = GENDERS[cells[1].lower()]
    return genders


CORPUS = Corpus(
    name="librispeech",
    title="LibriSpeech",
    source="the folder LibriSpeech, with SPEAKERS.TXT and folders like train-clean-100 in it",
    options=LibriSpeechOptions,
    plan=plan,
)
