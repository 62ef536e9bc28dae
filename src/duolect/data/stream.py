"""An endless sequence of batches, dealt to the ranks of a distributed run, that can be taken up at any place."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from duolect.errors import ConfigError, DuolectError, TrainingError

Batch = TypeVar("Batch")


def stable_seed(*parts: int | str) -> int:
    """A seed in [0, 2^63) that depends on the parts alone, in every process and version of Python."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is in its data: this many global batches (of all ranks together) of this epoch are done with."""

    epoch: int = 0
    consumed: int = 0


@dataclass(frozen=True, slots=True)
class Dealt(Generic[Batch]):
    """A batch for this rank, the epoch it belongs to, and the place all ranks are at once it has been trained on."""

    batch: Batch
    epoch: int
    after: Place


class BatchStream(ABC, Generic[Batch]):
    """Global batches 0, 1, 2 ... of endless epochs, of which rank r of W gets r, W+r, 2W+r ...: the same for any W.

    The count runs on from one epoch into the next, so every rank has as many steps as the others and no batch is lost
    at the end of an epoch. Only where `epochs` ends the sequence may fewer than W batches be over: they are left out if
    `even`, so that no rank waits for another (`world_size` 1 never loses any), and else go to the first ranks.

    Iterating goes on from the place where the stream stands (after the last epoch: from the beginning again).
    """

    def __init__(self, *, rank: int, world_size: int, epochs: int | None, even: bool) -> None:
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank must be from 0 to world_size - 1 = {world_size - 1}, not {rank}.")
        if epochs is not None and epochs < 1:
            raise ConfigError(f"epochs must be at least 1, or none for an endless sequence, not {epochs}.")
        self.rank, self.world_size, self.epochs, self.even = rank, world_size, epochs, even
        self._place, self._ended = self.epoch_start(0), False
        self._fingerprint: str | None = None
        self._called = ""

    def bind(self, contents: Iterable[bytes | memoryview], name: str) -> None:
        """Let places hold for these contents alone; `name` is what an error calls them.

        `state_dict` then has 16 hex digits over them under "data", and `load_state_dict` refuses a place in others.
        """
        digest = hashlib.blake2b(digest_size=8)
        for part in contents:
            digest.update(len(part).to_bytes(8))
            digest.update(part)
        self._fingerprint, self._called = digest.hexdigest(), name

    def epoch_start(self, epoch: int) -> Place:
        """The place where an epoch begins."""
        return Place(epoch)

    @abstractmethod
    def epoch_batches(self, epoch: int) -> Iterator[Batch]:
        """All global batches of one epoch, the same on every rank and each time."""

    def skip_batches(self, epoch: int, count: int) -> Iterator[Batch]:
        """The global batches of one epoch but for the first `count`."""
        batches = self.epoch_batches(epoch)
        for _ in range(count):
            if next(batches, None) is None:
                break
        return batches

    def batches_from(self, place: Place) -> Iterator[tuple[Batch, Place]]:
        """The global batches of an epoch from `place` on, each with the place behind it."""
        behind = enumerate(self.skip_batches(place.epoch, place.consumed), start=place.consumed + 1)
        return ((batch, Place(place.epoch, consumed)) for consumed, batch in behind)

    def deal(self, place: Place | None = None) -> Iterator[Dealt[Batch]]:
        """This rank's batches from `place` (by default where the stream stands) on, leaving the stream where it stands.

        Raises DuolectError when an epoch has no batches at all.
        """
        place = self._place if place is None else place
        hand: list[tuple[Batch, int]] = []
        while self.epochs is None or place.epoch < self.epochs:
            for batch, behind in self.batches_from(place):
                place = behind
                hand.append((batch, place.epoch))
                if len(hand) == self.world_size:
                    yield Dealt(*hand[self.rank], place)
                    hand = []
            if not place.consumed:
                raise DuolectError("There is nothing to batch: no utterance or sentence is left.")
            place = self.epoch_start(place.epoch + 1)
        if not self.even and self.rank < len(hand):
            yield Dealt(*hand[self.rank], place)

    def __iter__(self) -> Iterator[Batch]:
        for dealt in self.deal(self.begin()):
            self.advance(dealt.after)
            yield dealt.batch
        self.end()

    def begin(self) -> Place:
        """The place to go on from; the very beginning when the last epoch was over."""
        if self._ended:
            self._place, self._ended = self.epoch_start(0), False
        return self._place

    def advance(self, place: Place) -> None:
        """Note that all up to `place` was handed out."""
        self._place = place

    def end(self) -> None:
        """Note that the last epoch is over: iterating once more begins anew."""
        self._place, self._ended = self.epoch_start(self.epochs or 0), True

    def state_dict(self) -> dict[str, Any]:
        """The place after the batches handed out so far: {"epoch", "consumed"}, with "data" where the stream is bound;
        the same on all ranks after a step."""
        bound = {} if self._fingerprint is None else {"data": self._fingerprint}
        return {"epoch": self._place.epoch, "consumed": self._place.consumed, **bound}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken, be it with another `world_size`.

        Raises TrainingError when `state` names no place, or one in other data than the stream is bound to.
        """
        place = place_of(state)
        if self._fingerprint is not None and state.get("data", self._fingerprint) != self._fingerprint:
            raise TrainingError(
                f"{self._called}: what is trained on is not what this run began with: something was added, removed or "
                "changed; the run can only go on with the same data, in the same order."
            )
        self._place, self._ended = place, False


def place_of(state: Mapping[str, Any]) -> Place:
    """The place that a state dict names. Raises TrainingError when it names none."""
    epoch, consumed = (state.get(key) for key in ("epoch", "consumed"))
    if not (isinstance(epoch, int) and isinstance(consumed, int) and epoch >= 0 and consumed >= 0):
        raise TrainingError(f'The place in the data must be {{"epoch": …, "consumed": …}}, not {state!r}.')
    return Place(epoch, consumed)
