"""Speech-LLM beam search against `generate`: the same weights, inputs, beam and labels, on one machine in one run.

    python -m bench.speech_llm [--device cpu] [--batches 8 1] [--repetitions 3]

A Qwen2-shaped LLM with random weights reads a prefix of 167 positions per utterance and must say 40 labels: with random
weights nothing ends by itself, so EOS is impossible before the 41st label and certain there, on both sides. Before any
time is taken both sides must find the same hypotheses. Keys and values are counted at their largest.

B utterances · T prefix positions · E LLM width · R rows (hypotheses) · N labels · V labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

from bench.common import (
    Times,
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
from duolect.models import LLMConfig, key_value_bytes
from duolect.models.causal import CausalLLM, CausalState
from duolect.models.llm import build_llm
from duolect.search import AutoregressiveScorer, Weighted, label_synchronous

POSITIONS, LABELS, BEAM, EOS = 167, 40, 8, 0
WIDTH, LAYERS, HEADS, KV_HEADS, VOCABULARY = 256, 8, 4, 2, 4096
COMMAND = "python -m bench.speech_llm"


@dataclass(frozen=True)
class Prefixes:
    """What stands for the embedded audio and prompt of a batch."""

    embedded_BTE: Tensor
    lengths_B: Tensor

    def __len__(self) -> int:
        return len(self.lengths_B)


@dataclass
class PrefixedLLM:
    """An LLM behind embedded prefixes that ends after `labels` labels, for `AutoregressiveScorer`.

    Every state's bytes of keys and values go to `held`, if that is not None.
    """

    llm: CausalLLM
    labels: int
    held: list[int] | None = field(default=None)

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.llm.vocabulary

    def start(self, encoded: Prefixes, rows: int) -> tuple[Tensor, tuple[CausalState, int]]:
        """The prefixes consumed."""
        last_BE, state = self.llm.prefill(encoded.embedded_BTE, encoded.lengths_B)
        return self._endless(self.llm.log_probs(last_BE), 0), (state, 0)

    def step(self, state: Any, labels_RN: Tensor, counts_R: Tensor | None = None) -> tuple[Tensor, Any]:
        """One label for each row."""
        log_probs_RNV, new = self.llm.step(state[0], labels_RN, counts_R)
        if self.held is not None:
            self.held.append(key_value_bytes(new))
        said = state[1] + 1
        return self._endless(log_probs_RNV, said), (new, said)

    def select(self, state: Any, rows_R: Tensor) -> Any:
        """The rows `rows_R`."""
        return self.llm.select(state[0], rows_R), state[1]

    def _endless(self, log_probs: Tensor, said: int) -> Tensor:
        if said < self.labels:
            log_probs[..., EOS] = -torch.inf
        return log_probs


class EndsAfter(LogitsProcessor):
    """EOS after exactly `labels` labels; `generate` calls it with log-probabilities when it searches with beams."""

    def __init__(self, labels: int) -> None:
        self.labels = labels

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores with what is forbidden at −inf."""
        if input_ids.shape[1] < self.labels:
            scores[:, EOS] = -torch.inf
            return scores
        only_eos = torch.full_like(scores, -torch.inf)
        only_eos[:, EOS] = scores[:, EOS]
        return only_eos


def search(llm: CausalLLM, prefixes: Prefixes, labels: int, held: list[int] | None = None) -> list[tuple]:
    """(labels, score) of each utterance's best hypothesis."""
    scorer = AutoregressiveScorer(PrefixedLLM(llm, labels, held))
    found = label_synchronous(
        [Weighted("speech_llm", scorer)],
        prefixes,
        beam=BEAM,
        nbest=1,
        limits_B=[labels] * len(prefixes),
        eos_id=EOS,
    )
    return [(nbest[0].labels, nbest[0].score) for nbest in found]


@torch.no_grad()
def generate(model: Any, prefixes: Prefixes, labels: int, held: list[int] | None = None) -> list[tuple]:
    """The same by `transformers`."""
    out = model.generate(
        inputs_embeds=prefixes.embedded_BTE,
        attention_mask=torch.ones(prefixes.embedded_BTE.shape[:2], dtype=torch.long, device=model.device),
        num_beams=BEAM,
        do_sample=False,
        max_new_tokens=labels + 1,
        length_penalty=0.0,
        early_stopping="never",
        eos_token_id=EOS,
        pad_token_id=EOS,
        logits_processor=LogitsProcessorList([EndsAfter(labels)]),
        return_dict_in_generate=True,
        output_scores=True,
    )
    if held is not None:
        held.append(sum(x.nbytes for layer in out.past_key_values.layers for x in (layer.keys, layer.values)))
    return [
        (tuple(said[:labels]), score)
        for said, score in zip(out.sequences.tolist(), out.sequences_scores.tolist(), strict=True)
    ]


