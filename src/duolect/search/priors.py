"""Label priors p_prior(c): what an acoustic model believes before it hears anything.

Legend: B utterances · T frames · V labels (EOS included) · W = V + 1 (blank last).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_labels, check_log_probs, in_parts

_FLOOR = 1e-10


def softmax_prior(
    posteriors: Iterable[tuple[Tensor, Tensor]], *, eos_id: int, forbidden_ids: Iterable[int] = ()
) -> Tensor:
    """Mean CTC softmax over the frames of training utterances, blank removed, renormalised.

    posteriors: pairs (log_probs_BTW, lengths_B). Returns log p_prior (V,) float32; EOS and forbidden labels have 0
    (they are no acoustic labels), labels below 1e-10 are raised to it. Raises SearchError when there are no frames,
    and for what `checks.check_log_probs` refuses; utterances are counted from 0.
    """
    sums_V: Tensor | None = None
    seen = 0
    for log_probs_BTW, lengths_B in posteriors:
        check_log_probs(log_probs_BTW, lengths_B, ids=[str(seen + i) for i in range(len(log_probs_BTW))], name="prior")
        seen += len(log_probs_BTW)
        frames_T = torch.arange(log_probs_BTW.shape[1], device=log_probs_BTW.device)
        padding_BT1 = (frames_T >= lengths_B.to(log_probs_BTW.device)[:, None])[..., None]
        parts = in_parts(log_probs_BTW)
        for part_BTW, out_BT1 in zip(parts, padding_BT1.split([len(part) for part in parts]), strict=True):
            part_V = part_BTW[..., :-1].double().exp().masked_fill_(out_BT1, 0.0).sum((0, 1)).cpu()
            sums_V = part_V if sums_V is None else sums_V + part_V
    if sums_V is None or not float(sums_V.sum()) > 0.0:
        raise SearchError("prior: no frames to average over.")
    return _normalised(sums_V, eos_id, forbidden_ids)


def count_prior(
    sequences: Iterable[Sequence[int]],
    vocabulary: int,
    *,
    eos_id: int,
    forbidden_ids: Iterable[int] = (),
    smoothing: float = 0.1,
) -> Tensor:
    """Label counts of training transcripts (or of text in an LLM's own tokens), mixed with a uniform distribution.

    p = (1 − smoothing)·count/total + smoothing/labels. Returns log p_prior (V,) float32; EOS and forbidden
    labels have 0.
    """
    if not 0.0 < smoothing <= 1.0:
        raise SearchError(
            f"prior: smoothing {smoothing} is outside (0, 1]; without it a label never seen would be free."
        )
    counts_V = torch.zeros(vocabulary, dtype=torch.float64)
    for labels in sequences:
        check_labels("prior", labels, vocabulary)
        counts_V += torch.bincount(torch.tensor(list(labels), dtype=torch.long), minlength=vocabulary)
    ordinary_V = _ordinary(vocabulary, eos_id, forbidden_ids)
    counts_V[~ordinary_V] = 0.0
    uniform_V = ordinary_V.double() / ordinary_V.sum().clamp(min=1)
    total = float(counts_V.sum())
    if total:
        uniform_V = (1.0 - smoothing) * counts_V / total + smoothing * uniform_V
    return _normalised(uniform_V, eos_id, forbidden_ids)


def _ordinary(vocabulary: int, eos_id: int, forbidden_ids: Iterable[int]) -> Tensor:
    special = sorted({eos_id, *forbidden_ids})
    check_labels("prior: special labels", special, vocabulary)
    ordinary_V = torch.ones(vocabulary, dtype=torch.bool)
    ordinary_V[special] = False
    return ordinary_V


def _normalised(mass_V: Tensor, eos_id: int, forbidden_ids: Iterable[int]) -> Tensor:
    ordinary_V = _ordinary(len(mass_V), eos_id, forbidden_ids)
    mass_V = mass_V.masked_fill(~ordinary_V, 0.0)
    shares_V = (mass_V / mass_V.sum().clamp(min=_FLOOR)).clamp(min=_FLOOR)
    return shares_V.log().masked_fill(~ordinary_V, 0.0).float()
