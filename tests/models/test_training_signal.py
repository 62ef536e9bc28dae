"""Losses, their counts, gradients, what is frozen, and that each model learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from duolect.data.augment import SpecAugmentConfig
from duolect.models import LoraSettings, build_model, label_log_probs
from duolect.nn import commit_batch_norms

KINDS = ["acoustic", "language", "speech_llm"]
LORA = {"finetune": "lora", "lora": LoraSettings(rank=2)}


def _loss(terms: Any) -> torch.Tensor:
    return sum(term.weight * term.total / term.count for term in terms.values())  # type: ignore[return-value]


def _without_dropout(config: Any) -> Any:
    changes: dict[str, Any] = {}
    if hasattr(config, "encoder"):
        changes["encoder"] = dataclasses.replace(config.encoder, dropout=0.0)
    if getattr(config, "decoder", None) is not None:
        changes["decoder"] = dataclasses.replace(config.decoder, dropout=0.0)
    return dataclasses.replace(config, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_known_before_the_forward_pass(kind: str, models: Any, batch: Any) -> None:
    terms, counts = models[kind](batch), models[kind].loss_counts(batch)
    assert {name: term.count for name, term in terms.items()} == counts
    assert counts["ce"] == 4 + 0 + 3 + 3
    expected = {"acoustic": {"ce", "ce_aux", "ctc1", "ctc2"}, "language": {"ce"}, "speech_llm": {"ce", "ctc2"}}
    assert set(terms) == expected[kind]
    if "ctc2" in terms:
        assert counts["ctc2"] == 4 + 1 + 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_a_batch_is_the_sum_over_its_utterances(kind: str, models: Any, batch: Any) -> None:
    together = models[kind](batch)
    alone: dict[str, float] = dict.fromkeys(together, 0.0)
    for b in range(3):
        samples, labels = int(batch.sample_lengths_B[b]), int(batch.label_lengths_B[b])
        one = dataclasses.replace(
            batch,
            samples_BN=batch.samples_BN[b : b + 1, :samples],
            sample_lengths_B=batch.sample_lengths_B[b : b + 1],
            labels_BN=batch.labels_BN[b : b + 1, :labels],
            label_lengths_B=batch.label_lengths_B[b : b + 1],
            seeds_B=batch.seeds_B[b : b + 1],
        )
        for name, term in models[kind](one).items():
            alone[name] += term.total.item()
    for name, term in together.items():
        assert term.total.item() == pytest.approx(alone[name], abs=2e-4), name


@pytest.mark.parametrize("kind", ["language", "speech_llm"])
def test_cross_entropy_is_the_log_probability_of_labels_and_eos(
    kind: str, configs: Any, build: Callable, batch: Any
) -> None:
    model = build(dataclasses.replace(configs[kind], label_smoothing=0.0))
    with torch.no_grad():
        encoded = None if kind == "language" else model.encode(batch.samples_BN, batch.sample_lengths_B)
        scores_BM, mask_BM = label_log_probs(model, encoded, batch.labels_BN, batch.label_lengths_B)
        total = model(batch)["ce"].total
    torch.testing.assert_close(total, -scores_BM.sum(), atol=1e-4, rtol=0)
    assert mask_BM.sum(1).tolist() == [5, 1, 4]


def test_ctc_can_speak_other_units(configs: Any, build: Callable, batch: Any) -> None:
    model = build(dataclasses.replace(configs["speech_llm"], ctc_vocabulary=5))
    other = dataclasses.replace(
        batch, ctc_labels_BN=torch.tensor([[0, 4], [1, 0], [2, 3]]), ctc_label_lengths_B=torch.tensor([2, 1, 2])
    )
    assert model.loss_counts(other)["ctc2"] == 5
    assert model.ctc_log_probs(model.encode(batch.samples_BN, batch.sample_lengths_B))[0].shape[-1] == 6
    assert model(other)["ctc2"].total.isfinite()


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_autocast_gives_finite_losses_and_gradients(kind: str, configs: Any, batch: Any) -> None:
    model = build_model(configs[kind]).train()
    empty = dataclasses.replace(batch, sample_lengths_B=torch.tensor([12000, 0, 8000]))
    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(model(empty))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_on_one_batch_bring_the_loss_down(kind: str, configs: Any, batch: Any) -> None:
    model = build_model(configs[kind]).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for step in range(20):
        loss = _loss(model(batch, step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        commit_batch_norms(model)
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({}, lambda name: True),
        ({"finetune": "frozen"}, lambda name: not name.startswith("llm.")),
        (LORA, lambda name: not name.startswith("llm.") or "lora_" in name),
        ({"freeze_encoder": True}, lambda name: not name.startswith("speech.encoder")),
        (
            {"finetune": "frozen", "freeze_encoder": True, "ctc_weight": 0.0},
            lambda name: name.startswith("adapter."),
        ),
    ],
)
def test_exactly_what_is_asked_for_is_trained(
    changes: dict, trained: Callable[[str], bool], configs: Any, batch: Any
) -> None:
    model = build_model(dataclasses.replace(configs["speech_llm"], **changes)).train()
    _loss(model(batch)).backward()
    commit_batch_norms(model)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == trained(name), name
        assert (parameter.grad is not None) == trained(name), name
    assert model.llm.training == (changes.get("finetune") != "frozen")
    assert model.speech.encoder.training == ("freeze_encoder" not in changes)
    moved = any(norm.abs().sum() > 0 for name, norm in model.speech.named_buffers() if name.endswith("running_mean"))
    assert moved == ("freeze_encoder" not in changes)


def test_augmentation_is_for_training_only_and_by_seed(configs: Any, batch: Any) -> None:
    config = _without_dropout(dataclasses.replace(configs["acoustic"], spec_augment=SpecAugmentConfig(steps=(0, 0, 0))))
    model = build_model(config).train()

    def total(step: int = 9, seeds_B: torch.Tensor = batch.seeds_B) -> float:
        return _loss(model(dataclasses.replace(batch, seeds_B=seeds_B), step)).item()

    assert total() == total()
    assert total() != total(seeds_B=batch.seeds_B + 1)
    model.eval()
    assert total() == total(seeds_B=batch.seeds_B + 1)
