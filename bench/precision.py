"""What bfloat16 brings on a CPU: weights rounded to it where texts are recognised, mixed precision where models learn.

    python -m bench.precision [--repetitions 5] [--dry]

An encoder, and language models of three sizes, once in float32 and once in bfloat16, in turns. How much faster that is
depends on the processor: those without instructions for it (AVX512-BF16, AMX) compute it in float32, and lose time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from bench.common import (
    interleave,
    machine,
    markdown_table,
    progress,
    ratio_text,
    repetition_arguments,
    threads,
    timed,
    write_results,
    write_section,
)
from duolect.data.loader import SpeechBatch
from duolect.models import AcousticConfig, DecoderConfig, LanguageConfig, LLMConfig, build_model
from duolect.models.precision import round_to_bfloat16
from duolect.recipes.small import ENCODER
from duolect.search.rescoring import sequence_scores

EOS, BOS, VOCABULARY = 0, 1, 500
UTTERANCES, SECONDS, RATE = 16, 7, 16_000
ROWS, LABELS, TEXTS = 16, 30, 32
LLMS: dict[str, dict[str, Any]] = {
    "1.3 M": {"width": 160, "layers": 3, "heads": 4},
    "10 M": {"width": 320, "layers": 6, "heads": 5},
    "Qwen2-0.5B's layers": {"width": 896, "layers": 24, "heads": 14, "kv_heads": 2, "intermediate": 4864},
}
COMMAND = "python -m bench.precision"


@dataclass(frozen=True)
class Task:
    """The same work in both precisions."""

    model: str
    what: str
    stored: Callable[[], object]
    rounded: Callable[[], object]


def speech_batch(utterances: int) -> SpeechBatch:
    """Noise, and labels drawn at random."""
    generator = torch.Generator().manual_seed(1)
    return SpeechBatch(
        ids=tuple(map(str, range(utterances))),
        utterances=(),
        samples_BN=0.1 * torch.randn(utterances, SECONDS * RATE, generator=generator),
        sample_lengths_B=torch.full((utterances,), SECONDS * RATE),
        labels_BN=torch.randint(2, VOCABULARY, (utterances, LABELS), generator=generator),
        label_lengths_B=torch.full((utterances,), LABELS),
        seeds_B=torch.arange(utterances),
    )


def speech_tasks(utterances: int = UTTERANCES) -> list[Task]:
    """Encoding, and a step of training, with the acoustic model of the small recipes."""
    torch.manual_seed(1)
    decoder = DecoderConfig(width=ENCODER.width, layers=4, heads=4, auxiliary_layer=2)
    config = AcousticConfig(
        vocabulary=VOCABULARY, bos_id=BOS, eos_id=EOS, encoder=ENCODER, ctc_layers=(4, 8), decoder=decoder
    )
    model: Any = build_model(config).eval()
    rounded, learner, batch = _rounded(model), copy.deepcopy(model).train(), speech_batch(utterances)

    def encode(model: Any) -> None:
        with torch.inference_mode():
            model.ctc_log_probs(model.encode(batch.samples_BN, batch.sample_lengths_B))

    def train(mixed: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms = learner(batch)
        sum(term.total for term in terms.values()).backward()
        learner.zero_grad()

    size = f"acoustic model, {_millions(model)}"
    return [
        Task(size, f"encoding {utterances} x {SECONDS} s", partial(encode, model), partial(encode, rounded)),
        Task(size, f"training on {utterances} x {SECONDS} s", partial(train, False), partial(train, True)),
    ]


def text_tasks(size: str) -> list[Task]:
    """Label after label for the rows of a beam, and all texts of n-best lists at once."""
    torch.manual_seed(1)
    llm = LLMConfig(vocabulary=VOCABULARY, max_positions=512, **LLMS[size])
    model: Any = build_model(LanguageConfig(llm=llm, bos_id=BOS, eos_id=EOS)).eval()
    generator = torch.Generator().manual_seed(2)
    labels_RN = torch.randint(2, VOCABULARY, (max(ROWS, TEXTS), LABELS), generator=generator)
    lists = [[tuple(row) for row in labels_RN[:TEXTS].tolist()]]

    def step(model: Any) -> None:
        with torch.inference_mode():
            _, state = model.start(None, ROWS)
            for n in range(LABELS):
                _, state = model.step(state, labels_RN[:ROWS, n : n + 1])

    def rescore(model: Any) -> None:
        with torch.inference_mode():
            sequence_scores(model, None, lists, eos_id=EOS)

    rounded, name = _rounded(model), f"LLM, {size}"
    return [
        Task(name, f"{ROWS} hypotheses, {LABELS} labels one by one", partial(step, model), partial(step, rounded)),
        Task(name, f"{TEXTS} texts of {LABELS} labels at once", partial(rescore, model), partial(rescore, rounded)),
    ]


def _rounded(model: Any) -> Any:
    other = copy.deepcopy(model)
    round_to_bfloat16(other)
    return other


def _millions(model: Any) -> str:
    return f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.0f} M"


def measure(task: Task, repetitions: int) -> dict[str, Any]:
    """Times of both sides."""
    progress(f"{task.model}, {task.what} ...")
    times = interleave({"stored": timed(task.stored), "rounded": timed(task.rounded)}, repetitions)
    return {
        "model": task.model,
        "task": task.what,
        "times": {name: time.as_json() for name, time in times.items()},
        "ratio": times["rounded"].faster_than(times["stored"]),
    }


def report(results: list[dict[str, Any]]) -> str:
    """A table, one line a task."""
    head = ["model", "task", "float32 [s]", "bfloat16 [s]", "faster"]
    rows = [
        [
            each["model"],
            each["task"],
            *(f"{each['times'][side]['median_s']:.2f}" for side in ("stored", "rounded")),
            ratio_text(each["ratio"]),
        ]
        for each in results
    ]
    return markdown_table(head, rows)


def main() -> None:
    """Measure, print the table, keep it."""
    arguments = repetition_arguments(__doc__)
    with threads(1):
        results = [measure(task, arguments.repetitions) for task in speech_tasks()]
        for size in LLMS:
            results += [measure(task, arguments.repetitions) for task in text_tasks(size)]
        facts = machine()
    table = report(results)
    print(table)
    if arguments.dry:
        return
    write_results("precision", {"machine": facts, "results": results})
    body = f"""Random weights; the acoustic model is that of the recipe `small-acoustic`, LLMs are of Qwen2's
architecture with {VOCABULARY} labels. For recognition the weights are rounded (`--precision bf16`), in training it is
mixed precision (`--loop.precision bf16`; forward and backward, without the optimiser). Medians of
{arguments.repetitions} turns in which the sides alternate; ratios with their least and largest. The processor has
instructions for bfloat16; on one without them expect no gain, or a loss.

{table}"""
    write_section("precision", "In bfloat16", body, command=COMMAND, facts=facts)


if __name__ == "__main__":
    main()
