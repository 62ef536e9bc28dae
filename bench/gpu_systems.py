"""What bench/gpu.py runs: models with random weights, a batch of noise, and every kind of system over them.

Legend: B utterances · N samples · T frames · R rows (hypotheses) · V labels · W = V + 1 (blank last).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from bench import common
from bench.posteriors import EOS, Posteriors, made_posteriors
from duolect.audio.features import SAMPLE_RATE
from duolect.models import LanguageConfig, LanguageModel, LLMConfig, SpeechLLM, SpeechLLMConfig
from duolect.nn import ConcatLinearConfig, ConformerConfig
from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    Delayed,
    Hypothesis,
    PriorScorer,
    SearchStatistics,
    Weighted,
    frame_synchronous,
    label_synchronous,
)

LABELS_PER_SECOND, LM_WEIGHT, CTC_WEIGHT = 3, 0.5, 0.5


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of models and batch."""

    llm: LLMConfig
    encoder: ConformerConfig
    utterances: int
    seconds: int
    labels_per_frame: int

    @property
    def labels(self) -> int:
        """Labels of an utterance."""
        return LABELS_PER_SECOND * self.seconds


FULL = Shape(
    llm=LLMConfig(
        vocabulary=10_240, architecture="qwen2", width=896, layers=24, heads=14, kv_heads=2, intermediate=4864,
        dtype="bfloat16",
    ),
    encoder=ConformerConfig(width=512, layers=16, heads=8),
    utterances=64,
    seconds=15,
    labels_per_frame=16,
)  # fmt: skip
TINY = Shape(
    llm=LLMConfig(vocabulary=50, width=32, layers=2, heads=2, kv_heads=1),
    encoder=ConformerConfig(width=32, layers=2, heads=2, kernel=8),
    utterances=3,
    seconds=2,
    labels_per_frame=8,
)


@dataclass(frozen=True, kw_only=True)
class System:
    """What is run, and the RTFx that is wanted of it (None: nothing is)."""

    name: str
    beam: int
    wanted: int | None = None


SYSTEMS = (
    System(name="ctc", beam=64),
    System(name="label-wise LM", beam=16),
    System(name="label-wise LM", beam=64, wanted=300),
    System(name="delayed LM (20)", beam=64, wanted=500),
    System(name="speech LLM", beam=4, wanted=1000),
    System(name="speech LLM", beam=12),
    System(name="speech LLM + CTC", beam=4, wanted=500),
)


class Watch:
    """Seconds by part; every call that is watched waits for the device, so a watched run is a little slower."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time added to `part`."""

        def run(*args: Any, **kwargs: Any) -> Any:
            common.synchronise(self.device)
            begin = time.perf_counter()
            result = function(*args, **kwargs)
            common.synchronise(self.device)
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begin
            return result

        return run


class Asked:
    """A model as searches ask it: watched where there is a watch, without EOS before `labels` labels."""

    def __init__(self, model: Any, watch: Watch | None, labels: int = 0) -> None:
        self.model, self.labels = model, labels
        self.vocabulary, self.eos_id = model.vocabulary, model.eos_id
        self._start, self._step = model.start, model.step
        if watch is not None:
            self._start, self._step = watch.around("llm", model.start), watch.around("llm", model.step)

    def start(self, encoded: Any, rows: int) -> tuple[Tensor, Any]:
        """See `duolect.models.Autoregressive`."""
        log_probs_RV, state = self._start(encoded, rows)
        return self._endless(log_probs_RV, 0), (state, 0)

    def step(self, state: Any, labels_RN: Tensor, counts_R: Tensor | None = None) -> tuple[Tensor, Any]:
        """See `duolect.models.Autoregressive`."""
        log_probs_RNV, new = self._step(state[0], labels_RN, counts_R)
        said = state[1] + labels_RN.shape[1]
        return self._endless(log_probs_RNV, said), (new, said)

    def select(self, state: Any, rows_R: Tensor) -> Any:
        """See `duolect.models.Autoregressive`."""
        return self.model.select(state[0], rows_R), state[1]

    def _endless(self, log_probs: Tensor, said: int) -> Tensor:
        if said < self.labels:
            log_probs[..., self.eos_id] = -torch.inf
        return log_probs


