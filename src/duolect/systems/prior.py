"""Label priors: of a CTC head, estimated on (training) audio; of any units, counted in text.

B utterances · T frames · V labels · W = V + 1
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from duolect.data import Utterance, read_text
from duolect.errors import UnitsError
from duolect.evaluation import Normaliser, normaliser_function
from duolect.search import count_prior, softmax_prior
from duolect.systems.batches import LONGEST_SECONDS, plan, read_batch, utterance_source
from duolect.systems.components import Component
from duolect.text import Units


def estimate_prior(
    component: Component, utterances: Sequence[Utterance], *, batch_seconds: float = 60.0, layer: int | None = None
) -> Component:
    """The component with the prior of its CTC head: the mean softmax over all frames, without blank, renormalised.

    Audio that cannot be read, or is longer than the model hears, is passed over. Raises SearchError where nothing is
    left.
    """
    batch_seconds = batch_seconds if component.padding_safe else 0.0  # else one at a time
    sound = _sound(utterances, batch_seconds, min(LONGEST_SECONDS, component.longest_seconds))
    log_prior_V = ctc_prior(component.model, component.ctc_or_units, sound, layer)
    device = next(component.model.parameters()).device
    return dataclasses.replace(component, log_prior_V=log_prior_V.to(device))


def counted_prior(
    component: Component, sentences: Iterable[str], *, smoothing: float = 0.1, normaliser: Normaliser = "plain"
) -> tuple[Component, int]:
    """The component with the smoothed counts of its labels in a text, and how many sentences it cannot spell.

    Of a model with CTC heads these are their labels (the prior "counts"), of a language model its own (the prior
    "tokens"). Sentences should be those the models were trained on, or like them; `normaliser`: what the recipe did to
    those ("none" where they were learnt as written). Raises UnitsError where none can be spelled.
    """
    units, left_out, used, normal = component.ctc_or_units, 0, 0, normaliser_function(normaliser)

    def spelled() -> Iterator[list[int]]:
        nonlocal left_out, used
        for sentence in filter(None, map(normal, sentences)):
            try:
                labels = units.encode(sentence)
            except UnitsError:
                left_out += 1
            else:
                used += 1
                yield labels

    log_counts_V = count_prior(
        spelled(), units.size, eos_id=units.eos_id, forbidden_ids=units.special_ids, smoothing=smoothing
    )
    if not used:
        raise UnitsError(f"prior: none of the {left_out} sentences can be spelled in {units.size} {units.kind} units.")
    device = next(component.model.parameters()).device
    return dataclasses.replace(component, log_counts_V=log_counts_V.to(device)), left_out


def add_counted_priors(
    parts: Mapping[str, Component], files: Sequence[str | os.PathLike[str]], *, normaliser: Normaliser = "plain"
) -> tuple[dict[str, Component], dict[str, int]]:
    """Every component that a counted prior can come from (CTC heads, the language model) with that of the text `files`
    (see `read_text`); and for each how many sentences it cannot spell.

    `normaliser`: as for `counted_prior`. Raises as that and `read_text` do.
    """
    result, left_out = dict(parts), {}
    for name, component in parts.items():
        if component.has_ctc or name == "language":
            result[name], left_out[name] = counted_prior(component, read_text(files), normaliser=normaliser)
    return result, left_out


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
            posteriors = model.ctc_log_probs(encoded, layer)
        yield posteriors


def _sound(
    utterances: Sequence[Utterance], batch_seconds: float, max_seconds: float
) -> Iterator[tuple[Tensor, Tensor]]:
    for sources in plan([utterance_source(i, u) for i, u in enumerate(utterances)], batch_seconds):
        batch, _ = read_batch(sources, max_seconds)
        if batch is not None:
            yield batch.samples_BN, batch.lengths_B
