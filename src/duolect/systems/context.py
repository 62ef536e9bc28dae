"""The audio of one batch as the models heard it: each encoder runs once, and only when a term asks for it.

B utterances · N samples · T frames · W = V + 1 with the blank last
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from duolect.models import Encoded
from duolect.nn.ledger import stage, staged
from duolect.search import ReductionStatistics, SearchStatistics, soft_collapse
from duolect.systems.components import Component
from duolect.systems.config import OWNERS, SearchConfig

Counters = SearchStatistics | ReductionStatistics


@dataclass
class Context:
    """A batch on its way through a search. `statistics`: term, or "encoder", → what its model was asked to do, and
    "ctc" → how much label pruning and soft collapse left of CTC, where they are on; "<component>.audio" → how many
    vectors, of how many frames, a model reads its labels from, where it merges frames. `languages`: what each utterance
    is to be written in, where a model has to be told (`with_languages`); empty where none has."""

    parts: Mapping[str, Component]
    search: SearchConfig
    ids: Sequence[str]
    samples_BN: Tensor
    lengths_B: Tensor
    statistics: dict[str, Counters] = field(default_factory=dict)
    languages: Sequence[str | None] = ()
    _encoded: dict[str, Encoded] = field(default_factory=dict)

    def encoded(self, name: str) -> Encoded:
        """What the encoder of the component `name` makes of the batch."""
        if name not in self._encoded:
            with stage(f"encoder.{name}"):
                encoded = self.parts[name].model.encode(self.samples_BN, self.lengths_B)
            self._encoded[name] = replace(encoded, tags_B=self._tags_B(self.parts[name]))
            self.count("encoder").add(len(self.ids), 0)
            if self.parts[name].merges_frames:
                frames, left = torch.stack((encoded.frames_B.sum(), encoded.positions_B.sum())).tolist()
                self.reduced(f"{name}.audio").count_frames(frames, left)
        return self._encoded[name]

    def _tags_B(self, part: Component) -> Tensor | None:
        if not part.tags or not any(self.languages):
            return None
        return torch.tensor([part.tags.index(language) for language in self.languages], device=self.lengths_B.device)

    def speaker(self, term: str, phase: Literal["search", "rescoring"] = "search") -> tuple[Any, Encoded | None]:
        """The autoregressive model behind a term, and what it attends to; the language model hears nothing.

        What it does is a stage of `phase`.
        """
        name = OWNERS[term]
        model = self.parts[name].model
        speaks = staged(model.decoder if term == "decoder" else model, f"{phase}/{term}")
        return speaks, (None if term == "lm" else self.encoded(name))

    def posteriors(self) -> tuple[Tensor, Tensor]:
        """log_probs_BTW of the CTC head that the search names, and the numbers of frames."""
        model, encoded = self.parts[self.search.ctc].model, self.encoded(self.search.ctc)
        with stage(f"ctc.{self.search.ctc}"):
            return model.ctc_log_probs(encoded, self.search.ctc_layer)

    def ctc(self) -> tuple[Tensor, Tensor]:
        """The same after soft collapse, where the search has one: what whole label sequences are scored with."""
        log_probs_BTW, frames_B = self.posteriors()
        if self.search.collapse is None:
            return log_probs_BTW, frames_B
        found = soft_collapse(log_probs_BTW, frames_B, self.search.collapse, how=self.search.collapse_how, ids=self.ids)
        return found.log_probs_BSW, found.lengths_B

    def count(self, term: str) -> SearchStatistics:
        """The counters of a term, to be added to."""
        counters = self.statistics.setdefault(term, SearchStatistics())
        assert isinstance(counters, SearchStatistics), "terms and CTC have counters of their own"
        return counters

    def reduced(self, what: str = "ctc") -> ReductionStatistics:
        """The counters of what was made shorter, to be added to; "ctc" are those of label pruning and soft collapse."""
        counters = self.statistics.setdefault(what, ReductionStatistics())
        assert isinstance(counters, ReductionStatistics), "terms and CTC have counters of their own"
        return counters
