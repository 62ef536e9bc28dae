"""Which LLM: one of our own by size, or a pre-trained one from a folder or the hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from duolect.errors import ConfigError, ModelError
from duolect.models.causal import CausalLLM
from duolect.models.pretrained import load_pretrained, quiet, reason, refuse_adapter
from duolect.models.probe import probe_llm

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_UNREADABLE = (OSError, ValueError, KeyError, ImportError)  # what transformers raises for a source that is none
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class LLMConfig:
    """A decoder-only LLM over `vocabulary` labels (V, EOS among them).

    With `source` (a local folder or a hub name) the sizes come from there. A pre-trained table may have more rows than
    V; those beyond are left out of every distribution. `replace_embeddings` puts new tables of V rows in their place.
    `dtype` is that of the weights; those in bfloat16 cannot be trained, but LoRA can be beside them.
    """

    vocabulary: int
    source: str | None = None
    replace_embeddings: bool = False
    pretrained: bool = True  # False: the architecture of `source` with random weights (the control experiment)
    dtype: Literal["float32", "bfloat16"] = "float32"
    architecture: Literal["qwen2", "qwen3", "llama"] = "qwen2"
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int | None = None  # None: as many as heads
    intermediate: int | None = None  # None: 4 x width
    max_positions: int = 4096
    dropout: float = 0.0  # on the embedded labels and on the attention weights; only where there is no `source`

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "layers", "heads", "max_positions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"llm: {name} must be positive, not {getattr(self, name)}.")
        if self.source is None and (self.width % self.heads or self.heads % (self.kv_heads or self.heads)):
            raise ConfigError(
                f"llm: width {self.width} must be a multiple of heads ({self.heads}), and those of kv_heads "
                f"({self.kv_heads})."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"llm: dropout must be at least 0 and below 1, not {self.dropout}.")
        if self.source is None and self.replace_embeddings:
            raise ConfigError("llm: replace_embeddings needs a pre-trained source.")


def build_llm(
    config: LLMConfig, stored: PreTrainedConfig | None = None, *, as_from_source: bool = False
) -> PreTrainedModel:
    """The Hugging Face model `config` asks for, attention by SDPA or to a shared prefix, in evaluation mode.

    `stored` is the architecture of a saved model: it is built with random weights (to be loaded) and without looking at
    `config.source`. With `as_from_source` that draws as many random numbers as loading the source would have, so that
    what is built after it starts as it would have. Raises ModelError where the source cannot be loaded or its LLM has
    parts that are not supported.
    """
    from transformers import AutoModelForCausalLM

    dtype = DTYPES[config.dtype]
    with quiet():
        if stored is not None and as_from_source:
            llm = _in_place_of_source(config, stored, dtype)
        elif stored is not None:
            llm = AutoModelForCausalLM.from_config(stored, dtype=dtype, attn_implementation="sdpa")
        elif config.source is None:
            llm = AutoModelForCausalLM.from_config(_own_architecture(config), dtype=dtype, attn_implementation="sdpa")
        else:
            llm = _from_source(config, config.source, dtype)
    _check(llm, config)
    # Torch gives the row of padding no gradient; here it is a label like any other, and what pads a row is never seen.
    table: Any = llm.get_input_embeddings()
    table.padding_idx = None
    llm.eval()
    probe_llm(CausalLLM(llm, config.vocabulary), _name(llm, config))
    return llm


def llm_architecture(config: LLMConfig) -> PreTrainedConfig:
    """The architecture of the LLM that `config` asks for, no weights loaded; its tables are those of the source.

    Raises ModelError where the source cannot be read.
    """
    from transformers import AutoConfig

    if config.source is None:
        return _own_architecture(config)
    try:
        with quiet():
            refuse_adapter(config.source, f"llm: {config.source!r}")
            return AutoConfig.from_pretrained(config.source)
    except _UNREADABLE as error:
        raise _unreadable(config.source, error) from error


def _unreadable(source: str, error: Exception) -> ModelError:
    return ModelError(
        f"llm: {source!r} is neither a folder nor a hub name from which a causal language model can be loaded as "
        f"safetensors ({reason(error)})."
    )


def _own_architecture(config: LLMConfig) -> PreTrainedConfig:
    from transformers import AutoConfig

    return AutoConfig.for_model(
        config.architecture,
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        intermediate_size=config.intermediate or 4 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads or config.heads,
        head_dim=config.width // config.heads,
        max_position_embeddings=config.max_positions,
        attention_dropout=config.dropout,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def _from_source(config: LLMConfig, source: str, dtype: torch.dtype) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        if config.pretrained:
            llm = load_pretrained(
                AutoModelForCausalLM,
                source,
                f"llm: {source!r}",
                _tables if config.replace_embeddings else lambda _: (),
                dtype=dtype,
                attn_implementation="sdpa",
                use_safetensors=True,
            )
        else:
            architecture = llm_architecture(config)
            llm = AutoModelForCausalLM.from_config(architecture, dtype=dtype, attn_implementation="sdpa")
    except _UNREADABLE as error:
        raise _unreadable(source, error) from error
    if config.replace_embeddings:
        _replace_embeddings(llm, config.vocabulary)
    return llm


def _in_place_of_source(config: LLMConfig, stored: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[], enabled=config.pretrained):  # weights that are loaded need no chance
        llm = AutoModelForCausalLM.from_config(stored, dtype=dtype, attn_implementation="sdpa")
    if config.replace_embeddings:
        with torch.random.fork_rng(devices=[]):  # a source has more labels than the units in their place
            llm.resize_token_embeddings(config.vocabulary + 1, mean_resizing=False)
        _replace_embeddings(llm, config.vocabulary)
    return llm


def _tables(llm: Any) -> set[str]:
    """The names of everything in the tables, those that are tied under each of theirs."""
    tables = [table for table in (llm.get_input_embeddings(), llm.get_output_embeddings()) if table is not None]
    own = {id(parameter) for table in tables for parameter in table.parameters()}
    return {name for name, parameter in llm.named_parameters(remove_duplicate=False) if id(parameter) in own}


def _replace_embeddings(llm: Any, vocabulary: int) -> None:
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(llm.config, name, None)
    llm.resize_token_embeddings(vocabulary, mean_resizing=False)
    std = getattr(llm.config, "initializer_range", 0.02)
    for table in (llm.get_input_embeddings(), llm.get_output_embeddings()):
        torch.nn.init.normal_(table.weight, std=std)
    if getattr(llm.get_output_embeddings(), "bias", None) is not None:  # of other labels until now
        torch.nn.init.zeros_(llm.get_output_embeddings().bias)


def _name(llm: Any, config: LLMConfig) -> str:
    return f"llm: {config.source or config.architecture!r} ({llm.config.model_type})"


def _check(llm: Any, config: LLMConfig) -> None:
    from duolect.models.cache import use_shared_prefix

    architecture, name = llm.config, _name(llm, config)
    head = llm.get_output_embeddings()
    if head is None or not hasattr(llm, llm.base_model_prefix):
        raise ModelError(f"{name} has no output layer over a decoder and cannot serve as a language model.")
    if head.weight.shape[0] < config.vocabulary:
        raise ModelError(
            f"{name} has {head.weight.shape[0]} labels, fewer than the vocabulary of {config.vocabulary}; set "
            f"replace_embeddings or use its own tokeniser."
        )
    # The output layer is applied to chosen positions only, so nothing may stand between it and the softmax.
    for field in ("final_logit_softcapping", "logits_scaling", "logit_scale"):
        if getattr(architecture, field, None) not in (None, 1, 1.0):
            raise ModelError(f"{name} rescales its logits ({field}), which is not supported.")
    use_shared_prefix(llm, name)
