"""The label units of a speech LLM, and those of its CTC heads.

arXiv 2603.15045 has the LLM write its own labels (Qwen's vocabulary), or replaces its embeddings by ones for the
acoustic model's SentencePiece labels; in a mixed system CTC keeps the latter while the LLM writes its own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from duolect.studies.axes.rows import ALONE, HOW, JOINT, NO_TABLE, grouped, row
from duolect.studies.scales.base import LabelUnits, Scale
from duolect.studies.study import Entry, Study

SHARED: dict[LabelUnits, str] = {
    "acoustic": "the acoustic model's pieces",
    "llm": "the LLM's own labels",
    "characters": "characters",
}
MIXED: dict[str, dict[str, Any]] = {
    "the LLM's own labels, CTC in the acoustic model's": {"units": "llm", "ctc": "acoustic"},
    "the acoustic model's pieces, CTC in phonemes": {"units": "acoustic", "ctc": "phonemes"},
}
AFTER = {"ctc": "speech_llm", "after": {"ctc": 1.0}, "length_exponent": 0.0}
"""CTC of other units has its say on the speech LLM's n-best list: one search cannot spell both."""


def units(scale: Scale) -> Study:
    """LLM and CTC in the same units, which one search can join, and in different ones."""
    same = {name: partial(scale.speech_llm, units=kind) for kind, name in SHARED.items()}
    mixed = {name: partial(scale.speech_llm, **kinds) for name, kinds in MIXED.items()}
    beam = scale.search(JOINT).beam
    groups: list[list[Entry]] = []
    for how, method in HOW.items():
        joined = how != "alone"
        entries = [
            row(scale, f"{name}, {how}", system, method, facts={"CTC": "in one pass"} if joined else {})
            for name, system in same.items()
        ]
        entries += [
            row(
                scale,
                f"{name}, {how}",
                system,
                ALONE,
                facts={"CTC": "on the n-best list"} if joined else {},
                changes={**AFTER, "beam": beam, "nbest": beam} if joined else {},
            )
            for name, system in mixed.items()
        ]
        groups.append(entries)
    return Study(
        name="units",
        title="Label units",
        question="Which labels should a speech LLM write, and must its CTC heads speak the same?",
        scale=scale.name,
        entries=grouped(groups),
        notes=[
            NO_TABLE,
            (
                "CTC heads of the acoustic model's units start from the acoustic model's, all others begin anew. CTC "
                f"of other units than the LLM's scores the n-best list of the speech LLM, of beam {beam}, with the "
                "same weight."
            ),
        ],
    )
