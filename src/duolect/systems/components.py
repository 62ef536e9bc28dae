"""A trained model with the units it speaks: what systems are made of, and what must fit between them."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from duolect.configs import config_hash
from duolect.data import Target
from duolect.errors import ConfigError, ModelError, SystemFolderError, UnitsError
from duolect.models import AcousticModel, LanguageModel, SpeechLLM
from duolect.models.io import stored_config
from duolect.models.lora import merged_state
from duolect.models.precision import round_to_bfloat16
from duolect.systems.config import OWNERS, SearchConfig
from duolect.text import Prompt, Units, require_same_units, spell_prompts

KINDS: dict[str, type[nn.Module]] = {"acoustic": AcousticModel, "language": LanguageModel, "speech_llm": SpeechLLM}
"""Name of a component, which is also its folder's, → its class."""

TITLES = {"acoustic": "the acoustic model", "language": "the language model", "speech_llm": "the speech LLM"}


@dataclass(frozen=True, eq=False)
class Component:
    """A model in evaluation mode and its label units.

    `ctc_units`: those of its CTC heads where they differ from `units`; `log_prior_V`: natural logarithms of the mean
    softmax of its CTC heads; `log_counts_V`: of the smoothed counts of its labels in a text (both in the units of its
    CTC heads where it has some); `folder`: where its files lie, if it was loaded (saving can then link them);
    `trained_seconds`: what nearly all audio that it was trained on did not exceed, where that is known; `rounded`:
    whether its weights have fewer digits than those in its folder, so that they are not to be saved.
    """

    model: Any
    units: Units
    ctc_units: Units | None = None
    log_prior_V: Tensor | None = None
    log_counts_V: Tensor | None = None
    folder: Path | None = None
    trained_seconds: float | None = None
    rounded: bool = False

    def __post_init__(self) -> None:
        if self.model.vocabulary != self.units.size:
            raise UnitsError(
                f"The {type(self.model).__name__} has a vocabulary of {self.model.vocabulary} labels, but its"
                f" {self.units.kind} units have {self.units.size}."
            )
        if self.model.eos_id != self.units.eos_id:
            raise UnitsError(
                f"The {type(self.model).__name__} ends its labels with {self.model.eos_id}, but its {self.units.kind}"
                f" units have {self.units.eos_id} as EOS."
            )
        heads = getattr(self.model.config, "ctc_vocabulary", None) or self.model.vocabulary
        if self.has_ctc and heads != self.ctc_or_units.size:
            raise UnitsError(
                f"The CTC heads of the {type(self.model).__name__} have {heads} labels besides blank, but their"
                f" {self.ctc_or_units.kind} units have {self.ctc_or_units.size}."
            )
        for prior in self.priors.values():
            if tuple(prior.shape) != (self.ctc_or_units.size,):
                raise UnitsError(
                    f"The prior has shape {tuple(prior.shape)}, but there are {self.ctc_or_units.size} labels in its"
                    " units."
                )
        self.model.eval()

    @property
    def priors(self) -> dict[str, Tensor]:
        """The priors it has, by their names in its file and in its fingerprint."""
        found = {"log_prior": self.log_prior_V, "log_counts": self.log_counts_V}
        return {name: prior for name, prior in found.items() if prior is not None}

    @property
    def ctc_or_units(self) -> Units:
        """The units of the CTC heads."""
        return self.units if self.ctc_units is None else self.ctc_units

    @property
    def tags(self) -> tuple[str, ...]:
        """The languages the model can be told to write; empty where it need not be told."""
        return getattr(self.model.config, "tags", ())

    @property
    def target(self) -> Target:
        """What the model writes, but for its CTC heads, which always hear the transcript."""
        return getattr(self.model.config, "target", "text")

    @property
    def has_ctc(self) -> bool:
        """Whether the model has a CTC head."""
        return bool(getattr(self.model.config, "ctc_layers", ()))

    @property
    def padding_safe(self) -> bool:
        """Whether its encoder gives an utterance the same states in any batch; a model that hears nothing does."""
        speech = getattr(self.model, "speech", None)
        return speech is None or speech.encoder.padding_safe

    @property
    def longest_seconds(self) -> float:
        """The longest audio that the positions of its encoder and its LLM allow; infinite where neither is limited.

        A quarter of the LLM's positions is left to the labels.
        """
        heard = getattr(self.model, "longest_seconds", math.inf)
        room = self.model.room if isinstance(self.model, SpeechLLM) else None
        return heard if room is None else min(heard, room.longest_seconds(labels=room.positions / 4))

    @property
    def merges_frames(self) -> bool:
        """Whether the model reads its labels from other vectors than the frames of its encoder: fewer, as a rule."""
        return isinstance(self.model, SpeechLLM) or getattr(self.model.config, "compression", None) is not None

    @property
    def positions(self) -> float:
        """The most positions its LLM was made for; infinite where there is no LLM, or no such limit."""
        llm = getattr(self.model, "llm", None)
        limit = None if llm is None else llm.positions
        return math.inf if limit is None else limit

    def to(self, device: str | torch.device) -> Component:
        """This component on `device` (the model itself is moved)."""
        moved: dict[str, Any] = {f"{name}_V": prior.to(device) for name, prior in self.priors.items()}
        return dataclasses.replace(self, model=self.model.to(device), **moved)

    def in_bfloat16(self) -> Component:
        """This component with weights in bfloat16 (the model itself is changed); see `round_to_bfloat16`."""
        round_to_bfloat16(self.model)
        return dataclasses.replace(self, rounded=True)

    def with_prompt(self, prompt: Prompt) -> Component:
        """The same weights with `prompt` around the audio: for all of the model's tags, or for that of `prompt` alone.

        Raises UnitsError where the units cannot spell it, ConfigError where its tag is none of the model's.
        """
        config = self.model.config
        tags = config.tags if prompt.tag is None else ()
        prompts = [dataclasses.replace(prompt, tag=tag) for tag in tags] or [prompt]
        prompts += [other.text for other in config.prompts if config.tags and other.tag not in {p.tag for p in prompts}]
        return dataclasses.replace(self, model=self.model.with_prompts(spell_prompts(prompts, self.units)))

    def fingerprint(self) -> str:
        """16 hex digits of weights, configuration, units and prior: equal for a saved and loaded component."""
        config = config_hash(stored_config(self.model))
        digest = hashlib.sha256(f"{self.units.fingerprint} {self.ctc_or_units.fingerprint} {config}".encode())
        tensors = merged_state(self.model)  # as it would be saved
        tensors |= {f"{name}_V": prior for name, prior in self.priors.items()}
        for name in sorted(tensors):
            tensor = tensors[name].detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        return digest.hexdigest()[:16]


