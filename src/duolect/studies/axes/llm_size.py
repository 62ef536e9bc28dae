"""How large the LLM of a speech LLM is."""

from __future__ import annotations

from functools import partial

from duolect.studies.axes.rows import HOW, KEY_VALUES, NO_TABLE, UNTUNED, grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.study import Study


def llm_size(scale: Scale) -> Study:
    """The sizes that the scale has (of the published settings Qwen2 of 0.5, 1.5 and 7 billion parameters)."""
    return Study(
        name="llm-size",
        title="Size of the LLM",
        question="Does a larger LLM make a better speech LLM?",
        scale=scale.name,
        axis="LLM parameters, M",
        entries=grouped(
            [
                row(
                    scale,
                    f"{size}, {how}",
                    partial(scale.speech_llm, size=size),
                    method,
                    small_effect=True,
                    memory=True,
                    value=millions,
                    line=how,
                )
                for size, millions in scale.llm_sizes.items()
            ]
            for how, method in HOW.items()
        ),
        notes=[UNTUNED, KEY_VALUES, NO_TABLE],
    )
