"""Tiny Marian, M2M100 and NLLB models with real tokenisers, trained for a second or two and saved to folders."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch

ENGLISH = ["the house is old", "anna goes home", "the train is late", "we eat now", "the cat sleeps", "it rains now"]
GERMAN = [
    *("Das Haus ist alt.", "Anna geht heim.", "Der Zug ist spät."),
    *("Wir essen jetzt.", "Die Katze schläft.", "Es regnet."),
]
FRENCH = [
    *("La maison est vieille.", "Anna rentre.", "Le train est en retard."),
    *("Nous mangeons.", "Le chat dort.", "Il pleut."),
]
POSITIONS = 40
_SIZES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": POSITIONS,
    "dropout": 0.0,
}


def marian(folder: Path) -> Path:
    """English to German, as Helsinki-NLP's models of one pair are."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder.mkdir(parents=True)
    pieces: list[str] = []
    for name, texts in (("source", ENGLISH), ("target", GERMAN)):
        found = _sentencepiece(folder / f"{name}.spm", texts)
        pieces += [piece for piece in found if piece not in pieces]
    names = ["</s>", "<unk>", *[p for p in pieces if p not in ("<s>", "</s>", "<unk>")], "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(names)}))
    warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(folder / "vocab.json"),
        source_lang="eng",
        target_lang="deu",
        model_max_length=512,
    )
    pad = len(names) - 1
    config = MarianConfig(
        vocab_size=len(names),
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        **_SIZES,
    )
    torch.manual_seed(0)
    model = MarianMTModel(config)
    _fit(model, tokenizer, [(ENGLISH, GERMAN, None)])
    return _saved(model, tokenizer, folder)


def m2m100(folder: Path) -> Path:
    """English to German and French by M2M100's own tokeniser, whose languages are "en", "de" …"""
    from transformers import M2M100Tokenizer

    folder.mkdir(parents=True)
    pieces = _sentencepiece(folder / "sentencepiece.bpe.model", ENGLISH + GERMAN + FRENCH)
    names = ["<s>", "<pad>", "</s>", "<unk>", *[p for p in pieces if p not in ("<s>", "</s>", "<unk>")]]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(names)}))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), src_lang="en")
    size = len(names) + len(tokenizer.lang_code_to_id) + tokenizer.num_madeup_words
    return _many(folder, tokenizer, size, ("en", "de", "fr"))


def nllb(folder: Path) -> Path:
    """English to German and French by NLLB's tokeniser, whose languages are "eng_Latn", "deu_Latn" …"""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import NllbTokenizer

    folder.mkdir(parents=True)
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False)
    bpe.train_from_iterator(ENGLISH + GERMAN + FRENCH, trainer)
    stored = json.loads(bpe.to_str())["model"]
    codes = ["eng_Latn", "deu_Latn", "fra_Latn", "zho_Hans", "zho_Hant"]
    tokenizer = NllbTokenizer(
        vocab=stored["vocab"],
        merges=[tuple(merge) for merge in stored["merges"]],
        extra_special_tokens=codes,
        src_lang="eng_Latn",
        model_max_length=1024,
    )
    return _many(folder, tokenizer, len(tokenizer), ("eng_Latn", "deu_Latn", "fra_Latn"))


def _many(folder: Path, tokenizer: Any, size: int, codes: Sequence[str]) -> Path:
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(0)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    model = M2M100ForConditionalGeneration(M2M100Config(vocab_size=size, **ids, **_SIZES))
    english, german, french = codes
    tokenizer.src_lang = english
    _fit(model, tokenizer, [(ENGLISH, GERMAN, german), (ENGLISH, FRENCH, french)])
    return _saved(model, tokenizer, folder)


def _fit(model: Any, tokenizer: Any, tasks: list[tuple[list[str], list[str], str | None]], steps: int = 60) -> None:
    """Teach a model sentences by heart; targets begin with their language's code where there is one."""
    batches = []
    for source, target, code in tasks:
        if code is not None:
            tokenizer.tgt_lang = code
        batch = tokenizer(source, text_target=target, padding=True, return_tensors="pt")
        batch["labels"][batch["labels"] == tokenizer.pad_token_id] = -100
        batches.append(batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        for batch in batches:
            model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
            ).loss.backward()
        optimiser.step()
    model.eval()


def _saved(model: Any, tokenizer: Any, folder: Path) -> Path:
    tokenizer.save_pretrained(folder / "model")
    model.save_pretrained(folder / "model")
    return folder / "model"


def _sentencepiece(path: Path, texts: list[str]) -> list[str]:
    with open(path, "wb") as handle:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=handle,
            vocab_size=70,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
