"""Log-probabilities of beginnings of texts under a language model, each distinct beginning computed once.

The model's states are kept by what they have consumed, so that all hypotheses, of one utterance or of several, whose
text begins alike share the computation.

Legend: R rows (distinct beginnings) · N tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from duolect.search.checks import check_labels, check_scores
from duolect.search.padding import padded_labels
from duolect.search.scorer import Weighted

Tokens = tuple[int, ...]


class PrefixScores:
    """A scorer's states by the tokens that they have consumed; the empty beginning is always among them.

    `names`: utterances as errors name them.
    """

    def __init__(self, weighted: Weighted, names: Sequence[str]) -> None:
        self.scorer, self.name, self.names = weighted.scorer, weighted.name, names
        self.state: Any = self.scorer.start(None, 1)
        self.rows: dict[Tokens, int] = {(): 0}
        self.logs: dict[Tokens, float] = {(): 0.0}

    def extend(self, wanted: Mapping[Tokens, int], kept: Iterable[Tokens]) -> None:
        """States and log-probabilities for `wanted` (→ the utterance it comes from), all in one packed forward.

        Each continues from the longest beginning of it that is known. What is known stays so only where it is wanted or
        `kept`. Raises SearchError for a token outside the vocabulary, or NaN or +inf from the model.
        """
        new = [tokens for tokens in wanted if tokens not in self.rows]
        if not new:
            return
        old = list({(): 0} | {tokens: 0 for tokens in (*kept, *wanted) if tokens in self.rows})
        origins = [self._longest_known(tokens) for tokens in new]
        device = self.scorer.device
        parent_R = torch.tensor([self.rows[tokens] for tokens in (*old, *origins)], device=device)
        pending = [()] * len(old) + [t[len(o) :] for t, o in zip(new, origins, strict=True)]
        check_labels(self.name, (token for part in pending for token in part), self.scorer.vocabulary)
        self.state = self.scorer.advance(self.state, None, parent_R, torch.full_like(parent_R, -1))
        added = self._append(pending)[len(old) :]
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

    def _longest_known(self, tokens: Tokens) -> Tokens:
        return next(tokens[:n] for n in range(len(tokens) - 1, -1, -1) if tokens[:n] in self.rows)

    def _append(self, pending: Sequence[Tokens]) -> Tensor:
        """Every row is followed by its tokens; their log-probabilities (R,) in float64, on the host."""
        tokens_RN, counts_R = padded_labels(pending, self.scorer.device)
        scores_R, self.state = self.scorer.append(self.state, tokens_RN, counts_R)
        return scores_R.double().cpu()
