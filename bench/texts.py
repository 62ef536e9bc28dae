"""What a language model is asked of many texts that begin alike: each of them in full, or what they share once.

    python -m bench.texts [--repetitions 5] [--dry]

Made posteriors give n-best lists. Rescoring asks for every text of the lists, delayed fusion for what the hypotheses of
the beam have gained since the last time. On one side each text, or each gain, goes through the model by itself, packed
with others of like length; on the other they form a tree. Before any time is taken both must give the same scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from bench.common import (
    interleave,
    machine,
    markdown_table,
    progress,
    ratio_text,
    threads,
    timed,
    write_results,
    write_section,
)
from bench.posteriors import EOS, Posteriors, made_posteriors
from duolect.models import LanguageConfig, LanguageModel, LLMConfig
from duolect.search import AutoregressiveScorer, Delayed, Hypothesis, SearchStatistics, Weighted, frame_synchronous
from duolect.search.rescoring import sequence_scores

UTTERANCES, FRAMES, VOCABULARY, LABELS, BEAM, BOS = 16, 200, 500, 40, 32, 1
SIZES = ((160, 3, 4), (320, 6, 5))
"""Width, layers and heads of the LLMs."""
MAX_TOKENS = 4096
COMMAND = "python -m bench.texts"


class OneByOne:
    """A language model that is not asked for trees."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name == "branch":
            raise AttributeError(name)
        return getattr(self._model, name)


class Unheard:
    """What stands for the audio of a model that hears none, so that its sequences are scored each in full."""

    def __init__(self, utterances: int) -> None:
        self.lengths_B = torch.ones(utterances, dtype=torch.long)

    def select(self, index_B: torch.Tensor) -> Unheard:
        """The utterances `index_B`."""
        return Unheard(len(index_B))


def language_model(width: int, layers: int, heads: int) -> LanguageModel:
    """Qwen2 architecture with random weights."""
    torch.manual_seed(1)
    llm = LLMConfig(vocabulary=VOCABULARY, width=width, layers=layers, heads=heads, max_positions=512)
    return LanguageModel(LanguageConfig(llm=llm, bos_id=BOS, eos_id=EOS)).eval()


def search(made: Posteriors, delayed: Delayed | None = None) -> list[list[Hypothesis]]:
    """N-best lists of CTC, with a delayed language model or without one."""
    return frame_synchronous(
        made.log_probs_BTW,
        made.lengths_B,
        beam=BEAM,
        nbest=BEAM,
        eos_id=EOS,
        labels_per_frame=50,
        delayed=delayed,
        forbidden_ids=[BOS],
    )


def rescored(model: Any, made: Posteriors, whole: bool, statistics: SearchStatistics | None = None) -> list[float]:
    """The scores of all texts of the lists."""
    lists = [[h.labels for h in nbest] for nbest in search(made)]
    encoded = Unheard(len(lists)) if whole else None
    found = sequence_scores(
        model, encoded, lists, eos_id=EOS, max_tokens=MAX_TOKENS, statistics=statistics or SearchStatistics()
    )
    return torch.cat(found).tolist()


def fused(model: Any, made: Posteriors, interval: int, statistics: SearchStatistics | None = None) -> list[float]:
    """The scores of all hypotheses of a search with a delayed language model."""
    scorer = AutoregressiveScorer(model, None, statistics or SearchStatistics())
    return [
        h.score for nbest in search(made, Delayed(lm=Weighted("lm", scorer, 0.3), interval=interval)) for h in nbest
    ]


def measure(model: LanguageModel, made: Posteriors, repetitions: int) -> list[dict[str, Any]]:
    """Times and labels of both sides of each task."""
    size = f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M"
    tasks: dict[str, tuple[Callable[[Any], list[float]], Callable[[Any], list[float]]]] = {
        f"rescoring of {BEAM}": (
            lambda count: rescored(model, made, False, count),
            lambda count: rescored(model, made, True, count),
        ),
        **{
            f"delayed, every {interval} frames": (
                lambda count, interval=interval: fused(model, made, interval, count),
                lambda count, interval=interval: fused(OneByOne(model), made, interval, count),
            )
            for interval in (20, 5)
        },
    }
    results = []
    for task, (shared, alone) in tasks.items():
        progress(f"{size}, {task} ...")
        counts = SearchStatistics(), SearchStatistics()
        ours, theirs = shared(counts[0]), alone(counts[1])
        worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        if worst > 1e-2:
            raise SystemExit(f"{size}, {task}: scores differ by {worst}.")
        times = interleave({"shared": timed(partial(shared, None)), "alone": timed(partial(alone, None))}, repetitions)
        results.append(
            {
                "parameters": size,
                "task": task,
                "times": {name: time.as_json() for name, time in times.items()},
                "ratio": times["shared"].faster_than(times["alone"]),
                "labels": {"shared": counts[0].labels, "alone": counts[1].labels},
                "largest_score_difference": worst,
            }
        )
    return results


def report(results: list[dict[str, Any]]) -> str:
    """A table, one line a task and size."""
    head = ["LLM", "task", "shared [s]", "each in full [s]", "faster", "labels computed", "each in full, labels"]
    rows = [
        [
            each["parameters"],
            each["task"],
            f"{each['times']['shared']['median_s']:.2f}",
            f"{each['times']['alone']['median_s']:.2f}",
            ratio_text(each["ratio"]),
            f"{each['labels']['shared']:,}",
            f"{each['labels']['alone']:,}",
        ]
        for each in results
    ]
    return markdown_table(head, rows)


def main() -> None:
    """Measure, print the table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print the table, keep nothing")
    arguments = parser.parse_args()
    made = made_posteriors(UTTERANCES, FRAMES, VOCABULARY, LABELS)
    with threads(1), torch.no_grad():
        results = [each for size in SIZES for each in measure(language_model(*size), made, arguments.repetitions)]
        facts = machine()
    table = report(results)
    print(table)
    if arguments.dry:
        return
    settings = {"posteriors": made.facts(), "beam": BEAM, "llms": SIZES, "max_tokens": MAX_TOKENS}
    write_results("texts", {"machine": facts, "settings": settings, "results": results})
    worst = max(each["largest_score_difference"] for each in results)
    body = f"""{UTTERANCES} utterances of {FRAMES} frames, {VOCABULARY} labels, {LABELS} of them in an utterance; made
posteriors, beam {BEAM}. Qwen2 architecture with random weights. Time of the whole search, CTC included, from posteriors
in memory: medians of {arguments.repetitions} turns in which the sides alternate; ratios with their least and largest.
*Labels* are those that go through the LLM, padding not counted. Scores differ by at most {worst:.1e} nats.

{table}"""
    write_section("texts", "What texts have in common", body, command=COMMAND, facts=facts)


if __name__ == "__main__":
    main()
