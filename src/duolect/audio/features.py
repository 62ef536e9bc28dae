"""Log-mel features in plain torch, the same on CPU and GPU and for an utterance alone or padded in a batch.

B utterances · N samples · T frames · F mel bins
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.audio.files import SAMPLE_RATE
from duolect.errors import ConfigError

Kind = Literal["log10", "kaldi", "whisper", "nemo"]
Normalisation = Literal["none", "utterance", "per_feature"]
_KINDS, _NORMALISATIONS = get_args(Kind), get_args(Normalisation)
WHISPER_SAMPLES = 30 * SAMPLE_RATE
_FRAMES_AT_ONCE_CPU, _FRAMES_AT_ONCE = 1 << 10, 1 << 18
_KALDI_LOW_HZ = 20.0
PREEMPHASIS = 0.97  # of Kaldi and of NeMo
_NEMO_FLOOR = 2.0**-24


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What a frame is.

    * `kind` "log10": Hann window, power spectrum, Slaney mel bands, log10 with a floor of 1e-10 (arXiv 2603.15045).
    * "whisper": the same, clamped to 8 below the utterance's maximum, then (x + 4) / 4, as Whisper hears its 30 s
      windows: silence follows the utterance.
    * "kaldi": mean removal, pre-emphasis, Povey window, HTK mel bands from 20 Hz, natural log with a floor of float32's
      epsilon; samples in [-1, 1] as lhotse has them; frames are centred as with `snip_edges=False`.
    * "nemo": pre-emphasis of the whole utterance, symmetric Hann window, Slaney mel bands, natural log of the energy
      plus 2⁻²⁴; silence before and after (NeMo's, and transformers' Parakeet).

    `mels` bins F, windows of `window_ms` every `shift_ms`, spectra of `fft` points. `normalisation` to mean 0 and
    variance 1 over the valid frames: "utterance" over all bins together, "per_feature" for each bin, or "none". The
    kind "nemo" estimates the variance without bias, as NeMo does.
    """

    kind: Kind = "log10"
    mels: int = 80
    window_ms: float = 25.0
    shift_ms: float = 10.0
    fft: int = 512
    normalisation: Normalisation = "none"

    def __post_init__(self) -> None:
        for name, known in (("kind", _KINDS), ("normalisation", _NORMALISATIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"features: {name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
        for name in ("mels", "window_ms", "shift_ms"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"features: {name} must be positive, not {getattr(self, name)}.")
        if self.fft < self.window:
            raise ConfigError(f"features: fft ({self.fft}) must be at least the window's {self.window} samples.")
        if self.kind == "whisper" and self.fft != self.window:
            raise ConfigError(f"features: the kind 'whisper' has fft = {self.window} (its window), not {self.fft}.")

    @property
    def window(self) -> int:
        """Samples per window."""
        return round(self.window_ms * SAMPLE_RATE / 1000)

    @property
    def shift(self) -> int:
        """Samples per frame."""
        return round(self.shift_ms * SAMPLE_RATE / 1000)

    @property
    def seconds_per_frame(self) -> float:
        """Duration a frame stands for."""
        return self.shift_ms / 1000

    @property
    def first_centre(self) -> float:
        """Seconds from the beginning of the sound to the middle of the first frame's window."""
        return (self.window // 2 - (self.window // 2 - self.shift // 2)) / SAMPLE_RATE if self.kind == "kaldi" else 0.0


class LogMel(nn.Module):
    """Samples at 16 kHz to features. There is nothing to train and nothing random."""

    window: Tensor
    bands_FM: Tensor

    def __init__(self, config: FeatureConfig | None = None) -> None:
        super().__init__()
        self.config = config or FeatureConfig()
        window, bands_FM = _tables(self.config)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands_FM", bands_FM, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LogMel:
        """Follow a model to its device, but stay in float32 when it becomes bfloat16."""
        super()._apply(fn, recurse)
        if self.window.dtype != torch.float32:
            device = self.window.device
            self.window, self.bands_FM = (table.to(device) for table in _tables(self.config))
        return self

    def frame_count(self, samples: Tensor) -> Tensor:
        """Frames of utterances of so many samples (an integer tensor), as `forward` makes them."""
        shift = self.config.shift
        if self.config.kind == "whisper":
            return (samples + shift - 1) // shift
        if self.config.kind == "nemo":
            return samples // shift
        return (samples + shift // 2) // shift

    def forward(self, samples_BN: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(features_BTF float32, lengths_B) of samples_BN; what lies beyond an utterance's length is not looked at.

        Frames beyond the returned lengths are 0. An utterance shorter than half a frame (nemo: a whole one) has no
        frame; for whisper a single sample makes one.
        """
        samples_BN = samples_BN.float()
        index_N = torch.arange(samples_BN.shape[1], device=samples_BN.device)
        outside_BN = index_N >= lengths_B[:, None]
        samples_BN = samples_BN.masked_fill(outside_BN, 0.0)
        if self.config.kind == "nemo":
            before_BN = functional.pad(samples_BN[:, :-1], (1, 0))
            samples_BN = (samples_BN - PREEMPHASIS * before_BN).masked_fill(outside_BN, 0.0)
        frames_B = self.frame_count(lengths_B)
        most = int(frames_B.max()) if len(frames_B) else 0
        if most == 0:
            return samples_BN.new_zeros(len(samples_BN), 0, self.config.mels), frames_B
        if self.config.kind == "whisper":
            features_BTF = self._whisper(samples_BN, lengths_B, frames_B)[:, :most]
        else:
            features_BTF = _logarithm(self._mel(samples_BN, lengths_B, most), self.config.kind)
        mask_BT1 = (torch.arange(most, device=frames_B.device) < frames_B[:, None]).unsqueeze(-1)
        unbiased = self.config.kind == "nemo"
        features_BTF = _normalise(features_BTF, mask_BT1, self.config.normalisation, unbiased)
        return features_BTF.masked_fill(~mask_BT1, 0.0), frames_B

    def _mel(self, samples_BN: Tensor, lengths_B: Tensor, frames: int) -> Tensor:
        """Mel energies (B, frames, F), in stretches of time that stay in a CPU's cache, or bound a GPU's memory."""
        windows_BTN = self._windows(samples_BN, lengths_B, frames)
        most = _FRAMES_AT_ONCE_CPU if samples_BN.device.type == "cpu" else _FRAMES_AT_ONCE
        stretch = max(1, most // len(samples_BN))
        return torch.cat([self._power(part) @ self.bands_FM.T for part in windows_BTN.split(stretch, dim=1)], dim=1)

    def _whisper(self, samples_BN: Tensor, lengths_B: Tensor, frames_B: Tensor) -> Tensor:
        """The maximum is taken over every frame of the 30 s window whose samples reach into the sound."""
        heard_B = (lengths_B + self.config.window // 2 - 1) // self.config.shift + 1
        heard_B = torch.minimum(heard_B, frames_B.clamp(min=WHISPER_SAMPLES // self.config.shift))
        most = int(heard_B.max())
        logs_BTF = self._mel(samples_BN, lengths_B, most).clamp(min=1e-10).log10()
        outside_BT1 = (torch.arange(most, device=heard_B.device) >= heard_B[:, None]).unsqueeze(-1)
        highest_B11 = logs_BTF.masked_fill(outside_BT1, -10.0).amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(logs_BTF, highest_B11 - 8.0) + 4.0) / 4.0

    def _windows(self, samples_BN: Tensor, lengths_B: Tensor, frames: int) -> Tensor:
        """The samples under each window (B, T, window), before windowing."""
        size, shift = self.config.window, self.config.shift
        if self.config.kind == "kaldi":
            # Kaldi without snipped edges: the first window begins this far before the sound, which is mirrored there.
            left = size // 2 - shift // 2
        else:
            left = size // 2
        if self.config.kind == "nemo":
            samples_BN = functional.pad(samples_BN, (left, max(0, frames * shift + size - samples_BN.shape[1])))
            return samples_BN.unfold(1, size, shift)[:, :frames]
        samples_BN = _mirror_edges(samples_BN, lengths_B, left, frames * shift + size, size, self.config.kind)
        return samples_BN.unfold(1, size, shift)[:, :frames]

    def _power(self, windows_BTN: Tensor) -> Tensor:
        if self.config.kind == "kaldi":
            windows_BTN = windows_BTN - windows_BTN.mean(dim=-1, keepdim=True)
            before = torch.cat((windows_BTN[..., :1], windows_BTN[..., :-1]), dim=-1)
            windows_BTN = windows_BTN - PREEMPHASIS * before
        spectrum = torch.fft.rfft(windows_BTN * self.window, n=self.config.fft)
        return spectrum.real.square() + spectrum.imag.square()


def _mirror_edges(samples_BN: Tensor, lengths_B: Tensor, left: int, total: int, reach: int, kind: str) -> Tensor:
    """Samples (B, total) that begin `left` before the sound, mirrored there and for `reach` samples after its true end.

    Kaldi repeats the sample at the edge, the others do not; Whisper has silence after the end, up to 30 s.
    """
    count, longest = samples_BN.shape
    length_B1 = lengths_B[:, None].clamp(min=1)
    edge_B1 = length_B1.clamp(min=WHISPER_SAMPLES) if kind == "whisper" else length_B1
    before = torch.arange(-left, 0, device=samples_BN.device).expand(count, left)
    after = edge_B1 + torch.arange(reach, device=samples_BN.device)
    outside_BR = torch.cat((before, after), dim=1)
    period_B1 = 2 * edge_B1 if kind == "kaldi" else (2 * edge_B1 - 2).clamp(min=1)
    source_BR = torch.remainder(outside_BR, period_B1)
    mirrored_BR = period_B1 - source_BR - (1 if kind == "kaldi" else 0)
    source_BR = torch.where(source_BR >= edge_B1, mirrored_BR, source_BR)
    values_BR = samples_BN.gather(1, source_BR.clamp(max=longest - 1)).masked_fill(source_BR >= length_B1, 0.0)
    wide_BN = samples_BN.new_zeros(count, max(total, left + longest) + 1)
    wide_BN[:, left : left + longest] = samples_BN
    # Edges that no window reaches all go to the last column, which is cut off.
    wide_BN.scatter_(1, (outside_BR + left).clamp(max=wide_BN.shape[1] - 1), values_BR)
    return wide_BN[:, :total]


def _logarithm(mel_BTF: Tensor, kind: str) -> Tensor:
    if kind == "nemo":
        return (mel_BTF + _NEMO_FLOOR).log()
    if kind == "kaldi":
        return mel_BTF.clamp(min=torch.finfo(torch.float32).eps).log()
    return mel_BTF.clamp(min=1e-10).log10()


def _normalise(features_BTF: Tensor, mask_BT1: Tensor, how: str, unbiased: bool) -> Tensor:
    if how == "none":
        return features_BTF
    over = (1, 2) if how == "utterance" else (1,)
    mask = mask_BT1.to(features_BTF.dtype).expand_as(features_BTF)
    count = mask.sum(over, keepdim=True).clamp(min=1)
    mean = (features_BTF * mask).sum(over, keepdim=True) / count
    centred = (features_BTF - mean) * mask
    squares = centred.square().sum(over, keepdim=True)
    if unbiased:
        return centred / ((squares / (count - 1).clamp(min=1)).sqrt() + 1e-5)
    return centred / (squares / count + 1e-5).sqrt()


def _tables(config: FeatureConfig) -> tuple[Tensor, Tensor]:
    """The window (N,) and the mel bands (F, fft/2 + 1), computed in float64."""
    if config.kind == "kaldi":
        window = torch.hann_window(config.window, periodic=False, dtype=torch.float64) ** 0.85
        return window.float(), _htk_bands(config.fft, config.mels).float()
    window = torch.hann_window(config.window, periodic=config.kind != "nemo", dtype=torch.float64)
    return window.float(), _slaney_bands(config.fft, config.mels).float()


def _triangles(edges: Tensor, scale: Tensor) -> Tensor:
    """Triangular bands (F, fft/2 + 1) between neighbouring edges, linear on `scale` (the Hz or mel of each bin)."""
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (scale - lower) / (centre - lower), (upper - scale) / (upper - centre)
    return torch.minimum(rising, falling).clamp(min=0.0)


def _bin_frequencies(fft: int) -> Tensor:
    return _evenly(SAMPLE_RATE / 2, fft // 2 + 1)


def _evenly(end: float, count: int) -> Tensor:
    """What `torch.linspace(0, end, count)` gives, to the bit, without calling it.

    transformers exchanges that function while it loads a model, and where `with torch.device(…)` is used for the first
    time just then, torch never again puts what the real one makes on that device.
    """
    n, step = torch.arange(count, dtype=torch.float64), end / (count - 1)
    return torch.where(n < count // 2, n * step, end - (count - 1 - n) * step)


def _slaney_bands(fft: int, mels: int) -> Tensor:
    """Slaney's auditory toolbox: linear below 1 kHz, logarithmic above, each band of unit area."""
    step = math.log(6.4) / 27
    top = 15 + math.log(SAMPLE_RATE / 2 / 1000) / step
    points = _evenly(top, mels + 2)
    edges = torch.where(points < 15, points * 200 / 3, 1000 * torch.exp(step * (points - 15)))
    return _triangles(edges, _bin_frequencies(fft)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def _htk_bands(fft: int, mels: int) -> Tensor:
    """Kaldi's: triangles on the scale 1127·ln(1 + f/700), from 20 Hz on; the Nyquist bin is left out."""

    def to_mel(hz: Tensor) -> Tensor:
        return 1127 * torch.log1p(hz / 700)

    ends = to_mel(torch.tensor([_KALDI_LOW_HZ, SAMPLE_RATE / 2], dtype=torch.float64))
    edges = ends[0] + (ends[1] - ends[0]) / (mels + 1) * torch.arange(mels + 2, dtype=torch.float64)
    bands = _triangles(edges, to_mel(_bin_frequencies(fft)))
    bands[:, -1] = 0.0
    return functional.relu(bands)
