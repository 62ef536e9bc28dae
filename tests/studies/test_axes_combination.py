"""The studies of combination, and those of prepending or cross-attention: what they ask for, and some of it made."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from duolect.data import Utterance, read_manifest, write_manifest
from duolect.errors import ConfigError, DuolectError
from duolect.evaluation import HypothesisRow, RunRecord, Skipped, read_run, score_run, score_translations, write_run
from duolect.storage import read_json
from duolect.studies.catalogue import STUDIES, build_study, only
from duolect.studies.scales.base import Scale
from duolect.studies.scales.demo import DemoScale
from duolect.studies.stages import Stage, Store, in_order
from duolect.studies.stages.corpora import SyntheticCorpus
from duolect.studies.stages.launchers import Call
from duolect.studies.stages.measures import AVERAGE, CostRatios, SetRates
from duolect.studies.stages.recognition import HYPOTHESES, Recognition
from duolect.studies.stages.runner import run_stages
from duolect.studies.stages.sets import SET, GivenSets
from duolect.studies.stages.training import SYSTEM, Training, Tuned
from duolect.studies.study import FACTS, Study
from duolect.systems import load
from duolect.text import normalise
from duolect.training.teacher import TeacherConfig

NAMES = ["lm", "fusion", "prior", "beam", "overall", "leaderboard"]
NAMES += ["architecture", "mask", "compression", "distillation", "translation", "languages", "into-english", "cost"]
STEPS = dict.fromkeys(
    [f"{what}_steps" for what in ("acoustic", "language", "speech_llm", "adaptation", "aed", "translation")], 2
)
TEACHER = TeacherConfig(width=16, layers=1, heads=2, pieces=100, pairs=64, epochs=1)


@dataclass(frozen=True, kw_only=True)
class Tiny(DemoScale):
    """The demo's scale with next to nothing of everything."""

    tuning_rounds: ClassVar[int] = 1
    tuning_lists: ClassVar[int] = 2


class Polyglot(Tiny):
    """One whose corpus is translated into two languages; the corpus itself does not matter."""

    @cached_property
    def multilingual(self) -> Stage:
        return SyntheticCorpus(name="two languages", config=dataclasses.replace(self.corpus.config, seed=2))  # ty: ignore[unresolved-attribute]

    @property
    def target_languages(self) -> tuple[str, ...]:
        return ("de", "fr")


def tiny(seeds: Sequence[int] = (1,), kind: type[Tiny] = Tiny, **fields: object) -> Tiny:
    return kind(size="tiny", seeds=tuple(seeds), teacher=TEACHER, **STEPS, **fields)  # ty: ignore[invalid-argument-type]


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    scale = tiny((1, 2))
    return {name: build_study(name, scale) for name in NAMES}


def run_of(study: Study, entry: str, seed: int = 1) -> Recognition:
    stage = study.entry(entry).runs[seed]
    assert isinstance(stage, Recognition)
    return stage


