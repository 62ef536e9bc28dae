"""Models as folders: config.json, model.safetensors, and the architectures of what came from transformers.

Those are llm_config.json where there is an LLM, and encoder_config.json where the encoder is a pre-trained one.

A folder needs nothing outside itself, and no network, to be loaded again.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from duolect.configs import from_json, to_json
from duolect.errors import ModelError
from duolect.models.acoustic import AcousticConfig, AcousticModel
from duolect.models.encoders import HuggingFaceEncoderConfig, PretrainedEncoder
from duolect.models.language import LanguageConfig, LanguageModel
from duolect.models.lora import merged_state
from duolect.models.pretrained import read_architecture, write_architecture
from duolect.models.speech_llm import SpeechLLM, SpeechLLMConfig
from duolect.storage import atomic_folder, load_tensors, read_json, save_tensors, tensor_notes, write_json

FORMAT = 1
LLM, ENCODER, WEIGHTS = "llm_config.json", "encoder_config.json", "model.safetensors"

Model = AcousticModel | LanguageModel | SpeechLLM
"""Every kind of trainable model."""

_KINDS: dict[str, tuple[type, type[Any]]] = {
    "acoustic": (AcousticConfig, AcousticModel),
    "language": (LanguageConfig, LanguageModel),
    "speech_llm": (SpeechLLMConfig, SpeechLLM),
}


def build_model(
    config: AcousticConfig | LanguageConfig | SpeechLLMConfig,
    encoder_from: str | os.PathLike[str] | None = None,
    llm_from: str | os.PathLike[str] | None = None,
) -> Model:
    """The model `config` describes, with fresh weights (pre-trained ones where the config names a source).

    `encoder_from`: the folder of a saved model whose encoder is to be taken over afterwards. A pre-trained encoder is
    then built like that one, without a look at its source. `llm_from`: the same for the LLM of a speech LLM, where both
    come from one source; all else of the model has the weights that it would have had with the source.
    """
    stored: dict[str, Any] = {}
    if encoder_from is not None and _has_pretrained_encoder(config) and (Path(encoder_from) / ENCODER).is_file():
        stored["stored_encoder"] = read_architecture(Path(encoder_from) / ENCODER, "an encoder")
    if llm_from is not None and isinstance(config, SpeechLLMConfig) and _is_from_source_of(config, Path(llm_from)):
        stored["stored"] = read_architecture(Path(llm_from) / LLM, "a causal language model")
        stored["as_from_source"] = True
    return _KINDS[config.kind][1](config, **stored)


def _is_from_source_of(config: SpeechLLMConfig, folder: Path) -> bool:
    """Whether the saved model in `folder` has the LLM that `config` names, and its tables."""
    if config.llm.source is None or not (folder / LLM).is_file():
        return False
    there = _read_config(folder).llm
    if config.llm.replace_embeddings and not config.llm.pretrained:
        return False  # the tables of the source have a part in the random numbers
    return (there.source, there.replace_embeddings) == (config.llm.source, config.llm.replace_embeddings)


def _has_pretrained_encoder(config: AcousticConfig | LanguageConfig | SpeechLLMConfig) -> bool:
    return not isinstance(config, LanguageConfig) and isinstance(config.encoder, HuggingFaceEncoderConfig)


def save_model(model: Model, folder: str | os.PathLike[str]) -> None:
    """Write `model` to `folder`, which appears whole or not at all. LoRA is merged; tied weights are written once."""
    config = stored_config(model)
    with atomic_folder(folder) as partial:
        write_json(partial / "config.json", {"format": FORMAT, "kind": config.kind, "config": to_json(config)})
        if not isinstance(model, AcousticModel):
            write_architecture(partial / LLM, model.llm.model.config)
        if not isinstance(model, LanguageModel) and isinstance(model.speech.encoder, PretrainedEncoder):
            write_architecture(partial / ENCODER, model.speech.encoder.model.config)
        notes = {"interface": model.config.interface.kind} if isinstance(model, SpeechLLM) else None
        save_tensors(partial / WEIGHTS, _once(merged_state(model)), notes)


def stored_config(model: Model) -> Any:
    """The config that `save_model` writes: that of `model`, but for LoRA, which is in the weights by then."""
    if getattr(model.config, "lora", None) is None:
        return model.config
    return dataclasses.replace(model.config, finetune="full", lora=None)


def load_model(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> Model:
    """Read a model that `save_model` wrote, in evaluation mode, onto `device`.

    Raises ModelError or ConfigError, naming the file, where one is missing, damaged, or does not fit the config.
    """
    folder = Path(folder)
    config = _read_config(folder)
    model_class = _KINDS[config.kind][1]
    if isinstance(config, SpeechLLMConfig):
        _check_interface(config, folder)
    stored = {}
    if config.kind != "acoustic":
        stored["stored"] = read_architecture(folder / LLM, "a causal language model")
    if _has_pretrained_encoder(config):
        stored["stored_encoder"] = read_architecture(folder / ENCODER, "an encoder")
    model = model_class(config, **stored)
    _load_weights(model, load_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return model.to(device).eval()


def _read_config(folder: Path) -> Any:
    described = read_json(folder / "config.json")
    if not isinstance(described, dict) or described.get("format") != FORMAT or described.get("kind") not in _KINDS:
        raise ModelError(f"{folder / 'config.json'}: not a model of format {FORMAT} and kind {', '.join(_KINDS)}.")
    return from_json(_KINDS[described["kind"]][0], described.get("config"), str(folder / "config.json"))


def _check_interface(config: SpeechLLMConfig, folder: Path) -> None:
    """Raise ModelError where the weights were trained with another interface: some differ in no tensor."""
    trained, named = tensor_notes(folder / WEIGHTS).get("interface"), config.interface.kind
    if trained not in (None, named):
        raise ModelError(
            f"{folder / WEIGHTS}: the weights of a speech LLM with attention interface {trained!r}, but config.json "
            f"beside them names {named!r}; one of the two files is from another model."
        )


def count_parameters(model: Model) -> dict[str, tuple[int, int]]:
    """{part: (all, trainable)} parameters, tied ones once; the last part is "total"."""
    parts: dict[str, nn.Module | None] = {"encoder": None, "ctc": None, "adapter": None, "interface": None}
    if not isinstance(model, LanguageModel):
        parts |= {"encoder": model.speech.encoder, "ctc": model.speech.ctc_heads}
    if isinstance(model, SpeechLLM):
        parts |= {"adapter": model.adapter, "interface": model.interface}
    parts |= {"decoder": model.decoder} if isinstance(model, AcousticModel) else {"llm": model.llm}
    parts["total"] = model
    counts = {
        name: (
            sum(p.numel() for p in part.parameters()),
            sum(p.numel() for p in part.parameters() if p.requires_grad),
        )
        for name, part in parts.items()
        if part is not None
    }
    return {name: count for name, count in counts.items() if count[0]}


def _load_weights(model: nn.Module, tensors: dict[str, Tensor], where: str | os.PathLike[str]) -> None:
    """Copy `tensors` into `model`, strictly; a tied weight may be named once. Raises ModelError naming the tensor."""
    own = model.state_dict()
    present = {_place(own[name]) for name in tensors if name in own}
    for name in sorted(set(tensors) - set(own)):
        raise ModelError(f"{where}: holds a tensor {name!r} that the model does not have.")
    for name, tensor in own.items():
        if name not in tensors and _place(tensor) not in present:
            raise ModelError(f"{where}: the tensor {name!r} of the model is missing.")
        if name in tensors and tensors[name].shape != tensor.shape:
            found, expected = tuple(tensors[name].shape), tuple(tensor.shape)
            raise ModelError(f"{where}: the tensor {name!r} has shape {found}, the model expects {expected}.")
    model.load_state_dict(tensors, strict=False)


def _place(tensor: Tensor) -> tuple[Any, ...]:
    # Tensors of no element all share the null pointer; they are not tied.
    return (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.data_ptr() else (id(tensor),)


def _once(state: dict[str, Tensor]) -> dict[str, Tensor]:
    seen: set[tuple[Any, ...]] = set()
    kept = {}
    for name, tensor in state.items():
        if _place(tensor) not in seen:
            seen.add(_place(tensor))
            kept[name] = tensor
    return kept
