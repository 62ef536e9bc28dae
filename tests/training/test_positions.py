"""Utterances for which an LLM has no positions: left out before they can stop a run, labels counted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from training_corpus import acoustic_recipe, make_corpus, speech_llm_recipe

from duolect.data import load_manifest
from duolect.models import LLMConfig
from duolect.nn.adapters import ConcatLinearConfig
from duolect.systems import System
from duolect.training import train_recipe


def test_audio_and_labels_that_do_not_fit_the_llm_are_left_out_of_training(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    entries = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()]
    entries[0]["text"] = "so la mi do re " * 3  # short enough to hear, too many labels to go with it
    (corpus / "train.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    own: Any = acoustic_recipe(corpus).task
    for name, much in (("merged", True), ("cross", False)):
        recipe = speech_llm_recipe(corpus, Path(), Path(), interface=name, steps=6)  # ty: ignore
        task: Any = recipe.task
        llm = LLMConfig(vocabulary=1, width=16, layers=2, heads=2, max_positions=36)
        model = dataclasses.replace(task.model, llm=llm, adapter=ConcatLinearConfig(factor=1), finetune="full")
        starts = {"initialise_encoder": None, "initialise_llm": None, "prompts": ()}
        task = dataclasses.replace(task, model=model, units=own.units, **starts)
        folder = tmp_path / name
        train_recipe(dataclasses.replace(recipe, task=task), folder, device="cpu")
        skipped = [json.loads(line) for line in (folder / "skipped.jsonl").read_text().splitlines()]
        reasons = {entry["id"]: entry["reason"] for entry in skipped}
        assert "44 labels take up to" in reasons["u0"], name
        assert "positions of the LLM, which has 36" in reasons["u0"], name
        assert (len(reasons) > 1) == much, name
        assert len(reasons) < len(entries)
        system = System.load(folder / "system").with_method("speech-llm")
        assert len(system.recognize(load_manifest(corpus / "dev.jsonl")).rows) == 3
