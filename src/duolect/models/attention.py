"""Where a model looks as it writes the labels of an utterance: at which part of the audio, the prompt, the text.

T audio positions · M = N + 1 labels, EOS included · L layers · H heads · K keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from duolect.errors import ConfigError, ModelError
from duolect.models.acoustic import AcousticModel
from duolect.models.decoders import PrependDecoder
from duolect.models.encoded import Encoded
from duolect.models.interfaces import CrossInterface, MergedInterface
from duolect.models.speech_llm import SpeechLLM
from duolect.nn.adapters import CtcCompression, most_frames
from duolect.nn.merging import Merge, group_frames
from duolect.nn.recording import recorded_attention


class KeyPart(NamedTuple):
    """Keys that stand side by side. `labels`: those of a prompt or of the text, −1 for its start; of audio there are
    none."""

    kind: Literal["prompt", "audio", "text"]
    size: int
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class AttentionMap:
    """The attention weights of an utterance, each row of keys summing to 1.

    weights_LHMK: float32 on the CPU; row n is where the model looks as it writes label n + 1, the last one is EOS's.
    Layers and heads are counted from 1; `heads` is empty where the weights are the mean over all, H = 1. Of the K keys
    each of the `parts` has its share, in order.
    """

    weights_LHMK: Tensor
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    depth: int
    parts: tuple[KeyPart, ...]


@dataclass(frozen=True)
class Heard:
    """An utterance, encoded, and where its audio positions (T of them) begin and end: edges_T1, in seconds."""

    encoded: Encoded
    edges_T1: np.ndarray


def attention_map(
    model: AcousticModel | SpeechLLM,
    encoded: Encoded,
    labels: Sequence[int],
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> AttentionMap:
    """The attention by which `model` reads one encoded utterance while it writes `labels`, in one pass over them all.

    For a speech LLM with cross-attention and for an attention decoder that is the cross-attention, else the attention
    to audio and text together. `layers`: which, counted from 1 (None: all that attend to the audio); `heads`: which
    (None: their mean). Raises ConfigError where a layer or head does not exist, ModelError where nothing attends.
    """
    writer, parts, inside, every = _reader(model, encoded, tuple(labels))
    device = encoded.lengths_B.device
    labels_1N = torch.tensor([list(labels)], dtype=torch.long, device=device)
    keys = sum(part.size for part in parts)
    with torch.inference_mode(), recorded_attention(len(labels) + 1, keys=keys, inside=inside) as found:
        writer.sequence_log_probs(encoded, labels_1N, torch.tensor([len(labels)], device=device))
    if not found:
        raise ModelError(f"The attention of this {type(model).__name__} to the audio could not be recorded.")
    known = tuple(every * (place + 1) for place in range(len(found)))
    chosen = known if layers is None else tuple(layers)
    _require(chosen, known, "layer", "whose attention to the audio can be drawn")
    _require(tuple(heads or ()), tuple(range(1, found[0].shape[1] + 1)), "head", "in each layer")
    picked = [found[known.index(layer)][0].float() for layer in chosen]
    if heads is None:
        picked = [weights_HMK.mean(0, keepdim=True) for weights_HMK in picked]
    else:
        picked = [weights_HMK[[head - 1 for head in heads]] for weights_HMK in picked]
    return AttentionMap(torch.stack(picked).cpu(), chosen, tuple(heads or ()), known[-1], parts)


def _reader(
    model: AcousticModel | SpeechLLM, encoded: Encoded, labels: tuple[int, ...]
) -> tuple[Any, tuple[KeyPart, ...], list[Any] | None, int]:
    """(what writes the labels, its keys, the modules that attend to the audio alone, one in how many layers they are).

    The modules are None where text and audio are attended to together.
    """
    audio = KeyPart("audio", int(encoded.positions_B[0]))
    text = KeyPart("text", len(labels) + 1, (-1, *labels))
    if isinstance(model, AcousticModel):
        if model.decoder is None:
            raise ModelError("This acoustic model has CTC heads alone; they do not attend to the audio label by label.")
        if isinstance(model.decoder, PrependDecoder):
            return model.decoder, (audio, text), None, 1
        return model.decoder, (audio,), [layer.cross_attention for layer in model.decoder.layers], 1
    if isinstance(model.interface, CrossInterface):
        return model, (audio,), [block.attention for block in model.interface.blocks], model.interface.every
    prompts = model.prompts.choose(encoded.tags_B, encoded.lengths_B)
    before, after = (
        prompts.before_BP[0, : prompts.before_lengths_B[0]],
        prompts.after_BP[0, : prompts.after_lengths_B[0]],
    )
    sides = [tuple(side.tolist()) for side in (before, after[:-1])]  # the last one is BOS
    if isinstance(model.interface, MergedInterface):
        prompt = sides[0] + sides[1]
        return model, (audio, KeyPart("prompt", len(prompt), prompt), text), None, 1
    first, last = (KeyPart("prompt", len(side), side) for side in sides)
    return model, (first, audio, last, text), None, 1


def _require(asked: tuple[int, ...], known: tuple[int, ...], what: str, where: str) -> None:
    for number in asked:
        if number not in known:
            raise ConfigError(f"There is no {what} {number} {where}; there are {', '.join(map(str, known))}.")


def hear(model: AcousticModel | SpeechLLM, samples_1N: Tensor, lengths_1: Tensor) -> Heard:
    """Encode one utterance, and find which stretch of it each position stands for that the labels are read from.

    Frames that were merged by CTC are the stretch from the first of them to the first of the next position.
    """
    speech = model.speech
    groups: list[np.ndarray] = []

    def note(module: Merge, arguments: tuple[Tensor, Tensor, Tensor], _: Any) -> None:
        _, lengths_B, logits_BTW = arguments
        groups.append(group_frames(logits_BTW, lengths_B, module.config).place_BT[0, : int(lengths_B[0])].cpu().numpy())

    merging = [module for module in model.modules() if isinstance(module, Merge)]
    hooks = [module.register_forward_hook(note) for module in merging]
    try:
        with torch.inference_mode():
            encoded = model.encode(samples_1N, lengths_1).select(torch.zeros_like(lengths_1))
    finally:
        for hook in hooks:
            hook.remove()
    edges = np.arange(int(encoded.frames_B[0]) + 1) * speech.seconds_per_frame
    if speech.compression is not None:
        edges = _merged(edges, groups.pop(0))
    if isinstance(model, SpeechLLM):
        adapter: Any = model.adapter
        for link in getattr(adapter, "links", None) or [adapter]:
            edges = _merged(edges, groups.pop(0)) if isinstance(link, CtcCompression) else _fewer(edges, link)
    return Heard(encoded, edges)


def _merged(edges: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Edges of the groups of frames, given those of frames and the group of each (beyond all groups: of none)."""
    numbers, firsts = np.unique(places, return_index=True)
    starts = edges[firsts[numbers < len(places)]]
    return np.append(starts, edges[-1])


def _fewer(edges: np.ndarray, link: Any) -> np.ndarray:
    """Edges of what an adapter makes of evenly spaced positions."""
    positions = int(link.output_lengths(torch.tensor([len(edges) - 1]))[0])
    step = (most_frames(link, 2000) - most_frames(link, 1000)) / 1000
    places = np.minimum(np.arange(positions + 1) * step, len(edges) - 1)
    return np.interp(places, np.arange(len(edges)), edges)
