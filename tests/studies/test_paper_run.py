"""The scale paper from shards of Loquacious and an LLM to recognised test sets, its models made narrow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("pyarrow")
from shard_corpus import shard_rows, write_shard
from tiny_llm import make_llm

from duolect.data import load_manifest
from duolect.data.corpora import corpus_named, import_corpus
from duolect.evaluation import read_run, score_file
from duolect.studies.catalogue import build_scale, build_study, only
from duolect.studies.scales import paper
from duolect.studies.stages import Store, in_order
from duolect.studies.study import Study
from tests.studies.paper_narrow import narrow_paper

ENTRIES = {
    "overall": (
        "speech LLM",
        "speech LLM + CTC",
        "attention decoder + CTC",
        "CTC + LM, rescoring",
        "CTC + LM, delayed",
        "CTC + LM, label by label",
    ),
    "interface": ("merged self-attention, with CTC", "cross-attention, alone"),
    "units": ("the acoustic model's pieces, with CTC", "the LLM's own labels, CTC in the acoustic model's, with CTC"),
    "prior": ("label by label: counts of labels", "delayed, every 20 frames: counts of the LM's labels"),
    "lm": ("LM of the transcripts alone", "LLM, low-rank additions, its own labels"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def narrowed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of Loquacious as the hub has it; every recipe of the scale narrow, its LLM small, no GPU asked for."""
    folder = tmp_path_factory.mktemp("paper")
    for part in ("large", "dev", "test"):
        for number in range(2):
            table = shard_rows(number, 8 if part == "large" else 2, longest=3.0)
            table["text"][0] = "pack my box with five dozen jugs of liquid veneer"  # the letters that prompts need
            table["text"] = [text.upper() for text in table["text"]]
            write_shard(folder / "LoquaciousSet" / part / f"{number}.parquet", table, 4)
    import_corpus(corpus_named("loquacious"), folder / "LoquaciousSet", folder / "corpora")
    text = folder / "text.txt"
    text.write_text("".join(f"{u.text}\n" for u in load_manifest(folder / "corpora" / "dev.jsonl")), encoding="utf-8")
    llm = make_llm(folder / "llm", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "_hub", lambda size: str(llm))
        narrow_paper(patch)
        yield folder


def study(name: str, folder: Path) -> Study:
    corpora = folder / "corpora"
    data = {"train": folder / "LoquaciousSet" / "large", "dev": corpora / "dev.jsonl", "test": corpora / "test.jsonl"}
    return only(build_study(name, build_scale("paper", seeds=(1,), data=data)), ENTRIES[name])


@pytest.mark.parametrize("name", ENTRIES)
def test_its_stages_follow_from_each_other(name: str, narrowed: Path, store: Store) -> None:
    wanted = study(name, narrowed)
    for stage in in_order(wanted.stages):
        store.make(stage, Console(file=io.StringIO()))
    assert [entry.name for entry in wanted.entries] == list(ENTRIES[name])
    for entry in wanted.entries:
        hypotheses = store.folder(entry.runs[1]) / "hyps.jsonl"
        rows, record = read_run(hypotheses)
        assert score_file(hypotheses).utterances == len(rows) == 4
        assert record.wall_seconds
