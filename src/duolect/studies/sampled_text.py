"""Sentences that a pre-trained language model says: its own domain, where what it knows is worth most.

B texts · N labels · V labels of the units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from duolect.errors import DuolectError
from duolect.models import LanguageModel
from duolect.text import Units, normalise

_TEXTS, _LABELS = 128, 256  # sampled at a time, and labels of each at most
_TOO_FEW = 16  # new sentences of so many texts, below which sampling is given up
# A full stop ends a sentence, and so does one with a quotation mark behind it, but not in: "Ouch!" she said.
_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"”])\s+(?=[A-Z])")
# Nothing that a voice does not say the same way each time (figures), or that half a sentence was left of (quotations).
_SENTENCE = re.compile(r"[A-Za-z][A-Za-z ,;:'-]*[.!?]")


@dataclass(frozen=True, kw_only=True)
class SentenceBounds:
    """How many words a sentence has."""

    shortest: int = 3
    longest: int = 14


def sampled_sentences(
    model: LanguageModel,
    units: Units,
    count: int,
    *,
    seed: int,
    bounds: SentenceBounds | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """`count` different sentences of texts sampled from `model`, as it writes them, in the order it says them.

    Ancestral sampling from BOS at temperature 1, so that sentences are as likely as the model thinks. Sentences with
    other characters than letters and plain punctuation are left out, and so is one whose words have been said before.
    `progress(found, count)` is called as they are found. Raises DuolectError where the model says too few.
    """
    bounds = bounds or SentenceBounds()
    found: dict[str, str] = {}
    texts = 0
    while len(found) < count:
        before = len(found)
        for sentence in sentences_of(_sample(model, units, seed * 1_000_003 + texts), units):
            words = normalise(sentence)
            if bounds.shortest <= len(words.split()) <= bounds.longest:
                found.setdefault(words, sentence)
        texts += _TEXTS
        if len(found) < count and len(found) - before < _TOO_FEW:
            raise DuolectError(
                f"of {texts} texts sampled from the language model only {len(found)} different sentences of "
                f"{bounds.shortest} to {bounds.longest} words could be made, {count} are needed; it should write "
                "English with punctuation."
            )
        if progress is not None:
            progress(min(len(found), count), count)
    return list(found.values())[:count]


def sentences_of(labels_BN: Sequence[Sequence[int]], units: Units) -> Iterator[str]:
    """The whole sentences of texts given as labels, special ones (BOS, EOS, padding) parting them."""
    for labels in labels_BN:
        for text in _parted(labels, units):
            for line in text.splitlines():
                for part in _END.split(line):
                    if _SENTENCE.fullmatch(sentence := " ".join(part.split())):
                        yield sentence


def _parted(labels: Sequence[int], units: Units) -> Iterator[str]:
    text: list[int] = []
    for label in (*labels, units.eos_id):
        if label not in units.special_ids:
            text.append(label)
        elif text:
            yield units.decode(text)
            text = []


def _sample(model: LanguageModel, units: Units, seed: int) -> list[list[int]]:
    """Labels of `_TEXTS` texts; other random streams are left as they were."""
    from transformers import GenerationConfig

    network: Any = model.llm.model
    positions = model.llm.positions or _LABELS + 1
    rows = network.get_output_embeddings().weight.shape[0]
    settings = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=min(_LABELS, positions - 1),
        eos_token_id=units.eos_id,
        pad_token_id=units.eos_id,
        suppress_tokens=list(range(units.size, rows)) or None,
    )
    device = next(network.parameters()).device
    start_B1: Tensor = torch.full((_TEXTS, 1), units.bos_id, device=device)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        said = network.generate(start_B1, attention_mask=torch.ones_like(start_B1), generation_config=settings)
    return said[:, 1:].tolist()
