"""The label prior of a component's CTC head, estimated on (training) audio."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from duolect.data import Utterance
from duolect.search import softmax_prior
from duolect.systems.batches import LONGEST_SECONDS, plan, read_batch, utterance_source
from duolect.systems.components import Component
from duolect.systems.first_pass import forbidden


def estimate_prior(
    component: Component, utterances: Sequence[Utterance], *, batch_seconds: float = 60.0, layer: int | None = None
) -> Component:
    """The component with the prior of its CTC head: the mean softmax over all frames, without blank, renormalised.

    Audio that cannot be read is passed over. Raises SearchError where nothing is left.
    """
    units = component.ctc_or_units
    log_prior_V = softmax_prior(
        _posteriors(component, utterances, batch_seconds, layer), eos_id=units.eos_id, forbidden_ids=forbidden(units)
    )
    device = next(component.model.parameters()).device
    return dataclasses.replace(component, log_prior_V=log_prior_V.to(device))


def _posteriors(
    component: Component, utterances: Sequence[Utterance], batch_seconds: float, layer: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    device = next(component.model.parameters()).device
    for sources in plan([utterance_source(i, u) for i, u in enumerate(utterances)], batch_seconds):
        batch, _ = read_batch(sources, LONGEST_SECONDS)
        if batch is None:
            continue
        with torch.no_grad():  # closed again before the generator yields
            encoded = component.model.encode(batch.samples_BN.to(device), batch.lengths_B.to(device))
            log_probs_BTW = component.model.ctc_log_probs(encoded, layer)
        yield log_probs_BTW, encoded.lengths_B
