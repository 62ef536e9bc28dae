"""CTC best path: the most probable class of every frame, repeats collapsed, blanks removed.

Legend: B utterances · T frames · W = V + 1 classes (blank last).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from duolect.search.checks import check_log_probs, special_labels, utterance_names
from duolect.search.result import Hypothesis


def greedy(
    log_probs_BTW: Tensor,
    lengths_B: Tensor,
    *,
    eos_id: int,
    forbidden_ids: Iterable[int] = (),
    ids: Sequence[str] | None = None,
    name: str = "ctc",
) -> list[list[Hypothesis]]:
    """One hypothesis per utterance; its score (and term `name`) is the log-probability of that single alignment.

    EOS and forbidden labels are never taken. Raises SearchError for what `checks.check_log_probs` refuses.
    """
    names = utterance_names(ids, len(log_probs_BTW))
    check_log_probs(log_probs_BTW, lengths_B, ids=names, name=name)
    blank = log_probs_BTW.shape[-1] - 1
    banned = special_labels(eos_id, forbidden_ids, blank)
    frames = log_probs_BTW.shape[1]
    if not frames:
        empty = Hypothesis(labels=(), score=0.0, terms={name: 0.0}, flags=("no_frames",))
        return [[empty] for _ in names]
    allowed_BTW = log_probs_BTW.float().index_fill(2, torch.tensor(banned, device=log_probs_BTW.device), -torch.inf)
    scores_BT, best_BT = allowed_BTW.max(-1)
    valid_BT = torch.arange(frames, device=best_BT.device) < lengths_B.to(best_BT.device)[:, None]
    totals = scores_BT.masked_fill(~valid_BT, 0.0).sum(1).tolist()
    before_BT = torch.nn.functional.pad(best_BT[:, :-1], (1, 0), value=blank)
    kept_BT = valid_BT & (best_BT != blank) & (best_BT != before_BT)
    labels = best_BT[kept_BT].cpu().split(kept_BT.sum(1).tolist())
    return [
        [
            Hypothesis(
                labels=tuple(each.tolist()), score=total, terms={name: total}, flags=() if length else ("no_frames",)
            )
        ]
        for each, total, length in zip(labels, totals, lengths_B.tolist(), strict=True)
    ]
