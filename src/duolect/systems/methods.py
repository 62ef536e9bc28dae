"""The systems of the comparison by name: each a search, and the scales that are tuned for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from duolect.errors import ConfigError
from duolect.systems.config import Scales, SearchConfig


@dataclass(frozen=True, kw_only=True)
class Method:
    """A named search: what it does, its untuned settings, and which scales tuning may change.

    `alternatives` are for systems that cannot run `search`, in order of preference (CTC from the other encoder). The
    term `anchor` keeps scale 1 while the `tuned` ones are chosen; the prior is tuned only where the system has one.
    """

    description: str
    search: SearchConfig
    alternatives: tuple[SearchConfig, ...] = ()
    anchor: str = "ctc"
    tuned: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[SearchConfig, ...]:
        """`search` and its alternatives."""
        return (self.search, *self.alternatives)

    @property
    def components(self) -> tuple[str, ...]:
        """The components a system needs for this method."""
        return tuple(self.search.parts())


_BEAM = SearchConfig(first_pass="frames", beam=16, nbest=16, labels_per_frame=16)
_NBEST = SearchConfig(first_pass="frames", beam=32, nbest=32, spellings=8, labels_per_frame=16, exact_ctc=True)
_SPEECH_LLM_CTC = SearchConfig(
    first_pass="labels", inside=Scales(ctc=1.0, speech_llm=1.0), ctc="speech_llm", beam=8, nbest=8, candidates=24
)
_DRAFT = SearchConfig(first_pass="draft", inside=Scales(speech_llm=1.0), ctc="speech_llm", longest_draft="adaptive")

METHODS: dict[str, Method] = {
    "ctc-greedy": Method(
        description="the best label of each frame, repetitions and blanks removed",
        search=SearchConfig(),
        alternatives=(SearchConfig(ctc="speech_llm"),),
    ),
    "ctc-beam": Method(
        description="CTC prefix beam search",
        search=_BEAM,
        alternatives=(replace(_BEAM, ctc="speech_llm"),),
    ),
    "attention": Method(
        description="beam search with the attention decoder alone, scores divided by the length",
        search=SearchConfig(
            first_pass="labels", inside=Scales(decoder=1.0), beam=8, nbest=8, length_exponent=1.0, stop="heuristic"
        ),
    ),
    "attention+ctc": Method(
        description="one beam search with the attention decoder and CTC prefix scores together",
        search=SearchConfig(first_pass="labels", inside=Scales(ctc=1.0, decoder=1.0), beam=8, nbest=8, candidates=24),
        tuned=("decoder",),
    ),
    "ctc+attention-rescoring": Method(
        description="the n-best list of CTC prefix beam search, scored again by the attention decoder",
        search=replace(_NBEST, after=Scales(decoder=1.0)),
        tuned=("decoder",),
    ),
    "ctc+lm-rescoring": Method(
        description="the n-best list of CTC prefix beam search, scored again by the language model in its own units",
        search=replace(_NBEST, after=Scales(lm=0.5)),
        tuned=("lm", "prior"),
    ),
    "ctc+lm-delayed": Method(
        description="CTC prefix beam search in which the language model, in its own units, scores the words that are"
        " finished, every 20 frames and at the end",
        search=SearchConfig(
            first_pass="frames",
            inside=Scales(ctc=1.0, lm=0.5),
            beam=32,
            nbest=32,
            labels_per_frame=16,
            lm_interval=20,
            exact_ctc=True,
        ),
        tuned=("lm", "prior"),
    ),
    "ctc+lm-labelwise": Method(
        description="CTC prefix beam search with the language model's score added label by label, before pruning",
        search=SearchConfig(
            first_pass="frames", inside=Scales(ctc=1.0, lm=0.5), beam=16, nbest=16, labels_per_frame=16
        ),
        tuned=("lm", "prior"),
    ),
    "speech-llm": Method(
        description="beam search with the speech LLM alone, scores divided by the length",
        search=SearchConfig(
            first_pass="labels", inside=Scales(speech_llm=1.0), beam=4, nbest=4, length_exponent=1.0, stop="heuristic"
        ),
    ),
    "speech-llm-draft": Method(
        description="the best next label of the speech LLM each time, many at once where CTC drafted them rightly",
        search=_DRAFT,
        alternatives=(replace(_DRAFT, ctc="acoustic"),),
    ),
    "ctc+speech-llm-rescoring": Method(
        description="the n-best list of the speech LLM's CTC head, scored again by the speech LLM",
        search=replace(_NBEST, after=Scales(speech_llm=1.0), ctc="speech_llm"),
        alternatives=(replace(_NBEST, after=Scales(speech_llm=1.0)),),
        tuned=("speech_llm",),
    ),
    "speech-llm+ctc": Method(
        description="one beam search with the speech LLM and the prefix scores of its own CTC head together",
        search=_SPEECH_LLM_CTC,
        alternatives=(replace(_SPEECH_LLM_CTC, ctc="acoustic"),),
        tuned=("speech_llm",),
    ),
}
"""Name → method, from the simplest to the most elaborate."""


def find_method(name: str) -> Method:
    """The method of that name. Raises ConfigError that lists the names where there is none."""
    if name not in METHODS:
        raise ConfigError(f"method: there is no method {name!r}; known are {', '.join(METHODS)}.")
    return METHODS[name]