@pytest.mark.parametrize("name", NAMES)
def test_every_study_asks_for_different_systems_with_recipes_that_hold(name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    assert study.name == name
    assert STUDIES[name].__doc__
    assert study.question.endswith("?")
    runs = [stage.key for entry in study.entries for stage in entry.runs.values()]
    assert len(set(runs)) == len(runs)
    trained = [stage for stage in in_order(study.stages) if isinstance(stage, Training)]
    assert {stage.settings()["loop"]["steps"] for stage in trained} <= {2, 4}, "4: from scratch, both steps together"
    assert study.metric == ("bleu" if name in ("distillation", "translation", "into-english") else "wer")
    for entry in study.entries:  # a number stands with its place
        assert not entry.published or any(
            place in entry.published for place in ("Table", "Figure", "comment in the authors'")
        )
    if name in ("prior", "mask", "compression", "distillation", "beam"):  # each against the first of its own group
        firsts = {entry.name for entry in study.entries if not entry.against}
        assert firsts == {entry.against for entry in study.entries if entry.against}
    for claim in study.claims:
        assert claim.source
        assert claim.text.endswith(".")


def test_what_two_studies_have_in_common_is_made_once(studies: dict[str, Study]) -> None:
    def same(one: str, entry: str, other: str, like: str) -> None:
        for seed in studies[one].entry(entry).runs:
            assert run_of(studies[one], entry, seed).key == run_of(studies[other], like, seed).key, (one, entry)

    same("fusion", "label by label", "prior", "label by label: mean softmax")
    same("fusion", "delayed, every 20 frames", "prior", "delayed, every 20 frames: mean softmax")
    overall, board = studies["overall"], studies["leaderboard"]
    for entry in board.entries:
        assert {s.key for s in entry.runs.values()} == {s.key for s in overall.entry(entry.name).runs.values()}
    for usual in ("speech LLM + CTC, beam 8", "CTC + LM, label by label, beam 16", "CTC + LM, rescoring, beam 32"):
        wide = run_of(studies["beam"], usual)  # of the first seed only
        assert wide.key == run_of(overall, usual.rpartition(", ")[0]).key
    for entry in ("prepended, Transformer", "decoder only"):
        usual = "bidirectional" if entry == "decoder only" else "causal"
        same("mask", f"{entry}, {usual}", "architecture", entry)
    same("compression", "cross-attention, Conformer", "architecture", "cross-attention, Conformer")
    same("distillation", "prepended, Conformer, original", "translation", "prepended, Conformer")
    # The same models, whose recognition is measured more closely.
    cost, plain = (run_of(studies[name], "decoder only") for name in ("cost", "architecture"))
    assert cost.system.key == plain.system.key
    assert cost.key != plain.key


def test_the_demo_trains_no_more_than_it_must() -> None:
    stages = in_order(stage for name in NAMES for stage in build_study(name, tiny()).stages)
    trained = [stage for stage in stages if isinstance(stage, Training)]
    hearing = [stage for stage in trained if not stage.name.startswith("language")]
    assert (len(trained), len(hearing)) == (52, 44)
    tuned = [stage for stage in stages if isinstance(stage, Tuned)]
    assert len(tuned) <= 20


def test_intervals_take_the_scales_that_were_tuned_for_twenty_frames(studies: dict[str, Study]) -> None:
    study = studies["fusion"]
    delayed = [entry for entry in study.entries if entry.name.startswith("delayed")]
    assert len({run_of(study, entry.name).system.key for entry in delayed}) == 1
    assert {entry.value for entry in delayed} == {None, 1, 5, 10, 20}
    own = run_of(studies["lm"], "LLM, all trained, its own labels").system
    assert isinstance(own, Tuned)
    assert own.search is not None
    assert own.search.lm_interval == 1


def test_several_languages_are_compared_where_there_are_several() -> None:
    entries = [entry.name for entry in build_study("translation", tiny()).entries]
    study = build_study("translation", tiny(kind=Polyglot))
    more = [entry for entry in study.entries if entry.name not in entries]
    assert [entry.name.endswith(", 2 languages") for entry in more] == [True] * 6
    run = run_of(study, "decoder only, 2 languages")
    assert run.target_language == "de"
    assert run.corpus.key == tiny().translated.key
    assert isinstance(run.system, Training)
    task = run.system.settings()["task"]
    assert (task["model"]["tags"], task["fresh_labels"]) == (["de", "fr"], True)


def test_a_scale_says_what_it_has_not() -> None:
    class Bare(Tiny):
        adapted, aed, distilled, test_sets = Scale.adapted, Scale.aed, Scale.distilled, Scale.test_sets

    for name, what in (("lm", "no LLM"), ("mask", "no models"), ("distillation", "no models")):
        with pytest.raises(ConfigError, match=what):
            build_study(name, tiny(kind=Bare))
    with pytest.raises(ConfigError, match="leaderboard=PATH is missing at scale demo; leaderboard is a folder"):
        build_study("leaderboard", tiny(kind=Bare))


# ---- test sets


def utterance(n: int, text: str, **fields: object) -> Utterance:
    return Utterance(audio_filepath=Path(f"/sound/{n}.wav"), duration=1.0, text=text, id=f"u{n}", fields=fields)


def test_the_leaderboards_sets_stand_side_by_side(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    words = ["one", "two", "three", "four"]

    def sentence() -> str:
        return " ".join(rng.choices(words, k=rng.randint(1, 6)))

    sets = {"ami_test": [utterance(n, sentence()) for n in range(5)]}
    calls = {name: sentence() for name in ("a", "b")}
    sets["calls_test"] = [
        utterance(10 * c + n, calls[name], parent_id=name, chunk_index=n)
        for c, name in enumerate(calls)
        for n in (0, 1)
    ]
    given = tmp_path / "given"
    given.mkdir()
    for name, rows in sets.items():
        write_manifest(given / f"{name}.jsonl", rows)
    (given / "ami_test.skipped.jsonl").write_text("{}\n")

    scale = tiny(data={"leaderboard": given})
    assert (scale.test_sets.field, scale.test_sets.normaliser) == (SET, "open-asr-2026-08")
    corpus = scale.test_sets.corpus
    store, console = Store(tmp_path / "store"), Console(file=io.StringIO())
    joined = list(read_manifest(store.make(corpus, console) / "test.jsonl"))
    assert [u.id for u in joined] == [f"{name}/{u.id}" for name in sorted(sets) for u in sets[name]]
    write_manifest(given / "more.jsonl", [utterance(99, "one")])
    assert GivenSets(name="", folder=given).key != corpus.key

    study = build_study("leaderboard", tiny(data={"leaderboard": given}))
    rates = study.entry("CTC").measured[0]
    assert isinstance(rates, SetRates)
    runs, counts = [], dict.fromkeys(sets, (0, 0))
    for run in range(2):  # two seeds, whose errors are added up
        folder = tmp_path / f"run{run}"
        lost = joined[2]
        kept = [u for u in joined if u.id != lost.id]
        rows = [HypothesisRow(id=u.id, text=sentence(), reference=u.text, fields=u.fields) for u in kept]
        record = RunRecord(system="x", skipped=(Skipped(id=lost.id, reason="unreadable", reference=lost.text),))
        write_run(folder / HYPOTHESES, rows, record)
        runs.append(folder)
        for name in sets:
            of_set = [row for row in rows if row.id.startswith(name)]
            if name == "calls_test":  # the recording's words against those of its chunks in their order
                of_set = [
                    HypothesisRow(id=call, text=" ".join(r.text for r in of_set[2 * c : 2 * c + 2]), reference=text)
                    for c, (call, text) in enumerate(calls.items())
                ]
            else:
                of_set.append(HypothesisRow(id=lost.id, text="", reference=lost.text))
            errors = score_run(of_set, "open-asr-2026-08").errors
            total, of_all = counts[name]
            counts[name] = (total + errors.substitutions + errors.deletions + errors.insertions, of_all + errors.words)
    two = dataclasses.replace(rates, runs=[rates.runs[0], dataclasses.replace(rates.runs[0], split="dev")])  # ty: ignore[invalid-argument-type]
    out = tmp_path / "out"
    out.mkdir()
    two.make(out, {"corpus": store.folder(corpus), "run 1": runs[0], "run 2": runs[1]}, console)
    expected = {name: round(100 * errors / of_all, 2) for name, (errors, of_all) in counts.items()}
    found = read_json(out / FACTS)
    mean = sum(expected.values()) / len(expected)
    assert found == {name: f"{rate:.2f}" for name, rate in expected.items()} | {AVERAGE: f"{mean:.2f}"}, seed

    with pytest.raises(DuolectError, match="holds no manifests of test sets"):
        _ = GivenSets(name="", folder=tmp_path / "nowhere").key
    assert GivenSets(name="", folder=tmp_path / "nowhere", planned=True).key


# ---- really made


@dataclass
class Done:
    """A stage that was made in this process."""

    log: Path

    def failed(self) -> bool:
        return False

    def stop(self) -> None: ...

    def join(self) -> None: ...


@dataclass(frozen=True)
class Here:
    """Makes stages in this process, which has loaded all that it takes."""

    places: int = 1
    alone: bool = True

    def start(self, call: Call, stage: Stage) -> Done:
        Store(call.root).make(stage, Console(file=io.StringIO()))
        return Done(call.root)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("stages"))


def make(store: Store, *stages: Stage) -> None:
    call = Call(store.root, "", "")
    outcomes = run_stages(stages, call, Here(), Console(file=io.StringIO()))
    assert {outcome.state for outcome in outcomes.values()} <= {"made", "stood"}


def test_a_study_of_combination_is_made(store: Store) -> None:
    scale = tiny()
    counted = only(build_study("prior", scale), ["label by label: counts of labels"])
    [foretold] = build_study("lm", scale).entry("LLM, low-rank additions, acoustic labels").measured
    [run] = counted.stages
    rates = SetRates(name="domains", runs=[run], corpus=scale.corpus, field="domain", normaliser="plain")
    make(store, run, foretold, rates)
    rows, record = read_run(store.folder(run) / HYPOTHESES)
    assert record is not None
    assert record.search["prior_kind"] == "counts"
    assert record.search["inside"]["ctc"] == 1.0
    assert len(rows) == 8
    system = next(stage for stage in in_order([run]) if stage.kind == "combined")
    parts = load(store.folder(system) / SYSTEM).parts
    assert all(part.log_counts_V is not None for part in parts.values())
    found = read_json(store.folder(foretold) / FACTS)
    assert float(found["PPL per label"]) > 1
    assert "[" in found["PPL per word"]
    assert read_json(store.folder(rates) / FACTS)[AVERAGE]


def test_a_study_of_several_languages_is_made(store: Store) -> None:
    written, translated = (build_study(name, tiny()) for name in ("languages", "into-english"))
    row = "prepended, Conformer"
    heard, meant = (run_of(study, row) for study in (written, translated))
    assert isinstance(heard.system, Training)
    assert isinstance(meant.system, Training)
    assert meant.system.inputs["start"].key == heard.system.key
    rates = [study.entry(row).measured[0] for study in (written, translated)]
    make(store, heard, meant, *rates)

    english = {u.id: u for u in read_manifest(store.folder(tiny().translated) / "test.jsonl")}
    german = store.folder(meant.corpus) / "test.jsonl"
    said = [(u.lang, u.text, u.translation, u.target_lang) for u in read_manifest(german)]
    assert said == [("de", normalise(u.translation or ""), u.text, "en") for u in english.values()]
    joined = list(read_manifest(store.folder(heard.corpus) / "test.jsonl"))
    assert [u.id for u in joined] == [f"{lang}/{name}" for lang in ("en", "de") for name in english]

    rows, record = read_run(store.folder(heard) / HYPOTHESES)
    facts, bleu = (read_json(store.folder(stage) / FACTS) for stage in rates)
    assert list(facts) == [AVERAGE, "de", "en"]
    of_german = score_run([row for row in rows if row.id.startswith("de/")], "plain")
    assert facts["de"] == f"{100 * of_german.wer:.2f}"
    rows, record = read_run(store.folder(meant) / HYPOTHESES)
    assert record is not None
    assert record.target == "translation"
    assert {row.reference for row in rows} == {u.text for u in english.values()}
    assert bleu == dict.fromkeys([AVERAGE, "de"], f"{score_translations(rows).metrics['bleu'].value:.2f}")


def test_a_study_of_translation_is_made(store: Store) -> None:
    study = build_study("distillation", tiny())
    run = run_of(study, "prepended, Conformer, original and distilled")
    ratios = CostRatios(name="to itself", run=run, baseline=run)
    make(store, run, ratios)
    rows, record = read_run(store.folder(run) / HYPOTHESES)
    assert record is not None
    assert record.target == "translation"
    assert record.search["no_repeat_ngram"] == 5
    assert score_translations(rows).utterances == 8
    found = read_json(store.folder(ratios) / FACTS)
    assert found["Tokens/s, ratio"] == found["Parameters, ratio"] == "1.00"
    assert isinstance(run.system, Training)
    corpus = store.folder(run.system.inputs["corpus"])
    wrote = read_json(corpus / "train.jsonl.distill.json")["rows"]
    assert wrote["original"] == 24
    assert wrote["original"] + wrote["distilled"] == len((corpus / "train.jsonl").read_text().splitlines())
    assert json.loads((store.folder(run.system) / "recipe.json").read_text())["recipe"]["task"]["train"] == [
        str(corpus / "train.jsonl")
    ]
