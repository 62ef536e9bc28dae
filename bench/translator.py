"""A small English-German Marian, trained on the synthetic corpus's sentence pairs: a teacher for `duolect distill`.

    python -m bench.translator runs/demo/corpus --out runs/translator

It stands in for a large translation model such as NLLB where none can be downloaded. It reads lm.txt and lm.de, which
have no sentence of dev and test, and leaves out what is spoken in train, so that it translates it unseen; how well is
measured on dev. B sentences · N tokens.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch

from duolect.data import load_manifest

SEED = 1
WIDTH, LAYERS, HEADS, POSITIONS = 160, 3, 4, 96
PIECES = 2000


def read_pairs(corpus: Path) -> list[tuple[str, str]]:
    """The pairs of lm.txt and lm.de but for those whose English is spoken in the corpus."""
    spoken = {u.text for name in ("train", "dev", "test") for u in load_manifest(corpus / f"{name}.jsonl")}
    english, german = ((corpus / name).read_text(encoding="utf-8").splitlines() for name in ("lm.txt", "lm.de"))
    return [(e, g) for e, g in zip(english, german, strict=True) if e not in spoken]


def new_model(pairs: Sequence[tuple[str, str]], folder: Path) -> tuple[Any, Any]:
    """A Marian with random weights and the tokeniser of its own pieces, whose files go into `folder`."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    pieces: dict[str, None] = {}
    for side, name in enumerate(("source", "target")):
        with open(folder / f"{name}.spm", "wb") as handle:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(pair[side] for pair in pairs),
                model_writer=handle,
                vocab_size=PIECES,
                hard_vocab_limit=False,
                minloglevel=2,
            )
        spelled = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        pieces |= dict.fromkeys(spelled.id_to_piece(i) for i in range(spelled.get_piece_size()))
    names = ["</s>", "<unk>", *[p for p in pieces if p not in ("<s>", "</s>", "<unk>")], "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(names)}), encoding="utf-8")
    tokenizer = MarianTokenizer(
        *(str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")),
        source_lang="eng",
        target_lang="deu",
        model_max_length=POSITIONS,
    )
    pad = len(names) - 1
    sizes: dict[str, Any] = {}
    for half in ("encoder", "decoder"):
        sizes |= {f"{half}_layers": LAYERS, f"{half}_attention_heads": HEADS, f"{half}_ffn_dim": 4 * WIDTH}
    torch.manual_seed(SEED)
    config = MarianConfig(
        vocab_size=len(names),
        d_model=WIDTH,
        max_position_embeddings=POSITIONS,
        dropout=0.1,
        scale_embedding=True,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        **sizes,
    )
    return MarianMTModel(config), tokenizer


def batches(pairs: list[tuple[str, str]], size: int, rng: random.Random) -> Iterator[list[tuple[str, str]]]:
    """One epoch of batches of pairs of like length, in random order."""
    pool = 50 * size
    order = rng.sample(pairs, len(pairs))
    found = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda pair: len(pair[0]))
        found += [near[i : i + size] for i in range(0, len(near), size)]
    rng.shuffle(found)
    yield from found


def train(model: Any, tokenizer: Any, pairs: list[tuple[str, str]], *, epochs: int, size: int, lr: float) -> None:
    """AdamW, one cycle of the learning rate, label smoothing 0.1."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01, betas=(0.9, 0.98))
    steps = epochs * -(-len(pairs) // size) + epochs * -(-len(pairs) // (50 * size))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=lr, total_steps=steps, pct_start=0.1)
    rng, step, start = random.Random(SEED), 0, time.monotonic()
    model.train()
    for epoch in range(epochs):
        for batch in batches(pairs, size, rng):
            english, german = zip(*batch, strict=True)
            told = tokenizer(list(english), text_target=list(german), padding=True, return_tensors="pt")
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
            step += 1
            if step % 100 == 0:
                print(
                    f"step {step} of {steps}  epoch {epoch}  loss {loss.item():.3f}  {time.monotonic() - start:.0f} s"
                )
    model.eval()


def main() -> None:
    """Train, save, and say how well unseen sentences are translated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder that `duolect demo` made its corpus in")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--pairs", type=int, default=30_000, help="how many of the sentence pairs to train on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128, help="sentences")
    parser.add_argument("--lr", type=float, default=2e-3)
    asked = parser.parse_args()
    pairs = read_pairs(asked.corpus)[: asked.pairs]
    print(f"{len(pairs):,} sentence pairs")
    model, tokenizer = new_model(pairs, asked.out)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    train(model, tokenizer, pairs, epochs=asked.epochs, size=asked.batch, lr=asked.lr)
    tokenizer.save_pretrained(asked.out)
    model.save_pretrained(asked.out)

    from duolect.training.translator import Translator, TranslatorConfig

    teacher = Translator(TranslatorConfig(model=str(asked.out), source="en", target="de"))
    dev = load_manifest(asked.corpus / "dev.jsonl")
    written = [
        text or "" for i in range(0, len(dev), 50) for text in teacher.translate([u.text for u in dev[i : i + 50]])
    ]
    import sacrebleu

    metric = sacrebleu.BLEU()
    print(metric.corpus_score(written, [[u.translation or "" for u in dev]]), metric.get_signature())


if __name__ == "__main__":
    main()
