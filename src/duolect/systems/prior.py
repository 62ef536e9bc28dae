"""The label prior of a CTC head, estimated on (training) audio. B utterances · T frames · V labels · W = V + 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from duolect.data import Utterance
from duolect.search import softmax_prior
from duolect.systems.batches import LONGEST_SECONDS, plan, read_batch, utterance_source
from duolect.systems.components import Component
from duolect.text import Units


def estimate_prior(
    component: Component, utterances: Sequence[Utterance], *, batch_seconds: float = 60.0, layer: int | None = None
) -> Component:
    """The component with the prior of its CTC head: the mean softmax over all frames, without blank, renormalised.

    Audio that cannot be read is passed over. Raises SearchError where nothing is left.
    """
    log_prior_V = ctc_prior(component.model, component.ctc_or_units, _sound(utterances, batch_seconds), layer)
    device = next(component.model.parameters()).device
    return dataclasses.replace(component, log_prior_V=log_prior_V.to(device))


def ctc_prior(model: Any, units: Units, sound: Iterable[tuple[Tensor, Tensor]], layer: int | None = None) -> Tensor:
    """log p_prior (V,) of the CTC head at `layer` (None: the last), which speaks `units`; see `softmax_prior`.

    sound: pairs (samples_BN, lengths_B). The model must be in evaluation mode. Raises SearchError without any frame.
    """
    return softmax_prior(_posteriors(model, sound, layer), eos_id=units.eos_id, forbidden_ids=units.special_ids)


def _posteriors(
    model: Any, sound: Iterable[tuple[Tensor, Tensor]], layer: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    device = next(model.parameters()).device
    for samples_BN, lengths_B in sound:
        with torch.no_grad():  # closed again before the generator yields
            encoded = model.encode(samples_BN.to(device), lengths_B.to(device))
            log_probs_BTW = model.ctc_log_probs(encoded, layer)
        yield log_probs_BTW, encoded.lengths_B


def _sound(utterances: Sequence[Utterance], batch_seconds: float) -> Iterator[tuple[Tensor, Tensor]]:
    for sources in plan([utterance_source(i, u) for i, u in enumerate(utterances)], batch_seconds):
        batch, _ = read_batch(sources, LONGEST_SECONDS)
        if batch is not None:
            yield batch.samples_BN, batch.lengths_B
