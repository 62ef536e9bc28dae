"""When an LM has its say on CTC's hypotheses: at the end, every so many frames, or with each label before pruning."""

from __future__ import annotations

from duolect.studies.axes.combining import COMMENT, DELAYED, LABELWISE, RESCORING, SOURCE, changed, pair, tuned, with_lm
from duolect.studies.axes.rows import row
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.stages.training import Combined
from duolect.studies.study import ALIKE, Claim, Entry, Study

INTERVALS = {20: 7.05, 10: 7.00, 5: 6.99, 1: 6.98}
"""Frames → the published rate, in per cent."""
_LLM = "comment in the authors' recipes, Loquacious test, acoustic model of 4 epochs, fine-tuned Qwen2-0.5B"

CLAIMS = [
    Claim(
        text="Rescoring with an LM is better than CTC alone.",
        source=f"{SOURCE}: 8.10 % and 7.10 %",
        better="rescoring",
        worse="CTC alone",
    ),
    Claim(
        text="Label-wise fusion is better than rescoring.",
        source=f"{SOURCE}: 6.94 % and 7.10 %",
        better="label by label",
        worse="rescoring",
    ),
    Claim(
        text="Fusion every 20 frames is better than at the end only.",
        source=f"{SOURCE}: 7.05 % and 7.10 %",
        better="delayed, every 20 frames",
        worse="delayed to the end",
    ),
    Claim(
        text="Fusion every frame is better than every 20.",
        source=f"{SOURCE}: 6.98 % and 7.05 %",
        better="delayed, every frame",
        worse="delayed, every 20 frames",
    ),
    Claim(
        text="A delay of 20 frames costs next to nothing against label-wise fusion.",
        source=f"{SOURCE}: 7.05 % and 6.94 %",
        better="delayed, every 20 frames",
        worse="label by label",
        margin=ALIKE,
        one_sided=True,
    ),
    Claim(
        text="Fusion every frame is as good as label by label, though it acts after pruning.",
        source=f"{SOURCE}: 6.98 % and 6.94 %",
        better="delayed, every frame",
        worse="label by label",
        margin=ALIKE,
        one_sided=True,
    ),
]
NOTES = [
    (
        "Scales are tuned on dev for rescoring, for fusion every 20 frames, and for label-wise fusion; other "
        "intervals take those of 20 frames. With the same labels on both sides the delay is all that "
        "differs; an LM in labels of its own also has text turned into its labels."
    ),
    (
        "With labels of its own and fusion every frame the recipes have a number that the authors mark as a "
        "bug; it is left out."
    ),
]


def fusion(scale: Scale) -> Study:
    """The same acoustic model and LM; and an LM in labels of its own, which can only rescore or be delayed."""

    def delayed(every: int | str, name: str, published: str = "", value: float | None = None) -> Entry:
        changes = changed(scale, DELAYED, lm_interval=every)
        return with_lm(scale, name, DELAYED, small_effect=True, changes=changes, published=published, value=value)

    def own_units(seed: int) -> Stage:
        parts = {"acoustic": scale.acoustic(seed), "language": scale.adapted(seed, "full", units="llm")}
        return Combined(name=f"acoustic + LLM in its own units, seed {seed}", parts=parts)

    def with_own(name: str, method: str, every: int | None = None, published: str = "") -> Entry:
        return row(
            scale,
            name,
            lambda seed: tuned(scale, own_units(seed), method),
            method,
            small_effect=True,
            changes={} if every is None else changed(scale, DELAYED, lm_interval=every),
            published=published,
        )

    return Study(
        name="fusion",
        title="Rescoring, delayed or label-wise fusion",
        question="How much is lost when the LM has its say later than label by label?",
        scale=scale.name,
        axis="frames between two says of the LM, after soft collapse where there is one",
        entries=[
            row(
                scale,
                "CTC alone",
                lambda seed: pair(scale, seed),
                "ctc-beam",
                small_effect=True,
                published="8.10 % (comment in the authors' recipes, Loquacious test, acoustic model of 4 epochs)",
            ),
            with_lm(scale, "rescoring", RESCORING, small_effect=True, published=f"7.10 % ({COMMENT})"),
            delayed("never", "delayed to the end", f"7.10 % ({COMMENT})"),
            *(
                delayed(
                    every,
                    f"delayed, every {every} frames" if every > 1 else "delayed, every frame",
                    f"{rate:.2f} % ({COMMENT})",
                    every,
                )
                for every, rate in INTERVALS.items()
            ),
            delayed("shortest", "delayed, with each finished word of the shortest hypothesis"),
            with_lm(scale, "label by label", LABELWISE, small_effect=True, published=f"6.94 % ({COMMENT})"),
            with_own("labels of its own: rescoring", RESCORING, published=f"7.00 % ({_LLM})"),
            with_own(
                "labels of its own: delayed, every 20 frames",
                DELAYED,
                20,
                f"7.33 % ({_LLM}; marked there as to be redone)",
            ),
            with_own("labels of its own: delayed, every frame", DELAYED, 1),
        ],
        claims=CLAIMS,
        notes=NOTES,
    )
