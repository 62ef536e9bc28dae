"""Runs divided by a field's values."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from duolect.cli import main
from duolect.errors import ConfigError
from duolect.evaluation import HypothesisRow, RunRecord, Skipped, write_run
from duolect.reports.division import Run, fields_by_id, part_blocks, parts_by


class Counted(list[HypothesisRow]):
    """Rows that count how often they are gone through."""

    passes = 0

    def __iter__(self) -> Iterator[HypothesisRow]:
        self.passes += 1
        return super().__iter__()


def make(speakers: int, count: int) -> Run:
    rows = [HypothesisRow(id=f"u{n}", text="x", fields={"speaker": f"s{n % speakers}"}) for n in range(count)]
    lost = (Skipped(id="lost", reason="r", fields={"speaker": "s1"}), Skipped(id="of before", reason="r"))
    return Run("run", Counted(rows), RunRecord(system="x", skipped=lost, audio_seconds=9.0, host_memory=5))


@pytest.mark.parametrize("speakers", [3, 300])
def test_thousands_of_values_cost_no_pass_each(speakers: int) -> None:
    run = make(speakers, 600)
    fields = fields_by_id([run], None)
    references = {key: key.upper() for key in (*fields, "of before")}
    whole, *parts = parts_by("all", [run], references, "speaker", fields)
    assert isinstance(run.rows, Counted)
    assert run.rows.passes <= 4
    assert (whole.title, whole.runs, whole.references, whole.whole) == ("all", [run], references, True)
    values = sorted({*(f"s{n}" for n in range(speakers)), "not given"})
    assert [part.title for part in parts] == [f"speaker: {value}" for value in values]
    for part, value in zip(parts, values, strict=True):
        found = part.runs[0]
        assert found.rows == [row for row in run.rows if row.fields["speaker"] == value]
        said = {"s1": ["lost"], "not given": ["of before"]}.get(value, [])
        assert [entry.id for entry in found.record.skipped] == said
        assert part.references == {key: key.upper() for key in [*(row.id for row in found.rows), *said]}
        assert (found.record.audio_seconds, found.record.host_memory, part.whole) == (0.0, None, False)


def test_an_unknown_field_is_named() -> None:
    run = make(2, 4)
    fields = fields_by_id([run], None)
    with pytest.raises(ConfigError, match="--by: no utterance has a field 'accent'; known are speaker"):
        parts_by("all", [run], None, "accent", fields)
    with pytest.raises(ConfigError, match="--blocks: no utterance has a field 'accent'"):
        part_blocks("accent", parts_by("all", [run], None, None, fields)[0], fields, None)


def test_a_field_named_like_one_of_the_line_divides_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        HypothesisRow(id=key, text="a", reference=said, fields={"run": take})
        for key, said, take in (("x", "a", "first"), ("y", "a b", "second"))
    ]
    write_run(tmp_path / "hyps.jsonl", rows, RunRecord(system="x"))
    assert main(["score", str(tmp_path / "hyps.jsonl"), "--by", "source_run"]) == 0
    assert "source_run: second" in capsys.readouterr().out
