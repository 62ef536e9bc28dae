"""The panel of hypothesis files: side by side, by a field, and its worst utterances; and what `score` prints."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from duolect.cli import main
from duolect.data import Utterance, write_manifest
from duolect.errors import ScoringError
from duolect.evaluation import HypothesisRow, RunRecord, Skipped, write_run
from duolect.reports import (
    compare_files,
    panel_files,
    panels_markdown,
    print_panels,
    print_table,
    worst_utterances,
)

SAID = {"a1": "four boats", "a2": "set sail now", "b1": "", "b2": "", "c1": "yes"}
HEARD = {
    "plain": ["for the love of all that is good", "sail sail sail sail", "thank you", "", "yes"],
    "joint": ["four boats", "set sail", "", "", "yes"],
}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two runs: a (speech) and b (noise), and c1, which "joint" could not read; no durations."""
    paths = []
    for name, texts in HEARD.items():
        rows = [
            HypothesisRow(
                id=key,
                reference=said,
                text=text,
                fields={"condition": {"a": "clean", "b": "noise"}.get(key[0], "lost")},
            )
            for (key, said), text in zip(SAID.items(), texts, strict=True)
            if not (name == "joint" and key == "c1")
        ]
        skipped = () if name == "plain" else (Skipped(id="c1", reason="damaged", reference="yes"),)
        paths.append(tmp_path / f"{name}.jsonl")
        write_run(paths[-1], rows, RunRecord(system=name, skipped=skipped))
    return paths


def printed(files: list[Path], width: int = 120, by: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_panels(panel_files(files, by=by), by, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line(text: str, start: str) -> list[str]:
    return next(row for row in text.splitlines() if row.strip().startswith(start)).split()


def test_systems_stand_side_by_side_with_a_test_against_the_first(files: list[Path]) -> None:
    text = printed(files)
    assert line(text, "any sign")[2:5] == ["2–3", "66.7", "[20.8–93.9]"]
    assert line(text, "any sign")[-1] == "0.50"
    assert line(text, "n-gram ≥ 4 ×")[-5:-3] == ["33.3", "[6.1–79.2]"]
    assert line(text, "any text")[2:4] == ["2", "50.0"]
    assert "characters/min" not in text  # of unknown durations
    assert "Not recognised, and counted nowhere: 0 (plain), 1 (joint)." in text
    assert "“thank you” (1)" in text
    assert "Shown by no utterance of non-speech: " in text


def test_a_narrow_terminal_leaves_the_intervals_out_and_says_so(files: list[Path]) -> None:
    text = printed(files, 50)
    assert "[" not in text.split("Per cent")[0]
    assert "Left out for want of width: the intervals." in text


def test_durations_come_from_the_manifest_where_rows_have_none(files: list[Path], tmp_path: Path) -> None:
    rows = [
        Utterance(audio_filepath=tmp_path / f"{key}.wav", duration=30.0, text=text, id=key)
        for key, text in SAID.items()
    ]
    write_manifest(tmp_path / "m.jsonl", rows)
    whole = panel_files(files, manifest=tmp_path / "m.jsonl")[0]
    rate = whole.systems[0].panel.rate("non_speech_characters")
    assert rate is not None
    assert (rate.count, rate.total) == (9, 1.0)
    assert whole.systems[1].rows[0].reference == "four boats"


def test_groups_have_a_table_of_their_own_and_those_without_speech_no_word_error_rate(files: list[Path]) -> None:
    panels = panel_files(files, by="condition")
    assert [panel.title for panel in panels] == ["All utterances", "clean", "lost", "noise"]
    text = printed(files, by="condition")
    assert "Hallucination by condition" in text
    assert [panel.title for panel in compare_files(files, by="condition")] == [
        "All utterances",
        "condition: clean",
        "condition: lost",
    ]
    markdown = panels_markdown(panels, "condition")
    assert "### Hallucination by condition" in markdown
    assert "| **noise** |  |  |  |  |" in markdown


def test_the_worst_utterances_are_shown_with_their_signs(files: list[Path]) -> None:
    lines = list(worst_utterances(panel_files(files)[0].systems[0], 1))
    assert lines[0] == "plain: 1 of 3 utterances with a sign, the worst first"
    assert lines[1].startswith("  a1: WER 400 %; 4.0 × the words; 6 words inserted")
    assert lines[2:] == ["    reference   four boats", "    hypothesis  for the love of all that is good"]


def test_score_prints_the_panel(files: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = [str(path) for path in files]
    assert main(["score", *names, "--panel-list", "2", "--by", "condition"]) == 0
    out = capsys.readouterr().out
    assert out.index("All utterances") < out.index("Hallucination ") < out.index("Hallucination by condition")
    assert "plain: 2 of 3 utterances with a sign" in out
    assert main(["score", *names]) == 0
    assert "Hallucination" not in capsys.readouterr().out
    noise = [HypothesisRow(id="n", reference="", text="thank you", duration=6.0)]
    write_run(tmp_path / "noise.jsonl", noise)
    assert main(["score", str(tmp_path / "noise.jsonl")]) == 2
    assert "nothing to score" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "noise.jsonl"), "--panel", "--markdown"]) == 0
    assert "| characters/min | 0.1 min | 90.0 |" in capsys.readouterr().out


