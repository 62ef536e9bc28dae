"""Log-probabilities of beginnings of texts under a language model, each distinct beginning computed once.

The model's states are kept by what they have consumed, so that all hypotheses, of one utterance or of several, whose
text begins alike share the computation.

Legend: R rows (distinct beginnings) · N tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from duolect.errors import SearchError
from duolect.search.checks import check_labels, check_scores
from duolect.search.scorer import AutoregressiveScorer, Weighted

Tokens = tuple[int, ...]


class PrefixScores:
    """A scorer's states by the tokens that they have consumed; the empty beginning is always among them.

    `names`: utterances as errors name them. Raises SearchError for a term that is no autoregressive model.
    """

    def __init__(self, weighted: Weighted, names: Sequence[str]) -> None:
        scorer = weighted.scorer
        if not isinstance(scorer, AutoregressiveScorer):
            raise SearchError(f"scorer {weighted.name!r}: texts are scored by an AutoregressiveScorer alone.")
        self.scorer, self.name, self.names = scorer, weighted.name, names
        self.state: Any = self.scorer.start(None, 1)
        self.rows: dict[Tokens, int] = {(): 0}
        self.logs: dict[Tokens, float] = {(): 0.0}

    def extend(self, wanted: Mapping[Tokens, int], kept: Iterable[Tokens]) -> None:
        """States and log-probabilities for `wanted` (→ the utterance it comes from), all in one forward.

        Each continues from the longest beginning of it that is known. What is known stays so only where it is wanted or
        `kept`. Raises SearchError for a token outside the vocabulary, or NaN or +inf from the model.
        """
        new = [tokens for tokens in wanted if tokens not in self.rows]
        if not new:
            return
        deepest = max(map(len, self.rows))
        old = list({(): 0} | {tokens: 0 for tokens in (*kept, *wanted) if tokens in self.rows})
        origins = [self._longest_known(tokens, deepest) for tokens in new]
        device = self.scorer.device
        pending = [t[len(o) :] for t, o in zip(new, origins, strict=True)]
        check_labels(self.name, chain.from_iterable(pending), self.scorer.vocabulary)
        kept_K = torch.tensor([self.rows[tokens] for tokens in old], device=device)
        added, self.state = self.scorer.branch(self.state, kept_K, [self.rows[tokens] for tokens in origins], pending)
        utterance_R = torch.tensor([wanted[tokens] for tokens in new])
        check_scores(added[:, None], utterance_R, ids=self.names, name=self.name)
        self.logs = {tokens: self.logs[tokens] for tokens in old} | {
            tokens: self.logs[origin] + value
            for tokens, origin, value in zip(new, origins, added.tolist(), strict=True)
        }
        self.rows = {tokens: row for row, tokens in enumerate((*old, *new))}

    def ended(self, wanted: Mapping[Tokens, int], eos_id: int) -> dict[Tokens, float]:
        """The log-probabilities of known beginnings as whole texts, EOS included."""
        rows_R = torch.tensor([self.rows[tokens] for tokens in wanted], device=self.scorer.device, dtype=torch.long)
        eos_R1 = torch.full((len(self.rows), 1), eos_id, device=self.scorer.device)
        scores_R1 = self.scorer.score(self.state, eos_R1)[0][rows_R]
        check_scores(scores_R1, torch.tensor(list(wanted.values())), ids=self.names, name=self.name)
        return {
            tokens: self.logs[tokens] + value for tokens, value in zip(wanted, scores_R1[:, 0].tolist(), strict=True)
        }

    def _longest_known(self, tokens: Tokens, deepest: int) -> Tokens:
        lengths = range(min(len(tokens) - 1, deepest), -1, -1)
        return next(tokens[:n] for n in lengths if tokens[:n] in self.rows)
