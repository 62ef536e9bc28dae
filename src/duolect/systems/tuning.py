"""Scales chosen on a development set: n-best lists with every term, a grid, minimum word errors; then the real search.

The grid (`grid.py`) works on lists alone, and trusts them: where a scale makes a search prefer hypotheses that no list
holds, the lists cannot tell (a prior that is subtracted rewards every further label, say). So the set is decoded with
the scales found, what that finds joins the lists, and the scales are chosen again, until the search does what the
lists promise (the outer loop of Och 2003, "Minimum error rate training in statistical machine translation"). The scales
kept are those with which the search itself, not a list, made the fewest word errors.

Terms that are added after the first pass choose from one list, whatever their scales: it alone is what these are chosen
on, for what suits a longer list need not suit it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from duolect import __version__
from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.evaluation import Normaliser
from duolect.systems.batches import LONGEST_SECONDS, utterance_source
from duolect.systems.components import log_prior, written
from duolect.systems.config import TERMS, Scales, SearchConfig
from duolect.systems.context import Context
from duolect.systems.first_pass import run_first_pass
from duolect.systems.grid import GridConfig, GridResult, TermTable, search_grid
from duolect.systems.languages import with_languages
from duolect.systems.lists import Entry, NbestLists, spoken_words, term_table
from duolect.systems.methods import find_method
from duolect.systems.provenance import TuningRecord, TuningRound, utterance_set_hash
from duolect.systems.recognition import Progress, run_batches
from duolect.systems.recognizer import as_candidates, recognize_batch
from duolect.systems.rows import Candidate
from duolect.systems.system import BATCH_SECONDS, System

NBEST = 64
ROUNDS = 6
SETTLED = 0.01  # of the lists' word error rate: no more than that is left to gain
LABELS_PER_FRAME = 16  # of the lists of CTC alone, where the search itself names no number


@dataclass(frozen=True)
class Tuned:
    """The scales found, the word error rates (fractions) of the search before and with them, every grid point of the
    last lists as {term: scale, …, "wer": rate}, what a system folder keeps, the number of utterances skipped, and the
    lists at the end, by utterance id."""

    scales: Scales
    wer_before: float
    wer: float
    table: list[dict[str, float]]
    record: TuningRecord
    skipped: int
    lists: dict[str, list[Entry]]


@dataclass(frozen=True)
class _Plan:
    """What is tuned, on what."""

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

    def scored(self, ids: Iterable[str]) -> list[str]:
        """Those of the utterances that have words to compare. Raises ConfigError where there is none."""
        found = [n for n in ids if spoken_words(self.utterances[n].text, self.normaliser)]
        if not found:
            raise ConfigError(f"tuning: none of the {len(self.utterances)} utterances of {self.set_name} can be used.")
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
        rounds: tuple[TuningRound, ...] = (),
        skipped: int = 0,
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
        return Tuned(search.scales, wer_before, wer_after, points, record, skipped, dict(lists))


@dataclass
class _Job:
    """The lists of a set, which each decoding lengthens."""

    plan: _Plan
    found: NbestLists
    batch_seconds: float
    max_seconds: float
    progress: Progress | None
    used: list[str] = field(default_factory=list)
    skipped: int = 0

    def decode(self, search: SearchConfig, also: Sequence[SearchConfig] = ()) -> tuple[float, int]:
        """The word error rate of `search` on the set, and how many hypotheses were new to the lists: what it finds, and
        what the searches `also` find, joins them."""

        def collect(context: Context) -> list[list[Candidate]]:
            # Views of a context share what the encoders have computed.
            own = recognize_batch(dataclasses.replace(context, search=search))
            for other in also:
                view = dataclasses.replace(context, search=other)
                self.found.add(context, as_candidates(view, run_first_pass(view)), other)
            return self.found.add(context, own, search)

        plan, before = self.plan, self.found.size
        parts, utterances = plan.system.with_search(plan.search).parts, list(plan.utterances.values())
        sources = [utterance_source(i, u) for i, u in enumerate(utterances)]
        sources, speechless = with_languages(parts, plan.search, sources, utterances)
        run = run_batches(
            parts,
            plan.search,
            sources,
            batch_seconds=self.batch_seconds,
            max_seconds=self.max_seconds,
            device=plan.system.device,
            progress=self.progress,
            decode=collect,
        )
        self.skipped = len(run.bad) + len(speechless)
        best = {name: run.candidates[i][0] for i, name in enumerate(plan.utterances) if i in run.candidates}
        self.used = plan.scored(best)
        # A list of one: its best is what the search said.
        said = plan.table({n: [Entry(best[n].text, {}, 0)] for n in self.used})
        return said.oracle_errors / said.words, self.found.size - before

    def lists(self) -> dict[str, list[Entry]]:
        """The lists of all utterances that can be scored."""
        return {n: self.found.entries(n) for n in self.used}


def tune(
    system: System,
    utterances: Sequence[Utterance],
    method: str | None = None,
    *,
    search: SearchConfig | None = None,
    without: Collection[str] = (),
    set_name: str = "dev",
    grid: GridConfig | None = None,
    nbest: int = NBEST,
    rounds: int = ROUNDS,
    batch_seconds: float = BATCH_SECONDS,
    max_seconds: float = LONGEST_SECONDS,
    normaliser: Normaliser = "plain",
    progress: Progress | None = None,
) -> Tuned:
    """Choose the scales of `method` (None: the system's own) on a development set; λ of the method's anchor stays 1.

    The lists begin with the `nbest` of CTC alone and those of the search with its untuned scales; each of at most
    `rounds` rounds chooses scales on them and decodes the set. Where all scales are of terms added after the first pass
    the lists are its own, and `nbest` is the search's. `search`: other settings than the method's, and the scales to
    begin with (a term that the method does not tune keeps its own); `without`: terms of the method that are left out.
    `progress` starts anew with each round.

    The system is not changed: `system.with_tuning(tuned.record)` uses and remembers the result. Raises ConfigError for
    a method without scales to tune, for an id that two utterances have, or when no utterance of the set can be used.
    """
    if rounds < 1:
        raise ConfigError(f"tuning: rounds must be at least 1, not {rounds}.")
    plan = _plan(system, utterances, method, search, without, set_name, grid, nbest, normaliser)
    also = [_ctc_alone(plan.search, nbest)]
    if plan.rescores:
        plan, also = dataclasses.replace(plan, nbest=plan.search.nbest), []
    job = _Job(plan, NbestLists(plan.terms), batch_seconds, max_seconds, progress)
    wer, new = job.decode(plan.search, also)
    tried = [TuningRound(scales=plan.search.scales, list_wer=None, wer=wer, new=new)]
    searches, edges = [plan.search], [False]
    for _ in range(rounds):
        table = plan.table(job.lists())
        result = plan.choose(table)
        candidate = with_scales(plan.search, result)
        if candidate in searches:
            break
        wer, new = job.decode(candidate)
        list_wer = result.errors / table.words
        tried.append(TuningRound(scales=candidate.scales, list_wer=list_wer, wer=wer, new=new))
        searches.append(candidate)
        edges.append(result.at_edge)
        if not new or abs(wer - list_wer) <= SETTLED * list_wer:  # the lists hold what the search finds
            break
    best = min(range(len(tried)), key=lambda i: tried[i].wer)
    lists = job.lists()
    return plan.tuned(
        searches[best],
        lists,
        plan.table(lists),
        result,
        wer_before=tried[0].wer,
        wer_after=tried[best].wer,
        at_edge=edges[best],
        rounds=tuple(tried),
        skipped=job.skipped,
    )


def tune_lists(
    system: System,
    utterances: Sequence[Utterance],
    lists: Mapping[str, Sequence[Entry]],
    method: str | None = None,
    *,
    search: SearchConfig | None = None,
    without: Collection[str] = (),
    set_name: str = "dev",
    grid: GridConfig | None = None,
    normaliser: Normaliser = "plain",
) -> Tuned:
    """As `tune`, from n-best lists (by utterance id) alone: no model runs, so the lists are believed.

    That is right for rescoring of just these lists; a one-pass search may find with these scales what they do not hold.
    Utterances without a list are left out and counted as skipped. Raises ConfigError where there is a list of none, or
    where the lists lack a term of the method.
    """
    longest = max((len(each) for each in lists.values()), default=0)
    plan = _plan(system, utterances, method, search, without, set_name, grid, longest, normaliser)
    scored = plan.scored(plan.utterances)
    known = {n: list(lists[n]) for n in scored if n in lists}
    if not known:
        raise ConfigError(f"tuning: there is no n-best list of any utterance of {set_name}, such as {scored[0]!r}.")
    held = {name for each in lists.values() for entry in each for name in entry.terms}
    for term in plan.terms:
        if term not in held:
            raise ConfigError(
                f"tuning: no hypothesis of the n-best lists has the term {term!r}, which the method needs."
            )
    table = plan.table(known)
    signed = plan.search.scales.signed()
    untuned = table.word_errors(np.array([[signed.get(t, 0.0) for t in plan.terms]]), plan.search.length_exponent)
    result = plan.choose(table)
    return plan.tuned(
        with_scales(plan.search, result),
        known,
        table,
        result,
        wer_before=int(untuned[0]) / table.words,
        wer_after=result.errors / table.words,
        at_edge=result.at_edge,
        skipped=len(scored) - len(known),
    )


def _plan(
    system: System,
    utterances: Sequence[Utterance],
    method: str | None,
    search: SearchConfig | None,
    without: Collection[str],
    set_name: str,
    grid: GridConfig | None,
    nbest: int,
    normaliser: Normaliser,
) -> _Plan:
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
    plan = _Plan(system, name, search, named, normaliser, set_name, grid or GridConfig(), nbest, frozenset(without))
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


def _ctc_alone(search: SearchConfig, nbest: int) -> SearchConfig:
    return dataclasses.replace(
        search,
        first_pass="frames",
        inside=Scales(ctc=1.0),
        after=Scales(),
        beam=nbest,
        nbest=nbest,
        length_exponent=0.0,
        stop="exact",
        no_repeat_ngram=None,
        labels_per_frame=search.labels_per_frame or LABELS_PER_FRAME,
        merge="sum",
        exact_ctc=True,
    )
