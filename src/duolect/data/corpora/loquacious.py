"""Loquacious (speechbrain/LoquaciousSet on the hub; LargeScaleASR before): English, read and spontaneous.

Columns ID, duration, wav, spk_id, sex, text. Development and test set stand beside four training sets of which each is
part of the next larger one; all are folders of parquet files. A training set needs no manifest: training reads the
folder as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from duolect.data.corpora.base import Corpus, Plan
from duolect.data.corpora.columns import ColumnOptions
from duolect.data.corpora.huggingface import CopyOptions, table_splits
from duolect.data.corpora.tables import is_local, open_data_set, parquet_set, pinned
from duolect.errors import ConfigError, ManifestError

HUB = "speechbrain/LoquaciousSet"
Subset = Literal["small", "medium", "clean", "large"]
HOURS = {"small": 250, "medium": 2500, "clean": 13_000, "large": 25_000}
_COLUMNS = ColumnOptions(
    audio_column="wav", text_column="text", id_column="ID", speaker_column="spk_id", duration_column="duration"
)


@dataclass(frozen=True)
class LoquaciousOptions(CopyOptions):
    """Options of `loquacious`."""

    subsets: tuple[Subset, ...] = ()
    """Training sets that are to have a manifest, too (train-small.jsonl …): small has 250 hours, medium 2,500, clean
    13,000 and large 25,000. Training does not need one: give it the folder of the set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.subsets:
            if name not in get_args(Subset):
                raise ConfigError(f"subsets: there is no training set {name!r}; they are {', '.join(HOURS)}.")


def plan(source: str, options: LoquaciousOptions, out: Path, begun: Any = None) -> Plan:
    """The splits dev and test, and train-NAME for each subset that is wanted."""
    wanted = ["dev", "test", *options.subsets]
    constants = {"lang": "en"}
    names = {part: part if part in ("dev", "test") else f"train-{part}" for part in wanted}
    if is_local(source):
        folder = Path(os.path.abspath(os.path.expanduser(source)))
        found = {names[part]: sorted((folder / part).glob("*.parquet")) for part in wanted}
        for part in options.subsets:
            if not found[names[part]]:
                raise ManifestError(f"{folder / part}: has no parquet files; fetch the training set {part!r} first.")
        present = {name: files for name, files in found.items() if files}
        if not present:
            raise ManifestError(
                f"{source}: has no parquet files in dev, test; expected a copy of {HUB} "
                f"(hf download --repo-type dataset {HUB} --include 'dev/*' 'test/*' --local-dir FOLDER)."
            )
        data = parquet_set(present)
        splits = table_splits(source, data, _COLUMNS, options, out, constants=constants)
        trained = {part: str(folder / part) for part in HOURS if (folder / part).is_dir()}
        notes = {"training_folders": trained, "missing": [name for name, files in found.items() if not files]}
        return Plan(splits, data.signature, notes)
    sets = {part: open_data_set(source, config=part, revision=pinned(begun)) for part in options.subsets or ("small",)}
    first = next(iter(sets.values()))
    splits = table_splits(
        source, first, _COLUMNS, options, out, names={"dev": "dev", "test": "test"}, constants=constants
    )
    for part in options.subsets:
        splits += table_splits(
            source, sets[part], _COLUMNS, options, out, names={names[part]: "train"}, constants=constants
        )
    return Plan(splits, [data.signature for data in sets.values()], first.notes)


CORPUS = Corpus(
    name="loquacious",
    title="Loquacious, 25,000 hours of English",
    source=f"the folder of a copy of {HUB}, or that name to fetch it from the hub",
    options=LoquaciousOptions,
    plan=plan,
    pins=True,
)
