"""Encoders of transformers: equal to the originals, the same in any batch where they say so, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import ALL, POSITIONS, SAFE, UNSAFE, Sources, parakeet_features
from torch import Tensor
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    BertConfig,
    ParakeetFeatureExtractor,
    ParakeetForCTC,
    WhisperModel,
)

from duolect.audio import FeatureConfig, WaveformConfig
from duolect.audio.waveform import build_input
from duolect.errors import ConfigError, ModelError
from duolect.models import HuggingFaceEncoderConfig, inspect_source
from duolect.models.encoders import PretrainedEncoder, build_encoder, check_ctc_layers
from duolect.models.encoders.extractor import read_extractor
from duolect.nn import ConformerConfig

RATE = 16_000
FRAMES = {"whisper": 0.02, "parakeet": 0.08}  # seconds per state; 20 ms for all that hear waveforms


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("hub"))


def load(source: Path, **settings: Any) -> tuple[Any, PretrainedEncoder]:
    """The module that makes its input, and the encoder."""
    features = inspect_source(str(source)).features
    encoder = build_encoder(HuggingFaceEncoderConfig(source=str(source), **settings), features)
    assert isinstance(encoder, PretrainedEncoder)
    return build_input(features), encoder


def sound(lengths: list[int], seed: int, padding: int = 0) -> tuple[Tensor, Tensor]:
    """(samples_BN, lengths_B) with rubbish in the padding, all utterances as one alone would have them."""
    samples_BN = 10 * torch.randn(len(lengths), max(lengths) + padding)
    for row, length in zip(samples_BN, lengths, strict=True):
        row[:length] = 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(seed + length))
    return samples_BN, torch.tensor(lengths)


def original(name: str, source: Path, samples_N: Tensor) -> tuple[Tensor, ...]:
    """What transformers makes of one utterance: the states after each layer, the last ones normed."""
    extractor = parakeet_features(80) if name == "parakeet" else AutoFeatureExtractor.from_pretrained(source)
    if name == "whisper":
        model = WhisperModel.from_pretrained(source).encoder.eval()
        inputs = extractor(samples_N.numpy(), sampling_rate=RATE, return_tensors="pt").input_features
        inputs = inputs[:, :, : 2 * POSITIONS]
        return model(inputs, output_hidden_states=True).hidden_states[1:]
    inputs = extractor(samples_N.numpy(), sampling_rate=RATE, return_tensors="pt")
    if name == "parakeet":
        model = ParakeetForCTC.from_pretrained(source).encoder.eval()
        states = model(inputs.input_features, attention_mask=inputs.attention_mask, output_hidden_states=True)
        return tuple(x[:, : int(states.attention_mask.sum())] for x in states.hidden_states[1:])
    model = AutoModel.from_pretrained(source).eval()
    states = model(inputs.input_values, output_hidden_states=True)
    return (*states.hidden_states[1:-1], states.last_hidden_state)


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
def test_states_of_every_layer_are_those_of_transformers(name: str, sources: Sources) -> None:
    to_input, encoder = load(sources[name])
    # Whisper itself attends to all its positions, so that only an utterance that fills them has the same states.
    samples_BN, lengths_B = sound([POSITIONS * 320 if name == "whisper" else 21_345], 5)
    states_BTD, frames_B, kept = encoder(*to_input(samples_BN, lengths_B), (1, 2, 3))
    expected = original(name, sources[name], samples_BN[0])
    assert states_BTD.shape[1] == frames_B[0] == expected[-1].shape[1]
    assert (encoder.depth, encoder.width, set(kept)) == (3, 16, {1, 2, 3})
    for layer, (states, lengths) in kept.items():
        assert torch.equal(lengths, frames_B)
        torch.testing.assert_close(states, expected[layer - 1][:, : states.shape[1]], atol=2e-4, rtol=1e-4)
    assert torch.equal(kept[3][0], states_BTD)
    seconds = FRAMES.get(name, 0.02)
    assert encoder.downsampling * to_input.config.seconds_per_frame == pytest.approx(seconds)
    assert frames_B[0] == pytest.approx(float(lengths_B[0]) / RATE / seconds, abs=1)


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
def test_lengths_are_those_of_transformers(name: str, sources: Sources) -> None:
    to_input, encoder = load(sources[name])
    lengths = torch.arange(400, 20_000, 37)
    inputs = lengths if isinstance(to_input.config, WaveformConfig) else to_input.frame_count(lengths)
    count = getattr(encoder.model, "_get_feat_extract_output_lengths", None)
    theirs = encoder.model._get_subsampling_output_length(inputs) if name == "parakeet" else count(inputs)
    assert torch.equal(encoder.output_lengths(inputs), theirs.long())
    assert not encoder.output_lengths(torch.zeros(1, dtype=torch.long)).any()


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
def test_padding_matters_to_those_that_say_so_and_to_no_other(name: str, sources: Sources) -> None:
    to_input, encoder = load(sources[name])
    assert encoder.padding_safe == inspect_source(str(sources[name])).padding_safe == (name in SAFE)
    for seed in range(3):
        lengths = [16_000, 30_000, 399, 8_640 + 777 * seed, 12_345]
        alone = [encoder(*to_input(*sound([length], seed)), (1, 3)) for length in lengths]
        largest = 0.0
        for padding in (0, 9_000):
            states_BTD, frames_B, kept = encoder(*to_input(*sound(lengths, seed, padding)), (1, 3))
            for row, (single, (count,), layers) in enumerate(alone):
                assert int(frames_B[row]) == int(count), f"seed {seed}"
                for mine, theirs in ((states_BTD, single), *((kept[n][0], layers[n][0]) for n in (1, 3))):
                    assert not mine[row, count:].any()
                    if count:
                        largest = max(largest, float((mine[row, :count] - theirs[0, :count]).abs().max()))
        assert (largest < 1e-4) if name in SAFE else (largest > 0.1), f"seed {seed}: {largest}"


@pytest.mark.parametrize("name", ALL)
def test_training_draws_nothing_for_a_whole_batch_and_reaches_every_weight(name: str, sources: Sources) -> None:
    to_input, encoder = load(sources[name])
    inputs = to_input(*sound([16_000, 9_000], 1))
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with torch.no_grad():
        expected = encoder(*inputs)[0]
    with torch.inference_mode():
        encoder(*inputs)  # leaves nothing behind that training could not use
    states_BTD, _, kept = encoder.train()(*inputs, (2,))
    torch.testing.assert_close(states_BTD, expected, atol=1e-5, rtol=0)  # no LayerDrop, no masks, no batch statistics
    (states_BTD * torch.randn_like(states_BTD)).sum().backward()
    idle = [key for key, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []  # DistributedDataParallel would wait for their gradients
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert kept[2][0].requires_grad


def test_masks_hide_states_of_waveform_encoders_in_training(sources: Sources) -> None:
    to_input, encoder = load(sources["wav2vec2"])
    inputs = to_input(*sound([16_000, 9_000], 1))
    plain = encoder(*inputs)[0]

    def masking(lengths_B: Tensor, frames: int, channels: int) -> tuple[Tensor, Tensor]:
        assert lengths_B.tolist() == [49, 27]
        time_BT = torch.zeros(2, frames, dtype=torch.bool)
        time_BT[0, 10:20] = True
        return time_BT, torch.zeros(2, channels, dtype=torch.bool)

    masked = encoder(*inputs, (), masking)[0]
    torch.testing.assert_close(masked[1], plain[1])
    assert (masked[0] - plain[0]).abs().max() > 0.1
    torch.testing.assert_close(encoder(*inputs, (), lambda *_: None)[0], plain)


@pytest.mark.parametrize("name", ["whisper", "wav2vec2", "conformer", "parakeet"])
def test_the_random_control_and_the_frozen_front_end(name: str, sources: Sources) -> None:
    _, trained = load(sources[name])
    _, random = load(sources[name], pretrained=False, train_front_end=False)
    theirs = random.state_dict()
    assert {k: v.shape for k, v in trained.state_dict().items()} == {k: v.shape for k, v in theirs.items()}
    assert any(not torch.equal(value, theirs[key]) for key, value in trained.state_dict().items())
    front = {id(p) for module in random.front_end for p in module.parameters()}
    assert front
    assert not any(p.requires_grad for p in random.parameters() if id(p) in front)
    assert sum(p.requires_grad for p in random.parameters()) > 20
    assert all(p.requires_grad for module in trained.front_end for p in module.parameters())


def test_whisper_hears_no_more_than_it_has_positions(sources: Sources) -> None:
    to_input, encoder = load(sources["whisper"])
    assert encoder.longest == 2 * POSITIONS
    assert inspect_source(str(sources["whisper"])).longest_seconds == pytest.approx(3.0)
    assert encoder(*to_input(*sound([48_017], 1)))[1].tolist() == [POSITIONS]
    with pytest.raises(ModelError, match=r"positions for 300 frames, not for 400; leave out or cut"):
        encoder(*to_input(*sound([64_000], 1)))


def test_other_features_than_those_of_the_source_are_refused(sources: Sources) -> None:
    whisper = HuggingFaceEncoderConfig(source=str(sources["whisper"]))
    with pytest.raises(ModelError, match=r"they must have kind 'whisper', fft 400\.$"):
        build_encoder(whisper, FeatureConfig())
    with pytest.raises(ModelError, match=r"they must have mels 80\.$"):
        build_encoder(whisper, FeatureConfig(kind="whisper", fft=400, mels=128))
    wave = HuggingFaceEncoderConfig(source=str(sources["wav2vec2-group"]))
    with pytest.raises(ModelError, match=r"they must have normalise False\.$"):
        build_encoder(wave, WaveformConfig())
    with pytest.raises(ModelError, match="kind 'nemo', normalisation 'per_feature'"):
        build_encoder(HuggingFaceEncoderConfig(source=str(sources["parakeet"])), FeatureConfig())
    with pytest.raises(ConfigError, match="a Conformer hears log-mel features"):
        build_encoder(ConformerConfig(), WaveformConfig())


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("wav2vec2", {"sampling_rate": 8000}, "sampling_rate 8000; only 16000"),
        ("whisper", {"hop_length": 80}, "hop_length 80; only 160"),
        ("parakeet", {"preemphasis": 0.9}, r"preemphasis 0\.9; only 0\.97"),
    ],
)
def test_a_source_with_features_there_are_not_is_refused(
    name: str, change: dict, says: str, sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    shutil.copytree(sources[name], folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | change))
    with pytest.raises(ModelError, match=says):
        inspect_source(str(folder))


@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
@pytest.mark.parametrize("damage", ["cut", "list", "bytes"])
def test_damaged_settings_of_features_are_not_taken_for_none(
    file: str, damage: str, sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    shutil.copytree(sources["wav2vec2-group"], folder)
    features = inspect_source(str(folder)).features
    own = folder / "preprocessor_config.json"
    whole = own.read_text()
    if file == "processor_config.json":  # where a processor was saved, the settings are in its own file
        own.unlink()
        whole = json.dumps({"processor_class": "Wav2Vec2Processor", "feature_extractor": json.loads(whole)})
        (folder / file).write_text(whole)
        assert inspect_source(str(folder)).features == features == WaveformConfig(normalise=False)
    broken = {"cut": whole[: len(whole) // 2].encode(), "list": b"[1]", "bytes": b"\xff\xfe"}[damage]
    (folder / file).write_bytes(broken)
    with pytest.raises(ModelError, match=rf"^encoder: {file} of .*source.* cannot be read \(.+\); expected [^;]*\.$"):
        inspect_source(str(folder))
    with pytest.raises(ModelError, match=rf"{file} of "):
        build_encoder(HuggingFaceEncoderConfig(source=str(folder)), WaveformConfig())
    (folder / file).unlink()
    assert inspect_source(str(folder)).features == WaveformConfig()  # as transformers has it where nothing is said


def test_settings_that_could_not_be_fetched_are_not_taken_for_none(monkeypatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    answers: dict[str, Any] = {}

    def answer(_source: str, name: str) -> str:
        if isinstance(answers[name], Exception):
            raise answers[name]
        return answers[name]

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    known: Any = None
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: known)
    (tmp_path / "settings.json").write_text('{"do_normalize": false}')
    missing = EntryNotFoundError("404")
    answers |= {"processor_config.json": missing, "preprocessor_config.json": str(tmp_path / "settings.json")}
    assert read_extractor("some/encoder").do_normalize is False
    answers["preprocessor_config.json"] = missing
    assert read_extractor("some/encoder") is None
    for error in (LocalEntryNotFoundError("no network"), PermissionError("not yours")):
        answers["preprocessor_config.json"] = error
        with pytest.raises(ModelError, match=r"^encoder: preprocessor_config\.json of 'some/encoder'.*\((no|not) "):
            read_extractor("some/encoder")
    answers["preprocessor_config.json"] = LocalEntryNotFoundError("no network")
    answers["processor_config.json"] = LocalEntryNotFoundError("no network")
    with pytest.raises(ModelError, match=r"^encoder: preprocessor_config\.json of 'some/encoder'"):
        read_extractor("some/encoder")
    # A cache that was filled at once holds the files there are, and says nothing of the others.
    answers["preprocessor_config.json"] = str(tmp_path / "settings.json")
    assert read_extractor("some/encoder").do_normalize is False
    answers["preprocessor_config.json"] = missing
    with pytest.raises(ModelError, match=r"^encoder: processor_config\.json of 'some/encoder'"):
        read_extractor("some/encoder")
    known = object()  # the cache remembers that the hub had no such file
    assert read_extractor("some/encoder") is None


def test_no_feature_extractor_is_built(sources: Sources, monkeypatch) -> None:
    """Some want packages that need not be there: with transformers 5.17 that of Parakeet wants librosa."""

    def wants_more(*_: Any, **__: Any) -> None:
        raise ImportError("ParakeetFeatureExtractor requires the librosa library")

    source = str(sources["parakeet"])
    monkeypatch.setattr(ParakeetFeatureExtractor, "__init__", wants_more)
    assert inspect_source(source).features == FeatureConfig(kind="nemo", mels=80, normalisation="per_feature")


def test_sources_that_cannot_be_used_are_refused(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub name"):
        inspect_source(str(tmp_path / "nothing"))
    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(ModelError, match="is a model of the type 'bert'; supported are whisper, wav2vec2"):
        inspect_source(str(tmp_path / "bert"))
    shutil.copytree(sources["hubert"], tmp_path / "hubert")
    weights = load_file(tmp_path / "hubert" / "model.safetensors")
    weights = {key: value for key, value in weights.items() if "layers.1.attention" not in key}
    save_file(weights, tmp_path / "hubert" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks the weights encoder\.layers\.1\.attention.* and 7 more"):
        load(tmp_path / "hubert")
    with pytest.raises(ConfigError, match="source must be"):
        HuggingFaceEncoderConfig(source="")
    with pytest.raises(ConfigError, match="rising and counted from 1"):
        check_ctc_layers((0, 3), HuggingFaceEncoderConfig(source="x"))


def test_unsafe_ones_are_those_with_group_or_batch_norm_and_the_conformers() -> None:
    assert all("group" in name or "batch-norm" in name or "conformer" in name for name in UNSAFE)
