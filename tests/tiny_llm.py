"""A tiny pre-trained LLM with its own tokeniser, as a local folder."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPARE = 21  # rows of the embedding beyond the tokeniser's, as in Qwen2


def make_llm(folder: Path, text: Path) -> Path:
    """A Llama with a byte-level tokeniser that has seen `text`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=270, show_progress=False, special_tokens=["<|end|>"], initial_alphabet=alphabet
    )
    tokenizer.train([str(text)], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(5)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=tokenizer.get_vocab_size() + SPARE, max_position_embeddings=1024, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