def models(device: torch.device, dtype: torch.dtype) -> tuple[CausalLLM, PreTrainedModel]:
    """Ours, and the same weights as `transformers` builds them."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    shape: Any = AutoConfig.for_model(
        "qwen2",
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    llm: Any = build_llm(LLMConfig(vocabulary=VOCABULARY), shape)
    with torch.no_grad():  # labels that are felt beside the audio, and distributions that are neither flat nor tied
        llm.get_input_embeddings().weight.mul_(8)
        llm.get_output_embeddings().weight.mul_(8)
    peer = AutoModelForCausalLM.from_config(type(shape).from_dict(shape.to_dict()), attn_implementation="sdpa")
    peer.load_state_dict(llm.state_dict())
    return CausalLLM(llm.to(device, dtype), VOCABULARY).eval(), peer.to(device, dtype).eval()


def check_same(ours: list[tuple], theirs: list[tuple], tolerance: float) -> float:
    """The largest difference of scores; SystemExit where labels differ and scores are not within `tolerance`."""
    worst = 0.0
    for number, ((labels, score), (peer_labels, peer_score)) in enumerate(zip(ours, theirs, strict=True)):
        difference = abs(score - peer_score)
        worst = max(worst, difference)
        if difference > tolerance:
            raise SystemExit(
                f"utterance {number}: {labels} ({score:.4f}) here, {peer_labels} ({peer_score:.4f}) by generate."
            )
    return worst


def measure(batch: int, repetitions: int, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Times, hypotheses and memory of one batch size."""
    llm, peer = models(device, dtype)
    generator = torch.Generator().manual_seed(batch)
    embedded_BTE = 0.16 * torch.randn(batch, POSITIONS, WIDTH, generator=generator)
    prefixes = Prefixes(embedded_BTE.to(device, dtype), torch.full((batch,), POSITIONS, device=device))
    held: dict[str, list[int]] = {"ours": [], "generate": []}
    ours = search(llm, prefixes, LABELS, held["ours"])
    theirs = generate(peer, prefixes, LABELS, held["generate"])
    worst = check_same(ours, theirs, 1e-3 if dtype == torch.float32 else 1.0)
    same = sum(mine[0] == other[0] for mine, other in zip(ours, theirs, strict=True))
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: search(llm, prefixes, LABELS),
        "generate": lambda: generate(peer, prefixes, LABELS),
        "ours, prefix": lambda: search(llm, prefixes, 0),
        "generate, prefix": lambda: generate(peer, prefixes, 0),
    }
    times = interleave({name: timed(side, device) for name, side in sides.items()}, repetitions)
    labels = {side: _after(times[side], times[f"{side}, prefix"]) for side in ("ours", "generate")}
    memory = {side: max(bytes_) for side, bytes_ in held.items()}
    return {
        "batch": batch,
        "parameters": sum(parameter.numel() for parameter in llm.parameters()),
        "same_hypotheses": same,
        "largest_score_difference": worst,
        "times": {name: time.as_json() for name, time in times.items()},
        "ratio": times["ours"].faster_than(times["generate"]),
        "ratio_after_prefix": labels["ours"].faster_than(labels["generate"]),
        "key_value_bytes": memory,
        "key_value_ratio": memory["ours"] / memory["generate"],
    }


def _after(whole: Times, prefix: Times) -> Times:
    return Times(tuple(a - b for a, b in zip(whole.seconds, prefix.seconds, strict=True)))


def report(results: list[dict[str, Any]]) -> str:
    """A table, one line a batch size."""
    head = [
        "batch",
        "ours [s]",
        "generate [s]",
        "faster",
        "without the prefix",
        "kv ours [MB]",
        "generate [MB]",
        "share",
    ]
    rows = [
        [
            str(each["batch"]),
            f"{each['times']['ours']['median_s']:.2f}",
            f"{each['times']['generate']['median_s']:.2f}",
            ratio_text(each["ratio"]),
            ratio_text(each["ratio_after_prefix"]),
            f"{each['key_value_bytes']['ours'] / 1e6:.1f}",
            f"{each['key_value_bytes']['generate'] / 1e6:.1f}",
            f"{each['key_value_ratio']:.2f}",
        ]
        for each in results
    ]
    return markdown_table(head, rows)


def main() -> None:
    """Measure, print the table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 1])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="print the table, keep nothing")
    arguments = parser.parse_args()
    results = []
    with threads(1):
        for batch in arguments.batches:
            progress(f"speech LLM, batch {batch} ...")
            results.append(
                measure(batch, arguments.repetitions, torch.device(arguments.device), getattr(torch, arguments.dtype))
            )
        facts = machine(arguments.device) | {"transformers": transformers.__version__}
    table = report(results)
    print(table)
    if arguments.dry:
        return
    write_results("speech_llm", {"machine": facts, "settings": _settings(arguments), "results": results})
    size = f"{results[0]['parameters'] / 1e6:.1f} M parameters ({_shape()})"
    body = f"""Qwen2 architecture with random weights, {size}, {arguments.dtype}. A prefix of {POSITIONS} positions,
{LABELS} labels, beam {BEAM}. Both sides find the same hypotheses. "Without the prefix" leaves out the time of consuming
it, which `generate` does once for each hypothesis. Keys and values at their largest, room for further labels included.

{table}"""
    write_section("speech_llm", "Speech-LLM beam search", body, command=COMMAND, facts=facts)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"positions": POSITIONS, "labels": LABELS, "beam": BEAM, "dtype": arguments.dtype, "llm": _shape()}


def _shape() -> str:
    return f"width {WIDTH}, {LAYERS} layers, {HEADS} heads, {KV_HEADS} for keys and values, {VOCABULARY} labels"


if __name__ == "__main__":
    main()