def check_kind(name: str, component: Component) -> None:
    """Raise ModelError unless the component's model is of the class that `name` stands for."""
    if not isinstance(component.model, KINDS[name]):
        found = type(component.model).__name__
        raise ModelError(f"{name}: expected the class {KINDS[name].__name__}, not {found}.")


def check_search(parts: Mapping[str, Component], search: SearchConfig) -> None:
    """Raise unless `parts` can run `search`.

    ConfigError for a missing head or prior, and for terms of which some write the transcript and others a translation,
    SystemFolderError for a missing component, UnitsError where models that must share their units do not: all terms
    inside one first pass speak the same labels, but those of an LM that is delayed and those of rescoring need not.
    """
    for name, terms in search.parts().items():
        if name not in parts:
            raise SystemFolderError(
                f"The search asks {TITLES[name]} for the term {terms[0]!r}, but the system has no component {name!r};"
                f" it has {', '.join(parts) or 'none'}."
            )
        component = parts[name]
        if "ctc" in terms and not component.has_ctc:
            raise ConfigError(f"search: the term 'ctc' is to come from {name!r}, whose model has no CTC head.")
        if "decoder" in terms and component.model.decoder is None:
            raise ConfigError(
                "search: the term 'decoder' is asked for, but the acoustic model has no attention decoder."
            )
        if "prior" in terms and log_prior(parts, search) is None:
            how = "estimate one" if search.prior_kind == "softmax" else "make one with `duolect combine --prior-text`"
            raise ConfigError(
                f"search: the term 'prior' is asked for, but the component {name!r} has no prior of the kind"
                f" {search.prior_kind!r}; {how} first or set its scale to 0."
            )
    targets = term_targets(parts, search)
    if len(set(targets.values())) > 1:
        said, translated = (next(t for t, w in targets.items() if w == target) for target in ("text", "translation"))
        raise ConfigError(
            f"search: the term {said!r} hears what is said, but {translated!r} writes its translation; no hypothesis"
            " can be both."
        )
    spelling = spelling_units(parts, search)
    spelled_anew = {t for t, delayed in (("lm", search.delays_lm), ("prior", search.delays_prior)) if delayed}
    for term in search.inside.active:
        if term in spelled_anew:
            continue
        units = term_units(parts, search, term)
        require_same_units(spelling, units, f"the first pass ({search.spelling})", f"the term {term!r}")


def spelling_units(parts: Mapping[str, Component], search: SearchConfig) -> Units:
    """The units in which the first pass spells its hypotheses."""
    component = parts[search.spelling]
    own = search.first_pass in ("labels", "draft") and (search.inside.decoder or search.inside.speech_llm)
    return component.units if own else component.ctc_or_units


def term_units(parts: Mapping[str, Component], search: SearchConfig, term: str) -> Units:
    """The units in which the model behind `term` speaks."""
    if term == "ctc":
        return parts[search.ctc].ctc_or_units
    if term == "prior":
        return parts[search.prior_owner].ctc_or_units
    return parts[OWNERS[term]].units


def term_targets(parts: Mapping[str, Component], search: SearchConfig) -> dict[str, Target]:
    """Term → what it writes, for the terms that hear anything; CTC always writes the transcript."""
    heard = [*search.scales.active, *(["ctc"] if search.first_pass == "draft" else [])]
    return {
        term: "text" if term == "ctc" else parts[OWNERS[term]].target for term in heard if term not in ("lm", "prior")
    }


def written(parts: Mapping[str, Component], search: SearchConfig) -> Target:
    """What the hypotheses of a search are, transcripts or translations."""
    return "translation" if "translation" in term_targets(parts, search).values() else "text"


def log_prior(parts: Mapping[str, Component], search: SearchConfig) -> Tensor | None:
    """log p_prior (V,) of the kind that the search names, in the units of `term_units`; None where there is none."""
    component = parts.get(search.prior_owner)
    if component is None:
        return None
    return component.log_prior_V if search.prior_kind == "softmax" else component.log_counts_V
