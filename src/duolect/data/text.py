"""Text for language models: encoded once, kept in one flat array, batched by length.

Tensor names: B sentences, N labels.
"""

from __future__ import annotations

import gzip
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from duolect.data.manifest import read_manifest
from duolect.data.skips import SkipLog, Skipped
from duolect.data.stream import BatchStream, stable_seed
from duolect.errors import ConfigError, ManifestError, UnitsError

if TYPE_CHECKING:
    from duolect.text import Units

# Sentences that are sorted by length together: enough for even batches, few enough that an epoch stays well shuffled.
_WINDOW = 50_000
_MANIFESTS = (".jsonl", ".json")


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Sentences as padded tensors.

    `labels_BN`: int64 without BOS and EOS, padded with 0, `label_lengths_B` of them valid; `seeds_B`: int64, for what
    is random about a sentence in this epoch; `ids`: "file:line" of each, or "sentence n".
    """

    ids: tuple[str, ...]
    labels_BN: Tensor
    label_lengths_B: Tensor
    seeds_B: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: str | torch.device, non_blocking: bool = False) -> TextBatch:
        """The same batch with its labels on `device`; the seeds are only ever used on the CPU."""
        return replace(
            self,
            labels_BN=self.labels_BN.to(device, non_blocking=non_blocking),
            label_lengths_B=self.label_lengths_B.to(device, non_blocking=non_blocking),
        )


def read_text(files: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """The sentences of text files, one a line, without the white space round them; blank lines are passed over.

    Files are UTF-8, or gzip of that where the name ends in .gz. Of a manifest (.jsonl, or .json as NeMo calls it) the
    texts are taken. Raises ManifestError naming the file that cannot be read, or file and line of what is not UTF-8.
    """
    for file in files:
        for _, sentence in numbered_text(Path(file)):
            yield sentence


def numbered_text(path: Path) -> Iterator[tuple[int, str]]:
    """Line (from 1) and sentence of one file; as `read_text`."""
    if path.suffix in _MANIFESTS:
        yield from ((u.line, text) for u in read_manifest(path) if (text := u.text.strip()))
        return
    if path.suffix == ".gz" and Path(path.stem).suffix in _MANIFESTS:  # its lines are no sentences
        raise ManifestError(f"{path}: is a compressed manifest; unpack it (gunzip) to take its texts.")
    line = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as handle:
            for line, raw in enumerate(handle, start=1):
                if sentence := raw.decode("utf-8-sig" if line == 1 else "utf-8").strip():
                    yield line, sentence
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}:{line}: not valid UTF-8 (byte {error.start + 1}).") from error
    except (OSError, EOFError, zlib.error) as error:
        raise ManifestError(
            f"{path}: the text cannot be read ({getattr(error, 'strerror', None) or error})."
        ) from error


def fitting_labels(sentence: str, units: Units, positions: int | None) -> list[int]:
    """The labels of a sentence. Raises UnitsError for one that the units cannot spell, and for one that, with BOS,
    takes more than so many positions of an LLM (None: any number)."""
    labels = units.encode(sentence)
    if positions is not None and len(labels) >= positions:
        raise UnitsError(f"its {len(labels)} labels and BOS take more positions than the LLM has, {positions}.")
    return labels


class TextBatches(BatchStream[TextBatch]):
    """Batches of sentences of similar length for a language model: endless, or `epochs` passes; reshuffled each epoch.

    `source`: paths (`pathlib.Path`) of text files and sentences (`str`), in any mixture. All is encoded here, once, and
    kept with 4 bytes a label and 28 a sentence. A batch holds at most `max_tokens` positions, padding and one EOS a
    sentence included. Sentences that the units cannot spell, or that are longer than that or than the `positions` of an
    LLM, are noted in `skipped` by file and line. Sequence and places are as `BatchStream` says: they depend on neither
    `rank` nor `world_size`.
    With `shuffle=False` (perplexities) each pass has the same order and, on several ranks, loses no sentence.
    Raises ManifestError when a file cannot be read or no sentence is left.
    """

    def __init__(
        self,
        source: Iterable[str | Path],
        units: Units,
        max_tokens: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        epochs: int | None = None,
        shuffle: bool = True,
        skipped: SkipLog | None = None,
        positions: int | None = None,
    ) -> None:
        super().__init__(rank=rank, world_size=world_size, epochs=epochs, even=shuffle)
        if max_tokens < 2:
            raise ConfigError(f"max_tokens must be at least 2, a label and its end, not {max_tokens}.")
        if isinstance(source, str | Path):
            raise ConfigError(f"The text must be a list of files or sentences, not one: {str(source)[:60]!r}.")
        self.max_tokens, self.seed, self.shuffle = max_tokens, seed, shuffle
        self.skipped = SkipLog() if skipped is None else skipped
        self._files: list[str] = []
        labels, ends, files, lines = array("i"), array("q", [0]), array("i"), array("q")
        for file, line, sentence in self._sentences(source):
            try:
                ids = fitting_labels(sentence, units, positions)
                if len(ids) >= max_tokens:
                    raise UnitsError(f"its {len(ids)} labels and the end are more than max_tokens, {max_tokens}.")
            except UnitsError as error:
                self.skipped.extend([Skipped(self._name(file, line), self._files[file], str(error))])
                continue
            labels.extend(ids)
            ends.append(len(labels))
            files.append(file)
            lines.append(line)
        if len(ends) == 1:
            raise ManifestError(f"No sentence is left to batch: {self.skipped.summary()}.")
        self._labels = np.frombuffer(labels, np.int32) if labels else np.zeros(0, np.int32)
        self._ends, self._file, self._line = (np.asarray(a) for a in (ends, files, lines))
        self._lengths = np.diff(self._ends).astype(np.int64)

    def __len__(self) -> int:
        """Sentences in an epoch."""
        return len(self._lengths)

    @property
    def label_count(self) -> int:
        """Labels in an epoch, EOS not counted."""
        return len(self._labels)

    @property
    def content(self) -> tuple[memoryview, memoryview]:
        """All labels of an epoch's sentences, and where each of these ends."""
        return self._labels.data, self._ends.data

    def _sentences(self, source: Iterable[str | Path]) -> Iterator[tuple[int, int, str]]:
        """File number, line (from 1) and sentence; the sentences given as such come from a file without a name."""
        number = 0
        given: int | None = None
        for each in source:
            if isinstance(each, Path):
                self._files.append(str(each))
                file = len(self._files) - 1
                for line, sentence in numbered_text(each):
                    yield file, line, sentence
            else:
                number += 1
                if given is None:
                    self._files.append("")
                    given = len(self._files) - 1
                if each.strip():
                    yield given, number, each.strip()

    def _name(self, file: int, line: int) -> str:
        return f"{self._files[file]}:{line}" if self._files[file] else f"sentence {line}"

    def epoch_batches(self, epoch: int) -> Iterator[TextBatch]:
        """All batches of one epoch, for all ranks together."""
        return self.skip_batches(epoch, 0)

    def skip_batches(self, epoch: int, count: int) -> Iterator[TextBatch]:
        """The batches of one epoch but for the first `count`; those passed over are not put together."""
        for number, chosen in enumerate(self._plan(epoch)):
            if number >= count:
                yield self._batch(chosen, epoch)

    def _plan(self, epoch: int) -> Iterator[np.ndarray]:
        """Sentence numbers of each batch: a shuffled epoch in windows, each sorted by length, cut up, and shuffled."""
        rng = np.random.Generator(np.random.PCG64(stable_seed(self.seed, epoch)))
        order = rng.permutation(len(self)) if self.shuffle else np.arange(len(self))
        for start in range(0, len(order), _WINDOW):
            window = order[start : start + _WINDOW]
            window = window[np.argsort(self._lengths[window], kind="stable")]
            cuts = _cuts(self._lengths[window] + 1, self.max_tokens)
            batches = np.split(window, cuts)
            for number in rng.permutation(len(batches)) if self.shuffle else range(len(batches)):
                yield batches[number]

    def _batch(self, chosen: np.ndarray, epoch: int) -> TextBatch:
        lengths = self._lengths[chosen]
        labels_BN = np.zeros((len(chosen), lengths.max(initial=0)), np.int64)
        for row, (sentence, length) in enumerate(zip(chosen.tolist(), lengths.tolist(), strict=True)):
            start = self._ends[sentence]
            labels_BN[row, :length] = self._labels[start : start + length]
        seeds = [stable_seed(self.seed, epoch, sentence) for sentence in chosen.tolist()]
        return TextBatch(
            ids=tuple(self._name(self._file[sentence], self._line[sentence]) for sentence in chosen.tolist()),
            labels_BN=torch.from_numpy(labels_BN),
            label_lengths_B=torch.from_numpy(lengths),
            seeds_B=torch.tensor(seeds, dtype=torch.int64),
        )


def _cuts(lengths: np.ndarray, max_tokens: int) -> list[int]:
    """Where to cut ascending lengths, each at most `max_tokens`, so that no part has more than that, padded."""
    cuts, start, total = [], 0, len(lengths)
    while True:
        # rows * longest ascends with the number of rows, so the last that fits is found by bisection.
        most = min(total - start, max_tokens // int(lengths[start]))
        padded = lengths[start : start + most] * np.arange(1, most + 1)
        start += int(np.searchsorted(padded, max_tokens, side="right"))
        if start >= total:
            return cuts
        cuts.append(start)