@dataclass
class Bench:
    """Models and a batch on one device."""

    shape: Shape
    device: torch.device
    speech: SpeechLLM = field(init=False)
    language: LanguageModel = field(init=False)
    posteriors: Posteriors = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        shape, device = self.shape, self.device
        with torch.device(device):
            self.speech = SpeechLLM(
                SpeechLLMConfig(
                    llm=shape.llm,
                    encoder=shape.encoder,
                    adapter=ConcatLinearConfig(factor=2),
                    ctc_layers=(shape.encoder.layers,),
                    bos_id=EOS,
                    eos_id=EOS,
                )
            ).eval()
            self.language = LanguageModel(LanguageConfig(llm=shape.llm, bos_id=EOS, eos_id=EOS)).eval()
        samples = shape.seconds * SAMPLE_RATE
        self.samples_BN = torch.randn(shape.utterances, samples, device=device) * 0.1
        self.samples_B = torch.full((shape.utterances,), samples, device=device)
        frames = int(self.encode().lengths_B[0])
        self.posteriors = made_posteriors(shape.utterances, frames, shape.llm.vocabulary, shape.labels)
        self.log_probs_BTW = self.posteriors.log_probs_BTW.to(device)
        self.lengths_B = self.posteriors.lengths_B.to(device)

    @property
    def audio_seconds(self) -> int:
        """Of the batch."""
        return self.shape.utterances * self.shape.seconds

    @torch.no_grad()
    def encode(self) -> Any:
        """Encoder states of the batch, float32; on a GPU computed in bfloat16 where autocast does."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            encoded = self.speech.encode(self.samples_BN, self.samples_B)
        return replace(encoded, states_BTD=encoded.states_BTD.float())

    @torch.no_grad()
    def ctc_head(self, encoded: Any) -> Tensor:
        """Its own posteriors are computed and put aside for the made ones."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            self.speech.ctc_log_probs(encoded)
        return self.log_probs_BTW

    def run(self, system: System, watch: Watch | None = None) -> tuple[list[Hypothesis], SearchStatistics]:
        """From samples to the best hypotheses, and what the LLM was asked."""
        encode, ctc_head = self.encode, self.ctc_head
        if watch is not None:
            encode, ctc_head = watch.around("encoder", encode), watch.around("ctc", ctc_head)
        encoded = encode()
        if system.name == "speech LLM":
            found, statistics = self._over_labels(system, encoded, None, watch)
        elif system.name == "speech LLM + CTC":
            found, statistics = self._over_labels(system, encoded, ctc_head(encoded), watch)
        else:
            found, statistics = self._over_frames(system, ctc_head(encoded), watch)
        common.synchronise(self.device)
        return [each[0] for each in found], statistics

    def _over_frames(
        self, system: System, log_probs_BTW: Tensor, watch: Watch | None
    ) -> tuple[list[list[Hypothesis]], SearchStatistics]:
        scorer = AutoregressiveScorer(Asked(self.language, watch))
        lm = Weighted("lm", scorer, LM_WEIGHT)
        vocabulary = self.shape.llm.vocabulary
        flat_V = torch.full((vocabulary,), -math.log(vocabulary), device=self.device)
        prior = Weighted("prior", PriorScorer(flat_V), LM_WEIGHT)
        terms: dict[str, Any] = {}
        if system.name == "label-wise LM":
            terms = {"lm": lm, "prior": prior}
        elif system.name != "ctc":
            terms = {"delayed": Delayed(lm=lm, interval=20, prior=prior)}
        found = frame_synchronous(
            log_probs_BTW,
            self.lengths_B,
            beam=system.beam,
            nbest=1,
            eos_id=EOS,
            labels_per_frame=self.shape.labels_per_frame,
            **terms,
        )
        return found, scorer.statistics

    def _over_labels(
        self, system: System, encoded: Any, log_probs_BTW: Tensor | None, watch: Watch | None
    ) -> tuple[list[list[Hypothesis]], SearchStatistics]:
        scorer = AutoregressiveScorer(Asked(self.speech, watch, self.shape.labels))
        scorers = [Weighted("speech_llm", scorer)]
        if log_probs_BTW is not None:
            make: Callable[..., CTCPrefixScorer] = CTCPrefixScorer
            if watch is not None:
                make = watch.around("ctc", make)
            ctc = make(log_probs_BTW, self.lengths_B, eos_id=EOS)
            if watch is not None:
                ctc.score, ctc.advance = watch.around("ctc", ctc.score), watch.around("ctc", ctc.advance)
            scorers.append(Weighted("ctc", ctc, CTC_WEIGHT))
        found = label_synchronous(
            scorers,
            encoded,
            beam=system.beam,
            nbest=1,
            limits_B=[self.shape.labels] * self.shape.utterances,
            eos_id=EOS,
        )
        return found, scorer.statistics
