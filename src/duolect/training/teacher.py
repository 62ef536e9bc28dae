"""A small English-German Marian, trained on the sentence pairs of the synthetic corpus: a teacher for distillation.

It stands in for a large translation model such as NLLB where none is at hand. It reads lm.txt and lm.de, which have no
sentence of dev and test, and leaves out what is spoken in train, so that it translates it unseen; how well is measured
on dev. B sentences · N tokens · V tokens there are.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch

from duolect.data import load_manifest
from duolect.errors import ConfigError, TrainingError
from duolect.models.pretrained import quiet
from duolect.training.translator import Translator, TranslatorConfig

Pairs = Sequence[tuple[str, str]]
_AT_ONCE = 50  # batches whose sentences are sorted by length together


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """How large it is (of encoder and decoder each), and how it is trained: on the first `pairs`, `epochs` times over,
    `batch` sentences a step, at a learning rate of `lr` at most.

    With fewer steps, or a larger rate, its decoder does not learn to look at the source, and its BLEU on dev is near 0.
    """

    width: int = 160
    layers: int = 3
    heads: int = 4
    positions: int = 96
    pieces: int = 1000
    pairs: int = 40_000
    epochs: int = 2
    batch: int = 32
    lr: float = 1e-3
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "positions", "pieces", "pairs", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"teacher: {name} must be at least 1, not {getattr(self, name)}.")


def train_teacher(
    corpus: Path, folder: Path, config: TeacherConfig, progress: Callable[[int, int], None] = lambda done, total: None
) -> str:
    """Train one on the corpus and leave it in `folder`, as transformers reads it; returns its BLEU on dev, in words.

    `progress` counts steps. Raises TrainingError where the corpus has no pairs of sentences.
    """
    pairs = sentence_pairs(corpus)[: config.pairs]
    if not pairs:
        raise TrainingError(f"{corpus}: its lm.txt and lm.de hold no pair of sentences that is not spoken in it.")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model, tokenizer = _new_model(pairs, folder, config)
        _train(model, tokenizer, pairs, config, progress)
    with quiet():
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    return _score(folder, corpus / "dev.jsonl")


def sentence_pairs(corpus: Path) -> list[tuple[str, str]]:
    """The pairs of lm.txt and lm.de but for those whose English is spoken in the corpus."""
    spoken = {u.text for name in ("train", "dev", "test") for u in load_manifest(corpus / f"{name}.jsonl")}
    english, german = ((corpus / name).read_text(encoding="utf-8").splitlines() for name in ("lm.txt", "lm.de"))
    return [(e, g) for e, g in zip(english, german, strict=True) if e not in spoken]


def _new_model(pairs: Pairs, folder: Path, config: TeacherConfig) -> tuple[Any, Any]:
    """A Marian with random weights and the tokeniser of its own pieces, whose files go into `folder`."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    pieces: dict[str, None] = {}
    for side, name in enumerate(("source", "target")):
        with open(folder / f"{name}.spm", "wb") as handle:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(pair[side] for pair in pairs),
                model_writer=handle,
                vocab_size=config.pieces,
                hard_vocab_limit=False,
                minloglevel=2,
            )
        spelled = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        pieces |= dict.fromkeys(spelled.id_to_piece(i) for i in range(spelled.get_piece_size()))
    names = ["</s>", "<unk>", *[p for p in pieces if p not in ("<s>", "</s>", "<unk>")], "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(names)}), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")  # for punctuation
        tokenizer = MarianTokenizer(
            *(str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")),
            source_lang="eng",
            target_lang="deu",
            model_max_length=config.positions,
        )
    pad = len(names) - 1
    sizes: dict[str, Any] = {}
    for half in ("encoder", "decoder"):
        sizes |= {
            f"{half}_layers": config.layers,
            f"{half}_attention_heads": config.heads,
            f"{half}_ffn_dim": 4 * config.width,
        }
    architecture = MarianConfig(
        vocab_size=len(names),
        d_model=config.width,
        max_position_embeddings=config.positions,
        dropout=0.1,
        scale_embedding=True,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        **sizes,
    )
    return MarianMTModel(architecture), tokenizer


def _batches(pairs: Pairs, size: int, rng: random.Random) -> Iterator[Pairs]:
    """One epoch of batches of pairs of like length, in random order."""
    pool = _AT_ONCE * size
    order = rng.sample(pairs, len(pairs))
    found = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda pair: len(pair[0]))
        found += [near[i : i + size] for i in range(0, len(near), size)]
    rng.shuffle(found)
    yield from found


def _train(
    model: Any, tokenizer: Any, pairs: Pairs, config: TeacherConfig, progress: Callable[[int, int], None]
) -> None:
    """AdamW, one cycle of the learning rate, label smoothing 0.1."""
    rng = random.Random(config.seed)
    batches = [batch for _ in range(config.epochs) for batch in _batches(pairs, config.batch, rng)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=config.lr, total_steps=len(batches) + 1, pct_start=0.1
    )
    model.train()
    for step, batch in enumerate(batches, start=1):
        english, german = zip(*batch, strict=True)
        told = tokenizer(list(english), text_target=list(german), padding=True, truncation=True, return_tensors="pt")
        labels_BN = told.pop("labels")
        labels_BN[labels_BN == tokenizer.pad_token_id] = -100
        logits_BNV = model(**told, labels=labels_BN).logits
        loss = torch.nn.functional.cross_entropy(
            logits_BNV.flatten(0, 1), labels_BN.flatten(), ignore_index=-100, label_smoothing=0.1
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        progress(step, len(batches))
    model.eval()


def _score(folder: Path, manifest: Path) -> str:
    import sacrebleu

    teacher = Translator(TranslatorConfig(model=str(folder), source="en", target="de"))
    dev = load_manifest(manifest)
    written = [
        text or "" for i in range(0, len(dev), 50) for text in teacher.translate([u.text for u in dev[i : i + 50]])
    ]
    metric = sacrebleu.BLEU()
    return f"{metric.corpus_score(written, [[u.translation or '' for u in dev]])} ({metric.get_signature()})"
