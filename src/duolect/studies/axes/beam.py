"""How wide a beam each method needs, and what that costs."""

from __future__ import annotations

from duolect.studies.axes.combining import DELAYED, LABELWISE, RESCORING, SOURCE, pair, tuned, whole
from duolect.studies.axes.combining import beam as wide
from duolect.studies.axes.rows import JOINT, grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import ALIKE, Claim, Entry, Study

OVER_FRAMES, OVER_LABELS = (1, 4, 8, 16, 32, 64), (1, 2, 4, 8, 16)
"""Beams of searches over frames and over labels; the usual one of a method is always one of them."""
COMBINED = {
    "ctc-beam": "CTC",
    RESCORING: "CTC + LM, rescoring",
    DELAYED: "CTC + LM, delayed, every 20 frames",
    LABELWISE: "CTC + LM, label by label",
}
INTEGRATED = {"attention": "attention decoder", "attention+ctc": "attention decoder + CTC", JOINT: "speech LLM + CTC"}


def beam(scale: Scale) -> Study:
    """Every method at several beams, under the scales that were tuned for it at its usual one."""

    def entries(method: str, name: str) -> list[Entry]:
        usual = scale.search(method)
        sizes = sorted({usual.beam, *(OVER_FRAMES if usual.first_pass == "frames" else OVER_LABELS)})

        def system(seed: int) -> Stage:
            return tuned(scale, (pair if method in COMBINED else whole)(scale, seed), method)

        return [
            row(
                scale,
                f"{name}, beam {size}",
                system,
                method,
                value=size,
                line=name,
                changes=wide(scale, method, size),
            )
            for size in sizes
        ]

    joint = INTEGRATED[JOINT]
    return Study(
        name="beam",
        title="Beam size and speed",
        question="How wide must the beam be, and what does each doubling cost in speed?",
        scale=scale.name,
        axis="beam",
        entries=grouped(
            [
                *(entries(method, name) for method, name in COMBINED.items()),
                *(entries(method, name) for method, name in INTEGRATED.items()),
            ]
        ),
        claims=[
            Claim(
                text="A speech LLM with CTC does not gain from a larger beam.",
                source=f"{SOURCE}, of 2026-03-02",
                better=f"{joint}, beam 4",
                worse=f"{joint}, beam 16",
                margin=ALIKE,
                one_sided=True,
            )
        ],
        notes=[
            (
                "Scales are tuned on dev at the method's usual beam. Rescoring has as many hypotheses to choose from "
                "as the beam is wide; with a beam of 1 it is CTC alone."
            ),
            (
                "The recipes use beams of 64 for CTC + LM and of 4 for speech LLM + CTC; no error rate of theirs tells "
                "the same system at several beams, but for the attention decoder: no difference from 12 to 64."
            ),
        ],
    )
