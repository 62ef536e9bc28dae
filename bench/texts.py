"""What a model is asked of many texts that begin alike: each of them in full, or what they share once.

    python -m bench.texts [--repetitions 5] [--dry]

Made posteriors give n-best lists. Rescoring asks for every text of the lists, delayed fusion for what the hypotheses of
the beam have gained since the last time. On one side each text, or each gain, is a row of its own, which with a speech
LLM or an attention decoder has the audio before it; on the other they form a tree behind audio that is read once.
Before any time is taken both must give the same scores.
"""

from __future__ import annotations

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
from bench.posteriors import EOS, Posteriors, made_posteriors
from duolect.models import (
    DecoderConfig,
    Encoded,
    LanguageConfig,
    LanguageModel,
    LLMConfig,
    SpeechLLMConfig,
    build_model,
)
from duolect.models.decoders import build_decoder
from duolect.nn import ConformerConfig
from duolect.search import AutoregressiveScorer, Delayed, Hypothesis, SearchStatistics, Weighted, frame_synchronous
from duolect.search.label_scores import model_label_scores
from duolect.search.rescoring import sequence_scores

UTTERANCES, FRAMES, VOCABULARY, LABELS, BEAM, BOS = 16, 200, 500, 40, 32, 1
SIZES = ((160, 3, 4), (320, 6, 5))
"""Width, layers and heads of the models."""
MAX_TOKENS = 4096
COMMAND = "python -m bench.texts"

Task = Callable[[SearchStatistics | None], list[float]]
"""Gives the scores of all texts, and counts what it asks of the model."""


class OneByOne:
    """A language model that is not asked for trees."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name == "branch":
            raise AttributeError(name)
        return getattr(self._model, name)


@dataclass(frozen=True)
class Speaker:
    """A model with random weights, and what it hears."""

    name: str
    model: Any
    encoded: Encoded | None = None


def language_model(width: int, layers: int, heads: int) -> Speaker:
    """Qwen2's architecture."""
    torch.manual_seed(1)
    model = build_model(LanguageConfig(llm=_llm(width, layers, heads), bos_id=BOS, eos_id=EOS)).eval()
    return Speaker(_sized("LLM", model), model)


