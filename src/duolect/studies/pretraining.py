"""Does it matter that the LLM of a speech LLM knows its language beforehand?

Question (arXiv 2603.15045): a pre-trained LLM against the same architecture with random weights, all else equal. The
speech is of the LLM's own domain: sentences sampled from it, as it writes them, spoken by the synthetic voices. So the
study says how much can be gained at most, where text beyond the transcripts cannot come from anywhere but the LLM.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console

from duolect.configs import to_json
from duolect.data import load_manifest
from duolect.data.synthetic import SpeakingConfig, Split, SpokenCorpus, speak_sentences
from duolect.errors import ConfigError, DuolectError
from duolect.evaluation import compare_scores
from duolect.models import LanguageConfig, LanguageModel, LLMConfig, TextLogProb, label_log_probs
from duolect.recipes.demo import demo_acoustic, demo_speech_llm
from duolect.recipes.settings import SpeechFinetuning
from duolect.reports import Comparison, SystemResult, difference_sentence, read_curve
from duolect.reports.progress import StageBar
from duolect.storage import read_json, write_json
from duolect.studies.comparison import Line, publish, results, trained_columns
from duolect.studies.sampled_text import SentenceBounds, sampled_sentences
from duolect.systems import Component, load, pretrained_language
from duolect.text import Units, words
from duolect.training import train_recipe

METHODS = {"alone": "speech-llm", "with CTC": "speech-llm+ctc"}
STARTS = {"random": True, "pre-trained": False}
"""What an LLM starts from → whether its weights are random."""
_VERSION = 1  # changes when the same settings give other text than before


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """How much text is sampled and spoken, and how long is trained.

    `train`, `dev`, `test`: sentences of each part. `finetune`: what of the LLM is trained, a pair of lines for each (a
    frozen LLM ends a sentence only where its pre-training taught it to); `seeds`: of the speech LLMs, which are trained
    once with each; `seed`: of everything before. The defaults fit a quarter of an hour on two CPU cores.
    """

    train: int = 4000
    dev: int = 120
    test: int = 300
    bounds: SentenceBounds = field(default_factory=SentenceBounds)
    speaking: SpeakingConfig = field(default_factory=SpeakingConfig)
    acoustic_steps: int = 900
    steps: int = 900
    finetune: tuple[SpeechFinetuning, ...] = ("full",)
    seed: int = 1
    seeds: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name in ("train", "dev", "test", "acoustic_steps", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"study pretraining: {name} must be at least 1, not {getattr(self, name)}.")
        for name in ("finetune", "seeds"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ConfigError(f"study pretraining: {name} must name one or several, each once, not {list(given)}.")
        for how in self.finetune:
            if how not in get_args(SpeechFinetuning):
                known = ", ".join(get_args(SpeechFinetuning))
                raise ConfigError(f"study pretraining: finetune must be of {known}, not {how!r}.")


@dataclass(frozen=True)
class _Start:
    """A speech LLM of the study."""

    finetune: SpeechFinetuning
    seed: int
    start: str

    def name(self, config: PretrainingConfig) -> str:
        """As the table has it: what all lines have in common is left out."""
        parts = [self.start, *([self.finetune] if len(config.finetune) > 1 else [])]
        return ", ".join([*parts, *([f"seed {self.seed}"] if len(config.seeds) > 1 else [])])

    @property
    def folder(self) -> str:
        return f"{self.start}-{self.finetune}-seed{self.seed}"


def run_pretraining_study(
    llm: str | Path,
    folder: str | Path = "runs/pretraining",
    *,
    config: PretrainingConfig | None = None,
    console: Console | None = None,
    command: str = "duolect study pretraining",
) -> Comparison:
    """Sample, speak, train, recognise and score; what stands in `folder` from an earlier call is reused.

    `llm`: folder or hub name of a causal LLM. Writes text.json (the sentences), corpus/, the runs, the hypotheses,
    report.md and report.html. Raises a DuolectError where the LLM cannot be loaded or says too little, and where
    `folder` holds a study of another LLM or other text.
    """
    folder, config, console = Path(folder), config or PretrainingConfig(), console or Console(stderr=True)
    console.rule("text and speech", align="left")
    language = pretrained_language(llm)
    corpus = _corpus(folder, language, config, console)
    perplexities = _perplexities(str(llm), language, corpus.test, config.seed)

    console.rule("training: acoustic", align="left")
    acoustic = folder / "acoustic"
    heard = demo_acoustic(train=corpus.train, dev=corpus.dev, steps=config.acoustic_steps, seed=config.seed)
    train_recipe(heard, acoustic, device="cpu", console=console)
    asked = [_Start(*each) for each in product(config.finetune, config.seeds, STARTS)]
    for each in asked:
        console.rule(f"training: {each.name(config)}", align="left")
        recipe = demo_speech_llm(
            train=corpus.train,
            dev=corpus.dev,
            acoustic=acoustic,
            llm=str(llm),
            random_llm=STARTS[each.start],
            finetune=each.finetune,
            as_written=True,
            steps=config.steps,
            seed=each.seed,
        )
        train_recipe(recipe, folder / each.folder, device="cpu", console=console)

    systems = {each: load(folder / each.folder) for each in asked}
    named = {(each, how): f"{each.name(config)}, {how}" for how in METHODS for each in asked}
    lines = [Line(name=name, system=systems[e].with_method(METHODS[how])) for (e, how), name in named.items()]
    lines.append(Line(name="acoustic model", system=load(acoustic).with_method("attention+ctc")))
    details = {name: trained_columns(folder / each.folder) for (each, _), name in named.items()}
    details["acoustic model"] = trained_columns(acoustic)
    today = date.today().isoformat()
    found = [
        dataclasses.replace(result, details=details[result.name])
        for result in results(lines, corpus.test, folder / "hypotheses", console, command=command, date=today)
    ]
    comparison = Comparison(
        title="A pre-trained LLM against one with random weights",
        systems=found,
        baseline=found[0].name,
        summary=_summary({result.name: result for result in found}, named, config),
        curves=[read_curve(folder / each.folder / "log.jsonl", each.name(config)) for each in asked],
        notes=[perplexities, _parts(corpus), _COLUMNS],
        provenance={
            "command": command,
            "date": today,
            "threads": torch.get_num_threads(),
            "llm": str(llm),
            "llm fingerprint": language.fingerprint(),
            **{name: to_json(getattr(config, name)) for name in ("seed", "seeds", "acoustic_steps", "steps")},
        },
    )
    publish(comparison, folder, console)
    return comparison


def _corpus(folder: Path, language: Component, config: PretrainingConfig, console: Console) -> SpokenCorpus:
    """The sampled sentences, spoken. All that is trained hangs on them, so a folder with others is refused."""
    made_by = {
        "version": _VERSION,
        "llm": language.fingerprint(),
        **{name: to_json(getattr(config, name)) for name in ("train", "dev", "test", "bounds", "speaking", "seed")},
    }
    path = folder / "text.json"
    if path.exists():
        sentences = _stored(path, made_by)
    else:
        with StageBar(console, "sampling sentences") as advance:
            said = sampled_sentences(
                language.model,
                language.units,
                config.train + config.dev + config.test,
                seed=config.seed,
                bounds=config.bounds,
                progress=advance,
            )
        # Test first: with more training sentences it stays the same. Parts follow each other, so that (but for the
        # texts at the seams) no text is cut up among them.
        test, dev = said[: config.test], said[config.test : config.test + config.dev]
        sentences: dict[Split, list[str]] = {"train": said[config.test + config.dev :], "dev": dev, "test": test}
        write_json(path, {"made_by": made_by, "sentences": sentences})
    with StageBar(console, "speaking the corpus") as advance:
        return speak_sentences(folder / "corpus", sentences, config.speaking, progress=advance)


def _stored(path: Path, made_by: Mapping[str, Any]) -> dict[Split, list[str]]:
    stored = read_json(path)
    if not isinstance(stored, dict) or not {"made_by", "sentences"} <= stored.keys():
        raise DuolectError(f"{path}: is not the text of such a study; name a new folder.")
    for name, value in made_by.items():
        before = stored["made_by"].get(name)
        if before != value:
            raise ConfigError(
                f"{path.parent}: holds a study of other text ({name} was {before} and is now {value}); name a new "
                "folder, or the settings it has."
            )
    return stored["sentences"]


def _perplexities(source: str, language: Component, test: Path, seed: int) -> str:
    """How well the LLM foretells the test sentences before it is trained on any, pre-trained and random."""
    sentences = [utterance.text for utterance in load_manifest(test)]
    units = language.units
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        llm = LLMConfig(vocabulary=units.size, source=source, pretrained=False)
        control = LanguageModel(LanguageConfig(llm=llm, bos_id=units.bos_id, eos_id=units.eos_id)).eval()
    known, random = (_words_log_prob(model, units, sentences) for model in (language.model, control))
    return (
        "Before training, the LLM foretells the test sentences, as they are written, with a perplexity of "
        f"{known.per_token:.1f} per label and {known.per_word:,.0f} per word, with random weights of "
        f"{random.per_token:.1f} and {random.per_word:,.0f} (sentence ends left out, since the LLM may never have "
        f"been asked for them; {units.size} labels)."
    )


@torch.inference_mode()
def _words_log_prob(model: LanguageModel, units: Units, sentences: Sequence[str]) -> TextLogProb:
    """The log-probability of sentences without their ends."""
    total = TextLogProb()
    for sentence in sentences:
        labels_1N = torch.tensor([units.encode(sentence)])
        length = labels_1N.shape[1]
        scores_1M, _ = label_log_probs(model, None, labels_1N, torch.tensor([length]))
        total += TextLogProb(float(scores_1M[0, :length].double().sum()), length, len(words(sentence)), 0)
    return total


def _summary(
    found: Mapping[str, SystemResult], named: Mapping[tuple[_Start, str], str], config: PretrainingConfig
) -> list[str]:
    """The pre-trained LLM against the random one of the same fine-tuning, search and seed; means over the seeds."""
    sentences = []
    for how, finetune in product(METHODS, config.finetune):
        pairs = [
            tuple(found[named[_Start(finetune, seed, start), how]] for start in ("pre-trained", "random"))
            for seed in config.seeds
        ]
        sentences += [difference_sentence(a, b, compare_scores(b.score, a.score)) for a, b in pairs]
        if len(pairs) > 1:
            known, random = (100 * sum(pair[i].score.wer for pair in pairs) / len(pairs) for i in (0, 1))
            sentences.append(
                f"Mean of {len(pairs)} seeds ({finetune}, {how}): pre-trained {known:.2f} %, random {random:.2f} %."
            )
    return sentences


def _parts(corpus: SpokenCorpus) -> str:
    train, test = (load_manifest(path) for path in (corpus.train, corpus.test))
    heard = {word for utterance in train for word in words(utterance.text)}
    spoken = [word for utterance in test for word in words(utterance.text)]
    unheard = sum(word not in heard for word in spoken)
    hours = ", ".join(f"{split} {hours:.2f} h" for split, hours in corpus.hours.items())
    return (
        f"Sentences sampled from the LLM and spoken by synthetic voices: {hours}; no sentence and no voice is in two "
        f"of them. {100 * unheard / len(spoken):.1f} % of the words of test are not in train."
    )


_COLUMNS = (
    "Trained: parameters that were trained, in millions. Training: wall-clock time. The speech LLMs of a pair differ "
    "in the weights that their LLM starts from, and in nothing else; the scales of the search are not tuned."
)
