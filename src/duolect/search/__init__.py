"""Search: from frame posteriors and model scores to n-best lists of label sequences."""

from duolect.search.alignment import Alignment, align
from duolect.search.collapse import Collapsed, soft_collapse
from duolect.search.ctc_prefix import CTCPrefixScorer, ctc_full_sum
from duolect.search.delayed import Delayed
from duolect.search.draft import draft_and_verify
from duolect.search.drafts import CTCDrafter, SequenceDrafter
from duolect.search.frame_sync import frame_synchronous
from duolect.search.gate import EntropyOf, confident, frame_entropies
from duolect.search.greedy import greedy
from duolect.search.label_sync import label_synchronous
from duolect.search.priors import count_prior, softmax_prior
from duolect.search.pruning import KeptLabels, RestrictedModel, keep_labels
from duolect.search.rescoring import sequence_scores
from duolect.search.result import DraftStatistics, Hypothesis, ReductionStatistics, SearchStatistics, combine
from duolect.search.scorer import AutoregressiveScorer, PriorScorer, Scorer, Weighted

__all__ = [
    "Alignment",
    "AutoregressiveScorer",
    "CTCDrafter",
    "CTCPrefixScorer",
    "Collapsed",
    "Delayed",
    "DraftStatistics",
    "EntropyOf",
    "Hypothesis",
    "KeptLabels",
    "PriorScorer",
    "ReductionStatistics",
    "RestrictedModel",
    "Scorer",
    "SearchStatistics",
    "SequenceDrafter",
    "Weighted",
    "align",
    "combine",
    "confident",
    "count_prior",
    "ctc_full_sum",
    "draft_and_verify",
    "frame_entropies",
    "frame_synchronous",
    "greedy",
    "keep_labels",
    "label_synchronous",
    "sequence_scores",
    "soft_collapse",
    "softmax_prior",
]
