"""Search: from frame posteriors and model scores to n-best lists of label sequences."""

from duolect.search.ctc_prefix import CTCPrefixScorer, ctc_full_sum
from duolect.search.delayed import Delayed
from duolect.search.frame_sync import frame_synchronous
from duolect.search.greedy import greedy
from duolect.search.label_sync import label_synchronous
from duolect.search.priors import count_prior, softmax_prior
from duolect.search.rescoring import add_term, rescore, sequence_scores
from duolect.search.result import Hypothesis, SearchStatistics, combine
from duolect.search.scorer import AutoregressiveScorer, PriorScorer, Scorer, Weighted

__all__ = [
    "AutoregressiveScorer",
    "CTCPrefixScorer",
    "Delayed",
    "Hypothesis",
    "PriorScorer",
    "Scorer",
    "SearchStatistics",
    "Weighted",
    "add_term",
    "combine",
    "count_prior",
    "ctc_full_sum",
    "frame_synchronous",
    "greedy",
    "label_synchronous",
    "rescore",
    "sequence_scores",
    "softmax_prior",
]
