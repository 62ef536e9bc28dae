"""Tensors without numbers against real ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_plan import CONFIGS, _batch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import TrainingError
from duolect.models.sizing import build_unweighted
from duolect.nn.flops import flop_counter
from duolect.training import shapes
from duolect.training.cost import step_cost
from duolect.training.shapes import CountedShapes, ShapeTensor, pretend, storage_of

OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "of another type": lambda x, w: (x > 0).long() + 1.0,
    "of the same type": lambda x, w: (x > 0).long() + 1,
    "a bool": lambda x, w: (x > 0).long() + True,
    "a product": lambda x, w: functional.linear(x, w),
    "attention": lambda x, w: functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None]),
    "a convolution": lambda x, w: functional.conv1d(x.transpose(1, 2), w[..., None], padding=1),
    "a view": lambda x, w: x.transpose(0, 1)[1:],
    "a copy of a view": lambda x, w: x.transpose(0, 1).reshape(-1, x.shape[-1]),
    "two pieces": lambda x, w: x.chunk(2, dim=-1)[1],
    "written to": lambda x, w: torch.zeros_like(x).masked_fill_(x > 0, 1.0),
    "a mask": lambda x, w: x[torch.arange(x.shape[1]).expand(x.shape[:2]) > 1],
    "largest": lambda x, w: x.topk(2, dim=1).indices,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_shape_is_that_of_a_real_outcome(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    operation = OPERATIONS[name]
    with CountedShapes() as counted:
        for _ in range(6):
            batch, frames, width = (int(n) for n in torch.randint(3, 6, (3,), generator=generator))
            sizes = (batch, frames, 2 * width), (4, 2 * width)
            before = counted.operations
            for again in range(2):  # the second time from what is known
                found = operation(*(pretend(torch.empty(size, device="meta")) for size in sizes))
                with torch.utils._python_dispatch._disable_current_modes(), flop_counter() as counter:
                    real = operation(*(torch.randn(size) for size in sizes))
                assert isinstance(found, ShapeTensor)
                said = f"{sizes}, {again=}"
                assert (found.shape, found.stride(), found.dtype) == (real.shape, real.stride(), real.dtype), said
                assert found.device == real.device
                assert storage_of(found).nbytes() == real.untyped_storage().nbytes(), said
            assert counted.operations - before == 2 * counter.get_total_flops()


def test_views_share_a_storage_and_new_tensors_do_not() -> None:
    with CountedShapes():
        x = pretend(torch.empty(2, 3, 4, device="meta"))
        views: list[Any] = [x.view(6, 4), x.transpose(0, 1), x[1], x.detach(), x.mul_(2.0), *x.unbind()]
        new: list[Any] = [x * 2, x * 2, x.clone(), x.transpose(0, 1).contiguous()]
    assert {storage_of(view)._cdata for view in views} == {storage_of(x)._cdata}
    assert len({storage_of(each)._cdata for each in (x, *new)}) == 5
    assert views[4] is x


@pytest.mark.parametrize("name", ["acoustic", "merged", "cross", "lora"])
def test_what_is_known_of_equal_layers_changes_no_figure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def cost() -> Any:
        model, batch = build_unweighted(CONFIGS[name]), _batch()
        parts: dict[str, nn.Module] = {"encoder": model.speech.encoder}
        return step_cost(model, dataclasses.replace(batch, samples_BN=batch.samples_BN.to("meta")), parts)

    known = cost()
    monkeypatch.setattr(shapes, "_forms", lambda *_: [])
    assert cost() == known


@pytest.mark.parametrize("ask", [Tensor.item, Tensor.nonzero, lambda x: bool(x > 0)])
def test_what_depends_on_numbers_is_an_error(ask: Callable[[Tensor], Any]) -> None:
    with CountedShapes(), pytest.raises(TrainingError, match="cannot be told without data"):
        ask(pretend(torch.empty(1, device="meta")))
