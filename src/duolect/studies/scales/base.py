"""A scale: the same studies on more data with larger models. It gives the stages that an axis is built from.

An axis asks for an acoustic model, a language model or a speech LLM with some of its recipe's arguments changed; which
recipe that is, on which corpus, and for how long it is trained, is the scale's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from duolect.errors import ConfigError
from duolect.studies.stages import Stage
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.training import Combined, Training, Tuned
from duolect.studies.study import ScaleName
from duolect.training import Recipe

Change = Callable[[Recipe], Recipe]
"""What the arguments of a recipe cannot say."""


@dataclass(frozen=True, kw_only=True)
class Scale(ABC):
    """`seeds`: of the trainings; a study of a small effect trains with all of them, the others with the first."""

    name: ClassVar[ScaleName]
    tuning_rounds: ClassVar[int]
    tuning_lists: ClassVar[int]
    parts: ClassVar[Mapping[str, str]] = {}
    """What it uses of the user's: the name of a part → what that is, and how to come by it."""

    seeds: tuple[int, ...] = (1,)
    data: Mapping[str, Path] = field(default_factory=dict)
    """Part → where the user has it."""
    planned: bool = False
    """Whether data may be missing, since a plan is made and nothing else (`GivenCorpus.planned`)."""

    @property
    @abstractmethod
    def corpus(self) -> Stage:
        """Where the folder with train, dev and test is made."""

    @abstractmethod
    def acoustic(self, seed: int, *, change: Change | None = None, **arguments: Any) -> Training:
        """An acoustic model."""

    @abstractmethod
    def language(self, seed: int, *, change: Change | None = None, **arguments: Any) -> Training:
        """A language model in the units of `acoustic(seed)`."""

    @abstractmethod
    def speech_llm(self, seed: int, *, change: Change | None = None, **arguments: Any) -> Training:
        """A speech LLM from the encoder of `acoustic(seed)` and the weights of `language(seed)`."""

    def given(self, part: str) -> Path:
        """Where the user has that part. Raises ConfigError, which says what it is, where it was not given.

        In a plan the place of one that was not given is "<part>".
        """
        if part not in self.data:
            if self.planned:
                return Path(f"<{part}>")
            about = self.parts.get(part, "nothing that this scale has")
            raise ConfigError(f"study: --data {part}=PATH is missing at scale {self.name}; {part} is {about}.")
        return self.data[part]

    def system(self, seed: int, *parts: str) -> Combined:
        """The scale's own models put together: of "acoustic", "language", "speech_llm" those named."""
        made = {"acoustic": self.acoustic, "language": self.language, "speech_llm": self.speech_llm}
        return Combined(name=f"{' + '.join(parts)}, seed {seed}", parts={name: made[name](seed) for name in parts})

    def tuned(self, system: Stage, method: str, **settings: Any) -> Tuned:
        """A system with the scales of a method chosen on dev."""
        settings = {"rounds": self.tuning_rounds, "nbest": self.tuning_lists, **settings}
        return Tuned(name=f"{method}: {system.name}", system=system, corpus=self.corpus, method=method, **settings)

    def recognition(self, name: str, system: Stage, method: str, **settings: Any) -> Recognition:
        """The hypotheses of a system for the test set."""
        return Recognition(name=name, system=system, corpus=self.corpus, method=method, **settings)

    def each_seed(self, make: Callable[[int], Stage], *, small_effect: bool = False) -> Mapping[int, Stage]:
        """Seed → what `make` gives for it: for all seeds where the effect is small, else for the first."""
        return {seed: make(seed) for seed in (self.seeds if small_effect else self.seeds[:1])}
