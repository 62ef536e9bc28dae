"""How the LLM of a speech LLM attends to the audio.

Both papers compare ways to let a decoder see the encoder's states: as a prefix of its input (causal, or with the audio
positions seeing each other), merged into the keys and values of self-attention, or by cross-attention blocks.
"""

from __future__ import annotations

from functools import partial

from duolect.studies.axes.rows import HOW, INTEGRATION, KEY_VALUES, PREPENDING, UNTUNED, grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.study import ALIKE, Claim, Study

INTERFACES = {
    "prefix": "prefix, causal",
    "bidirectional": "prefix, audio bidirectional",
    "merged": "merged self-attention",
    "cross": "cross-attention",
}
PUBLISHED = {
    "prefix": f"10.3 % (MuST-C en, {PREPENDING}, Table 1, line 5)",
    "bidirectional": f"10.6 % (MuST-C en, {PREPENDING}, Table 3)",
    "cross": f"10.4 % (MuST-C en, {PREPENDING}, Table 1, line 4)",
}
"""Of attention decoders over a Conformer with CTC, trained from scratch and searched without CTC."""


def interface(scale: Scale) -> Study:
    """Every interface, otherwise equal, with and without CTC in the search."""
    return Study(
        name="interface",
        title="Attention interfaces",
        question="Does it matter how the LLM attends to the audio: as a prefix, merged, or by cross-attention?",
        scale=scale.name,
        entries=grouped(
            [
                row(
                    scale,
                    f"{title}, {how}",
                    partial(scale.speech_llm, interface=kind),
                    method,
                    small_effect=True,
                    memory=True,
                    published=PUBLISHED.get(kind, "") if how == "alone" else "",
                )
                for kind, title in INTERFACES.items()
            ]
            for how, method in HOW.items()
        ),
        claims=[
            Claim(
                text="Behind a deep encoder with CTC, prepended audio and cross-attention are alike.",
                source=f"{PREPENDING}, Table 1, lines 4 and 5",
                better="prefix, causal, alone",
                worse="cross-attention, alone",
                margin=ALIKE,
            ),
            Claim(
                text="Behind a deep encoder with CTC, it makes no difference whether the audio is masked causally.",
                source=f"{PREPENDING}, Table 3",
                better="prefix, causal, alone",
                worse="prefix, audio bidirectional, alone",
                margin=ALIKE,
            ),
        ],
        notes=[
            UNTUNED,
            KEY_VALUES,
            (
                f"The published numbers are of decoders trained from scratch, without an LLM. {INTEGRATION} compares "
                "interfaces of an LLM too; its table is not at hand."
            ),
        ],
    )
