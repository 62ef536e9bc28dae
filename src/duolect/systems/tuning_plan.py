"""What is tuned: the terms of a method whose scales move, the set, and what the outcome is told with."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from duolect import __version__
from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.evaluation import Normaliser
from duolect.systems.components import log_prior, written
from duolect.systems.config import TERMS, Scales, SearchConfig
from duolect.systems.grid import GridConfig, GridResult, TermTable, search_grid
from duolect.systems.lists import Entry, spoken_words, term_table
from duolect.systems.methods import find_method
from duolect.systems.provenance import TuningRecord, TuningRound, utterance_set_hash
from duolect.systems.system import System


@dataclass(frozen=True)
class Tuned:
    """The scales found, the word error rates (fractions) of the search before and with them, every grid point of the
    last lists as {term: scale, …, "wer": rate}, what a system folder keeps, the lists at the end, by utterance id, the
    utterances that were left out, by id, with the reason, and terms without a scale, since no list has them."""

    scales: Scales
    wer_before: float
    wer: float
    table: list[dict[str, float]]
    record: TuningRecord
    lists: dict[str, list[Entry]]
    left_out: dict[str, str]
    lacking: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        """How many utterances were left out."""
        return len(self.left_out)


@dataclass(frozen=True)
class TuningPlan:
    """What is tuned, on what; `tuning_plan` makes one."""

    system: System
    name: str
    search: SearchConfig
    utterances: dict[str, Utterance]
    normaliser: Normaliser
    set_name: str
    grid: GridConfig
    nbest: int
    without: frozenset[str]

    @property
    def axes(self) -> list[str]:
        """The terms whose scales move: the prior's only where the system has one."""
        parts = self.system.with_search(self.search).parts
        has_prior = log_prior(parts, self.search) is not None
        tuned = find_method(self.name).tuned
        return [t for t in tuned if t not in self.without and (t != "prior" or has_prior)]

    @property
    def rescores(self) -> bool:
        """Whether no scale that moves has a part in the first pass, so that its lists are the same with any of them."""
        moving = {_leader(self.search, term) for term in self.axes}
        return not moving & set(self.search.inside.active)

    @property
    def terms(self) -> tuple[str, ...]:
        """All terms that a hypothesis needs."""
        needed = {find_method(self.name).anchor, *self.axes, *self.search.scales.active}
        return tuple(t for t in TERMS if t in needed)

    def table(self, lists: Mapping[str, Sequence[Entry]]) -> TermTable:
        """The lists as the grid wants them."""
        references = [self.utterances[n].text for n in lists]
        return term_table(list(lists.values()), references, self.terms, self.normaliser)

    def choose(self, table: TermTable) -> GridResult:
        """The best scales for these lists."""
        anchor, exponent = find_method(self.name).anchor, self.search.length_exponent
        scales, moving = self.search.scales, {anchor, *self.axes}
        fixed = {term: getattr(scales, term) for term in scales.active if term not in moving}
        return search_grid(table, anchor=anchor, axes=self.axes, grid=self.grid, length_exponent=exponent, fixed=fixed)

    def scored(self, ids: Iterable[str], left_out: Mapping[str, str] | None = None) -> list[str]:
        """Those of the utterances that have words to compare; `left_out`: why others are not asked for, by their ids.
        Raises ConfigError where there is none."""
        found = [n for n in ids if spoken_words(self.utterances[n].text, self.normaliser)]
        if not found:
            name, reason = next(iter((left_out or {}).items()), ("", ""))
            why = f"; {name}: {reason}" if reason else " as none has words to compare."
            raise ConfigError(
                f"tuning: none of the {len(self.utterances)} utterances of {self.set_name} can be used{why}"
            )
        return found

    def tuned(
        self,
        search: SearchConfig,
        lists: Mapping[str, list[Entry]],
        table: TermTable,
        result: GridResult,
        *,
        wer_before: float,
        wer_after: float,
        at_edge: bool,
        left_out: Mapping[str, str],
        rounds: tuple[TuningRound, ...] = (),
        lacking: tuple[str, ...] = (),
    ) -> Tuned:
        """The outcome; `table` is that of the `lists`."""
        record = TuningRecord(
            method=self.name,
            search=search,
            set_name=self.set_name,
            set_hash=utterance_set_hash(self.utterances.values()),
            utterances=len(lists),
            words=table.words,
            nbest=self.nbest,
            wer_before=wer_before,
            wer_after=wer_after,
            oracle_wer=table.oracle_errors / table.words,
            at_edge=at_edge,
            grid=self.grid,
            created_by=f"duolect {__version__}",
            rounds=rounds,
        )
        points = [{**scales, "wer": errors / table.words} for scales, errors in result.tried]
        return Tuned(search.scales, wer_before, wer_after, points, record, dict(lists), dict(left_out), lacking)


def tuning_plan(
    system: System,
    utterances: Sequence[Utterance],
    method: str | None,
    search: SearchConfig | None,
    without: Collection[str],
    set_name: str,
    grid: GridConfig | None,
    nbest: int,
    normaliser: Normaliser,
) -> TuningPlan:
    """The plan; a `method` or `search` of None is the system's own. Raises ConfigError where nothing can be tuned."""
    name = method or system.method
    if name is None:
        raise ConfigError("tuning: the system has no named method; say which one is to be tuned.")
    named = {u.id: u for u in utterances}
    if len(named) < len(utterances):
        raise ConfigError(f"tuning: of {len(utterances)} utterances only {len(named)} have an id of their own.")
    search = search or system.search_of(name, tuned=False)
    if written(system.with_search(search).parts, search) == "translation":
        raise ConfigError(f"tuning: scales are chosen by word errors, but the method {name!r} writes translations.")
    none = dict.fromkeys(without, 0.0)
    search = dataclasses.replace(
        search, inside=dataclasses.replace(search.inside, **none), after=dataclasses.replace(search.after, **none)
    )
    plan = TuningPlan(
        system, name, search, named, normaliser, set_name, grid or GridConfig(), nbest, frozenset(without)
    )
    if not plan.axes:
        raise ConfigError(f"tuning: the method {name!r} has no scales to tune.")
    return plan


def with_scales(search: SearchConfig, result: GridResult) -> SearchConfig:
    """The search with the scales of a grid, each where the search adds that term (the prior: where it adds the LM)."""
    inside: dict[str, float] = {}
    after: dict[str, float] = {}
    for term, scale in result.scales.items():
        (after if getattr(search.after, _leader(search, term)) else inside)[term] = scale
    return dataclasses.replace(search, inside=Scales(**inside), after=Scales(**after))


def _leader(search: SearchConfig, term: str) -> str:
    """The term that is added where this one will be."""
    return "lm" if term == "prior" and not search.scales.prior else term
