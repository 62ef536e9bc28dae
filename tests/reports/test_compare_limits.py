"""What a comparison says of its own limits: few blocks, skipped utterances, speeds that cannot be compared."""

import dataclasses
import io
import random
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from duolect.data import Utterance, load_manifest, write_manifest
from duolect.evaluation import HypothesisRow, RunRecord, Skipped, write_run
from duolect.reports import compare_files, panel_files
from duolect.reports.compare import CompareOptions, Report, compare, sources_of, write_report
from duolect.reports.comparison import Comparison
from duolect.reports.differences import examples_of
from duolect.reports.table import legend

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "seven", "dogs", "ran", "over", "green", "hills"]


def make_manifest(folder: Path, count: int = 120, speakers: int = 12) -> Path:
    rng = random.Random(0)
    (folder / "sound.wav").touch()
    utterances = [
        Utterance(
            audio_filepath=folder / "sound.wav",
            duration=2.0,
            text=" ".join(rng.choices(WORDS, k=6)),
            speaker=f"s{n % speakers}",
            id=f"u{n:03}",
            fields={"dialect": "rare" if n % speakers < 2 else "common"},
        )
        for n in range(count)
    ]
    write_manifest(folder / "test.jsonl", utterances)
    return folder / "test.jsonl"


def make_run(folder: Path, name: str, rate: float, left_out: tuple[str, ...] = (), **record: Any) -> Path:
    rng, rows = random.Random(name), []
    for utterance in load_manifest(folder / "test.jsonl"):
        heard = " ".join(rng.choice(WORDS) if rng.random() < rate else word for word in utterance.text.split())
        fields = {"speaker": utterance.speaker, **utterance.fields}
        if utterance.id not in left_out:
            rows.append(HypothesisRow(id=utterance.id, text=heard, reference=utterance.text, fields=fields))
    write_run(folder / f"{name}.jsonl", rows, RunRecord(system=name, **record))
    return folder / f"{name}.jsonl"


def compared(folder: Path, *files: Path, **options: Any) -> Report:
    sources = sources_of([str(file) for file in files])
    asked = CompareOptions(**{"utterances": 0, **options})  # ty: ignore[invalid-argument-type]
    return compare(sources, folder / "test.jsonl", folder / "out", asked, console=Console(file=io.StringIO()))


def scored(*files: Path, **options: Any) -> dict[str, Comparison]:
    found = compare_files(list(files), **options)
    return {each.title: each for each in found if isinstance(each, Comparison)}


def markdown(report: Report, anchor: str) -> str:
    return next(part.markdown for part in report.parts if part.anchor == anchor)


@pytest.mark.parametrize("blocks", ["auto", "speaker", "none"])
def test_compare_and_score_draw_the_same_within_a_part(tmp_path: Path, blocks: str) -> None:
    manifest = make_manifest(tmp_path)
    files = [make_run(tmp_path, name, rate) for name, rate in (("a", 0.3), ("b", 0.2))]
    report = compared(tmp_path, *files, by=("dialect", "speaker"), blocks=blocks)
    for field in ("dialect", "speaker"):
        tables = scored(*files, manifest=manifest, by=field, blocks=blocks)
        for value, part in report.raw[0]["by"][field].items():
            score = tables[f"{field}: {value}"].systems[0].score
            assert (part["blocks"], part["independent_parts"]) == (score.blocks, score.units), (field, value)
    said = markdown(report, "fields")
    alone = "Utterances are drawn where a part has fewer than 10 blocks: rare."
    rough = "Fewer than 10 blocks, too few for the interval to be trusted: rare."
    assert (alone in said, rough in said) == (blocks == "auto", blocks == "speaker")
    assert report.raw[0]["by"]["speaker"]["s1"]["blocks"] is None


def test_compare_and_score_know_the_same_durations(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, count=24)
    silent = dataclasses.replace(load_manifest(manifest)[0], id="silent", text="")
    write_manifest(manifest, [*load_manifest(manifest), silent])
    files = []
    for name, said in (("brief", "the cat"), ("hasty", "the cat sat on a mat while " * 4)):
        rows = [HypothesisRow(id=utterance.id, text=said) for utterance in load_manifest(manifest)]
        write_run(tmp_path / f"{name}.jsonl", rows)
        files.append(tmp_path / f"{name}.jsonl")
    report = compared(tmp_path, *files)
    panels = {system.name: system.panel for system in panel_files(files, manifest=manifest)[0].systems}
    assert {row["name"]: row["panel"] for row in report.raw} == {name: p.summary() for name, p in panels.items()}
    fast = panels["hasty"].rate("fast")
    assert fast is not None
    assert (fast.count, fast.total) == (24, 24)
    table = markdown(report, "panel")
    assert "| **speech** |" in table
    assert "(p 1.0" in table or "(p <" in table
    assert "(p )" not in table


def test_speeds_with_different_numbers_of_threads_are_not_compared(tmp_path: Path) -> None:
    make_manifest(tmp_path)
    timed: dict[str, Any] = {"audio_seconds": 300.0, "region": "features to text", "device": "cpu"}
    one = make_run(tmp_path, "one", 0.3, **timed, wall_seconds=10.0, threads=1)
    many = make_run(tmp_path, "many", 0.3, **timed, wall_seconds=2.0, threads=16)
    like = make_run(tmp_path, "like", 0.3, **timed, wall_seconds=5.0, threads=1)
    said = compared(tmp_path, one, many, within=100.0).said
    assert said[1].endswith("The speeds cannot be compared: they ran with different numbers of threads.")
    assert ": like, RTFx 60.0" in compared(tmp_path, one, like, within=100.0).said[1]