def speech_llm(width: int, layers: int, heads: int) -> Speaker:
    """The same behind audio, of which it has a position for every four frames, and which is noise."""
    torch.manual_seed(1)
    encoder = ConformerConfig(width=16, layers=1, heads=2)  # plays no part
    config = SpeechLLMConfig(llm=_llm(width, layers, heads), bos_id=BOS, eos_id=EOS, encoder=encoder)
    model: Any = build_model(config).eval()
    audio = torch.randn(UTTERANCES, FRAMES // 4, width), torch.full((UTTERANCES,), FRAMES // 4)
    return Speaker(_sized("speech LLM", model.llm), model, Encoded(*audio, audio=audio))


def attention_decoder(width: int, layers: int, heads: int) -> Speaker:
    """The decoder of arXiv 2603.15045 over as many frames as there are posteriors."""
    torch.manual_seed(1)
    decoder = build_decoder(
        DecoderConfig(width=width, layers=layers, heads=heads), width, VOCABULARY, bos_id=BOS, eos_id=EOS
    ).eval()
    states_BTD = torch.randn(UTTERANCES, FRAMES, width)
    encoded = Encoded(states_BTD, torch.full((UTTERANCES,), FRAMES))
    return Speaker(_sized("attention decoder", decoder), decoder, encoded)


def _llm(width: int, layers: int, heads: int) -> LLMConfig:
    return LLMConfig(vocabulary=VOCABULARY, width=width, layers=layers, heads=heads, max_positions=512)


def _sized(name: str, model: Any) -> str:
    return f"{name}, {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M"


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


def rescored(speaker: Speaker, made: Posteriors, statistics: SearchStatistics | None = None) -> list[float]:
    """The scores of all texts of the lists."""
    lists = [[h.labels for h in nbest] for nbest in search(made)]
    found = sequence_scores(
        speaker.model, speaker.encoded, lists, eos_id=EOS, max_tokens=MAX_TOKENS, statistics=statistics
    )
    return torch.cat(found).tolist()


def rescored_in_full(speaker: Speaker, made: Posteriors, statistics: SearchStatistics | None = None) -> list[float]:
    """The same, each text a row of its own, those of an utterance in one forward."""
    scores = []
    for b, nbest in enumerate(search(made)):
        texts, audio = [h.labels for h in nbest], speaker.encoded
        alone = None if audio is None else audio.select(torch.tensor([b]))
        scores += [float(each.sum()) for each in model_label_scores(speaker.model, alone, texts, eos_id=EOS)]
        if statistics is not None:
            statistics.add(len(texts), sum(map(len, texts)))
    return scores


def fused(model: Any, made: Posteriors, interval: int, statistics: SearchStatistics | None = None) -> list[float]:
    """The scores of all hypotheses of a search with a delayed language model."""
    scorer = AutoregressiveScorer(model, None, statistics or SearchStatistics())
    return [
        h.score for nbest in search(made, Delayed(lm=Weighted("lm", scorer, 0.3), interval=interval)) for h in nbest
    ]


def tasks(speaker: Speaker, made: Posteriors) -> dict[str, tuple[Task, Task]]:
    """What is asked, shared and in full."""
    asked = {f"rescoring of {BEAM}": (partial(rescored, speaker, made), partial(rescored_in_full, speaker, made))}
    if speaker.encoded is None:
        for interval in (20, 5):
            asked[f"delayed, every {interval} frames"] = (
                partial(fused, speaker.model, made, interval),
                partial(fused, OneByOne(speaker.model), made, interval),
            )
    return asked


def measure(speaker: Speaker, made: Posteriors, repetitions: int) -> list[dict[str, Any]]:
    """Times and labels of both sides of each task."""
    results = []
    for task, (shared, alone) in tasks(speaker, made).items():
        progress(f"{speaker.name}, {task} ...")
        counts = SearchStatistics(), SearchStatistics()
        ours, theirs = shared(counts[0]), alone(counts[1])
        worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        if worst > 1e-2:
            raise SystemExit(f"{speaker.name}, {task}: scores differ by {worst}.")
        times = interleave({"shared": timed(partial(shared, None)), "alone": timed(partial(alone, None))}, repetitions)
        results.append(
            {
                "model": speaker.name,
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
    head = ["model", "task", "shared [s]", "each in full [s]", "faster", "labels computed", "each in full, labels"]
    rows = [
        [
            each["model"],
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
    arguments = repetition_arguments(__doc__)
    made = made_posteriors(UTTERANCES, FRAMES, VOCABULARY, LABELS)
    with threads(1), torch.no_grad():
        speakers = [kind(*size) for kind in (language_model, speech_llm, attention_decoder) for size in SIZES]
        results = [each for speaker in speakers for each in measure(speaker, made, arguments.repetitions)]
        facts = machine()
    table = report(results)
    print(table)
    if arguments.dry:
        return
    settings = {"posteriors": made.facts(), "beam": BEAM, "sizes": SIZES, "max_tokens": MAX_TOKENS}
    write_results("texts", {"machine": facts, "settings": settings, "results": results})
    worst = max(each["largest_score_difference"] for each in results)
    body = f"""{UTTERANCES} utterances of {FRAMES} frames, {VOCABULARY} labels, {LABELS} of them in an utterance; made
posteriors, beam {BEAM}. Random weights; LLMs are of Qwen2's architecture. A speech LLM has {FRAMES // 4} positions of
audio, an attention decoder {FRAMES}: shared they are read once, in full once for each text. Time of the whole search,
CTC included, from posteriors and encoded audio in memory: medians of {arguments.repetitions} turns in which the sides
alternate; ratios with their least and largest. *Labels* are those that go through the model, padding not counted.
Scores differ by at most {worst:.1e} nats.

{table}"""
    write_section("texts", "What texts have in common", body, command=COMMAND, facts=facts)


if __name__ == "__main__":
    main()
