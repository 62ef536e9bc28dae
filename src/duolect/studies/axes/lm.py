"""An LLM as the LM: what of it is trained on the transcripts, in whose labels, and how well it foretells them."""

from __future__ import annotations

import dataclasses

from duolect.studies.axes.combining import DELAYED, SOURCE, tuned
from duolect.studies.axes.rows import row
from duolect.studies.scales.base import Adaptation, LabelUnits, Scale
from duolect.studies.stages import Stage
from duolect.studies.stages.measures import Perplexity
from duolect.studies.stages.training import Combined
from duolect.studies.study import Claim, Entry, Study

_QWEN = "Qwen2-0.5B, comment in the authors' recipes, Loquacious test"
NEW, ALL, OWN = "LM of the transcripts alone", "LLM, all trained, acoustic labels", "LLM, all trained, its own labels"
AS_IS = "LLM as it is, its own labels"
MODELS: dict[str, tuple[LabelUnits, Adaptation, str]] = {
    NEW: ("acoustic", "new", ""),
    ALL: ("acoustic", "full", f"PPL 35.59 per label, 60.26 per word ({_QWEN})"),
    "LLM, low-rank additions, acoustic labels": ("acoustic", "lora", ""),
    AS_IS: ("llm", "none", ""),
    OWN: ("llm", "full", f"PPL 43.38 per label, 59.54 per word ({_QWEN}, lower case)"),
    "LLM, embeddings frozen, its own labels": (
        "llm",
        "frozen-embeddings",
        f"PPL 14.68 per label, 67.44 per word; all trained 14.39, 65.40 ({_QWEN}, upper case)",
    ),
    "LLM, low-rank additions, its own labels": ("llm", "lora", ""),
}
"""Name → labels, training on the transcripts, what was published."""


def lm(scale: Scale) -> Study:
    """Each LM with the same acoustic model, heard every frame: labels of its own allow nothing earlier."""
    search = scale.search(DELAYED, lm_interval=1)

    def entry(name: str, units: LabelUnits, how: Adaptation, published: str) -> Entry:
        def system(seed: int) -> Stage:
            parts = {"acoustic": scale.acoustic(seed), "language": scale.adapted(seed, how, units=units)}
            return tuned(scale, Combined(name=f"{name}, seed {seed}", parts=parts), DELAYED, search=search)

        language = scale.adapted(scale.seeds[0], how, units=units)
        foretold = Perplexity(name=f"perplexity: {name}", language=language, corpus=scale.corpus)
        made = row(scale, name, system, DELAYED, small_effect=True, published=published)
        return dataclasses.replace(made, measured=[foretold])

    return Study(
        name="lm",
        title="The LLM as language model",
        question="What must be trained of an LLM that is combined with an acoustic model, and in whose labels?",
        scale=scale.name,
        entries=[entry(name, *model) for name, model in MODELS.items()],
        claims=[
            Claim(
                text="An LLM trained on the transcripts is better than an LM that knows nothing else.",
                source=f"{SOURCE}: 7.00 % and 7.10 % on Loquacious test, by rescoring; here both are heard every frame",
                better=OWN,
                worse=NEW,
            ),
        ],
        notes=[
            (
                "Perplexities are those of the first seed on the test transcripts, sentence ends counted as a word "
                "each; per word, models of different labels can be compared. In the published ones the labels make "
                "next to no difference (59.54 and 60.26 per word), and fine-tuning with frozen embeddings is slightly "
                "worse than of all (67.44 and 65.40, upper case); no error rate is published of different labels."
            ),
            (
                "At the scales demo and small the LLM is a language model that was trained on the corpus's text, in "
                "either labels; only at scale paper it comes from elsewhere."
            ),
        ],
    )
