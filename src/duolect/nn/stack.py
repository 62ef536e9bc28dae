"""The layers of an encoder, one after the other. B utterances · T frames · D width."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from duolect.errors import ConfigError
from duolect.nn.dropout import Dropout
from duolect.nn.frontend import build_front_end
from duolect.nn.masks import Frames, Shorten, length_mask


def check_sizes(config: Any) -> None:
    """Raise ConfigError where the width, heads or dropout of an encoder's config cannot be."""
    if config.width % config.heads or config.width % 2:
        raise ConfigError(f"encoder: width {config.width} must be even and a multiple of heads ({config.heads}).")
    if not 0 <= config.dropout < 1:
        raise ConfigError(f"encoder: dropout must be at least 0 and below 1, not {config.dropout}.")


class LayeredEncoder(nn.Module):
    """What encoders of our own have in common: a front end, and what their config says of width and layers.

    Evaluation is independent of padding and of the rest of the batch (`padding_safe`); see `duolect.models.encoders`.
    """

    padding_safe, masks_states, longest = True, False, None
    first_centre = 0.0  # its convolutions are padded by half their kernel

    def __init__(self, config: Any, bins: int) -> None:
        super().__init__()
        self.config = config
        self.normalises = config.front_end.normalises
        self.front_end = build_front_end(config.front_end, bins, config.width)
        self.dropout = Dropout(config.dropout)

    @property
    def width(self) -> int:
        """D of the states."""
        return self.config.width

    @property
    def depth(self) -> int:
        """The number of layers."""
        return self.config.layers

    @property
    def downsampling(self) -> int:
        """Feature frames per state."""
        return self.config.front_end.downsampling


def run_layers(
    layers: Iterable[Callable[..., Tensor]],
    x_BTD: Tensor,
    lengths_B: Tensor,
    surroundings: Callable[[Tensor, Tensor], tuple[Any, ...]],
    keep_layers: Collection[int] = (),
    shorten: Mapping[int, Shorten] | None = None,
) -> tuple[Tensor, Tensor, dict[int, Frames]]:
    """What comes out of the layers: (states_BTD, lengths_B, {layer: (states_BTD, lengths_B)}), zero outside utterances.

    Layers are counted from 1; a layer makes the next x_BTD of x_BTD and of `surroundings(x_BTD, mask_BT)`. What is kept
    of the layers in `keep_layers` is what comes out of them; after a layer in `shorten` the rest runs on what that
    returns.
    """
    mask_BT = length_mask(lengths_B, x_BTD.shape[1])
    around = surroundings(x_BTD, mask_BT)
    kept: dict[int, Frames] = {}
    for number, layer in enumerate(layers, start=1):
        x_BTD = layer(x_BTD, *around)
        if number in keep_layers:
            kept[number] = x_BTD * mask_BT.unsqueeze(-1), lengths_B
        if shorten is not None and number in shorten:
            x_BTD, lengths_B = shorten[number](x_BTD * mask_BT.unsqueeze(-1), lengths_B)
            mask_BT = length_mask(lengths_B, x_BTD.shape[1])
            around = surroundings(x_BTD, mask_BT)
    return x_BTD * mask_BT.unsqueeze(-1), lengths_B, kept
