"""What the studies of combination have in common: an acoustic model and an LM as one system, tuned for its method."""

from __future__ import annotations

from typing import Any

from duolect.studies.axes.rows import INTEGRATION, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import Entry
from duolect.systems import find_method

RESCORING, DELAYED, LABELWISE = "ctc+lm-rescoring", "ctc+lm-delayed", "ctc+lm-labelwise"

SOURCE = f"a comment in the authors' public recipes for {INTEGRATION}"
COMMENT = "comment in the authors' recipes, Loquacious test, acoustic model of 4 epochs, own Transformer LM"
"""Of the numbers for an LM in the acoustic model's labels."""


def pair(scale: Scale, seed: int) -> Stage:
    """Acoustic model and LM in its units."""
    return scale.system(seed, "acoustic", "language")


def whole(scale: Scale, seed: int) -> Stage:
    """All three models of the scale."""
    return scale.system(seed, "acoustic", "language", "speech_llm")


def tuned(scale: Scale, system: Stage, method: str, **settings: Any) -> Stage:
    """With the method's scales chosen on dev, where it has some."""
    return scale.tuned(system, method, **settings) if find_method(method).tuned else system


def with_lm(scale: Scale, name: str, method: str, **fields: Any) -> Entry:
    """The row of acoustic model and LM under a method tuned for them; `fields` as of `row`."""
    return row(scale, name, lambda seed: tuned(scale, pair(scale, seed), method), method, **fields)


def changed(scale: Scale, method: str, **settings: Any) -> dict[str, Any]:
    """Those of the `settings` of a search that are not the method's usual ones: what is the same is made once."""
    usual = scale.search(method)
    return {name: value for name, value in settings.items() if getattr(usual, name) != value}


def beam(scale: Scale, method: str, size: int) -> dict[str, Any]:
    """The changes of a method's search that make its beam that wide."""
    return changed(scale, method, beam=size, nbest=size)