def test_a_system_is_not_the_only_one_within_the_bound_where_others_are_not_timed(tmp_path: Path) -> None:
    make_manifest(tmp_path)
    timed: dict[str, Any] = {"audio_seconds": 300.0, "wall_seconds": 10.0, "region": "features to text"}
    one, untimed = make_run(tmp_path, "one", 0.3, **timed), make_run(tmp_path, "untimed", 0.3)
    far = make_run(tmp_path, "far", 0.9, **timed)
    said = compared(tmp_path, one, untimed, far, within=0.5).said[1]
    assert said.endswith(": one, RTFx 30.0, the only one of those timed within that bound.")
    assert (
        compared(tmp_path, one, far, within=0.5).said[1].endswith(": one, RTFx 30.0, the only one within that bound.")
    )


def test_what_all_systems_skipped_is_shown_as_left_out(tmp_path: Path) -> None:
    make_manifest(tmp_path, count=4, speakers=4)
    lost = next(u for u in load_manifest(tmp_path / "test.jsonl") if u.id == "u002")
    gone = (Skipped(id=lost.id, reason="too long"),)
    files = [make_run(tmp_path, name, 0.0, left_out=(lost.id,), skipped=gone) for name in ("a", "b")]
    report = compared(tmp_path, *files, utterances=4)
    (shown,) = examples_of(report.comparison.systems, [lost.id], {lost.id: lost.duration})
    assert (shown.reference, shown.duration) == (lost.text, 2.0)
    for heard in shown.heard:
        assert (heard.errors, heard.skipped) == (6, True)
        assert [(part.kind, part.reference) for part in heard.parts] == [("deleted", w) for w in lost.text.split()]
    page = "".join(next(part.html for part in report.parts if part.anchor == "utterances"))
    article = next(each for each in page.split("<article") if f"<h3>{lost.id}" in each)
    assert f"<h3>{lost.id} · 2.0 s</h3>" in article
    assert lost.text in article
    assert "correct" not in article
    assert article.startswith(' class="hard wrong-0 wrong-1"')


@pytest.mark.parametrize("of_before", [False, True])
def test_a_skipped_utterance_keeps_the_blocks_and_its_group(tmp_path: Path, of_before: bool) -> None:
    make_manifest(tmp_path)
    lost = next(u for u in load_manifest(tmp_path / "test.jsonl") if u.id == "u001")
    said = {} if of_before else {"speaker": lost.speaker, **lost.fields}
    gone = (Skipped(id=lost.id, reason="too long", reference=lost.text, fields=said),)
    file = make_run(tmp_path, "a", 0.3, left_out=(lost.id,), skipped=gone)
    tables = scored(file, by="dialect")
    whole = tables["All utterances"]
    score = whole.systems[0].score
    assert (score.blocks, score.units) == ("speaker", 13 if of_before else 12)
    assert set(tables) - {"All utterances"} == {f"dialect: {v}" for v in ("rare", "common", *["not given"][:of_before])}
    assert tables["dialect: rare"].systems[0].score.utterances == (19 if of_before else 20)
    own = "13 blocks of utterances (by speaker; 1 that do not say theirs are blocks of their own)"
    assert (own in " ".join(legend(whole))) == of_before


@pytest.mark.parametrize(
    ("speakers", "said"),
    [
        (1, "All utterances are of one speaker: the intervals and tests say nothing about others."),
        (5, "Utterances were taken as independent, though they are of 5 speakers: about others the intervals are"),
        (12, None),
    ],
)
def test_a_set_of_few_speakers_is_named(tmp_path: Path, speakers: int, said: str | None) -> None:
    manifest = make_manifest(tmp_path, speakers=speakers)
    file = make_run(tmp_path, "a", 0.3)
    found = [line for line in compared(tmp_path, file).said if "speaker" in line]
    assert [line[: len(said or "")] for line in found] == ([said] if said else [])
    first, *others = load_manifest(manifest)
    write_manifest(manifest, [dataclasses.replace(first, speaker=None), *others])
    assert not any("one speaker" in line for line in compared(tmp_path, file).said)


def test_nothing_in_the_markdown_report_is_taken_for_its_marks(tmp_path: Path) -> None:
    make_manifest(tmp_path)
    utterances = [dataclasses.replace(u, text="<b>*odd* | snake_case`") for u in load_manifest(tmp_path / "test.jsonl")]
    write_manifest(tmp_path / "test.jsonl", utterances)
    files = [make_run(tmp_path, name, rate) for name, rate in (("one|<i>a</i>", 0.9), ("two*_b_*", 0.5))]
    report = compared(tmp_path, *files, normaliser="none", title="a <u>set</u>")
    write_report(report, tmp_path / "out", Console(file=io.StringIO()))
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert r"\<b\>\*odd\*" in text
    assert text.startswith(r"# a \<u\>set")
    assert r"two\*\_b\_\*, " in text  # the recommendation
    for odd in ("<", "odd*", "snake_case", "_b_", "case`", "a</i", "*_b"):
        assert not re.search(rf"(?<!\\){re.escape(odd)}", text), odd
    assert not re.search(r"(?<!\\)\|<|one\|", text)
