"""Whole label sequences scored by a model: the terms of n-best lists that no search has computed.

Legend: B utterances · R rows (sequences) · N labels · M = N + 1 · V labels (EOS included).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.models.targets import next_label_scores
from duolect.search.checks import check_count, check_labels, check_scores, utterance_names
from duolect.search.padding import padded_labels
from duolect.search.result import SearchStatistics


def sequence_scores(
    model: Any,
    encoded: Any,
    labels: Sequence[Sequence[Sequence[int]]],
    *,
    eos_id: int,
    max_tokens: int = 2048,
    ids: Sequence[str] | None = None,
    name: str = "lm",
    statistics: SearchStatistics | None = None,
) -> list[Tensor]:
    """log p(a·EOS) of every label sequence of every utterance: one float32 tensor (len(labels[b]),) per utterance.

    model: speaks the autoregressive protocol; labels are in its own units, EOS not among them.
    encoded: what the model attends to, one entry per utterance; None for a language model, which then scores equal
        sequences of different utterances once.
    max_tokens: most positions (rows · longest, EOS counted) of one teacher-forced forward; sequences of like length
        share one. How they are packed changes no score.
    Raises SearchError for labels outside the vocabulary, before anything is computed, and for NaN or +inf from the
    model; both name the utterance.
    """
    if encoded is not None and len(encoded.lengths_B) != len(labels):
        raise SearchError(f"{name}: {len(labels)} n-best lists for {len(encoded.lengths_B)} utterances.")
    names = utterance_names(ids, len(labels))
    check_count("max_tokens", max_tokens)
    check_labels(f"{name}: eos_id", [eos_id], model.vocabulary)
    for utterance, each in zip(names, labels, strict=True):
        check_labels(f"{name}: utterance {utterance}", (c for a in each for c in a), model.vocabulary)
    jobs: dict[tuple[int, tuple[int, ...]], int] = {}  # (utterance attended to, sequence) → its place among the scores
    places = [
        [jobs.setdefault((b if encoded is not None else 0, tuple(a)), len(jobs)) for a in each]
        for b, each in enumerate(labels)
    ]
    owner = {place: b for b, each in reversed(list(enumerate(places))) for place in each}
    sequences = list(jobs)
    scores = [0.0] * len(sequences)
    with torch.no_grad():
        for group in _packed([len(a) + 1 for _, a in sequences], max_tokens):
            rows = [sequences[i] for i in group]
            part_R = _forward(model, encoded, rows, eos_id, name, [names[owner[i]] for i in group])
            if statistics is not None:
                statistics.add(len(rows), sum(len(a) for _, a in rows))
            for i, score in zip(group, part_R.tolist(), strict=True):
                scores[i] = score
    return [torch.tensor([scores[i] for i in each], dtype=torch.float32) for each in places]


def _packed(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Groups of sequences of like length with at most `max_tokens` positions each, padding counted (or of one)."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= max_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _forward(
    model: Any,
    encoded: Any,
    rows: Sequence[tuple[int, Sequence[int]]],
    eos_id: int,
    name: str,
    names: Sequence[str],
) -> Tensor:
    device = encoded.lengths_B.device if encoded is not None else next(model.parameters()).device
    labels_RN, counts_R = padded_labels([a for _, a in rows], device)
    if encoded is not None:
        encoded = encoded.select(torch.tensor([b for b, _ in rows], device=device))
    log_probs_RMV = model.sequence_log_probs(encoded, labels_RN, counts_R)
    scores_R = next_label_scores(log_probs_RMV, labels_RN, counts_R, eos_id)[0].sum(1)
    check_scores(scores_R[:, None], torch.arange(len(rows)), ids=names, name=name)
    return scores_R
