"""Made CTC posteriors: what a search reads where the benchmark is of the search and no trained model is at hand.

Random labels at random frames, a few competitors beside each, noise over all labels, blank elsewhere. How sharp they
are decides how much a search has to do, so their entropy and share of blank are measured and stand beside every figure.

Legend: B utterances · T frames · N labels · V labels (EOS, which is never likely, is 0) · W = V + 1 (blank last).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EOS = 0
_BLANK, _LABEL, _COMPETITORS, _NOISE = 13.0, 13.0, 3, 1.5


@dataclass(frozen=True)
class Posteriors:
    """log_probs_BTW: float32 log-softmax on the CPU; labels_BN: what was put into them; places_BN: at which frames."""

    log_probs_BTW: Tensor
    lengths_B: Tensor
    labels_BN: Tensor
    places_BN: Tensor
    seed: int

    def facts(self) -> dict[str, float | int]:
        """Mean entropy of a frame in nats, mean p(blank), share of frames that are blank with p ≥ 0.95."""
        log_blank_BT = self.log_probs_BTW[..., -1]
        entropy = -(self.log_probs_BTW.exp() * self.log_probs_BTW).sum(-1).mean()
        batch, frames, width = self.log_probs_BTW.shape
        return {
            "utterances": batch,
            "frames": frames,
            "labels_in_vocabulary": width - 1,
            "labels_per_utterance": self.labels_BN.shape[1],
            "entropy_nats": round(float(entropy), 3),
            "blank": round(float(log_blank_BT.exp().mean()), 3),
            "blank_above_0.95": round(float((log_blank_BT.exp() >= 0.95).float().mean()), 3),
            "seed": self.seed,
        }


def made_posteriors(
    utterances: int, frames: int, vocabulary: int, labels: int, *, temperature: float = 1.0, seed: int = 0
) -> Posteriors:
    """`labels` labels in each utterance of `frames` frames; a higher temperature makes every frame less certain."""
    generator = torch.Generator().manual_seed(seed)
    labels_BN = torch.randint(EOS + 1, vocabulary, (utterances, labels), generator=generator)
    place_BN = torch.rand(utterances, frames, generator=generator).argsort(-1)[:, :labels].sort(-1).values
    logits_BTW = torch.randn(utterances, frames, vocabulary + 1, generator=generator) * _NOISE
    logits_BTW[..., -1] += _BLANK
    heard_BNW = logits_BTW.gather(1, place_BN[..., None].expand(-1, -1, vocabulary + 1))
    heard_BNW[..., -1] -= 1 + 2 * torch.empty(utterances, labels).exponential_(generator=generator)
    others_BNC = torch.randint(EOS + 1, vocabulary, (utterances, labels, _COMPETITORS), generator=generator)
    behind_BNC = 3 * torch.empty(utterances, labels, _COMPETITORS).exponential_(generator=generator)
    heard_BNW.scatter_(2, others_BNC, _LABEL - behind_BNC)
    heard_BNW.scatter_(2, labels_BN[..., None], _LABEL + torch.randn(utterances, labels, 1, generator=generator))
    logits_BTW.scatter_(1, place_BN[..., None].expand(-1, -1, vocabulary + 1), heard_BNW)
    logits_BTW[..., EOS] = -40.0
    log_probs_BTW = (logits_BTW / temperature).log_softmax(-1)
    return Posteriors(log_probs_BTW, torch.full((utterances,), frames), labels_BN, place_BN, seed)
