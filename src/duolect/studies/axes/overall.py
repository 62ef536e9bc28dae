"""Integration against combination: the same encoder and the same size of LLM, joined in training or in the search."""

from __future__ import annotations

from duolect.studies.axes.combining import COMMENT, DELAYED, LABELWISE, RESCORING, SOURCE, pair, tuned, whole
from duolect.studies.axes.combining import beam as wide
from duolect.studies.axes.rows import ALONE, INTEGRATION, JOINT, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import Claim, Entry, Study

SYSTEMS = {
    "speech LLM": ALONE,
    "speech LLM + CTC": JOINT,
    "CTC, best path": "ctc-greedy",
    "CTC": "ctc-beam",
    "attention decoder": "attention",
    "attention decoder + CTC": "attention+ctc",
    "CTC + LM, rescoring": RESCORING,
    "CTC + LM, delayed": DELAYED,
    "CTC + LM, label by label": LABELWISE,
}
"""Integrated ones first, then acoustic models, then combinations → the method."""
BUDGET = 4
"""The beam that all share where budgets are to be equal: the one that the speech LLM alone has anyway."""
_CTC = "comment in the authors' recipes, Loquacious test, acoustic model of 4 epochs"
PUBLISHED = {
    "CTC": f"8.10 % ({_CTC})",
    "attention decoder + CTC": f"7.31 % ({_CTC})",
    "CTC + LM, rescoring": f"7.10 % ({COMMENT})",
    "CTC + LM, delayed": f"7.05 % ({COMMENT})",
    "CTC + LM, label by label": f"6.94 % ({COMMENT})",
}


def system(scale: Scale, method: str, seed: int) -> Stage:
    """The scale's models for one of SYSTEMS, with the scales of its method."""
    combined = method in (RESCORING, DELAYED, LABELWISE) or method.startswith("ctc-")
    return tuned(scale, (pair if combined else whole)(scale, seed), method)


def overall(scale: Scale) -> Study:
    """All systems at their usual beams, and those with an LLM or decoder at one beam for all."""

    def entry(name: str, method: str) -> Entry:
        published = PUBLISHED.get(name, "")
        return row(
            scale, name, lambda seed: system(scale, method, seed), method, small_effect=True, published=published
        )

    def limited(name: str, method: str) -> Entry:
        return row(
            scale,
            f"{name}, beam {BUDGET}",
            lambda seed: system(scale, method, seed),
            method,
            small_effect=True,
            changes=wide(scale, method, BUDGET),
        )

    def better(text: str, source: str, one: str, other: str) -> Claim:
        return Claim(text=text, source=source, better=one, worse=other)

    return Study(
        name="overall",
        title="Integration or combination",
        question="Given an encoder and an LLM: train them together, or combine their scores? And with the same effort?",
        scale=scale.name,
        entries=[
            *(entry(name, method) for name, method in SYSTEMS.items()),
            *(
                limited(name, method)
                for name, method in SYSTEMS.items()
                if not method.startswith("ctc-") and wide(scale, method, BUDGET)
            ),
        ],
        claims=[
            better(
                "CTC with an LLM is ahead of a speech LLM with CTC.",
                f"{SOURCE}, of 2026-03-02 (without numbers)",
                "CTC + LM, label by label",
                "speech LLM + CTC",
            ),
            better(
                "An attention decoder with CTC is better than CTC alone.",
                f"{SOURCE}: 7.31 % and 8.10 %",
                "attention decoder + CTC",
                "CTC",
            ),
            better(
                "CTC with an LM, label by label, is better than an attention decoder with CTC.",
                f"{SOURCE}: 6.94 % and 7.31 %",
                "CTC + LM, label by label",
                "attention decoder + CTC",
            ),
            better(
                "Combined label by label is better than by rescoring.",
                f"{SOURCE}: 6.94 % and 7.10 %",
                "CTC + LM, label by label",
                "CTC + LM, rescoring",
            ),
        ],
        notes=[
            (
                "Equal parameters: a speech LLM has the acoustic model's encoder and an LLM of the LM's size, so "
                "that it and CTC + LM differ by the adapter; an attention decoder stands in the LLM's place. "
                "Parameters are those of the models asked: the acoustic model's count its attention decoder, though "
                "CTC + LM has no use for it."
            ),
            (
                f"Equal budget: rows with a beam of {BUDGET} keep as many hypotheses, each of which the LLM hears "
                "once a label; what that costs is in the columns of speed. Scales are tuned on dev at the usual beam."
            ),
            (
                f"{INTEGRATION} compares them in its tables, which are not at hand; an automatic summary of it says "
                "the opposite of the authors' comment."
            ),
        ],
        panel=("any",),
    )
