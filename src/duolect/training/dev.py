"""Dev evaluation during training: losses, CTC greedy error rates, perplexities; the same values on every process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from duolect.data import SpeechBatch, Target, Utterance, spelled
from duolect.errors import DuolectError, ManifestError, TrainingError, UnitsError
from duolect.evaluation import word_errors
from duolect.models import LanguageModel, Model, TextLogProb, text_log_prob
from duolect.models.targets import ctc_labels
from duolect.search import greedy
from duolect.text import SoundUnits, Units
from duolect.training.distributed import Ranks

_TEXT_VALUES = ("loss", "perplexity_token", "perplexity_word")
_CTC_VALUES = ("ctc_ler", "ctc_wer")
_NOTHING = SpeechBatch(
    ids=(),
    utterances=(),
    samples_BN=torch.zeros(0, 0),
    sample_lengths_B=torch.zeros(0, dtype=torch.long),
    labels_BN=torch.zeros(0, 0, dtype=torch.long),
    label_lengths_B=torch.zeros(0, dtype=torch.long),
    seeds_B=torch.zeros(0, dtype=torch.long),
)


def dev_names(model: Model) -> list[str]:
    """The names of what the evaluations below will give for `model`, which is not run for it."""
    if isinstance(model, LanguageModel):
        return list(_TEXT_VALUES)
    return ["loss", *model.loss_counts(_NOTHING), *(_CTC_VALUES if model.config.ctc_layers else ())]


def require_dev_value(name: str, names: Iterable[str]) -> None:
    """Raise TrainingError unless `name`, a loop's best_by, is among the `names` that a dev evaluation gives."""
    names = sorted(names)
    if name not in names:
        raise TrainingError(f"loop: best_by is {name!r}, but the dev evaluation gives {', '.join(names)}.")


def require_spelled(
    dev: Iterable[Utterance], units: Units, ctc_units: Units | None, target: Target, tags: Sequence[str], where: str
) -> None:
    """Raise TrainingError, before any step is taken, where no utterance of `dev` can be spelled."""
    why: DuolectError | None = None
    for utterance in dev:
        try:
            spelled(utterance, units, ctc_units, target, tags)
        except (UnitsError, ManifestError) as error:
            why = why or error
        else:
            return
    raise TrainingError(f"{where}: no utterance can be used to measure on; of the first: {why}")


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Levenshtein distance of two label sequences."""
    from kaldialign import edit_distance as distance

    return int(distance(list(a), list(b))["total"])


def speech_evaluation(
    batches: Iterable[SpeechBatch], ctc_units: Units, ranks: Ranks
) -> Callable[[nn.Module], dict[str, float]]:
    """An evaluation of a model with a speech encoder on the dev batches of this process, summed over all processes.

    Gives each loss term per label, their weighted sum "loss", and for models with CTC heads "ctc_ler" and "ctc_wer":
    label and word errors of the last head's best path, as fractions.
    """

    def evaluate(model: nn.Module) -> dict[str, float]:
        sums: dict[str, float] = {}
        device = next(model.parameters()).device
        for batch in batches:
            _add(sums, _batch_sums(model, batch.to(device), ctc_units))
        return _means(ranks.sum_values(sums))

    return evaluate


def _batch_sums(model: Any, batch: SpeechBatch, units: Units) -> dict[str, float]:
    sums: dict[str, float] = {"utterances": len(batch.ids)}
    for name, term in model(batch).items():
        sums |= {f"total/{name}": float(term.total), f"count/{name}": term.count, f"weight/{name}": term.weight}
        sums[f"met/{name}"] = 1.0
    if not model.config.ctc_layers:
        return sums
    encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)
    hypotheses = greedy(
        *model.ctc_log_probs(encoded),
        eos_id=units.eos_id,
        forbidden_ids=units.special_ids,
        ids=batch.ids,
    )
    found = [list(best[0].labels) for best in hypotheses]
    labels_BN, lengths_B = ctc_labels(batch)
    wanted = [row[:end] for row, end in zip(labels_BN.tolist(), lengths_B.tolist(), strict=True)]
    # The labels of a sound do not say which of the words that sound alike was meant.
    sound = isinstance(units, SoundUnits)
    texts = [u.text for u in batch.utterances] if sound else [units.decode(labels) for labels in wanted]
    errors = word_errors(texts, [units.decode(labels) for labels in found])
    sums |= {
        "label_errors": sum(edit_distance(a, b) for a, b in zip(wanted, found, strict=True)),
        "labels": sum(map(len, wanted)),
        "word_errors": errors.substitutions + errors.deletions + errors.insertions,
        "words": errors.words,
    }
    return sums


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    if not sums.get("utterances"):
        raise TrainingError("The dev set has no utterance that can be read and spelt.")
    names = sorted(key[6:] for key in sums if key.startswith("total/"))
    terms = {name: sums[f"total/{name}"] / max(sums[f"count/{name}"], 1.0) for name in names}
    weights = {name: sums[f"weight/{name}"] / sums[f"met/{name}"] for name in names}
    values = {"loss": sum(weights[name] * terms[name] for name in names), **terms}
    if "labels" in sums:
        rates = sums["label_errors"] / max(sums["labels"], 1), sums["word_errors"] / max(sums["words"], 1)
        values |= zip(_CTC_VALUES, rates, strict=True)
    return values


def _add(sums: dict[str, float], more: Mapping[str, float]) -> None:
    for key, value in more.items():
        sums[key] = sums.get(key, 0.0) + value


def text_evaluation(
    sentences: Sequence[str], units: Units, ranks: Ranks, batch_tokens: int
) -> Callable[[nn.Module], dict[str, float]]:
    """An evaluation of a language model: "loss" (nats per label, EOS counted) and perplexity per token and per word.

    Each process takes its share of the sentences.
    """
    share = sentences[ranks.rank :: ranks.size]

    def evaluate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, LanguageModel)
        part = text_log_prob(model, share, units, batch_tokens=batch_tokens)
        fields = ("log_prob", "tokens", "words", "sentences")
        sums = ranks.sum_values({name: float(getattr(part, name)) for name in fields})
        whole = TextLogProb(sums["log_prob"], *(int(sums[name]) for name in fields[1:]))
        values = (-whole.log_prob / max(whole.tokens, 1), whole.per_token, whole.per_word)
        return dict(zip(_TEXT_VALUES, values, strict=True))

    return evaluate
