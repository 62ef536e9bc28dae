"""The study of interfaces, adapters and fine-tuning, with very little of everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from duolect.errors import ConfigError
from duolect.evaluation import score_file
from duolect.studies.demo import DemoSteps
from duolect.studies.integration import METHODS, VARIANTS, run_integration_study

NAMES = ("prefix", "cross", "LoRA")


def test_every_variant_is_trained_recognised_and_described_once(tmp_path: Path) -> None:
    def study() -> str:
        with open(tmp_path / "console.txt", "w") as handle:
            run_integration_study(
                tmp_path / "study",
                demo=tmp_path / "demo",
                only=NAMES,
                steps=2,
                size="tiny",
                demo_steps=DemoSteps(acoustic=2, language=2),
                console=Console(file=handle),
            )
        return (tmp_path / "console.txt").read_text()

    first = study()
    report = (tmp_path / "study" / "report.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in report.splitlines() if line.startswith("| ")}
    for how in METHODS:
        for name in NAMES:
            score = score_file(tmp_path / "study" / "hypotheses" / f"{name} {how}.jsonl")
            assert f"{100 * score.wer:.2f}" in rows[f"{name} {how}"]
    assert "step 2/2" in first

    def column(title: str) -> list[float]:
        place = [cell.strip() for cell in rows["System"].split("|")].index(title)
        return [float(rows[f"{name} alone"].split("|")[place]) for name in NAMES]

    prefix, cross, lora = column("Trained")
    assert lora < prefix < cross  # low-rank additions are few, cross-attention blocks come on top
    # Keys and values of every layer stand for the audio once, whether it is its prefix or what it attends across to.
    assert min(column("KV/s")) > 0

    again = study()
    assert "step 2/2" not in again
    assert "recognising" not in again
    assert (tmp_path / "study" / "report.md").read_text(encoding="utf-8") == report


def test_what_the_study_does_not_know_is_told(tmp_path: Path) -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    with pytest.raises(ConfigError, match="there is no variant 'prefics'"):
        run_integration_study(tmp_path, only=("prefics",))
    assert not any(tmp_path.iterdir())
