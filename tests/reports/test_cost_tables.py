"""The tables of what recognition cost: what stands in them, what is left out, and that parts of a run have none."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from duolect.evaluation import HypothesisRow, Latency, RunRecord, write_run
from duolect.reports import compare_files, cost_markdown, cost_table, markdown_table, measured_runs, stage_table

ROWS = [
    HypothesisRow(id=f"u{i}", text="a cab", reference="a cab", duration=5.0, fields={"accent": "ab"[i % 2]})
    for i in range(4)
]
PLAIN = RunRecord(
    system="plain",
    units="u",
    region="features to text",
    audio_seconds=20.0,
    wall_seconds=2.0,
    host_memory=1000,
    statistics={"output.labels": 40.0},
)
MEASURED = replace(
    PLAIN,
    system="measured",
    wall_seconds=4.0,
    wall_seconds_with_files=5.0,
    host_memory=1500,
    stages={"search/lm": 2.0, "reading": 1.0, "encoder.acoustic": 1.5, "ctc.acoustic": 0.25, "search": 0.25},
    flops={"encoder.acoustic": 2e9, "search/lm": 123e9},
    latency=Latency.of([0.5, 0.25, 0.75], [5.0, 5.0, 5.0]),
    parameters={"acoustic": 30_000_000, "language": 70_000_000},
    statistics={"output.labels": 40.0, "lm.forwards": 10.0, "lm.rows": 80.0, "lm.labels": 2000.0},
)


def text(drawn: object) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get()


def files(folder: Path) -> list[Path]:
    write_run(folder / "plain.jsonl", ROWS, PLAIN)
    write_run(folder / "measured.jsonl", ROWS, MEASURED)
    write_run(folder / "bare.jsonl", ROWS)
    return [folder / f"{name}.jsonl" for name in ("plain", "measured", "bare")]


def test_where_the_time_of_a_run_went() -> None:
    shown = text(stage_table(MEASURED, 100))
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert lines["reading"] == ["1.00", "20.0", "–", "–", "–", "–"]
    assert lines["encoder.acoustic"] == ["1.50", "30.0", "2", "–", "–", "–"]
    assert lines["search/lm"] == ["2.00", "40.0", "123", "0.50", "4.00", "100"]
    assert lines["all"] == ["5.00", "100", "125"]
    assert "RTFx 5.00 from features to text, 4.00 from files." in shown
    assert "10.0 labels written per second" in shown
    assert "median 0.5 s (10 % of its duration), 95th percentile 0.72 s (14 %)" in " ".join(shown.split())


def test_a_run_without_stages_has_a_table_of_operations_alone() -> None:
    shown = text(stage_table(replace(MEASURED, stages={}), 100))
    assert "Seconds" not in shown
    assert "search/lm" in shown


def test_runs_side_by_side(tmp_path: Path) -> None:
    runs = measured_runs(files(tmp_path))
    assert list(runs) == ["plain", "measured"]
    lines = cost_markdown(runs).splitlines()
    assert lines[0] == "| System | Weights | Tokens/s × | RTFx × | Memory × | RTFx, files | Time % |"
    assert lines[2] == "| plain | – | 1.00 | 1.00 | 1.00 | – | – |"
    assert lines[3] == "| measured | 100 M | 0.50 | 0.50 | 1.50 | 4.00 | 20/30/5/40/5 |"
    assert "divided by that of plain" in text(cost_table(runs, 100))
    assert measured_runs([tmp_path / "plain.jsonl", tmp_path / "bare.jsonl"]) == {}


def test_operations_and_latency_are_columns_where_they_were_measured(tmp_path: Path) -> None:
    given = files(tmp_path)
    table, *parts = compare_files(given, by="accent")
    shown = markdown_table(table).splitlines()
    assert shown[0].endswith("GFLOP per audio s | Latency s (95 %) |")
    assert shown[3].endswith("| 125 | 0.5 (0.72) |")
    assert shown[4].endswith("| – | – |")
    assert any(line.startswith("Latency: ") for line in shown)
    assert len(parts) == 2
    assert not any("GFLOP" in markdown_table(part) for part in parts)
    assert "GFLOP" not in markdown_table(compare_files(given[:1])[0])
