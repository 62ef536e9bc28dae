"""The label prior that is taken off when an LM is added: none, CTC's mean softmax, or counts; delayed or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolect.studies.axes.combining import COMMENT, DELAYED, LABELWISE, RESCORING, SOURCE, pair, tuned
from duolect.studies.axes.rows import grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import ALIKE, Claim, Entry, Study

_LLM = "comment in the authors' recipes, Loquacious test, acoustic model of 4 epochs, fine-tuned Qwen2-0.5B"
WAYS = {LABELWISE: "label by label", DELAYED: "delayed, every 20 frames", RESCORING: "rescoring"}


def prior(scale: Scale) -> Study:
    """Each kind of prior with label-wise fusion, delayed fusion and rescoring, every row tuned for itself."""

    def entry(method: str, kind: str, settings: Mapping[str, Any] | None = None, published: str = "") -> Entry:
        without = ("prior",) if kind == "no prior" else ()
        counted = bool(settings) and "prior_kind" in settings

        def system(seed: int) -> Stage:
            models = scale.system(seed, "acoustic", "language", counted=True) if counted else pair(scale, seed)
            own = {"search": scale.search(method, **settings)} if settings else {}
            return tuned(scale, models, method, **own, **({"without": without} if without else {}))

        name = f"{WAYS[method]}: {kind}"
        return row(scale, name, system, method, small_effect=True, published=published)

    def helps(method: str, source: str) -> Claim:
        return Claim(
            text=f"Taking a prior off helps ({WAYS[method]}).",
            source=source,
            better=f"{WAYS[method]}: mean softmax",
            worse=f"{WAYS[method]}: no prior",
        )

    return Study(
        name="prior",
        title="The label prior",
        question="Does it matter which label prior is taken off when an LM is added, and when?",
        scale=scale.name,
        entries=grouped(
            [
                [
                    entry(LABELWISE, "mean softmax", published=f"6.94 to 6.95 %, whatever the kind ({COMMENT})"),
                    entry(
                        LABELWISE,
                        "counts of labels",
                        {"prior_kind": "counts"},
                        f"6.94 to 6.95 %, whatever the kind ({COMMENT})",
                    ),
                    entry(LABELWISE, "no prior"),
                ],
                [
                    entry(DELAYED, "mean softmax", published=f"7.05 % ({COMMENT})"),
                    entry(DELAYED, "mean softmax, not delayed", {"delay_prior": False}, f"7.16 % ({COMMENT})"),
                    entry(DELAYED, "counts of the LM's labels", {"prior_kind": "tokens"}),
                    entry(
                        DELAYED,
                        "no prior",
                        published=f"7.65 % ({_LLM}; 7.33 % with a prior; both marked as to be redone)",
                    ),
                ],
                [
                    entry(RESCORING, "mean softmax", published=f"7.00 % ({_LLM})"),
                    entry(RESCORING, "no prior", published=f"7.26 % ({_LLM})"),
                ],
            ]
        ),
        claims=[
            helps(RESCORING, f"{SOURCE}: 7.00 % and 7.26 %"),
            helps(DELAYED, f"{SOURCE}: 7.33 % and 7.65 %, marked as to be redone"),
            Claim(
                text="The kind of prior makes no difference.",
                source=f"{SOURCE}: 6.94 to 6.95 %",
                better=f"{WAYS[LABELWISE]}: counts of labels",
                worse=f"{WAYS[LABELWISE]}: mean softmax",
                margin=ALIKE,
            ),
            Claim(
                text="The prior is better delayed together with the LM.",
                source=f"{SOURCE}: 7.05 % and 7.16 %",
                better=f"{WAYS[DELAYED]}: mean softmax",
                worse=f"{WAYS[DELAYED]}: mean softmax, not delayed",
            ),
        ],
        notes=["Labels are counted in the training transcripts. Scales are tuned on dev for each row of its own."],
    )
