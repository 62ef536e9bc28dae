"""What each architecture costs when it decodes: labels per second, memory, operations, against cross-attention."""

from __future__ import annotations

import dataclasses

from duolect.studies.axes.attending import TABLE_2, attending
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.stages.measures import CostRatios
from duolect.studies.study import Entry, Study
from duolect.systems.measurement import Measure

PUBLISHED: dict[tuple[Architecture, bool], tuple[str, str]] = {
    ("cross-transformer", False): ("1", "1"),
    ("prepend-transformer", False): ("0.96", "1.59"),
    ("decoder-only", False): ("0.83", "3.01"),
    ("cross-conformer", False): ("0.97", "2.16"),
    ("cross-conformer", True): ("0.98", "1.88"),
    ("prepend-conformer", False): ("0.94", "3.11"),
    ("prepend-conformer", True): ("0.96", "2.50"),
    ("decoder-only-large", False): ("0.70", "5"),
}
"""(architecture, compressed) → labels per second and memory, as ratios to the first."""


def cost(scale: Scale) -> Study:
    """The models of the studies architecture and compression, one seed of each."""

    def entry(architecture: Architecture, compress: bool) -> Entry:
        tokens, memory = PUBLISHED[architecture, compress]
        published = f"tokens/s × {tokens}, memory × {memory} ({TABLE_2})"
        return attending(
            scale, architecture, small_effect=False, published=published, compress=compress, measure=Measure()
        )

    made = [entry(*each) for each in PUBLISHED]
    first = next(iter(made[0].runs.values()))

    def compared(entry: Entry) -> Entry:
        run = next(iter(entry.runs.values()))
        return dataclasses.replace(entry, measured=[CostRatios(name=f"cost: {entry.name}", run=run, baseline=first)])

    return Study(
        name="cost",
        title="Speed and memory of the architectures",
        question="What do prepending and a decoder alone cost in speed and memory, against cross-attention?",
        scale=scale.name,
        entries=[compared(entry) for entry in made],
        notes=[
            (
                "Ratios are to the first row. Tokens: labels written, sentence ends counted, per second of encoding "
                "and search; memory: the peak on the GPU, or without one of the whole process, most of which is then "
                "PyTorch itself, so that small models hardly differ. Operations say what does not depend on the "
                "machine."
            ),
            (
                f"{TABLE_2} is of models that translate into eight languages, on one A100, with an implementation "
                "that copies and re-orders the prefix for each hypothesis. Here all models transcribe, and "
                "hypotheses share it."
            ),
        ],
    )
