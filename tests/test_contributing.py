"""CONTRIBUTING.md is true: its examples run, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from duolect.audio import write_audio
from duolect.data import load_manifest
from duolect.systems import METHODS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "duolect"


def blocks(title: str) -> str:
    """The Python of one section."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))


def run(title: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "contributing"}
    exec(compile(blocks(title), f"CONTRIBUTING.md: {title}", "exec"), names)
    return names


def test_every_file_it_names_is_there() -> None:
    named = set(re.findall(r"`([\w./]+(?:\.py|/))`", TEXT)) - {"mine.py", "tests/<room>/"}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists() and not (SOURCE / name).exists()] == []


def test_the_map_has_every_room() -> None:
    the_map = TEXT.split("src/duolect/\n")[1].split("```")[0]
    shown = set(re.findall(r"^  (\w+)/", the_map, re.MULTILINE))
    assert shown == {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}


def test_the_scorer_runs_and_keeps_the_protocol() -> None:
    scorer = run("A scorer")["LabelCount"](5, 0, torch.device("cpu"))
    candidates_RC = torch.tensor([[1, 0], [4, 2]])
    everything_RV, _ = scorer.score(2)
    assert torch.equal(scorer.score(2, candidates_RC)[0], everything_RV.gather(1, candidates_RC))
    total_R, _ = scorer.append(2, torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]))
    assert total_R.tolist() == [2.0, 1.0]


def test_the_corpus_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for speaker in ("ann", "bob"):
        write_audio(tmp_path / "corpus" / "train" / speaker / "1.flac", np.full(8000, 0.1))
        (tmp_path / "corpus" / "train" / speaker / "1.txt").write_text("Hello, there.\n")
    run("A corpus")
    found = load_manifest("train.jsonl")
    assert [(u.id, u.speaker, u.text, u.duration) for u in found] == [
        ("ann-1", "ann", "Hello, there.", 0.5),
        ("bob-1", "bob", "Hello, there.", 0.5),
    ]


def test_the_recipe_and_the_method_are_valid() -> None:
    recipe = run("A recipe")["recipe"](train=(Path("train.jsonl"),), dev=Path("dev.jsonl"))
    assert recipe.task.model.ctc_weight == 0.5
    method = run("A method")["method"]
    assert method.search.parts().keys() == {"acoustic", "language"}
    assert method.search not in [known.search for known in METHODS.values()]


def test_the_help_of_combine_names_every_method() -> None:
    text = (SOURCE / "cli" / "combine.py").read_text(encoding="utf-8")
    assert [name for name in METHODS if not re.search(rf"(?<![\w+-]){re.escape(name)}(?![\w+-])", text)] == []
