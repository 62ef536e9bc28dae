"""Whole label sequences scored by a model: the terms of n-best lists that no search has computed.

What sequences have in common is computed once: of texts, by whatever utterance they are; with audio, which is read
once, of the sequences of each utterance.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_count, check_labels, check_scores, utterance_names
from duolect.search.label_trees import common_beginning
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
    encoded: what the model attends to, one entry per utterance; None for a language model.
    max_tokens: most different labels of one forward (a longer sequence has one of its own). How sequences are packed
        changes no score.
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
    scorer = AutoregressiveScorer(model, None, SearchStatistics() if statistics is None else statistics)
    task = _Task(scorer, labels, eos_id, max_tokens, names, name)
    with torch.no_grad():
        return _text_scores(task) if encoded is None else _heard_scores(task, encoded)


@dataclass(frozen=True)
class _Task:
    """What stays the same during one call."""

    scorer: AutoregressiveScorer
    labels: Sequence[Sequence[Sequence[int]]]
    eos_id: int
    max_tokens: int
    names: Sequence[str]
    name: str


def _text_scores(task: _Task) -> list[Tensor]:
    """Of a model that hears nothing."""
    prefixes = PrefixScores(Weighted(task.name, task.scorer), task.names)
    owner = {tuple(a): b for b, each in reversed(list(enumerate(task.labels))) for a in each}
    scores: dict[Tokens, float] = {}
    for group in _alike([(0, tokens) for tokens in owner], task.max_tokens):
        wanted = {tokens: owner[tokens] for _, tokens in group}
        prefixes.extend(wanted, ())
        scores |= prefixes.ended(wanted, task.eos_id)
    return [torch.tensor([scores[tuple(a)] for a in each], dtype=torch.float32) for each in task.labels]


def _heard_scores(task: _Task, encoded: Any) -> list[Tensor]:
    """Of a model that has an utterance before each text."""
    start = task.scorer.start(encoded, len(task.labels))
    empty = [b for b, each in enumerate(task.labels) if any(not a for a in each)]
    scores = _checked(task, [(b, ()) for b in empty], _ends(task, start)[empty])
    none = torch.zeros(0, dtype=torch.long, device=task.scorer.device)
    for group in _alike({(b, tuple(a)) for b, each in enumerate(task.labels) for a in each if a}, task.max_tokens):
        heard = sorted({b for b, _ in group})  # attention goes over all utterances of a state
        heard_R = torch.tensor(heard, device=task.scorer.device)
        before = task.scorer.advance(start, None, heard_R, torch.full_like(heard_R, -1))
        origins, texts = [heard.index(b) for b, _ in group], [tokens for _, tokens in group]
        added_R, state = task.scorer.branch(before, none, origins, texts)
        scores |= _checked(task, group, added_R + _ends(task, state))
    return [
        torch.tensor([scores[b, tuple(a)] for a in each], dtype=torch.float32) for b, each in enumerate(task.labels)
    ]


def _ends(task: _Task, state: Any) -> Tensor:
    """Log p of EOS after each row, in float64, on the host."""
    return task.scorer.score(state)[0][:, task.eos_id].double().cpu()


def _checked(task: _Task, texts: Sequence[tuple[int, Tokens]], scores_R: Tensor) -> dict[tuple[int, Tokens], float]:
    check_scores(scores_R[:, None], torch.tensor([b for b, _ in texts]), ids=task.names, name=task.name)
    return dict(zip(texts, scores_R.tolist(), strict=True))


def _alike(texts: Iterable[tuple[int, Tokens]], max_tokens: int) -> Iterator[list[tuple[int, Tokens]]]:
    """(utterance, text) in sorted groups of at most `max_tokens` tokens, or of one text.

    What texts of an utterance begin with alike is counted once.
    """
    group: list[tuple[int, Tokens]] = []
    total = 0
    for b, text in sorted(texts):
        shared = common_beginning(group[-1][1], text) if group and group[-1][0] == b else 0
        if group and total + len(text) - shared > max_tokens:
            yield group
            group, total, shared = [], 0, 0
        group.append((b, text))
        total += len(text) - shared
    if group:
        yield group
