"""Impossible input is refused before a search starts, in one sentence that names the utterance and the model.

Legend: B utterances · T frames · V labels (EOS included) · W = V + 1 (blank last) · R rows (hypotheses).
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from duolect.errors import SearchError

NORMALISED_WITHIN = 1e-3
_NUMBERS = 1 << 27  # of posteriors that something as large is made from at once (512 MB)


def in_parts(log_probs_BTW: Tensor) -> tuple[Tensor, ...]:
    """Frame posteriors as views of a few utterances each, in order: with an LLM's vocabulary a batch of minutes is
    gigabytes, of which a copy may not fit."""
    numbers = max(1, log_probs_BTW[:1].numel())
    return log_probs_BTW.split(max(1, _NUMBERS // numbers))


def utterance_names(ids: Sequence[str] | None, count: int) -> list[str]:
    """The ids errors speak of; numbers from 0 without any. SearchError when there are not `count` of them."""
    if ids is None:
        return [str(i) for i in range(count)]
    if len(ids) != count:
        raise SearchError(f"ids: {len(ids)} were given for {count} utterances.")
    return list(ids)


def check_log_probs(log_probs_BTW: Tensor, lengths_B: Tensor, *, ids: Sequence[str], name: str) -> None:
    """Frame posteriors: shape, lengths, no NaN or +inf, each valid frame sums to one within 1e-3 (in the logarithm).

    Padding frames (t ≥ length) may hold anything. One pass over the tensor: a NaN or +inf shows in the log-sum-exp.
    """
    if log_probs_BTW.dim() != 3 or not log_probs_BTW.is_floating_point():
        shape = "×".join(map(str, log_probs_BTW.shape))
        raise SearchError(
            f"{name}: log-probabilities must be a float tensor (B, T, V+1), not {shape} {log_probs_BTW.dtype}."
        )
    batch, frames, width = log_probs_BTW.shape
    if width < 2:
        raise SearchError(f"{name}: {width} classes per frame, expected at least 2 (a label and blank).")
    if lengths_B.shape != (batch,) or lengths_B.is_floating_point():
        raise SearchError(f"{name}: lengths must be {batch} integers, one per utterance.")
    for utterance, length in zip(ids, lengths_B.tolist(), strict=True):
        if not 0 <= length <= frames:
            raise SearchError(
                f"{name}: utterance {utterance} has length {length}, but the tensor holds {frames} frames."
            )
    valid_BT = torch.arange(frames, device=log_probs_BTW.device) < lengths_B.to(log_probs_BTW.device)[:, None]
    sums_BT = torch.cat([part_BTW.float().logsumexp(-1) for part_BTW in in_parts(log_probs_BTW)])
    bad_BT = valid_BT & ~(sums_BT.abs() <= NORMALISED_WITHIN)
    if bad_BT.any():
        row, frame = (int(i) for i in bad_BT.nonzero()[0])
        values_W = log_probs_BTW[row, frame]
        if values_W.isnan().any():
            what = "is NaN"
        elif values_W.isposinf().any():
            what = "is +inf"
        else:
            what = f"is not normalised (log-sum-exp {float(sums_BT[row, frame]):.4g}, expected 0)"
        raise SearchError(f"{name}: utterance {ids[row]}, frame {frame} {what}.")


def check_scores(scores: Tensor, utterance_R: Tensor, *, ids: Sequence[str], name: str) -> None:
    """What a model says during a search, rows R first: NaN and +inf stop it (−inf is a probability of zero)."""
    if not scores.numel():
        return
    bad_R = ~(scores.flatten(1).amax(-1) < math.inf)  # amax keeps a NaN
    if bad_R.any():
        row = int(bad_R.nonzero()[0])
        what = "NaN" if scores[row].isnan().any() else "+inf"
        raise SearchError(f"{name}: the model gave {what} for utterance {ids[int(utterance_R[row])]}.")


def check_weight(name: str, weight: float) -> None:
    """A scale must be a finite number ≥ 0 (the prior is subtracted by its name, not by a negative scale)."""
    if not (math.isfinite(weight) and weight >= 0.0):
        raise SearchError(f"weight {name!r}: {weight} is not a finite number ≥ 0.")


def check_count(name: str, value: int, *, least: int = 1) -> None:
    """A size (beam, n-best, candidates): an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SearchError(f"{name}: {value!r} is not an integer ≥ {least}.")


def check_limits(limits: Sequence[int], ids: Sequence[str]) -> None:
    """The most labels of each utterance: at least 0."""
    for utterance, limit in zip(ids, limits, strict=True):
        if limit < 0:
            raise SearchError(f"limits: utterance {utterance} may have {limit} labels; at least 0 were expected.")


def check_labels(name: str, labels: Iterable[int], vocabulary: int) -> None:
    """Label ids must lie in 0 … vocabulary − 1."""
    known = list(labels)
    if known and (min(known) < 0 or max(known) >= vocabulary):
        wrong = next(label for label in known if not 0 <= label < vocabulary)
        raise SearchError(f"{name}: label {wrong} is outside the vocabulary of {vocabulary}.")


def special_labels(eos_id: int, forbidden_ids: Iterable[int], vocabulary: int) -> list[int]:
    """EOS and the forbidden labels, each once, in ascending order: those that no hypothesis can hold.

    SearchError when one of them is outside the vocabulary, or when they leave no label to search for.
    """
    special = sorted({eos_id, *forbidden_ids})
    check_labels("eos_id and forbidden_ids", special, vocabulary)
    if len(special) == vocabulary:
        raise SearchError(f"forbidden_ids: with EOS they are all {vocabulary} labels; none is left to search for.")
    return special
