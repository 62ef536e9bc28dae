"""Which fields of a search have an effect on it: for what somebody asks for by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields

from duolect.errors import ConfigError
from duolect.systems.config import SearchConfig

_KNOWN_TO: dict[str, tuple[str, tuple[str, ...]]] = {
    "labels_per_frame": ("a search over frames only", ("frames",)),
    "merge": ("a search over frames only", ("frames",)),
    "candidates": ("a search over labels only", ("labels",)),
    "stop": ("a search over labels only", ("labels",)),
    "max_labels_per_second": ("searches over frames or labels and to a draft only", ("frames", "labels", "draft")),
}
"""Fields that a search of another first pass may carry without effect: what they apply to, and the first passes."""

_STEERS: dict[str, tuple[str, Callable[[SearchConfig], bool]]] = {
    "candidates": ("the term ctc inside the first pass", lambda s: s.inside.ctc > 0),
    "lm_interval": ("an LM inside the first pass", lambda s: s.inside.lm > 0),
    "delay_prior": ("an LM that lm_interval delays", lambda s: s.delays_lm),
    # A prior without a scale may be about to be tuned, but only beside an LM.
    "prior_kind": ("a prior or an LM", lambda s: s.scales.prior > 0 or s.scales.lm > 0),
    "collapse_how": ("collapse", lambda s: s.collapse is not None),
    "keep_labels_by": ("keep_labels", lambda s: s.keep_labels is not None),
    "draft_gate_by": ("draft_gate", lambda s: s.draft_gate is not None),
    "ctc_layer": ("a search that asks CTC", lambda s: s.scales.ctc > 0 or s.first_pass == "draft"),
}
"""Fields that steer something which a search need not have: what, and whether it has that."""


def require_effect(search: SearchConfig, names: Iterable[str]) -> None:
    """Raise ConfigError where one of these fields has no effect on `search` and yet is not at its default.

    For what somebody asks for: a search that was made of another one may carry such fields.
    """
    defaults = {field.name: field.default for field in fields(search)}
    for name in names:
        if name in defaults and getattr(search, name) == defaults[name]:
            continue
        where, known_to = _KNOWN_TO.get(name, ("", (search.first_pass,)))
        if search.first_pass not in known_to:
            raise ConfigError(f"search: {name} applies to {where}, not to a first pass of kind {search.first_pass!r}.")
        steered, has = _STEERS.get(name, ("", lambda _: True))
        if not has(search):
            raise ConfigError(f"search: {name} steers {steered}, which this search does not have.")