def test_names_and_values_are_not_taken_for_markup(tmp_path: Path) -> None:
    rows = [
        HypothesisRow(id=key, reference="a", text="b", fields={"of": of}) for key, of in (("x", "[/i]"), ("y", "all"))
    ]
    for name in ("am[beam=4]", "am[bold]"):
        write_run(tmp_path / f"{name}.jsonl", rows)
    text = printed([tmp_path / "am[beam=4].jsonl", tmp_path / "am[bold].jsonl"], by="of")
    for name in ("am[beam=4]", "am[bold]", "[/i]"):
        assert name in text
    console = Console(file=io.StringIO(), width=100)
    for table in compare_files([tmp_path / "am[bold].jsonl"], by="of"):
        print_table(table, console)
    assert isinstance(console.file, io.StringIO)
    assert "of: [/i]" in console.file.getvalue()


def test_a_fault_names_the_file(files: list[Path], tmp_path: Path) -> None:
    write_manifest(
        tmp_path / "m.jsonl", [Utterance(audio_filepath=tmp_path / "x.wav", duration=1.0, text="yes", id="zz")]
    )
    with pytest.raises(ScoringError, match=r"plain: .* not in the manifest"):
        panel_files(files, manifest=tmp_path / "m.jsonl")


def test_translations_have_no_word_errors_and_know_what_is_silent(tmp_path: Path) -> None:
    rows = [
        HypothesisRow(id="a", reference="vier Boote", text="ein Schiff", fields={"transcript": "four boats"}),
        HypothesisRow(id="b", text="danke", fields={"transcript": "thanks"}),
        HypothesisRow(id="c", text="danke", fields={"transcript": ""}),
    ]
    write_run(tmp_path / "st.jsonl", rows, RunRecord(system="st", target="translation"))
    texts = {"a": ("four boats", "vier Boote"), "b": ("thanks", None), "c": ("", None)}
    utterances = [
        Utterance(audio_filepath=tmp_path / key, duration=6.0, text=said, translation=told, id=key)
        for key, (said, told) in texts.items()
    ]
    write_manifest(tmp_path / "m.jsonl", utterances)
    for manifest in (None, tmp_path / "m.jsonl"):
        panel = panel_files([tmp_path / "st.jsonl"], manifest=manifest)[0].systems[0].panel
        assert (panel.speech, panel.non_speech, panel.unknown) == (1, 1, 1)
        assert panel.rate("wer") is None
        assert panel.frequent == (("danke", 1),)


def test_files_scored_as_translations_are_judged_as_translations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "other.jsonl", [HypothesisRow(id="a", text="vier Boote")])  # of another tool, without a record
    utterance = Utterance(
        audio_filepath=tmp_path / "a", duration=6.0, text="four", translation="vier Boote im See", id="a"
    )
    write_manifest(tmp_path / "m.jsonl", [utterance])
    (comparison,) = panel_files([tmp_path / "other.jsonl"], manifest=tmp_path / "m.jsonl", metric="bleu")
    panel = comparison.systems[0].panel
    assert panel.rate("wer") is None
    assert not panel.signs
    arguments = ["score", str(tmp_path / "other.jsonl"), "--manifest", str(tmp_path / "m.jsonl"), "--metric", "chrf"]
    assert main([*arguments, "--panel-list", "1"]) == 0
    assert "0 of 0 utterances with a sign" in capsys.readouterr().out
    assert main([*arguments, "--panel-list", "-1"]) == 2
    assert "--panel-list: must be 0 or more, not -1." in capsys.readouterr().err


def test_a_field_that_is_null_is_not_given(tmp_path: Path) -> None:
    values = {"a": "us", "b": None}
    rows = [HypothesisRow(id=key, reference="x", text="x", fields={"accent": v}) for key, v in values.items()]
    write_run(tmp_path / "h.jsonl", rows)
    titles = [table.title for table in compare_files([tmp_path / "h.jsonl"], by="accent")]
    assert titles == ["All utterances", "accent: not given", "accent: us"]


def test_chunks_are_judged_as_the_recording_whose_reference_they_share(tmp_path: Path) -> None:
    chunks = [
        HypothesisRow(
            id=f"call-{n}", reference="one two three four", text=text, fields={"parent_id": "call", "chunk_index": n}
        )
        for n, text in enumerate(["one two", "three four"])
    ]
    write_run(tmp_path / "calls.jsonl", chunks)
    panel = panel_files([tmp_path / "calls.jsonl"])[0].systems[0].panel
    assert (panel.speech, dict(panel.signs)) == (1, {})
