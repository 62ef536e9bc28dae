"""Low-rank adaptation of an LLM (Hu et al. 2021) through peft, and the merged weights that are exported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from duolect.errors import ConfigError, ModelError

Finetune = Literal["full", "frozen", "lora"]
"""What of an LLM is trained: all of it, nothing, or low-rank additions to some projections."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """W + scale · B A with A of `rank` rows; scale is alpha / rank, or alpha / √rank when rank-stabilised.

    `targets` are the last parts of the names of projections. Where an LLM has none of that name, as GPT-2, what it has
    instead is meant: the one for queries, keys and values together, say. Named settings: `LORA_PRESETS`.
    """

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    rank_stabilised: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not self.targets:
            raise ConfigError("lora: rank and alpha must be positive and targets must name at least one projection.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"lora: dropout must be at least 0 and below 1, not {self.dropout}.")

    @property
    def scale(self) -> float:
        """The factor before B A."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


LORA_PRESETS: dict[str, LoraSettings] = {
    "lora": LoraSettings(rank=32, alpha=32.0, dropout=0.05, targets=("q_proj", "k_proj", "v_proj", "o_proj")),
    "lora-speech-llm": LoraSettings(
        rank=320, alpha=16.0, dropout=0.1, targets=("q_proj", "v_proj"), rank_stabilised=True
    ),
    "lora-language": LoraSettings(
        rank=64,
        alpha=128.0,
        dropout=0.1,
        targets=("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj"),
        rank_stabilised=True,
    ),
}
"""Settings by name: a common one, and those of arXiv 2603.15045 for the speech LLM and the 7B language model."""

_GPT2 = {
    "q_proj": "attn.c_attn",
    "k_proj": "attn.c_attn",
    "v_proj": "attn.c_attn",
    "o_proj": "attn.c_proj",
    "gate_proj": "mlp.c_fc",
    "up_proj": "mlp.c_fc",
    "down_proj": "mlp.c_proj",
}
"""What a decoder laid out as GPT-2 has in the place of a projection."""


def check_finetune(
    finetune: Finetune, lora: LoraSettings | None, freeze_embeddings: bool, replaced_embeddings: bool
) -> None:
    """Raise ConfigError where the fine-tuning settings contradict each other."""
    if (finetune == "lora") != (lora is not None):
        raise ConfigError(f"finetune is {finetune!r}: settings under 'lora' belong to finetune 'lora' and only there.")
    if freeze_embeddings and finetune != "full":
        raise ConfigError(f"freeze_embeddings belongs to finetune 'full'; {finetune!r} leaves the embeddings frozen.")
    if replaced_embeddings and (finetune == "frozen" or freeze_embeddings):
        what = "freeze_embeddings" if freeze_embeddings else "finetune 'frozen'"
        raise ConfigError(f"{what} with replace_embeddings would leave the new embeddings random.")


def prepare_finetuning(
    llm: Any,
    finetune: Finetune,
    lora: LoraSettings | None,
    *,
    freeze_embeddings: bool = False,
    train_embeddings: bool = False,
) -> None:
    """Set which parameters of a Hugging Face LLM are trained, adding LoRA to it in place where asked.

    `freeze_embeddings`: all but the input and output tables. `train_embeddings`: with LoRA, these tables are trained as
    well (new tables must be). Raises ModelError where a LoRA target names no projection of the LLM.
    """
    if finetune == "lora" and lora is not None:
        _add_lora(llm, lora)
    else:
        llm.requires_grad_(finetune == "full")
    if freeze_embeddings or (finetune == "lora" and train_embeddings):
        for table in (llm.get_input_embeddings(), llm.get_output_embeddings()):
            table.requires_grad_(not freeze_embeddings)


def _add_lora(llm: Any, lora: LoraSettings) -> None:
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    # The output layer is none: it may share its weights with the input table, and is applied to some labels alone.
    head = llm.get_output_embeddings()
    projections = {
        name: module
        for name, module in llm.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    }
    targets = {_found(target, list(projections)) for target in lora.targets}
    adapted = [module for name, module in projections.items() if any(_named(name, target) for target in targets)]
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # ty: ignore[invalid-argument-type]
        lora_dropout=lora.dropout,
        target_modules=sorted(targets),
        use_rslora=lora.rank_stabilised,
        bias="none",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in adapted),  # its weights are the other way round
    )
    inject_adapter_in_model(settings, llm)
    for parameter in llm.parameters():  # small steps of what is trained would be lost in bfloat16
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _found(target: str, names: list[str]) -> str:
    """`target`, or what stands for it. Raises ModelError where there is neither among the names of projections."""
    for known in (target, _GPT2.get(target, target)):
        if any(_named(name, known) for name in names):
            return known
    there = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names}))
    raise ModelError(f"lora: the target {target!r} names no projection of this LLM; it has {there or 'none'}.")


def _named(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of `model` with every LoRA folded into its base weights and named as without LoRA.

    The model itself stays as it is.
    """
    state = dict(model.state_dict())
    modules: list[tuple[str, Any]] = list(model.named_modules())
    for name, module in modules:
        if not hasattr(module, "lora_A"):
            continue
        delta = module.get_delta_weight("default")
        for key in [key for key in state if key.startswith(f"{name}.")]:
            tensor, rest = state.pop(key), key.removeprefix(f"{name}.")
            if rest.startswith("base_layer."):
                plain = rest.removeprefix("base_layer.")
                state[f"{name}.{plain}"] = _sum(tensor, delta) if plain == "weight" else tensor
    return state


def _sum(weight: Tensor, delta: Tensor) -> Tensor:
    """In the type of `weight`, rounded once."""
    return (weight.float() + delta.float()).to(weight.dtype)


@torch.no_grad()
def load_base_state(model: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Load weights named as without LoRA into `model`, whose own LoRA, if any, stays as it is.

    Raises ModelError, naming the first tensor, where names or shapes differ; `what` says whose weights they are.
    """
    layers = [name for name, module in model.named_modules() if hasattr(module, "lora_A")]
    own = model.state_dict()
    renamed = {}
    for key, tensor in state.items():
        for layer in layers:
            if key.startswith(f"{layer}."):
                key = f"{layer}.base_layer.{key.removeprefix(f'{layer}.')}"
        renamed[key] = tensor
    expected = {key for key in own if ".lora_" not in key}
    for key in sorted(expected.symmetric_difference(renamed)):
        raise ModelError(f"{what} does not fit: {key} is in only one of the two models.")
    for key, tensor in renamed.items():
        if own[key].shape != tensor.shape:
            raise ModelError(
                f"{what} does not fit: {key} has shape {tuple(tensor.shape)}, expected {tuple(own[key].shape)}."
            )
        own[key].copy_(tensor)
