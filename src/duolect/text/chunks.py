"""Chunks of a recording: the fields that say so, and whether their text is the whole recording's or their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PARENT, INDEX = "parent_id", "chunk_index"
# Two parts may well have a few words alike, or none, each of its own: up to so many characters tell nothing.
_BY_CHANCE = 20


def parent_of(fields: Mapping[str, Any]) -> str | None:
    """The recording of which something with these fields is a chunk; None: it is no chunk."""
    parent = fields.get(PARENT)
    return None if parent is None or INDEX not in fields else str(parent)


def same_text(parts: Sequence[str]) -> bool:
    """Whether parts of a recording have the same text, but for white space."""
    return len({" ".join(part.split()) for part in parts}) == 1


def is_whole_text(parts: Sequence[str]) -> bool:
    """Whether each of several parts of a recording has the whole recording's text rather than one of its own: all have
    the same, and it is longer than what may be said twice."""
    return len(parts) > 1 and same_text(parts) and len(" ".join(parts[0].split())) > _BY_CHANCE
