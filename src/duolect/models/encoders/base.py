"""What all encoders of transformers share. B utterances · T frames · D width."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from duolect.audio.waveform import InputConfig
from duolect.errors import ModelError
from duolect.models.encoders.config import HuggingFaceEncoderConfig
from duolect.nn.masks import Frames, length_mask

_OVERSHOOT = 10  # frames of features

Masking = Callable[[Tensor, int, int], tuple[Tensor, Tensor] | None]
"""(lengths_B, T, D) → masks (B, T) and (B, D), true where states are hidden in training; None: nowhere."""


@dataclass(frozen=True)
class Facts:
    """What an architecture says about its encoder; the fields are those of `duolect.models.encoders`."""

    width: int
    depth: int
    downsampling: int
    padding_safe: bool = True
    longest: int | None = None


class PretrainedEncoder(nn.Module, ABC):
    """An encoder of transformers behind the interface of `duolect.models.encoders`.

    Attention sees valid frames only, as do convolutions where the encoder is padding-safe. One that is not recognises
    one utterance at a time; in training (its dev losses included) its batches are padded all the same, as is common.
    Randomness of transformers that is drawn for a whole batch (LayerDrop, its own SpecAugment) is off; batch norms
    keep the statistics they came with, in training too, so that no utterance depends on another one.
    States of the last layer are those after the final norm, of other layers before it.
    """

    model_types: ClassVar[tuple[str, ...]]
    key_mapping: ClassVar[dict[str, str] | None] = None  # from names in checkpoints to those of `network`
    optional_weights: ClassVar[tuple[str, ...]] = ()  # what checkpoints may lack
    normalises = False
    masks_states = False
    first_centre = 0.0  # where convolutions are padded by half their kernel

    def __init__(self, config: HuggingFaceEncoderConfig, model: Any) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.facts = self.facts_of(model.config)
        if not config.train_front_end:
            for module in self.front_end:
                module.requires_grad_(False)

    @classmethod
    @abstractmethod
    def own_architecture(cls, architecture: Any) -> Any:
        """The encoder's part of a whole model's architecture, with batch-wide randomness and side branches off."""

    @classmethod
    @abstractmethod
    def network(cls, architecture: Any) -> Any:
        """The class of transformers that `own_architecture` describes."""

    @classmethod
    @abstractmethod
    def facts_of(cls, architecture: Any) -> Facts:
        """What `own_architecture` says."""

    @classmethod
    @abstractmethod
    def inputs_of(cls, architecture: Any, extractor: Any | None) -> InputConfig:
        """What the encoder wants to hear, by its architecture and, where there is one, its feature extractor."""

    @property
    @abstractmethod
    def front_end(self) -> list[nn.Module]:
        """The convolutions before the layers."""

    @property
    @abstractmethod
    def layers(self) -> nn.ModuleList:
        """The layers."""

    @abstractmethod
    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """States for so many frames of the input; not negative."""

    @abstractmethod
    def encode(self, inputs: Tensor, lengths_B: Tensor, frames_B: Tensor, masking: Masking | None) -> Tensor:
        """states_BTD of `inputs`; `frames_B` are `output_lengths`, but at least 1, so that nobody attends to nothing.

        The states outside an utterance may be anything.
        """

    @property
    def width(self) -> int:
        """D of the states."""
        return self.facts.width

    @property
    def depth(self) -> int:
        """The number of layers."""
        return self.facts.depth

    @property
    def downsampling(self) -> int:
        """Frames of the input per state."""
        return self.facts.downsampling

    @property
    def padding_safe(self) -> bool:
        """Whether, in evaluation, an utterance has the same states alone and in any batch."""
        return self.facts.padding_safe

    @property
    def longest(self) -> int | None:
        """The most frames of the input it has positions for; None: any number."""
        return self.facts.longest

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(
        self, inputs: Tensor, lengths_B: Tensor, keep_layers: Collection[int] = (), masking: Masking | None = None
    ) -> tuple[Tensor, Tensor, dict[int, Frames]]:
        """Encode `inputs`, features_BTF or samples_BN; see `duolect.models.encoders`.

        States outside an utterance are zero; one too short for a state has length 0. Raises ModelError where the
        inputs are longer than `longest`; a tenth of a second more, as resampling makes it, is cut off.
        """
        if self.longest is not None and inputs.shape[1] > self.longest:
            if inputs.shape[1] > self.longest + _OVERSHOOT:
                raise ModelError(
                    f"encoder: {self.config.source!r} has positions for {self.longest} frames, not for "
                    f"{inputs.shape[1]}; leave out or cut what is longer."
                )
            inputs, lengths_B = inputs[:, : self.longest], lengths_B.clamp(max=self.longest)
        frames_B = self.output_lengths(lengths_B)
        kept: dict[int, Tensor] = {}
        with self._captured(keep_layers, kept):
            states_BTD = self.encode(inputs, lengths_B, frames_B.clamp(min=1), masking)
        kept |= {layer: states_BTD for layer in keep_layers if layer == self.depth}
        states_BTD = states_BTD[:, : max(1, int(frames_B.max()))] if len(frames_B) else states_BTD
        outside_BT1 = ~length_mask(frames_B, states_BTD.shape[1]).unsqueeze(-1)
        clean = {n: x_BTD[:, : states_BTD.shape[1]].masked_fill(outside_BT1, 0.0) for n, x_BTD in kept.items()}
        return states_BTD.masked_fill(outside_BT1, 0.0), frames_B, {n: (x_BTD, frames_B) for n, x_BTD in clean.items()}

    @contextlib.contextmanager
    def _captured(self, layers: Collection[int], kept: dict[int, Tensor]) -> Generator[None]:
        """Put what comes out of these layers into `kept`."""

        def keep(number: int) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                kept[number] = output[0] if isinstance(output, tuple) else output

            return hook

        hooks = [self.layers[n - 1].register_forward_hook(keep(n)) for n in layers if n < self.depth]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def conv_lengths(lengths: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
    """Frames that come out of a convolution; 0 where the kernel finds no room."""
    return torch.div(lengths + 2 * padding - kernel, stride, rounding_mode="floor").add(1).clamp(min=0)
