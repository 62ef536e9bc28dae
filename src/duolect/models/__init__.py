"""Trainable models: acoustic model, language model, speech LLM; and the protocol a search asks them by."""

from duolect.models.acoustic import AcousticConfig, AcousticModel
from duolect.models.autoregressive import Autoregressive, Branching
from duolect.models.compression import CompressionConfig
from duolect.models.decoders import AttentionDecoder, DecoderConfig, PrependDecoder, TransformerDecoderConfig
from duolect.models.encoded import Encoded
from duolect.models.encoders import EncoderConfig, HuggingFaceEncoderConfig, PretrainedSource, inspect_source
from duolect.models.interfaces import CrossConfig, InterfaceConfig, MergedConfig, PrefixConfig
from duolect.models.io import Model, build_model, count_parameters, load_model, save_model
from duolect.models.language import LanguageConfig, LanguageModel
from duolect.models.llm import LLMConfig
from duolect.models.lora import LORA_PRESETS, LoraSettings
from duolect.models.perplexity import TextLogProb, label_log_probs, sentence_log_probs, text_log_prob
from duolect.models.speech_llm import SpeechLLM, SpeechLLMConfig
from duolect.nn.slots import key_value_bytes

__all__ = [
    "LORA_PRESETS",
    "AcousticConfig",
    "AcousticModel",
    "AttentionDecoder",
    "Autoregressive",
    "Branching",
    "CompressionConfig",
    "CrossConfig",
    "DecoderConfig",
    "Encoded",
    "EncoderConfig",
    "HuggingFaceEncoderConfig",
    "InterfaceConfig",
    "LLMConfig",
    "LanguageConfig",
    "LanguageModel",
    "LoraSettings",
    "MergedConfig",
    "Model",
    "PrefixConfig",
    "PrependDecoder",
    "PretrainedSource",
    "SpeechLLM",
    "SpeechLLMConfig",
    "TextLogProb",
    "TransformerDecoderConfig",
    "build_model",
    "count_parameters",
    "inspect_source",
    "key_value_bytes",
    "label_log_probs",
    "load_model",
    "save_model",
    "sentence_log_probs",
    "text_log_prob",
]
