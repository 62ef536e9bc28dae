"""A study as data: which systems, each with how many seeds, which table, and which published findings it puts to the
test.

What a system is, and how it comes about, is said by stages (`studies.stages`); what was found, by `verdicts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from duolect.errors import ConfigError
from duolect.studies.stages import Stage

ScaleName = Literal["demo", "small", "paper"]
Metric = Literal["wer", "bleu"]
Detail = Literal["errors", "effort"]
"""Further columns: substituted, deleted and inserted words; what language models and decoders were asked for."""
FACTS = "facts.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table: one system, trained and recognised once with each seed."""

    name: str
    runs: Mapping[int, Stage]
    """Seed → the stage that gives its hypotheses (`stages.recognition.Recognition`)."""
    value: float | None = None
    """Its place on the study's axis, where that is a number."""
    line: str = ""
    """Which line of the figure it is a point of, where several have the same place on the axis."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further columns that are known beforehand."""
    against: str = ""
    """The entry that it is tested against; empty for the study's first."""
    measured: Sequence[Stage] = ()
    """Stages that give further columns: their folders hold FACTS, an object of column → text."""
    published: str = ""
    """What the papers have for it, with the place: "10.4 % (2501.02370, Table 1)"; empty where they have nothing."""


ALIKE = 0.05
"""The share of the error rate up to which we call two systems alike, where a finding says that they are; ours."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published finding that one system is better than another: what it says, where, and which rows show it here.

    With a `margin` the finding is that the two are alike: that their error rates differ by no more than that share of
    the rate of `worse`; `one_sided`: only that `better` is not worse by more than that.
    """

    text: str
    source: str
    better: str
    worse: str
    margin: float | None = None
    one_sided: bool = False


@dataclass(frozen=True, kw_only=True)
class Study:
    """One axis of the papers at one scale. Raises ConfigError for names that do not fit together."""

    name: str
    title: str
    question: str
    scale: ScaleName
    entries: Sequence[Entry]
    claims: Sequence[Claim] = ()
    axis: str = ""
    """What `Entry.value` is, with its unit; empty where the entries are not on an axis."""
    metric: Metric = "wer"
    notes: Sequence[str] = ()
    panel: Sequence[str] = ()
    """Rates of the hallucination panel (`evaluation.hallucination.Panel.rates`) that are columns of the table."""
    details: Sequence[Detail] = ()

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.entries]
        if not names:
            raise ConfigError(f"study {self.name}: there is nothing to compare.")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"study {self.name}: two entries are named {name!r}.")
        for claim in self.claims:
            for name in (claim.better, claim.worse):
                if name not in names:
                    raise ConfigError(f"study {self.name}: the claim {claim.text!r} speaks of {name!r}, no entry.")
            if claim.margin is not None and not 0 < claim.margin < 1:
                raise ConfigError(f"study {self.name}: a margin must be between 0 and 1, not {claim.margin}.")
            if claim.one_sided and claim.margin is None:
                raise ConfigError(f"study {self.name}: the claim {claim.text!r} is one-sided, but has no margin.")
        for entry in self.entries:
            if not entry.runs:
                raise ConfigError(f"study {self.name}: {entry.name} has no run.")
            if entry.against and (entry.against not in names or entry.against == entry.name):
                raise ConfigError(
                    f"study {self.name}: {entry.name} is tested against {entry.against!r}, no other entry."
                )

    @property
    def baseline(self) -> Entry:
        """The entry that others are tested against where they name none: the first."""
        return self.entries[0]

    def base(self, entry: Entry) -> Entry | None:
        """The entry that this one is tested against; None for the first, unless it names one."""
        if entry.against:
            return self.entry(entry.against)
        return None if entry.name == self.baseline.name else self.baseline

    @property
    def bases(self) -> list[str]:
        """The names of the entries that others are tested against."""
        found = [base.name for entry in self.entries if (base := self.base(entry)) is not None]
        return list(dict.fromkeys(found))

    @property
    def stages(self) -> list[Stage]:
        """What has to be made, each once and in order, but for what those use."""
        found = [stage for entry in self.entries for stage in (*entry.runs.values(), *entry.measured)]
        return list({stage.key: stage for stage in found}.values())

    def entry(self, name: str) -> Entry:
        """The entry of that name."""
        return next(entry for entry in self.entries if entry.name == name)
