"""What a study's report says is what its hypotheses, its stages and its configurations say."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import statistics
from pathlib import Path

import pytest
from rich.console import Console

from duolect.errors import ConfigError
from duolect.evaluation import Score, Skipped, compare_scores, read_run, score_run
from duolect.evaluation.blocks import find_blocks
from duolect.evaluation.pairs import holm
from duolect.evaluation.results import write_run
from duolect.reports.plots import Form
from duolect.studies import catalogue
from duolect.studies.catalogue import build_scale, build_study, only
from duolect.studies.engine import ASKED, STAGES
from duolect.studies.report import gather, report_all, write_report
from duolect.studies.report.content import findings, lead
from duolect.studies.report.plots import axis_svg
from duolect.studies.report.results import trainings_of
from duolect.studies.report.table import study_columns
from duolect.studies.stages import Stage, Store, in_order
from duolect.studies.stages.store import RECORD
from duolect.studies.study import Study
from duolect.studies.verdicts import points
from tests.studies.toy_study import TOYS, Base


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "STUDIES", {**catalogue.STUDIES, **TOYS})


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def study(name: str, *seeds: int) -> Study:
    return build_study(name, build_scale("demo", seeds=seeds or (1, 2)))


def make(wanted: Study, store: Store, *but: str) -> None:
    for stage in in_order(wanted.stages):
        if stage.name not in but:
            store.make(stage, quiet())


def column(text: str, title: str) -> list[str]:
    """A column of the first table of a Markdown text that has it."""
    for table in text.split("\n\n"):
        lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        if title in lines[0]:
            return [row[lines[0].index(title)].strip("*") for row in lines[2:]]
    raise AssertionError(title)


def verdicts(text: str) -> list[str]:
    return re.findall(r"^\* \*\*(.+?)\*\*: .+ Here: ", text, flags=re.MULTILINE)


def test_the_table_has_what_the_hypotheses_give(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy")
    make(wanted, store)
    write_report(wanted, store, tmp_path / "demo" / "toy", quiet(), command="duolect study toy")
    text = (tmp_path / "demo" / "toy" / "report.md").read_text(encoding="utf-8")
    scores = {}
    for entry in wanted.entries:
        for seed, stage in entry.runs.items():
            rows, _ = read_run(store.folder(stage) / "hyps.jsonl")
            scores[entry.name, seed] = score_run(rows, blocks=find_blocks({row.id: row.fields for row in rows}))
    assert all(score.blocks == "speaker" for score in scores.values())
    rates = [[100 * scores[entry.name, seed].wer for seed in (1, 2)] for entry in wanted.entries]
    assert column(text, "WER %") == [f"{statistics.mean(pair):.2f}" for pair in rates]
    assert column(text, "By seed") == [f"{a:.2f} / {b:.2f}" for a, b in rates]
    assert column(text, "Spread") == [f"{statistics.stdev(pair):.2f}" for pair in rates]
    assert column(text, "KV/s") == ["131.3", "–", "–"]
    assert column(text, "Published") == ["8.10 % (Table 2)", "–", "6.94 % [a]"]
    assert "Published [a]: a comment in the recipes (of March), Loquacious." in text
    assert column(text, "errors wanted") == ["0.3", "0.1", "0.05"]
    assert column(text, "RTFx") == ["52.2", "57.1", "58.5"]

    found = gather(wanted, store)
    tested = [row.against for row in found.rows[1:]]
    assert [row.p_holm for row in found.rows[1:]] == holm([t.p_value for t in tested if t])
    one = gather(study("toy", 1), store).rows[1].against
    assert one is not None
    paired = compare_scores(scores["many", 1], scores["few | of them", 1])
    assert one.points == pytest.approx(100 * paired.difference)
    assert one.p_value == paired.p_value
    assert verdicts(text) == ["holds", "does not hold", "does not hold"]
    assert "Of 3 published findings 1 holds, 2 do not hold." in text
    assert "blocks by speaker" in text
    assert "* A note of the study." in text
    assert column(text, "inserted words in a row") == ["0.00 %"] * 3


def test_raw_rows_and_pages_stand_beside_it(tmp_path: Path) -> None:
    store, wanted, folder = Store(tmp_path / STAGES), study("toy"), tmp_path / "demo" / "toy"
    make(wanted, store)
    write_report(wanted, store, folder, quiet(), command="duolect study toy")
    raw = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["entry"], row["seed"]) for row in raw] == [(e.name, s) for e in wanted.entries for s in (1, 2)]
    for row in raw:
        rows, record = read_run(folder / row["hypotheses"])
        assert record is not None
        assert row["run"] == record.hash
        assert row["score"]["wer"] == score_run(rows).wer
        assert store.root / row["stage"] == (folder / row["hypotheses"]).resolve().parent
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Many &lt;b&gt;are&lt;/b&gt; better." in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert page.count("<svg") == 4
    for image in ("plot.png", "speed.png"):
        assert (folder / image).read_bytes().startswith(b"\x89PNG")
        assert f"]({image})" in (folder / "report.md").read_text(encoding="utf-8")


def test_rows_beside_the_axis_are_lines_across(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    first = dataclasses.replace(wanted.entries[0], value=None)
    drawn = axis_svg(gather(dataclasses.replace(wanted, entries=[first, *wanted.entries[1:]]), store))
    assert drawn is not None
    for text in ("many", "errors wanted", "0.05"):
        assert f">{text}</text>" in drawn
    assert ">fewer</text>" not in drawn  # its place on the axis says which it is


def test_lines_across_that_are_too_near_have_one_name_together(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    many, _, fewer = wanted.entries
    first = dataclasses.replace(many, name="rescoring", value=None)
    for second, shown in (
        (many, {"rescoring · to the end"}),
        (fewer, {"rescoring", "to the end"}),
    ):
        other = dataclasses.replace(second, name="to the end", value=None, against=None)
        drawn = axis_svg(gather(dataclasses.replace(wanted, entries=[*wanted.entries, first, other]), store))
        assert drawn is not None
        assert shown <= set(re.findall(r">([^<>]+)</text>", drawn))


def test_rows_at_the_same_places_are_lines_with_names(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    many, few, fewer = wanted.entries
    again = [dataclasses.replace(entry, name=f"{entry.name}, again") for entry in (many, fewer)]

    def drawn(form: Form, *lines: str) -> str:
        entries = [many, few, fewer, *again]
        placed = [dataclasses.replace(e, line=line) for e, line in zip(entries, lines, strict=True)]
        found = axis_svg(gather(dataclasses.replace(wanted, entries=placed), store), form)
        assert found is not None
        return found

    for form in ("wide", "narrow"):
        figure = drawn(form, "once", "once", "once", "$twice$", "$twice$")
        shown = re.findall(r">([^<>]+)</text>", figure)
        assert shown[-2:] == ["once", "$twice$"]  # the legend; both end alike, so that they keep their order
        assert {"0.05", "0.1", "0.3", "errors wanted"} <= set(shown)
        assert "fewer" not in shown
        alone = drawn(form, "once", "once", "once", "twice", "thrice")  # a line of one point is none
        assert ">fewer, again</text>" in alone


def test_configurations_are_told_apart(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    write_report(wanted, store, tmp_path / "out", quiet())
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    own = text.partition("**few | of them**")[2].partition("**fewer**")[0]
    assert "* `spoken.rate: 0.3 → 0.1`" in own
    assert "* `search.beam: 30 → 10`" in own
    assert "labels" not in own


def test_without_findings_the_best_is_named_and_what_is_like_it(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), dataclasses.replace(study("toy"), claims=[])
    make(wanted, store)
    found = gather(wanted, store)
    assert re.fullmatch(r"Best: fewer, \d\.\d\d % WER\.", lead(found))
    many, few, fewer = found.rows
    same = dataclasses.replace(fewer, p_holm=0.4)
    assert lead(dataclasses.replace(found, rows=[many, few, same])).endswith("; not to be told from it: many.")


def test_translations_are_told_by_bleu(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy-translation")
    make(wanted, store)
    write_report(wanted, store, tmp_path / "out", quiet())
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    much, little = map(float, column(text, "BLEU"))
    assert much > little + 20
    assert verdicts(text) == ["holds"]
    assert len(column(text, "chrF2")) == 2
    assert "WER" not in text


def test_what_is_missing_is_named_and_the_rest_shown(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy")
    write_report(wanted, store, tmp_path / "out", quiet())
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "Nothing has been recognised yet." in text
    assert verdicts(text) == ["not run"] * 3
    make(wanted, store, "many, seed 2", "fewer, seed 1", "fewer, seed 2")
    result = write_report(wanted, store, tmp_path / "out", quiet())
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "* many, seed 2: not made." in text
    assert [list(row.runs) for row in result.rows] == [[1], [1, 2], []]
    against = result.rows[1].against
    assert against is not None
    assert len(against.by_seed) == 1  # the seed that both have
    assert verdicts(text) == ["holds", "not run", "does not hold"]
    hypotheses = store.folder(wanted.entries[0].runs[1]) / "hyps.jsonl"
    hypotheses.write_text("{}\n")
    text = gather(wanted, store).rows[0].missing[1]
    assert "'id' must be a string" in text


def page(wanted: Study, store: Store, folder: Path) -> str:
    write_report(wanted, store, folder / "out", quiet())
    return (folder / "out" / "report.md").read_text(encoding="utf-8")


def test_rows_that_were_timed_hours_apart_are_told(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    assert "timed hours apart" not in page(wanted, store, tmp_path)
    early = store.folder(wanted.entry("fewer").runs[1]) / RECORD
    early.write_text(re.sub(r'"date": "[^"]*"', '"date": "2026-01-02T03:04:05"', early.read_text()))
    [line] = [line for line in page(wanted, store, tmp_path).splitlines() if "timed hours apart" in line]
    first, second = line.partition(". From ")[2].split("; ")
    assert first == "2026-01-02 03:04: fewer"
    assert second.endswith(": many, few | of them.")


def test_a_row_whose_seeds_were_timed_hours_apart_is_in_no_group(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1, 2)
    make(wanted, store)
    for name, seeds in (("fewer", (1,)), ("many", (1, 2))):
        for seed in seeds:
            early = store.folder(wanted.entry(name).runs[seed]) / RECORD
            early.write_text(re.sub(r'"date": "[^"]*"', '"date": "2026-01-02T03:04:05"', early.read_text()))
    [line] = [line for line in page(wanted, store, tmp_path).splitlines() if "timed hours apart" in line]
    groups, _, spread = line.partition(". From ")[2].partition(" Their seeds")
    first, second = groups.split("; ")
    assert first == "2026-01-02 03:04: many"
    assert second.endswith(": few | of them.")
    assert spread == " stand in several groups: fewer."


def change_code(store: Store, stage: Stage) -> None:
    path = store.folder(stage) / RECORD
    path.write_text(path.read_text().replace('"code": "', '"code": "0'))


def test_recordings_in_chunks_are_scored_and_judged_whole(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    whole = gather(wanted, store).rows[0].runs[1]
    rows = []
    for row in whole.rows:
        for number, words in enumerate((row.text.split()[:4], row.text.split()[4:])):
            fields = {**row.fields, "parent_id": row.id, "chunk_index": number}
            part = {"id": f"{row.id}-{number}", "text": " ".join(words), "duration": 1.0, "fields": fields}
            rows.append(dataclasses.replace(row, run=None, **part))
    write_run(whole.hypotheses, rows, whole.record)
    cut = gather(wanted, store).rows[0].runs[1]
    assert isinstance(cut.score, Score)
    assert isinstance(whole.score, Score)
    assert (cut.score.wer, cut.score.interval, cut.score.units) == (whole.score.wer, whole.score.interval, 12)
    assert cut.panel == whole.panel


def test_a_findings_rates_are_of_the_seeds_that_both_rows_have(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1, 2)
    make(wanted, store, "many, seed 2")
    result = gather(wanted, store)
    few, many = (result.row(name).runs[1].score for name in ("few | of them", "many"))
    assert result.row("few | of them").runs.keys() == {1, 2}
    said = f"few | of them {points(few):.2f} against many {points(many):.2f}: "
    assert findings(result)[0].figures.startswith(said)


def test_what_other_code_made_is_named_and_made_anew(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    stages = {stage.name: stage for stage in in_order(wanted.stages)}
    assert {store.state(stage) for stage in stages.values()} == {"stands"}
    change_code(store, stages["fewer, seed 1"])
    write_report(wanted, store, tmp_path / "out", quiet())
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "--remake makes them anew: spoken · fewer, seed 1." in text
    assert [s.name for s in store.discard(stages.values(), store.outdated, quiet())] == ["fewer, seed 1"]
    assert store.state(stages["fewer, seed 1"]) == "missing"
    make(wanted, store)
    change_code(store, stages["base"])
    gone = store.discard(stages.values(), store.outdated, quiet())
    assert [stage.name for stage in gone] == ["base", "many, seed 1", "few | of them, seed 1", "fewer, seed 1"]
    assert store.state(stages["fact"]) == "stands"
    make(wanted, store)
    assert store.discard(stages.values(), store.outdated, quiet()) == []
    half = stages["fewer, seed 1"]
    (store.folder(half) / RECORD).unlink()  # as if it had been interrupted
    assert not store.begun_otherwise(half)
    change_code(store, stages["base"])
    gone = store.discard(stages.values(), store.outdated, quiet())
    assert half in gone  # it was begun from what is gone
    assert not store.folder(half).exists()
    make(wanted, store)
    (store.folder(half) / RECORD).unlink()
    begun = store.root / ".work" / f"{half.kind}-{half.key}.begun.json"
    begun.write_text(begun.read_text().replace('"code": "', '"code": "0'))
    assert store.begun_otherwise(half)
    assert store.discard(stages.values(), store.begun_otherwise, quiet()) == [half]
    make(wanted, store)
    made = store.folder(stages["base"]) / RECORD
    made.write_text(re.sub(r'"date": "\d{4}', '"date": "9999', made.read_text()))
    assert store.state(stages["many, seed 1"]) == "of older inputs"


def test_all_studies_are_one_page_and_pages_of_the_docs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no study has been run there"):
        report_all(tmp_path, console=quiet())
    store = Store(tmp_path / STAGES)
    for name in ("toy", "toy-translation"):
        make(study(name, 1), store)
        folder = tmp_path / "demo" / name
        folder.mkdir(parents=True)
        asked = {"names": [name], "scale": "demo", "seeds": [1], "command": f"duolect study {name}"}
        (folder / ASKED).write_text(json.dumps(asked))
    (tmp_path / "demo" / "gone").mkdir()
    (tmp_path / "demo" / "gone" / ASKED).write_text('{"names": ["gone"]}')
    console = quiet()
    written = report_all(tmp_path, docs=tmp_path / "docs", console=console)
    assert [path.name for path in written] == ["report.html", "toy.md", "toy-translation.md"]
    assert "there is no study 'gone'" in console.file.getvalue()  # ty: ignore[unresolved-attribute]
    page = written[0].read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for link in re.findall(r'href="#([^"]+)"', page):
        assert link in ids
    text = (tmp_path / "docs" / "toy.md").read_text(encoding="utf-8")
    assert "`duolect study toy`" in text
    for image in re.findall(r"\]\((.+?\.png)\)", text):
        assert (tmp_path / "docs" / image).exists()


def test_entries_can_be_chosen(tmp_path: Path) -> None:
    wanted = only(study("toy"), ["many", "fewer"])
    assert [entry.name for entry in wanted.entries] == ["many", "fewer"]
    assert [claim.text for claim in wanted.claims] == ["Many <b>are</b> better."]
    few = dataclasses.replace(study("toy").entries[1], against="fewer")
    named = dataclasses.replace(study("toy"), entries=[study("toy").entries[0], few, study("toy").entries[2]])
    assert only(named, ["few | of them", "fewer"]).entries[0].against == "fewer"
    assert only(named, ["many", "few | of them"]).entries[1].against == ""
    with pytest.raises(ConfigError, match=r"no entry 'most'; known are 'many'"):
        only(study("toy"), ["most"])


def test_every_study_can_be_built_and_its_trainings_are_found() -> None:
    scale = build_scale("demo", planned=True)
    for name in catalogue.STUDIES.keys() - TOYS:
        built = build_study(name, scale)
        assert built.name == name
        for entry in built.entries:
            assert trainings_of(next(iter(entry.runs.values()))), (name, entry.name)
        columns = [c.title for c in study_columns(gather(built, Store(Path("nowhere"))))]
        assert columns[0] == "System"
    assert trainings_of(Base(name="base")) == []


def test_only_what_the_search_asks_counts_as_trained() -> None:
    scale = build_scale("demo", planned=True)
    whole = scale.recognition(
        "x", scale.tuned(scale.system(1, "acoustic", "language", "speech_llm"), "attention+ctc"), "x"
    )
    assert len(trainings_of(whole)) == 3
    models = {"acoustic": scale.acoustic(1), "language": scale.language(1), "speech_llm": scale.speech_llm(1)}
    for asked in (["speech_llm"], ["acoustic", "language"]):
        assert [t.key for t in trainings_of(whole, asked)] == [models[name].key for name in asked]
    alone = scale.recognition("x", models["speech_llm"], "x")
    assert [t.key for t in trainings_of(alone, ["speech_llm"])] == [models["speech_llm"].key]


def test_rows_may_have_a_base_of_their_own(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    many, few, fewer = wanted.entries
    own = dataclasses.replace(wanted, entries=[many, few, dataclasses.replace(fewer, against=few.name)])
    write_report(own, store, tmp_path / "toy", quiet(), command="")
    text = (tmp_path / "toy" / "report.md").read_text(encoding="utf-8")
    assert "Difference: to the row that it is tested against" in text
    against = gather(own, store).rows[2].against
    scores = [gather(own, store).row(entry.name).score for entry in (few, fewer)]
    assert against is not None
    assert against.points == pytest.approx(100 * (scores[1].wer - scores[0].wer))  # ty: ignore[unresolved-attribute]
    assert only(own, [many.name, fewer.name]).base(fewer) == many
    with pytest.raises(ConfigError, match="fewer is tested against 'none', no other entry"):
        dataclasses.replace(own, entries=[many, few, dataclasses.replace(fewer, against="none"), *own.entries[3:]])


def test_blocks_are_those_of_all_that_was_to_be_recognised(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / STAGES), study("toy", 1)
    make(wanted, store)
    stage = wanted.entries[0].runs[1]
    path = store.folder(stage) / "hyps.jsonl"
    rows, record = read_run(path)
    assert record is not None
    # Nine speakers were recognised, too few to be blocks; twelve were to be.
    lost = [row for row in rows if row.fields["speaker"] in ("s0", "s1", "s2")]
    skipped = tuple(Skipped(id=row.id, reason="unreadable", reference=row.reference, fields=row.fields) for row in lost)
    write_run(path, [row for row in rows if row not in lost], dataclasses.replace(record, skipped=skipped))
    score = gather(wanted, store).rows[0].runs[1].score
    assert isinstance(score, Score)
    assert score.blocks == "speaker"
