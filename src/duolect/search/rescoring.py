"""Whole label sequences scored by a model: the terms of n-best lists that no search has computed.

Legend: B utterances · R rows (sequences) · N labels · M = N + 1 · V labels (EOS included).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.models.targets import next_label_scores
from duolect.search.checks import check_count, check_labels, check_scores, utterance_names
from duolect.search.label_trees import common_beginning
from duolect.search.padding import padded_labels
from duolect.search.prefix_scores import PrefixScores, Tokens
from duolect.search.result import SearchStatistics
from duolect.search.scorer import AutoregressiveScorer, Weighted


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
    encoded: what the model attends to, one entry per utterance; None for a language model, which then computes once
        what sequences have in common, of one utterance or of several.
    max_tokens: most positions of one forward: of texts the different labels; with audio rows · longest, EOS counted,
        where sequences of like length share one. How they are packed changes no score.
    Raises SearchError for labels outside the vocabulary, before anything is computed, and for NaN or +inf from the
    model; both name the utterance.
    """
    if encoded is not None and len(encoded.lengths_B) != len(labels):
        raise SearchError(f"{name}: {len(labels)} n-best lists for {len(encoded.lengths_B)} utterances.")
    names = utterance_names(ids, len(labels))
    check_count("max_tokens", max_tokens)
    check_labels(f"{name}: eos_id", [eos_id], model.vocabulary)
    for utterance, each in zip(names, labels, strict=True):
        check_labels(f"{name}: utterance {utterance}", chain.from_iterable(each), model.vocabulary)
    count = SearchStatistics() if statistics is None else statistics
    task = _Task(model, labels, eos_id, max_tokens, names, name, count)
    with torch.no_grad():
        return _text_scores(task) if encoded is None else _heard_scores(task, encoded)


@dataclass(frozen=True)
class _Task:
    """What stays the same during one call."""

    model: Any
    labels: Sequence[Sequence[Sequence[int]]]
    eos_id: int
    max_tokens: int
    names: Sequence[str]
    name: str
    statistics: SearchStatistics


def _text_scores(task: _Task) -> list[Tensor]:
    """Of a model that hears nothing: what texts have in common is computed once."""
    scorer = AutoregressiveScorer(task.model, None, task.statistics)
    prefixes = PrefixScores(Weighted(task.name, scorer), task.names)
    owner = {tuple(a): b for b, each in reversed(list(enumerate(task.labels))) for a in each}
    scores: dict[Tokens, float] = {}
    for group in _alike(sorted(owner), task.max_tokens):
        wanted = {tokens: owner[tokens] for tokens in group}
        prefixes.extend(wanted, ())
        scores |= prefixes.ended(wanted, task.eos_id)
    return [torch.tensor([scores[tuple(a)] for a in each], dtype=torch.float32) for each in task.labels]


def _alike(texts: Sequence[Tokens], max_tokens: int) -> Iterator[list[Tokens]]:
    """Sorted texts in groups of at most `max_tokens` tokens (or of one text), those that begin alike counted once."""
    group: list[Tokens] = []
    total = 0
    for text in texts:
        shared = common_beginning(group[-1], text) if group else 0
        if group and total + len(text) - shared > max_tokens:
            yield group
            group, total, shared = [], 0, 0
        group.append(text)
        total += len(text) - shared
    if group:
        yield group


def _heard_scores(task: _Task, encoded: Any) -> list[Tensor]:
    jobs: dict[tuple[int, Tokens], int] = {}  # (utterance, sequence) → its place among the scores
    places = [[jobs.setdefault((b, tuple(a)), len(jobs)) for a in each] for b, each in enumerate(task.labels)]
    sequences = list(jobs)
    scores = [0.0] * len(sequences)
    for group in _packed([len(a) + 1 for _, a in sequences], task.max_tokens):
        rows = [sequences[i] for i in group]
        part_R = _forward(task, encoded, rows)
        task.statistics.add(len(rows), sum(len(a) for _, a in rows))
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


def _forward(task: _Task, encoded: Any, rows: Sequence[tuple[int, Tokens]]) -> Tensor:
    device = encoded.lengths_B.device
    labels_RN, counts_R = padded_labels([a for _, a in rows], device)
    utterance_R = torch.tensor([b for b, _ in rows], device=device)
    log_probs_RMV = task.model.sequence_log_probs(encoded.select(utterance_R), labels_RN, counts_R)
    scores_R = next_label_scores(log_probs_RMV, labels_RN, counts_R, task.eos_id)[0].sum(1)
    check_scores(scores_R[:, None], utterance_R, ids=task.names, name=task.name)
    return scores_R
