"""What a search is made of: its direction, the scales of its terms, its widths. Frozen, validated, JSON both ways.

The objective (all terms natural logarithms):

    a* = argmax  λ_ctc·log p_ctc(a|x) + λ_dec·log p_dec(a|x) + λ_sllm·log p_sllm(a|x)
                 + λ_lm·log p_lm(a) − λ_prior·log p_prior(a)

divided by N^α (N labels, EOS counted) where a length exponent α is given. A term is added either *inside* the first
pass, where it takes part in pruning, or *after* it, on the n-best list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from duolect.errors import ConfigError
from duolect.search import EntropyOf

Term = Literal["ctc", "decoder", "speech_llm", "lm", "prior"]
TERMS: tuple[Term, ...] = ("ctc", "decoder", "speech_llm", "lm", "prior")
"""Every term a score can have, in the order in which tables and files show them."""

OWNERS = {"decoder": "acoustic", "speech_llm": "speech_llm", "lm": "language"}
"""The component whose model gives each term that one autoregressive model speaks for."""

INSIDE: dict[str, tuple[str, ...]] = {
    "greedy": ("ctc",),
    "frames": TERMS,
    "labels": TERMS,
    "draft": ("decoder", "speech_llm"),
}
"""Which terms each first pass can take inside."""


@dataclass(frozen=True, kw_only=True)
class Scales:
    """The weight λ ≥ 0 of each term; 0 leaves the term out. The prior is subtracted, so its scale is positive too."""

    ctc: float = 0.0
    decoder: float = 0.0
    speech_llm: float = 0.0
    lm: float = 0.0
    prior: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value < 0:
                raise ConfigError(f"scales: {field.name} must be a finite number of at least 0, not {value}.")

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the terms whose scale is not 0."""
        return tuple(term for term in TERMS if getattr(self, term))

    def signed(self) -> dict[str, float]:
        """Term → factor in the score, for the active terms; the prior's is negative."""
        return {term: -getattr(self, term) if term == "prior" else getattr(self, term) for term in self.active}

    def combine(self, terms: Mapping[str, float]) -> float:
        """Σ λ·term over the active terms that `terms` has; without its LM the prior does not count either."""
        alone = self.lm > 0 and "lm" not in terms
        return sum(
            scale * terms[term]
            for term, scale in self.signed().items()
            if term in terms and not (alone and term == "prior")
        )


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """One way from encoder states to text.

    * `first_pass`: "greedy" (best path of CTC), "frames" (CTC prefix beam), "labels" (label-synchronous beam),
      "draft" (the greedy hypothesis of one model, drafted by CTC; the same as "labels" with a beam of 1, but faster).
    * `inside`, `after`: scales of the terms in the first pass, and of those added on its n-best list; no term in both.
    * `ctc`: whose CTC head gives the term ctc: the acoustic model's or the speech LLM's own; `ctc_layer` picks one of
      its heads (None: the last).
    * `beam` hypotheses are kept, the best `nbest` (≤ beam) of them are handed on.
    * `spellings`: where labels can be read in several ways (phonemes: words that sound alike), each hypothesis is
      handed on with that many texts, the most frequent words first, for terms `after` the first pass to choose from;
      a delayed LM inside it hears only the first.
    * `length_exponent` α ranks by score/N^α in a search over labels (normal without CTC: 1, with it: 0).
    * `stop`: "exact" ends when no live hypothesis can ever enter the n-best list, "heuristic" bounds what a live one
      may still reach by its score at the present length.
    * `candidates`: the CTC prefix scorer sees only that many labels, the best by the other scorers and CTC's largest
      log-probability in any frame (None: all).
    * `no_repeat_ngram`: a search over labels finds only hypotheses in which no so many labels in a row occur twice, as
      arXiv 2501.02370 has it with 5 (None: all).
    * `collapse`: neighbouring CTC frames of one best class, both at least this probable, become one (None: none do);
      `collapse_how`: their "mean", or their "max" renormalised.
    * `keep_labels`: the first pass knows only that many labels of each utterance, those with the largest "max" or
      "mean" of CTC's log-probability over its frames (`keep_labels_by`; the mean fails a CTC of sharp peaks), and
      every term inside is renormalised over them, but for an LM that `lm_interval` delays and its prior (None: all
      labels). Terms after it score whole sequences over all.
    * `labels_per_frame`: a search over frames tries only that many labels a frame (None: all).
    * `skip_blank`: a search over frames extends no hypothesis in frames with p(blank) of at least this (None: off).
    * `lm_interval`: an LM inside a search over frames has its say on finished words, in its own units: every so many
      frames, "shortest" whenever each hypothesis of an utterance has a new one, or "never" but at the end (rescoring of
      the final beam). None: with each label, before pruning, which takes the units of CTC.
    * `delay_prior`: the prior inside is added together with such an LM; else label by label.
    * `prior_kind`: the mean "softmax" of the CTC head; "counts" of its labels in a text; or those of the LM's own
      "tokens", which goes with an LM that is delayed or added after the pass.
    * `merge`: how a search over frames joins paths of the same labels, by their sum or their maximum.
    * `exact_ctc`: the n-best list of a search over frames is ranked by the full CTC sum of each sequence (the search
      itself only knows the alignments whose prefixes stayed in the beam).
    * `max_labels_per_second`: the longest hypothesis of any first pass but "greedy", by the audio's length (None: one
      label for each encoder frame, which is never exceeded either).
    * `longest_draft`: a first pass of kind "draft" asks for at most that many labels at once (None: all that CTC has;
      "adaptive": twice as many as it last agreed with, for fewer labels in vain).
    * `draft_gate`: it takes the text of CTC as it is, without asking the model, where CTC is sure: where the entropy of
      its frames is below so many nats (None: nowhere; then it finds exactly what a greedy search finds). It goes with
      no term `after` the pass, for the score of such a text is CTC's alone.
    * `draft_gate_by`: that is the largest entropy of any frame of an utterance, or the mean of all.
    """

    first_pass: Literal["greedy", "frames", "labels", "draft"] = "greedy"
    inside: Scales = Scales(ctc=1.0)
    after: Scales = Scales()
    ctc: Literal["acoustic", "speech_llm"] = "acoustic"
    ctc_layer: int | None = None
    beam: int = 1
    nbest: int = 1
    spellings: int = 1
    length_exponent: float = 0.0
    stop: Literal["exact", "heuristic"] = "exact"
    candidates: int | None = None
    no_repeat_ngram: int | None = None
    collapse: float | None = None
    collapse_how: Literal["mean", "max"] = "mean"
    keep_labels: int | None = None
    keep_labels_by: Literal["mean", "max"] = "max"
    labels_per_frame: int | None = None
    skip_blank: float | None = None
    lm_interval: int | Literal["shortest", "never"] | None = None
    delay_prior: bool = True
    prior_kind: Literal["softmax", "counts", "tokens"] = "softmax"
    merge: Literal["sum", "max"] = "sum"
    exact_ctc: bool = False
    max_labels_per_second: float | None = None
    longest_draft: int | Literal["adaptive"] | None = None
    draft_gate: float | None = None
    draft_gate_by: EntropyOf = "max"

    def __post_init__(self) -> None:
        for name in ("beam", "nbest", "spellings", "candidates", "no_repeat_ngram", "keep_labels", "labels_per_frame"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"search: {name} must be at least 1, not {value}.")
        if self.nbest > self.beam:
            raise ConfigError(f"search: nbest is {self.nbest}, but a beam of {self.beam} cannot give more than that.")
        if not math.isfinite(self.length_exponent) or self.length_exponent < 0:
            raise ConfigError(f"search: length_exponent must be at least 0, not {self.length_exponent}.")
        rate = self.max_labels_per_second
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ConfigError(f"search: max_labels_per_second must be above 0, not {rate}.")
        self._check_terms()
        self._check_frames()
        self._check_reductions()
        self._check_draft()

    def _check_terms(self) -> None:
        if not self.inside.active:
            raise ConfigError("search: every scale in `inside` is 0; the first pass needs at least one term.")
        allowed = INSIDE[self.first_pass]
        for term in self.inside.active:
            if term not in allowed:
                can = ", ".join(allowed)
                raise ConfigError(
                    f"search: inside.{term} cannot take part in a first pass of kind {self.first_pass!r} (it takes"
                    f" {can}); put it into `after`, or search over labels."
                )
        if self.first_pass in ("greedy", "frames") and not self.inside.ctc:
            raise ConfigError(f"search: a first pass of kind {self.first_pass!r} reads CTC, but inside.ctc is 0.")
        if self.inside.active == ("prior",):
            raise ConfigError("search: the prior alone cannot lead a search.")
        both = [term for term in self.inside.active if term in self.after.active]
        if both:
            raise ConfigError(f"search: the term {both[0]!r} has a scale in both `inside` and `after`; keep one.")
        if self.first_pass == "greedy" and (self.beam, self.nbest) != (1, 1):
            raise ConfigError(f"search: a greedy first pass has one hypothesis, but beam is {self.beam}.")
        for name in ("length_exponent", "no_repeat_ngram"):
            if getattr(self, name) and self.first_pass != "labels":
                raise ConfigError(f"search: {name} applies to a search over labels only.")
        if self.exact_ctc and (self.first_pass != "frames" or self.merge != "sum"):
            raise ConfigError("search: exact_ctc applies to a search over frames that sums alignments (merge 'sum').")

    def _check_reductions(self) -> None:
        if self.collapse is not None:
            if not 0 <= self.collapse <= 1:
                raise ConfigError(f"search: collapse must be from 0 to 1, or null, not {self.collapse}.")
            if not self.scales.ctc and self.first_pass != "draft":
                raise ConfigError("search: collapse is for searches that ask CTC, but the term ctc has no scale.")
        if self.keep_labels is not None and not self.inside.ctc:
            raise ConfigError("search: keep_labels asks CTC which labels to keep, but inside.ctc is 0.")

    def _check_draft(self) -> None:
        if self.first_pass != "draft":
            for name in ("longest_draft", "draft_gate"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"search: {name} applies to a first pass of kind 'draft' only.")
            return
        if len(self.inside.active) != 1:
            raise ConfigError("search: a first pass of kind 'draft' follows one model; give inside one scale.")
        if (self.beam, self.nbest) != (1, 1):
            raise ConfigError(f"search: a first pass of kind 'draft' has one hypothesis, but beam is {self.beam}.")
        if isinstance(self.longest_draft, int) and self.longest_draft < 1:
            raise ConfigError(f"search: longest_draft must be at least 1, not {self.longest_draft}.")
        if self.draft_gate is not None and self.after.active:
            raise ConfigError(
                "search: draft_gate takes the text of CTC without asking another model, but after."
                f"{self.after.active[0]} is to score it; leave one of them out."
            )
        if self.draft_gate is not None and not (math.isfinite(self.draft_gate) and self.draft_gate >= 0):
            raise ConfigError(f"search: draft_gate must be an entropy of at least 0 nats, not {self.draft_gate}.")

    def _check_frames(self) -> None:
        interval, skip = self.lm_interval, self.skip_blank
        if skip is not None and not 0.0 < skip <= 1.0:
            raise ConfigError(f"search: skip_blank must be a probability above 0, not {skip}.")
        if isinstance(interval, int) and interval < 1:
            raise ConfigError(f"search: lm_interval must be at least 1 frame, not {interval}.")
        for name, value in (("lm_interval", interval), ("skip_blank", skip)):
            if value is not None and self.first_pass != "frames":
                raise ConfigError(f"search: {name} applies to a search over frames only.")
        if self.prior_kind == "tokens" and self.inside.prior and not self.delays_prior:
            raise ConfigError(
                "search: a prior over the LM's tokens cannot be added label by label; set lm_interval, and delay_prior,"
                " or put it into `after`."
            )

    @property
    def delays_lm(self) -> bool:
        """Whether an LM inside the first pass has its say on finished words only."""
        return self.lm_interval is not None and self.inside.lm > 0

    @property
    def delays_prior(self) -> bool:
        """Whether the prior inside the first pass is added with such an LM."""
        return self.delays_lm and self.delay_prior

    @property
    def prior_owner(self) -> Literal["acoustic", "speech_llm", "language"]:
        """The component whose prior it is."""
        return "language" if self.prior_kind == "tokens" else self.spelling

    @property
    def scales(self) -> Scales:
        """The scales of all terms, wherever they are added."""
        return Scales(**{term: getattr(self.inside, term) + getattr(self.after, term) for term in TERMS})

    @property
    def spelling(self) -> Literal["acoustic", "speech_llm"]:
        """The component in whose units the first pass spells its hypotheses."""
        if self.first_pass in ("labels", "draft"):
            if self.inside.decoder:
                return "acoustic"
            if self.inside.speech_llm:
                return "speech_llm"
        return self.ctc

    def parts(self) -> dict[str, list[str]]:
        """Component → the terms it is asked for: what a system must have to run this search."""
        owner = {**OWNERS, "ctc": self.ctc, "prior": self.prior_owner}
        needed: dict[str, list[str]] = {}
        for term in self.scales.active:
            needed.setdefault(owner[term], []).append(term)
        if self.first_pass == "draft":
            needed.setdefault(self.ctc, []).append("ctc")
        return needed

    def score(self, terms: Mapping[str, float], labels: int) -> float:
        """The score of a hypothesis from its terms (natural logarithms) and its number of labels, EOS not counted."""
        total = self.inside.combine(terms) + self.after.combine(terms)
        return total / (labels + 1) ** self.length_exponent
