"""An output layer over some labels only: the full distribution of those labels, renormalised."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from duolect.models.heads import LabelHead

# Kept labels of three utterances, in any order; −1 is none.
LABELS_BC = torch.tensor([[0, 7, 3, 9], [0, 2, -1, -1], [4, 0, 10, 5]])


def renormalised(log_probs_V: Tensor, labels_C: Tensor) -> Tensor:
    """The reference, in float64: all labels scored, those that are not kept dropped."""
    kept_C = log_probs_V.double()[labels_C.clamp(min=0)].masked_fill(labels_C < 0, -torch.inf)
    return kept_C.log_softmax(-1).float()


@pytest.mark.parametrize("bias", [False, True])
def test_it_is_the_softmax_over_the_kept_labels(bias: bool) -> None:
    for seed in range(50):
        torch.manual_seed(seed)
        layer, norm = nn.Linear(6, 11, bias=bias), nn.RMSNorm(6)
        norm.weight.data.normal_()
        head = LabelHead.of(LABELS_BC, layer.weight, layer.bias, norm=norm if seed % 2 else None)
        rows = torch.randint(0, 3, (seed % 8,))
        selected = head.select(rows)
        row_G = torch.randint(0, max(len(rows), 1), (seed % 5 if len(rows) else 0,))
        states_GD = torch.randn(len(row_G), 6)
        found_GC = selected.log_probs(states_GD, row_G)
        assert found_GC.shape == (len(row_G), 4)
        full_GV = layer(norm(states_GD) if seed % 2 else states_GD).log_softmax(-1)
        for found_C, full_V, row in zip(found_GC, full_GV, row_G.tolist(), strict=True):
            expected_C = renormalised(full_V, LABELS_BC[rows[row]])
            torch.testing.assert_close(found_C, expected_C, atol=2e-6, rtol=0, msg=f"seed {seed}")


@pytest.mark.parametrize("kind", ["decoder", "language", "speech_llm"])
def test_a_model_with_a_head_speaks_of_its_labels_alone(kind: str, models: Any, batch: Any) -> None:
    """At the start, after ragged steps, after rows were picked and repeated; the labels consumed are any."""
    model = models["acoustic"].decoder if kind == "decoder" else models[kind]
    encoder = {"decoder": models["acoustic"], "speech_llm": models["speech_llm"]}.get(kind)
    with torch.inference_mode():
        encoded = None if encoder is None else encoder.encode(batch.samples_BN, batch.sample_lengths_B)
        head = model.head(LABELS_BC)
        full_RV, full_state = model.start(encoded, 3)
        some_RC, state = model.start(encoded, 3, head)
        for full_V, some_C, labels_C in zip(full_RV, some_RC, LABELS_BC, strict=True):
            torch.testing.assert_close(some_C, renormalised(full_V, labels_C), atol=1e-5, rtol=0)
        utterance_R = torch.arange(3)
        for rows, counts in (([2, 0, 0, 1], [1, 2, 0, 1]), ([0, 3, 3], [2, 2, 2]), ([1], [0])):
            rows_R, counts_R = torch.tensor(rows), torch.tensor(counts)
            labels_RN = torch.randint(2, 11, (len(rows), 2))
            utterance_R, head = utterance_R[rows_R], head.select(rows_R)
            full_RNV, full_state = model.step(model.select(full_state, rows_R), labels_RN, counts_R)
            some_RNC, state = model.step(model.select(state, rows_R), labels_RN, counts_R, head)
            assert some_RNC.shape == (len(rows), 2, 4)
            assert not some_RNC.isnan().any()
            for r, count in enumerate(counts):
                for n in range(count):
                    expected_C = renormalised(full_RNV[r, n], LABELS_BC[utterance_R[r]])
                    torch.testing.assert_close(some_RNC[r, n], expected_C, atol=1e-5, rtol=0)


def test_only_the_kept_rows_of_the_table_are_copied(models: Any) -> None:
    head = models["language"].head(LABELS_BC)
    assert head.weight_BCD.shape == (3, 4, 16)
    assert head.select(torch.tensor([0, 0, 1, 2, 2])).weight_BCD is head.weight_BCD
