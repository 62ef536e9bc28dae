"""Every way to put speech into an LLM, on one corpus with one acoustic model and one language model.

Question (arXiv 2603.15045, arXiv 2501.02370): what do the attention interface, the adapter and the way of fine-tuning
do to accuracy, to the trained parameters, to time and to memory? One thing is changed at a time. Every speech LLM
starts from the same acoustic encoder and language model and is trained for the same number of steps; joint search takes
the same weight for all, so that nothing is tuned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from duolect.audio.files import SAMPLE_RATE
from duolect.data import load_manifest
from duolect.data.loader import collate
from duolect.errors import ConfigError
from duolect.models import LoraSettings, SpeechLLM, key_value_bytes
from duolect.recipes.demo import demo_speech_llm
from duolect.reports import Comparison, SystemResult
from duolect.studies.comparison import Line, publish, results, trained_columns
from duolect.studies.demo import DemoSteps, train_demo_parts
from duolect.systems import System, load
from duolect.training import Recipe, SpeechLLMTask, train_recipe

METHODS = {"with CTC": "speech-llm+ctc", "alone": "speech-llm"}
_BEAM, _LABELS, _HEARD = 4, 16, 16  # of the measurement of memory: hypotheses, labels of each, utterances


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A speech LLM of the study: arguments of the recipe `demo_speech_llm`, and fields of its model to be changed."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)


_LORA = LoraSettings(rank=16, alpha=32.0, targets=("q_proj", "k_proj", "v_proj", "o_proj"))

VARIANTS: tuple[Variant, ...] = (
    Variant(name="prefix"),
    Variant(name="prefix, bidirectional", arguments={"interface": "bidirectional"}),
    Variant(name="merged", arguments={"interface": "merged"}),
    Variant(name="cross", arguments={"interface": "cross"}),
    Variant(name="concat 1", arguments={"concatenate": 1}),
    Variant(name="concat 4", arguments={"concatenate": 4}),
    Variant(name="convolution", arguments={"adapter": "conv"}),
    Variant(name="Q-Former", arguments={"adapter": "qformer"}),
    Variant(name="CTC compression", arguments={"adapter": "ctc"}),
    Variant(name="frozen LLM", model={"finetune": "frozen"}),
    Variant(name="LoRA", model={"finetune": "lora", "lora": _LORA}),
    Variant(name="frozen encoder", model={"freeze_encoder": True}),
)
"""What the study compares; the first one, with two frames to a position and all trained, is the baseline."""


def run_integration_study(
    folder: str | Path = "runs/integration",
    *,
    demo: str | Path = "runs/demo",
    variants: Sequence[Variant] = VARIANTS,
    only: Sequence[str] = (),
    steps: int = 500,
    demo_steps: DemoSteps | None = None,
    size: Any = "demo",
    seed: int = 1,
    console: Console | None = None,
    command: str = "duolect study integration",
) -> Comparison:
    """Train every variant, recognise and score test with CTC and alone; what stands in `folder` is reused.

    Corpus, acoustic model and language model are those of the demo in the folder `demo`, and are made where they are
    missing. Raises ConfigError for a name in `only` that there is not.
    """
    folder, console = Path(folder), console or Console(stderr=True)
    names = [variant.name for variant in variants]
    for name in only:
        if name not in names:
            raise ConfigError(f"study integration: there is no variant {name!r}; known are {', '.join(names)}.")
    asked = [variant for variant in variants if not only or variant.name in only]
    corpus, acoustic, language = train_demo_parts(demo, size=size, seed=seed, steps=demo_steps, console=console)

    systems: dict[str, System] = {}
    details: dict[str, dict[str, str]] = {}
    for variant in asked:
        console.rule(f"training: {variant.name}", align="left")
        run = folder / "".join(c if c.isalnum() else "-" for c in variant.name.lower())
        recipe = demo_speech_llm(
            train=corpus.train,
            dev=corpus.dev,
            acoustic=acoustic,
            language=language,
            steps=steps,
            seed=seed,
            **variant.arguments,
        )
        systems[variant.name] = load(train_recipe(_changed(recipe, variant), run, device="cpu", console=console))
        details[variant.name] = trained_columns(run) | _memory(systems[variant.name], corpus.test)

    lines = [
        Line(name=f"{name} {how}", system=system.with_method(method))
        for how, method in METHODS.items()
        for name, system in systems.items()
    ]
    today = date.today().isoformat()
    found = results(lines, corpus.test, folder / "hypotheses", console, command=command, date=today)
    comparison = Comparison(
        title="Ways to put speech into an LLM",
        systems=[_described(result, details) for result in found],
        baseline=found[0].name,
        notes=[_NOTE],
        provenance={
            "command": command,
            "date": today,
            "threads": torch.get_num_threads(),
            "seed": seed,
            "steps": f"{steps} for each speech LLM",
        },
    )
    publish(comparison, folder, console)
    return comparison


_NOTE = (
    "Trained: parameters that were trained, in millions. Training: wall-clock time. KV/s: keys and values held per "
    f"second of audio, in KiB, for {_BEAM} hypotheses of {_LABELS} labels each and {_HEARD} utterances of test."
)


def _changed(recipe: Recipe, variant: Variant) -> Recipe:
    task = recipe.task
    assert isinstance(task, SpeechLLMTask)
    model = dataclasses.replace(task.model, **variant.model)
    return dataclasses.replace(recipe, task=dataclasses.replace(task, model=model))


def _memory(system: System, test: Path) -> dict[str, str]:
    """Keys and values of a beam of hypotheses over the first utterances of `test`."""
    assert system.speech_llm is not None
    model = system.speech_llm.model
    assert isinstance(model, SpeechLLM)
    batch = collate(load_manifest(test)[:_HEARD], None)
    with torch.inference_mode():
        encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)
        _, state = model.start(encoded, len(encoded))
        state = model.select(state, torch.arange(len(encoded)).repeat_interleave(_BEAM))
        for _ in range(_LABELS):
            _, state = model.step(state, torch.full((_BEAM * len(encoded), 1), model.eos_id))
    seconds = float(batch.sample_lengths_B.sum()) / SAMPLE_RATE
    return {"KV/s": f"{key_value_bytes(state) / 1024 / seconds:.1f}"}


def _described(result: SystemResult, details: Mapping[str, Mapping[str, str]]) -> SystemResult:
    name = next(name for how in METHODS if (name := result.name.removesuffix(f" {how}")) in details)
    return dataclasses.replace(result, details=details[name])
