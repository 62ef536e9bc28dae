"""Muon beside AdamW: which parameters it takes, that it equals torch's, and that its state survives a checkpoint."""

import copy

import pytest
import torch
from torch import nn

from duolect.training import OptimiserConfig
from duolect.training.muon import MuonWithAdamW, orthogonalise
from duolect.training.optimiser import build_optimiser, parameter_groups
from duolect.training.state import load_optimiser_tensors, optimiser_tensors


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.wide, self.narrow = nn.Linear(6, 20), nn.Linear(20, 6)
        self.norm = nn.LayerNorm(6)
        self.bias_u = nn.Parameter(torch.zeros(2, 3))  # as Parakeet's, a row for each head
        self.ctc_heads = nn.Linear(6, 5)

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        x = self.embedding(labels)
        return self.ctc_heads(self.norm(x + self.narrow(torch.tanh(self.wide(x + self.bias_u.flatten())))))


def _train(model: Toy, optimiser: torch.optim.Optimizer, steps: int) -> list[float]:
    labels = torch.arange(7)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(labels), labels % 5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_only_hidden_matrices_are_taken() -> None:
    model = Toy()
    groups = parameter_groups(model, OptimiserConfig(kind="muon"))
    taken = {id(p) for group in groups if group["muon"] for p in group["params"]}
    assert taken == {id(model.wide.weight), id(model.narrow.weight)}
    assert not any(group["muon"] for group in parameter_groups(model, OptimiserConfig()))
    assert isinstance(build_optimiser(model, OptimiserConfig(kind="muon")), MuonWithAdamW)


@pytest.mark.parametrize("shape", [(3, 6, 20), (2, 20, 6), (1, 8, 8)])
def test_singular_values_come_close_to_one(shape: tuple[int, ...]) -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_a_step_is_that_of_torch() -> None:
    ours = [nn.Parameter(torch.randn(12, 30)), nn.Parameter(torch.randn(12, 30)), nn.Parameter(torch.randn(30, 12))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    mine = MuonWithAdamW(
        [{"params": ours, "muon": True, "weight_decay": 0.1}], lr=0.02, momentum=0.9, betas=(0.9, 0.99), eps=1e-8
    )
    torchs = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        torchs.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=5e-3)  # theirs in bfloat16


def test_state_comes_back_and_training_goes_on_as_if_uninterrupted() -> None:
    model = Toy()
    config = OptimiserConfig(kind="muon", lr=0.02)
    optimiser = build_optimiser(model, config)
    assert _train(model, optimiser, 30)[-1] < 0.5
    other = copy.deepcopy(model)
    fresh = build_optimiser(other, config)
    names = [name for name, _ in model.named_parameters()]
    load_optimiser_tensors(other, names, fresh, optimiser_tensors(model, names, optimiser), "here")
    assert _train(model, optimiser, 10) == _train(other, fresh, 10)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_steps_of_adamw_go_where_its_fused_kernel_reads_them(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device "meta" stands for a GPU; what torch asks of a fused optimiser's parameters when it is made is not
    asked there, and whether it is fused is told by its groups."""
    model, real = Toy(), torch.optim.AdamW
    names = [name for name, _ in model.named_parameters()]
    optimiser = build_optimiser(model, OptimiserConfig(kind=kind))
    _train(model, optimiser, 2)
    saved = optimiser_tensors(model, names, optimiser)

    def unfused(groups: list[dict], *, fused: bool, **settings) -> torch.optim.Optimizer:
        made = real(groups, **settings)
        for group in made.param_groups:
            group["fused"] = fused
        return made

    monkeypatch.setattr(torch.optim, "AdamW", unfused)
    other = Toy().to("meta")
    fresh = build_optimiser(other, OptimiserConfig(kind=kind))
    load_optimiser_tensors(other, names, fresh, saved, "here")
    parameters = dict(other.named_parameters())
    steps = [fresh.state[parameters[key.removesuffix("/step")]]["step"] for key in saved if key.endswith("/step")]
    assert len(steps) > 3
    assert {step.device.type for step in steps} == {"meta"}
