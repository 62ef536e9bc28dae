"""The first pass "draft": CTC drafts, the speech LLM or the attention decoder verifies; where CTC is sure, it decides.

Where CTC speaks the labels of the model, its posteriors draft, anew after every disagreement; otherwise its text does,
spelled in the model's units. An utterance whose text these cannot spell has no draft, and is decoded all the same.

B utterances · T frames · W = V + 1 with the blank last
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from duolect.errors import UnitsError
from duolect.search import (
    CTCDrafter,
    DraftStatistics,
    Hypothesis,
    SequenceDrafter,
    confident,
    draft_and_verify,
    greedy,
)
from duolect.search.drafts import Drafter
from duolect.systems.components import spelling_units
from duolect.systems.context import Context
from duolect.systems.limits import forbidden, label_limits, search_limits
from duolect.text.spacing import single_spaces

TAKEN = "ctc_confident"
"""The flag of a hypothesis that is CTC's own: no model was asked, and its score is that of the term ctc alone."""


def draft_pass(context: Context) -> list[list[Hypothesis]]:
    """One hypothesis an utterance, in the units of the model that verifies."""
    search = context.search
    log_probs_BTW, frames_B = context.ctc()
    sure_B = confident(log_probs_BTW, frames_B, search.draft_gate, search.draft_gate_by).tolist()
    shared = _shared(context)
    texts = [] if shared and not any(sure_B) else _best_paths(context, log_probs_BTW, frames_B)
    longest = label_limits(context)
    found: list[list[Hypothesis]] = [[] for _ in context.ids]
    asked = []
    for b, sure in enumerate(sure_B):
        best = texts[b] if sure else None
        if best is not None and len(best.labels) <= longest[b]:
            found[b] = [replace(best, flags=(*best.flags, TAKEN))]
        else:
            asked.append(b)
    statistics = context.statistics.setdefault(search.inside.active[0], DraftStatistics())
    assert isinstance(statistics, DraftStatistics), "nothing else is counted under this term before the first pass"
    statistics.utterances += len(context.ids) - len(asked)
    statistics.taken += len(context.ids) - len(asked)
    if asked:
        drafter = _drafter(context, log_probs_BTW, frames_B, asked, None if shared else texts)
        for b, hypotheses in zip(asked, _verified(context, drafter, asked, statistics), strict=True):
            found[b] = hypotheses
    return found


def _verified(
    context: Context, drafter: Drafter, asked: Sequence[int], statistics: DraftStatistics
) -> list[list[Hypothesis]]:
    search, units = context.search, spelling_units(context.parts, context.search)
    (term,) = search.inside.active
    model, encoded = context.speaker(term)
    assert encoded is not None, "a draft is of what was heard"
    limits = search_limits(context)
    if len(asked) < len(context.ids):
        encoded = encoded.select(torch.tensor(asked, device=encoded.lengths_B.device))
    return draft_and_verify(
        model,
        encoded,
        drafter,
        limits_B=[limits[b] for b in asked],
        longest_draft=search.longest_draft,
        eos_id=units.eos_id,
        forbidden_ids=forbidden(units),
        ids=[context.ids[b] for b in asked],
        name=term,
        weight=getattr(search.inside, term),
        statistics=statistics,
    )


def _drafter(
    context: Context,
    log_probs_BTW: Tensor,
    frames_B: Tensor,
    asked: Sequence[int],
    texts: Sequence[Hypothesis | None] | None,
) -> Drafter:
    if texts is not None:
        return SequenceDrafter([h.labels if (h := texts[b]) else () for b in asked], device=log_probs_BTW.device)
    if len(asked) < len(context.ids):
        index = torch.tensor(asked, device=log_probs_BTW.device)
        log_probs_BTW, frames_B = log_probs_BTW[index], frames_B[index]
    units = spelling_units(context.parts, context.search)
    ids = [context.ids[b] for b in asked]
    return CTCDrafter(log_probs_BTW, frames_B, eos_id=units.eos_id, forbidden_ids=forbidden(units), ids=ids)


def _best_paths(context: Context, log_probs_BTW: Tensor, frames_B: Tensor) -> list[Hypothesis | None]:
    """CTC's best paths in the units of the model that verifies; None where these cannot spell one."""
    own = context.parts[context.search.ctc].ctc_or_units
    found = greedy(log_probs_BTW, frames_B, eos_id=own.eos_id, forbidden_ids=forbidden(own), ids=context.ids)
    if _shared(context):
        return [each[0] for each in found]
    units = spelling_units(context.parts, context.search)
    spelled: list[Hypothesis | None] = []
    for (hypothesis,) in found:
        try:
            spelled.append(
                replace(hypothesis, labels=tuple(units.encode(single_spaces(own.decode(hypothesis.labels)))))
            )
        except UnitsError:
            spelled.append(None)
    return spelled


def _shared(context: Context) -> bool:
    theirs = context.parts[context.search.ctc].ctc_or_units
    return theirs.fingerprint == spelling_units(context.parts, context.search).fingerprint
