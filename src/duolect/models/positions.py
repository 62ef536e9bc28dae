"""How many positions an LLM was made for."""

from __future__ import annotations

from typing import Any


def most_positions(architecture: Any) -> int | None:
    """The most positions in a sequence for an LLM of this architecture; None where there is no such limit.

    With LongRoPE (Ding et al. 2024) one label more than in the original training gives all positions of a batch other
    frequencies, those before it and those of shorter rows too: there the limit is that of the original training.
    """
    limits = [getattr(architecture, "max_position_embeddings", None)]
    for rope in _ropes(getattr(architecture, "rope_parameters", None) or {}):
        if rope.get("rope_type") == "longrope":
            limits.append(rope.get("original_max_position_embeddings"))
    return min((limit for limit in limits if limit is not None), default=None)


def _ropes(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """One for all layers, or one for each kind of layer."""
    return [parameters, *(each for each in parameters.values() if isinstance(each, dict))]
