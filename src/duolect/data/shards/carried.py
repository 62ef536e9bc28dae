"""A batch on its way from its shard to the worker that decodes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from duolect.data.manifest import Utterance


@dataclass(frozen=True, slots=True)
class CarriedBatch:
    """Utterances, and the encoded sound file of each (None: not at hand)."""

    utterances: list[Utterance]
    sounds: Sequence[bytes | None] = field(repr=False)
