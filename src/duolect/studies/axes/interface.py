"""How the LLM of a speech LLM attends to the audio.

Both papers compare ways to let a decoder see the encoder's states: as a prefix of its input (causal, or with the audio
positions seeing each other), merged into the keys and values of self-attention, or by cross-attention blocks.
"""

from __future__ import annotations

from duolect.studies.scales.base import Scale
from duolect.studies.study import Entry, Study

INTERFACES = {
    "prefix": "prefix, causal",
    "bidirectional": "prefix, audio bidirectional",
    "merged": "merged self-attention",
    "cross": "cross-attention",
}
METHODS = {"with CTC": "speech-llm+ctc", "alone": "speech-llm"}


def interface(scale: Scale) -> Study:
    """Every interface, otherwise equal, with and without CTC in the search."""

    def entry(kind: str, how: str) -> Entry:
        name = f"{INTERFACES[kind]}, {how}"

        def run(seed: int):
            return scale.recognition(f"{name}, seed {seed}", scale.speech_llm(seed, interface=kind), METHODS[how])

        return Entry(name=name, runs=scale.each_seed(run, small_effect=True))

    return Study(
        name="interface",
        title="Attention interfaces",
        question="Does it matter how the LLM attends to the audio: as a prefix, merged, or by cross-attention?",
        scale=scale.name,
        entries=[entry(kind, how) for how in METHODS for kind in INTERFACES],
        claims=[],
    )
