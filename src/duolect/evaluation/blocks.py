"""Which utterances depend on one another: those of a session or of a speaker, where the data say so.

A system that mishears a speaker does so all the time, so utterances of one speaker tell less than as many of different
ones; intervals and tests that take them as independent are too sure (Liu & Peng 2019, arXiv 1912.09508).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duolect.data.manifest import Utterance

FIELDS = ("session", "meeting", "call", "talk", "recording", "parent_id", "speaker")
"""Fields that are looked for, the widest dependence first."""

FEWEST = 10
"""Fewer blocks than these give an interval that cannot be trusted."""


@dataclass(frozen=True)
class Blocks:
    """Utterances that belong together (a speaker's, a meeting's): `of` has the block of each, `name` is the field's.

    An utterance that is not in `of` is a block of its own.
    """

    name: str
    of: Mapping[str, str]


def find_blocks(fields: Mapping[str, Mapping[str, Any]], wanted: str = "auto") -> Blocks | None:
    """The blocks of utterances (id → fields): by the field `wanted`; none for "none".

    "auto": by the first of FIELDS that every utterance has, that has at least FEWEST values and fewer than utterances;
    none where there is no such field. Utterances without a field that was asked for are blocks of their own; None where
    no utterance has it.
    """
    if wanted == "none" or not fields:
        return None
    if wanted != "auto":
        of = _values(fields, wanted)
        return Blocks(wanted, of) if of else None
    for name in FIELDS:
        of = _values(fields, name)
        if len(of) == len(fields) and FEWEST <= len(set(of.values())) < len(of):
            return Blocks(name, of)
    return None


def utterance_fields(utterances: Iterable[Utterance]) -> dict[str, dict[str, Any]]:
    """id → what a manifest says of an utterance, speaker and languages among it."""
    found = {}
    for utterance in utterances:
        own = {name: getattr(utterance, name) for name in ("speaker", "lang", "target_lang")}
        found[utterance.id] = {**utterance.fields, **{name: v for name, v in own.items() if v is not None}}
    return found


def _values(fields: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, str]:
    return {key: str(found[name]) for key, found in fields.items() if found.get(name) not in (None, "")}
