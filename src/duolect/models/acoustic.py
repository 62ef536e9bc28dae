"""The acoustic model: encoder with CTC heads and, where wanted, an attention decoder.

B utterances · N samples or labels · T frames · D width · V labels · W = V + 1 with the blank last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from duolect.audio.features import FeatureConfig
from duolect.audio.waveform import InputConfig
from duolect.data.augment import AnySpecAugmentConfig
from duolect.data.targets import Target, check_tags
from duolect.errors import ConfigError
from duolect.models.compression import CompressionConfig, check_compression
from duolect.models.decoders import AnyDecoderConfig, Decoder, build_decoder
from duolect.models.encoded import Encoded
from duolect.models.encoders import EncoderConfig, check_ctc_layers
from duolect.models.speech_encoder import SpeechEncoder
from duolect.models.targets import label_count, next_label_targets
from duolect.nn.conformer import ConformerConfig
from duolect.nn.losses import LossTerm, label_smoothed_cross_entropy

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from duolect.data.loader import SpeechBatch


@dataclass(frozen=True, kw_only=True)
class AcousticConfig:
    """An acoustic model over `vocabulary` labels (V, EOS among them, the blank not).

    `target`: whether its labels spell the transcript or the translation; the CTC heads always hear the transcript.
    `tags`: the languages it is told to write, with whose embeddings the decoder begins; empty where there is but one.
    """

    kind: Literal["acoustic"] = "acoustic"
    vocabulary: int
    bos_id: int
    eos_id: int
    features: InputConfig = field(default_factory=FeatureConfig)
    encoder: EncoderConfig = field(default_factory=ConformerConfig)
    ctc_layers: tuple[int, ...]
    ctc_weight: float = 1.0
    ctc_vocabulary: int | None = None  # where CTC speaks other units than the decoder; None: `vocabulary`
    decoder: AnyDecoderConfig | None = None
    compression: CompressionConfig | None = None  # merges frames after a layer; None: all layers see all frames
    freeze_encoder: bool = False
    spec_augment: AnySpecAugmentConfig | None = None
    target: Target = "text"
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("bos_id", "eos_id"):
            if not 0 <= getattr(self, name) < self.vocabulary:
                raise ConfigError(
                    f"acoustic model: {name} {getattr(self, name)} is not in the vocabulary of {self.vocabulary}."
                )
        check_ctc_layers(self.ctc_layers, self.encoder)
        check_compression(self.compression, self.ctc_layers, self.encoder)
        if not self.ctc_layers and self.decoder is None:
            raise ConfigError("acoustic model: ctc_layers is empty and there is no decoder; nothing would be trained.")
        if self.decoder is None and (self.tags or self.target == "translation"):
            raise ConfigError("acoustic model: without a decoder it can only transcribe; target and tags need one.")
        check_tags(self.tags, "acoustic model")
        if self.ctc_weight <= 0:
            raise ConfigError(f"acoustic model: ctc_weight must be positive, not {self.ctc_weight}.")


class AcousticModel(nn.Module):
    """p_ctc(a | x) at several encoder layers and p_dec(a | x) (arXiv 2603.15045).

    Trained on L = CE(last, smoothed) + w_aux · CE(auxiliary layer) + w_ctc · Σ_l CTC_l, each per its own labels.
    `stored_encoder` is the architecture of a pre-trained encoder when a saved model is rebuilt (see `build_encoder`).
    """

    def __init__(self, config: AcousticConfig, stored_encoder: PreTrainedConfig | None = None) -> None:
        super().__init__()
        self.config = config
        self.vocabulary, self.bos_id, self.eos_id = config.vocabulary, config.bos_id, config.eos_id
        self.speech = SpeechEncoder(
            config.features,
            config.encoder,
            config.ctc_layers,
            config.ctc_vocabulary or config.vocabulary,
            config.spec_augment,
            compression=config.compression,
            frozen=config.freeze_encoder,
            stored=stored_encoder,
        )
        self.decoder: Decoder | None = None
        if config.decoder is not None:
            width = self.speech.encoder.width
            ids = (config.vocabulary, config.bos_id, config.eos_id)
            self.decoder = build_decoder(config.decoder, width, *ids, tags=len(config.tags))

    @property
    def seconds_per_frame(self) -> float:
        """Duration one encoder state stands for."""
        return self.speech.seconds_per_frame

    @property
    def longest_seconds(self) -> float:
        """The longest audio the encoder has positions for; infinite for most."""
        return self.speech.longest_seconds

    def encode(self, samples_BN: Tensor, lengths_B: Tensor) -> Encoded:
        """Encoder states of waveforms at the features' sampling rate; `lengths_B` in samples."""
        return self.speech(samples_BN, lengths_B)

    def ctc_log_probs(self, encoded: Encoded, layer: int | None = None) -> tuple[Tensor, Tensor]:
        """(log p_BTW in float32, blank last, lengths_B) of the head at `layer` (None: the last head)."""
        return self.speech.ctc_log_probs(encoded, layer)

    def initialise_encoder(self, acoustic: AcousticModel, heads: bool = True) -> list[str]:
        """Start from the encoder of `acoustic`, and with `heads` from its CTC heads where layer and vocabulary agree.

        It may have fewer layers than this one. Returns the encoder parameters that remain new. Raises ModelError where
        features or sizes differ.
        """
        return self.speech.initialise_from(acoustic.speech, heads)

    def label_tensors(self, heads: bool = True) -> set[str]:
        """Names of the tensors that stand for labels or tags one by one; with `heads` those of the CTC heads too."""
        parts = ["decoder.embedding.", "decoder.starts.", "decoder.output.", "decoder.auxiliary_output."]
        parts += ["speech.ctc_heads."] if heads else []
        return {name for name in self.state_dict() if name.startswith(tuple(parts))}

    def loss_counts(self, batch: SpeechBatch) -> dict[str, float]:
        """How many labels each term of `forward` will be summed over; cheap."""
        counts = self.speech.ctc_counts(batch)
        if self.decoder is not None:
            counts["ce"] = label_count(batch)
            if self.decoder.config.auxiliary_layer is not None:
                counts["ce_aux"] = counts["ce"]
        return counts

    def forward(self, batch: SpeechBatch, step: int = 0, counts: dict[str, float] | None = None) -> dict[str, LossTerm]:
        """The loss terms of a batch at training step `step`; `counts`, where known already, are `loss_counts`."""
        counts = self.loss_counts(batch) if counts is None else counts
        encoded = self.speech(batch.samples_BN, batch.sample_lengths_B, batch.seeds_B, step)
        encoded = replace(encoded, tags_B=batch.tags_B)
        terms: dict[str, LossTerm] = {}
        if self.decoder is not None:
            terms |= self._decoder_terms(self.decoder, encoded, batch, counts)
        if self.speech.ctc_layers:
            count = counts[f"ctc{self.speech.ctc_layers[0]}"]
            terms |= self.speech.ctc_terms(encoded, batch, self.config.ctc_weight, count)
        return terms

    def _decoder_terms(
        self, decoder: Decoder, encoded: Encoded, batch: SpeechBatch, counts: dict[str, float]
    ) -> dict[str, LossTerm]:
        smoothing = decoder.config.label_smoothing
        mask_BM, targets_P = next_label_targets(batch.labels_BN, batch.label_lengths_B, self.eos_id)
        last_BMD, auxiliary_BMD = decoder.hidden(encoded, batch.labels_BN)
        logits_PV = decoder.logits(last_BMD[mask_BM])
        terms = {"ce": LossTerm(label_smoothed_cross_entropy(logits_PV, targets_P, smoothing), counts["ce"])}
        if auxiliary_BMD is not None:
            logits_PV = decoder.auxiliary_logits(auxiliary_BMD[mask_BM])
            total = label_smoothed_cross_entropy(logits_PV, targets_P, smoothing)
            terms["ce_aux"] = LossTerm(total, counts["ce_aux"], decoder.config.auxiliary_weight)
        return terms
