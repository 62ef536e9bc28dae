"""CTC in the search of a speech LLM: how much of it, and what it does against dropped and invented words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolect.studies.axes.combining import changed
from duolect.studies.axes.rows import ALONE, INTEGRATION, JOINT, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import Claim, Entry, Study

WEIGHTS = (0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 4.0)
PANEL = ("any", "insertions", "loop", "long", "unfinished", "short")
_COMMENT = "LibriSpeech dev-other, a comment in the authors' recipes"


def joint_ctc(scale: Scale) -> Study:
    """The same search with CTC of several weights, that of the speech LLM being 1; its extremes; the decoder too."""

    def entry(name: str, method: str, changes: Mapping[str, Any] | None = None, **fields: Any) -> Entry:
        return row(scale, name, scale.speech_llm, method, small_effect=True, changes=changes or {}, **fields)

    def weighted(weight: float) -> Entry:
        # Without CTC there are none of its candidates and frames; all else is the same search.
        without = changed(scale, JOINT, candidates=None, collapse=None) if not weight else {}
        return entry(f"CTC {weight:g}", JOINT, {"inside": {"ctc": weight}, **without}, value=weight)

    def system(seed: int) -> Stage:
        return scale.system(seed, "acoustic", "language", "speech_llm")

    def tuned(seed: int) -> Stage:
        return scale.tuned(system(seed), JOINT)

    return Study(
        name="joint-ctc",
        title="CTC in the search of a speech LLM",
        question="How much say should CTC have, and does it keep the speech LLM from dropping and inventing words?",
        scale=scale.name,
        axis="CTC weight",
        entries=[
            entry("speech LLM alone, α 1", ALONE),
            *map(weighted, WEIGHTS),
            row(scale, "weights tuned on dev", tuned, JOINT, small_effect=True),
            entry("its CTC head alone", "ctc-beam"),
            row(
                scale,
                "attention decoder alone, α 1",
                scale.acoustic,
                "attention",
                small_effect=True,
                published=f"4.71 % ({_COMMENT})",
            ),
            row(
                scale,
                "attention decoder and CTC",
                scale.acoustic,
                "attention+ctc",
                against="attention decoder alone, α 1",
                small_effect=True,
                published=f"4.06 % ({_COMMENT})",
            ),
        ],
        claims=[
            Claim(
                text="An attention decoder gains from CTC in its search.",
                source=f"the authors' public recipes for {INTEGRATION}, a comment (LibriSpeech: 4.71, 4.06 %)",
                better="attention decoder and CTC",
                worse="attention decoder alone, α 1",
            ),
        ],
        notes=[
            f"For the speech LLM {INTEGRATION} has joint recognition with CTC too; its numbers are not at hand.",
            "The weight of CTC is that in the search, where the speech LLM has 1.",
            "CTC 0 is the speech LLM alone without length normalisation, which favours short hypotheses.",
        ],
        details=["errors"],
        panel=PANEL,
    )
