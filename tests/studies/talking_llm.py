"""A tiny LLM that says sentences, as a local folder: its labels are words and full stops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ("The", "a", "dog", "cat", "Tim", "sees", "runs", "didn't", "big", "red", "and", "home")
SPARE = 5  # rows of the embedding beyond the tokeniser's


def make_talking_llm(folder: Path, ends: Sequence[str] = (".", "!"), spread: float = 0.3, seed: int = 3) -> Path:
    """A Llama of two layers with BOS, EOS and unknown; `spread` of its weights: how far its choices are from even."""
    specials = ["<s>", "</s>", "<unk>"]
    labels = [*specials, *(f"▁{word}" for word in WORDS), *ends]
    tokenizer = Tokenizer(models.WordLevel({label: i for i, label in enumerate(labels)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(".", "isolated"), pre_tokenizers.Split("!", "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(labels) + SPARE,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=spread,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
