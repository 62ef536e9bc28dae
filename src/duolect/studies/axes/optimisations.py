"""What each way to make a search faster costs in accuracy and gains in speed; the models are the same.

Soft collapse and label pruning shorten what CTC prefix scores are made from, drafts by CTC spare forwards of the speech
LLM, the best alignment replaces the sum over all. Scales are tuned for each method once, without any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolect.studies.axes.combining import changed, tuned
from duolect.studies.axes.rows import INTEGRATION, grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import ALIKE, Claim, Entry, Study
from duolect.systems import find_method

Changes = Mapping[str, Any]

VARIANTS: Mapping[str, Mapping[str, Changes]] = {
    "speech-llm+ctc": {
        "collapse 0.9": {"collapse": 0.9},
        "collapse 0.8": {"collapse": 0.8},
        "collapse 0.5": {"collapse": 0.5},
        "collapse 0.8 by maximum": {"collapse": 0.8, "collapse_how": "max"},
        "100 labels": {"keep_labels": 100},
        "50 labels": {"keep_labels": 50},
        "20 labels": {"keep_labels": 20},
        "50 labels by mean": {"keep_labels": 50, "keep_labels_by": "mean"},
        "all candidates": {"candidates": None},
        "heuristic stop": {"stop": "heuristic"},
        "collapse 0.8, 50 labels": {"collapse": 0.8, "keep_labels": 50},
    },
    "speech-llm": {"greedy": {"beam": 1, "nbest": 1}},
    "speech-llm-draft": {
        "gate 0.1 nats": {"draft_gate": 0.1},
        "gate 0.3 nats": {"draft_gate": 0.3},
        "gate 1 nat": {"draft_gate": 1.0},
    },
    "attention+ctc": {
        "collapse 0.9": {"collapse": 0.9},
        "collapse 0.8": {"collapse": 0.8},
        "collapse 0.5": {"collapse": 0.5},
        "50 labels": {"keep_labels": 50},
    },
    "ctc+lm-labelwise": {
        "best alignment": {"merge": "max"},
        "collapse 0.9": {"collapse": 0.9},
        "collapse 0.8": {"collapse": 0.8},
        "50 labels": {"keep_labels": 50},
        "all labels a frame": {"labels_per_frame": None},
        "blank skipped at 0.99": {"skip_blank": 0.99},
    },
}
"""Method → what is changed in its search; each method also without any optimisation."""

_COMMENT = "LibriSpeech dev-other, a comment in the authors' recipes"
PUBLISHED = {
    "attention+ctc": f"4.26 % in 26.4 min ({_COMMENT})",
    "attention+ctc, collapse 0.5": f"4.28 % ({_COMMENT})",
    "attention+ctc, collapse 0.8": f"4.26 % ({_COMMENT})",
    "attention+ctc, collapse 0.9": f"4.26 % ({_COMMENT})",
}
"""About 13.1 minutes with soft collapse, of which threshold is not said."""


def optimisations(scale: Scale) -> Study:
    """Every method with each of its optimisations, under the scales of the method."""

    def plain(method: str) -> Changes:
        """What makes a scale's usual search one without optimisations: the method's own where rows change something."""
        own, varied = find_method(method).search, {field for each in VARIANTS[method].values() for field in each}
        return changed(scale, method, **{field: getattr(own, field) for field in sorted(varied)})

    def system(method: str, seed: int) -> Stage:
        undone = plain(method)
        own = {"search": scale.search(method, **undone)} if undone else {}
        return tuned(scale, scale.system(seed, "acoustic", "language", "speech_llm"), method, **own)

    def entry(method: str, change: str = "", changes: Changes | None = None) -> Entry:
        name = f"{method}, {change}" if change else method
        return row(
            scale,
            name,
            lambda seed: system(method, seed),
            method,
            changes={**plain(method), **(changes or {})},
            published=PUBLISHED.get(name, ""),
        )

    def alike(base: str, change: str) -> Claim:
        return Claim(
            text=f"Soft collapse costs no accuracy ({base}).",
            source=f"the authors' public recipes for {INTEGRATION}, a comment (LibriSpeech dev-other)",
            better=f"{base}, {change}",
            worse=base,
            margin=ALIKE,
            one_sided=True,
        )

    return Study(
        name="optimisations",
        title="Optimisations of the search",
        question="What does each optimisation of the search cost in accuracy, and what does it gain in speed?",
        scale=scale.name,
        entries=grouped(
            [entry(method), *(entry(method, change, changes) for change, changes in variants.items())]
            for method, variants in VARIANTS.items()
        ),
        claims=[alike("attention+ctc", "collapse 0.8"), alike("speech-llm+ctc", "collapse 0.8")],
        notes=[
            (
                "Scales are tuned on dev for each method without any optimisation, and kept. A draft without a gate "
                "finds what a greedy search finds. In the published recipes soft collapse about halves the time of "
                "an attention decoder with CTC (26.4 to 13.1 min), and is said to cost a speech LLM with CTC nothing "
                "either."
            ),
        ],
        details=["effort"],
    )
