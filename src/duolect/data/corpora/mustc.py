"""MuST-C: TED talks in English with transcripts and translations, cut into sentences.

en-de/data/SPLIT/wav/ted_767.wav       a talk
en-de/data/SPLIT/txt/SPLIT.yaml        a segment a line: duration, offset, speaker_id, wav
en-de/data/SPLIT/txt/SPLIT.en, .de     its transcript and translation, on the same line
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolect.data.corpora.base import Corpus, Plan, Split, repeatable, sign_files, source_folder
from duolect.data.corpora.lines import bad_line, text_lines, undecodable
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import ManifestError

_ORDER = ("train", "dev", "tst-COMMON", "tst-HE")
_PAIR = re.compile(r"[a-z]{2,3}-[a-z]{2,3}")
# A segment as all releases write it; anything else goes through a YAML parser, which takes a hundred times as long.
_FLOW = re.compile(r"-\s*\{([^{}\[\]'\"]*)\}")


@dataclass(frozen=True, kw_only=True)
class MustCOptions:
    """Options of `mustc`."""

    target: str | None = None
    """Language of the translations (de, es …), where SOURCE holds more than one."""


def plan(source: str, options: MustCOptions, out: Path) -> Plan:
    """A split for each folder of data/. Raises ManifestError where segments and texts do not go together."""
    data, pair = _data_folder(source_folder(source), options.target)
    spoken, target = pair.split("-")
    names = sorted(
        (path.parent.parent.name for path in data.glob("*/txt/*.yaml") if path.stem == path.parent.parent.name),
        key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name),
    )
    if not names:
        raise ManifestError(f"{data}: holds no split; expected SPLIT/txt/SPLIT.yaml, as data/train/txt/train.yaml.")
    files, totals = [], {}
    for name in names:
        stem = data / name / "txt" / name
        counts = {}
        for suffix in ("yaml", spoken, target):
            path = stem.with_name(f"{name}.{suffix}")
            counts[path] = sum(1 for _ in (_entries(path) if suffix == "yaml" else text_lines(path, blank=True)))
            files.append(path)
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{path.name} {count}" for path, count in counts.items())
            raise ManifestError(f"{stem.parent}: segments and lines of text do not go together: {told}.")
        totals[name] = next(iter(counts.values()))

    def reader(name: str) -> Callable[[], Iterator[Utterance | Skipped]]:
        return lambda: _utterances(data / name, spoken, target)

    splits = tuple(Split(name, repeatable(reader(name)), total=totals[name]) for name in names)
    return Plan(splits, sign_files(files), {"pair": pair, "licence": "CC BY-NC-ND 4.0"})


def _data_folder(root: Path, target: str | None) -> tuple[Path, str]:
    """The folder of splits and the pair of languages, wherever in the corpus `root` is."""
    if root.name == "data" and _PAIR.fullmatch(root.parent.name):
        root = root.parent
    pairs = [root] if _PAIR.fullmatch(root.name) else sorted(p for p in root.glob("*-*/") if _PAIR.fullmatch(p.name))
    pairs = [path for path in pairs if (path / "data").is_dir()]
    if target is not None:
        pairs = [path for path in pairs if path.name.endswith(f"-{target}")]
    if len(pairs) != 1:
        found = f"holds {', '.join(path.name for path in pairs)}; say which by target" if pairs else "holds none"
        wanted = "" if target is None else f" into {target!r}"
        raise ManifestError(f"{root}: expected one folder like en-de/data{wanted}; {found}.")
    return pairs[0] / "data", pairs[0].name


def _entries(path: Path) -> Iterator[tuple[int, str]]:
    """The entries of a YAML list with the line each begins in; not parsed."""
    begun, held = 0, ""
    for line, text in text_lines(path):
        if text.startswith("-") or not begun:
            if begun:
                yield begun, held
            begun, held = line, text
        else:  # in block style, an entry goes on in further lines
            held += f"\n  {text}"
    if begun:
        yield begun, held


def _utterances(folder: Path, spoken: str, target: str) -> Iterator[Utterance | Skipped]:
    name = folder.name
    segments = folder / "txt" / f"{name}.yaml"
    files = [folder / "txt" / f"{name}.{lang}" for lang in (spoken, target)]
    texts = (text_lines(path, blank=True) for path in files)
    counts: dict[str, int] = {}
    for (line, entry), (text_line, text), (_, translation) in zip(_entries(segments), *texts, strict=True):
        place = f"{segments}:{line}"
        if undecodable(entry):
            yield bad_line(segments, line)
            continue
        try:
            segment = _segment(entry)
        except ValueError as error:
            yield Skipped(place, str(segments), f"bad line: {place} {error}")
            continue
        talk = Path(segment["wav"]).stem
        number = counts[talk] = counts.get(talk, -1) + 1
        identity = f"{talk}_{number}"
        if mangled := [path for path, held in zip(files, (text, translation), strict=True) if undecodable(held)]:
            yield bad_line(mangled[0], text_line, identity)
            continue
        if not translation:
            yield Skipped(identity, str(segments), "no translation")
            continue
        yield Utterance(
            audio_filepath=folder / "wav" / segment["wav"],
            offset=segment["offset"],
            duration=segment["duration"],
            text=text,
            speaker=segment["speaker_id"],
            lang=spoken,
            translation=translation,
            target_lang=target,
            id=identity,
            fields={"corpus": "mustc", "talk": talk},
        )


def _segment(entry: str) -> dict[str, Any]:
    """The values of one segment. Raises ValueError, saying what is wrong with it."""
    if match := _FLOW.fullmatch(entry):
        cells = (cell.partition(":") for cell in match[1].split(","))
        found: Any = {key.strip(): value.strip() for key, _, value in cells}
    else:
        import yaml

        try:
            value = yaml.safe_load(entry)
        except yaml.YAMLError:
            raise ValueError(f"is not valid YAML: {entry!r}") from None
        found = value[0] if isinstance(value, list) and len(value) == 1 else None
    if not isinstance(found, dict) or any(not found.get(key) for key in ("wav", "speaker_id")):
        raise ValueError(f"expected '- {{duration: …, offset: …, speaker_id: …, wav: …}}', found {entry!r}")
    segment = {"wav": str(found["wav"]), "speaker_id": str(found["speaker_id"])}
    for key in ("offset", "duration"):
        try:
            seconds = float(found[key])
        except (KeyError, TypeError, ValueError):
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise ValueError(f"expected {key} in seconds, found {found.get(key)!r}")
        segment[key] = seconds
    return segment


CORPUS = Corpus(
    name="mustc",
    title="MuST-C",
    source="the folder en-de (or another pair), or the one it lies in",
    options=MustCOptions,
    plan=plan,
)
