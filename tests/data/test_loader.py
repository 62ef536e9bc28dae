"""Loading: padding, seeds, skips; the same batches whatever prepares them, taken up exactly where they were left."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from duolect.data import loader
from duolect.data.augment import WaveAugmentConfig
from duolect.data.batching import BatchConfig, SpeechBatches
from duolect.data.loader import SpeechBatch, SpeechLoader, collate, read_samples
from duolect.data.manifest import Utterance
from duolect.data.skips import SkipLog, Skipped
from duolect.errors import AudioError, DuolectError, ManifestError

Make = Callable[..., list[Utterance]]
CONFIG = BatchConfig(max_seconds=1.5, buckets=3)
AUGMENT = WaveAugmentConfig(speed=(0.9, 1.0, 1.1), room_probability=0.5, noise_snr=(5.0, 20.0))
TEXTS = ["the cat", "sat", "on", "a mat", "and", "it was", "flat", "so", "that", "was that", "the end", "now"]


def _same(one: SpeechBatch, other: SpeechBatch) -> bool:
    def equal(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b

    return all(equal(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(SpeechBatch))


def _take(source: SpeechLoader, count: int) -> list[SpeechBatch]:
    return list(itertools.islice(source, count))


def test_collate_pads_and_spells(make_corpus: Make, letters: Any, other_letters: Any) -> None:
    utterances = make_corpus(["abc", "", "zz"])
    batch = collate(utterances, letters, other_letters, seed=1, epoch=2)
    assert batch.ids == ("tone0", "tone1", "tone2")
    assert batch.utterances == tuple(utterances)
    assert batch.sample_lengths_B.tolist() == [4800, 5600, 6400]
    assert batch.samples_BN.shape == (3, 6400)
    assert batch.samples_BN.dtype == torch.float32
    assert not batch.samples_BN[0, 4800:].any()
    assert np.array_equal(batch.samples_BN[1, :5600].numpy(), read_samples(utterances[1]))
    assert batch.labels_BN.tolist() == [[1, 2, 3], [0, 0, 0], [26, 26, 0]]
    assert batch.label_lengths_B.tolist() == [3, 0, 2]
    assert batch.ctc_labels_BN is not None
    assert batch.ctc_labels_BN.tolist() == [[1, 3], [0, 0], [26, 0]]
    assert batch.seeds_B.dtype == torch.int64
    assert len(set(batch.seeds_B.tolist())) == 3
    assert batch.skipped == ()
    assert len(batch) == 3


def test_without_units_nothing_need_be_spelled(make_corpus: Make) -> None:
    batch = collate(make_corpus(["Ünspellable!"]), None)
    assert batch.labels_BN.shape == (1, 0)
    assert batch.ctc_labels_BN is None
    assert len(batch) == 1


def test_an_utterance_does_not_depend_on_its_batch(make_corpus: Make, letters: Any) -> None:
    utterances = make_corpus(TEXTS)
    together = collate(utterances, letters, seed=3, epoch=1, augment=AUGMENT)
    for row, utterance in enumerate(utterances):
        alone = collate([utterance], letters, seed=3, epoch=1, augment=AUGMENT)
        length = int(together.sample_lengths_B[row])
        assert length == int(alone.sample_lengths_B)
        assert torch.equal(alone.samples_BN[0], together.samples_BN[row, :length])
        assert alone.seeds_B[0] == together.seeds_B[row]
    for other in ({"seed": 4, "epoch": 1}, {"seed": 3, "epoch": 2}):
        again = collate(utterances, letters, augment=AUGMENT, **other)
        assert not set(again.seeds_B.tolist()) & set(together.seeds_B.tolist())


def test_to_a_device_keeps_the_rest(make_corpus: Make, letters: Any) -> None:
    batch = collate(make_corpus(["a", "b"]), letters)
    moved = batch.to("meta")
    assert moved.samples_BN.device.type == moved.label_lengths_B.device.type == "meta"
    assert moved.seeds_B.device.type == "cpu"
    assert (moved.ids, moved.ctc_labels_BN) == (batch.ids, None)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_do_not_depend_on_workers(make_corpus: Make, letters: Any, workers: int) -> None:
    utterances = [*make_corpus(TEXTS), Utterance(audio_filepath=Path("/none.wav"), duration=0.5, text="a", id="gone")]

    def run(count: int) -> tuple[list[SpeechBatch], list[Skipped], torch.Tensor]:
        source = SpeechLoader(SpeechBatches(utterances, CONFIG, 7), letters, augment=AUGMENT, workers=count)
        torch.manual_seed(0)
        return _take(source, 12), list(source.skipped), torch.get_rng_state()

    expected, skipped, state = run(0)
    batches, also_skipped, also_state = run(workers)
    assert all(itertools.starmap(_same, zip(batches, expected, strict=True)))
    assert skipped == also_skipped
    assert [entry.id for entry in skipped] == ["gone"]
    torch.manual_seed(0)
    assert torch.equal(state, torch.get_rng_state())  # the training's random state is left alone
    assert torch.equal(also_state, state)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("delivered", [0, 1, 5, 9])
def test_what_a_worker_has_drawn_but_not_delivered_is_drawn_again(
    make_corpus: Make, letters: Any, workers: int, delivered: int
) -> None:
    utterances = make_corpus(TEXTS)

    def new() -> SpeechLoader:
        return SpeechLoader(SpeechBatches(utterances, CONFIG, 7), letters, augment=AUGMENT, workers=workers)

    whole = new()
    steps = iter(whole)
    for _ in range(delivered):
        next(steps)
    state = json.loads(json.dumps(whole.state_dict()))  # as a checkpoint keeps it
    expected = list(itertools.islice(steps, 3))
    resumed = new()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert all(itertools.starmap(_same, zip(_take(resumed, 3), expected, strict=True)))


def test_two_ranks_deliver_what_one_does(make_corpus: Make, letters: Any) -> None:
    utterances = make_corpus(TEXTS)
    alone = _take(SpeechLoader(SpeechBatches(utterances, CONFIG, 7), letters), 8)
    for rank in range(2):
        pair = SpeechLoader(SpeechBatches(utterances, CONFIG, 7, rank=rank, world_size=2), letters)
        assert all(itertools.starmap(_same, zip(_take(pair, 4), alone[rank::2], strict=True)))
        assert sum(pair.state_dict().values()) > 0


def test_an_evaluation_passes_once_and_again(make_corpus: Make, letters: Any) -> None:
    still = BatchConfig(max_seconds=1.5, shuffle=False)
    source = SpeechLoader(SpeechBatches(make_corpus(TEXTS), still, epochs=1), letters)
    first, second = ([i for batch in source for i in batch.ids] for _ in range(2))
    assert first == second
    assert sorted(first) == sorted(f"tone{i}" for i in range(len(TEXTS)))


def _bad_files(folder: Path) -> dict[str, tuple[Utterance, str]]:
    def wave(name: str, samples: np.ndarray, **further: Any) -> Path:
        soundfile.write(folder / name, samples, 16000, **further)
        return folder / name

    def utterance(path: Path, duration: float = 1.0, text: str = "a", **further: Any) -> Utterance:
        return Utterance(audio_filepath=path, duration=duration, text=text, id=path.stem, **further)

    second = np.full(16000, 0.1)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "words.wav").write_text("this is not sound at all, but it is long enough to be looked into")
    nan = wave("nan.wav", np.array([0.0, np.nan] * 8000), subtype="FLOAT")
    return {
        "missing": (utterance(folder / "missing.wav"), "missing.wav"),
        "empty": (utterance(folder / "empty.wav"), "empty.wav"),
        "words": (utterance(folder / "words.wav"), "words.wav"),
        "nan": (utterance(nan), "nan.wav"),
        "none": (utterance(wave("none.wav", np.zeros(0))), "none.wav"),
        "one": (utterance(wave("one.wav", np.zeros(1)), duration=0.05), "too short"),
        "shorter": (utterance(wave("shorter.wav", second), duration=1.2), "holds 1.00 s from 0.00 s on; the manifest"),
        "beyond": (utterance(wave("beyond.wav", second), offset=0.5, duration=0.7), "holds 0.50 s from 0.50 s on"),
        "after": (utterance(wave("after.wav", second), offset=2.0), "after.wav"),
        "spelling": (utterance(wave("spelling.wav", second), text="a1"), "cannot spell '1'"),
    }


def test_each_bad_utterance_is_skipped_with_its_reason(tmp_path: Path, make_corpus: Make, letters: Any) -> None:
    bad = _bad_files(tmp_path)
    good = make_corpus(["fine", "too"])
    batch = collate([good[0], *(utterance for utterance, _ in bad.values()), good[1]], letters)
    assert batch.ids == ("tone0", "tone1")
    assert [skipped.id for skipped in batch.skipped] == list(bad)
    for skipped, (utterance, reason) in zip(batch.skipped, bad.values(), strict=True):
        assert reason in skipped.reason
        assert skipped.file == str(utterance.audio_filepath)
        assert "\n" not in skipped.reason


def test_a_file_may_end_a_little_early(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    utterance = Utterance(audio_filepath=tmp_path / "a.wav", duration=1.09, text="", id="a")
    assert len(read_samples(utterance)) == 16000
    with pytest.raises(AudioError, match=r"a\.wav: holds 1\.00 s from 0\.00 s on; the manifest expects 1\.11 s"):
        read_samples(dataclasses.replace(utterance, duration=1.11))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_that_lost_everything_is_passed_over(make_corpus: Make, letters: Any, workers: int) -> None:
    utterances = make_corpus(TEXTS)
    one_each = BatchConfig(max_utterances=1, buckets=1)
    for utterance in utterances[3:9]:
        utterance.audio_filepath.unlink()
    source = SpeechLoader(SpeechBatches(utterances, one_each, epochs=1), letters, workers=workers)
    batches = list(source)
    assert sorted(i for batch in batches for i in batch.ids) == sorted(f"tone{i}" for i in [0, 1, 2, 9, 10, 11])
    assert sorted(entry.id for entry in source.skipped) == [f"tone{i}" for i in range(3, 9)]


def test_a_corpus_without_one_good_utterance_stops(make_corpus: Make, letters: Any) -> None:
    utterances = make_corpus(["A", "B", "C"])
    with pytest.raises(DuolectError, match="No utterance of a whole epoch could be used: 3 utterances were skipped"):
        next(iter(SpeechLoader(SpeechBatches(utterances, CONFIG), letters)))


def test_an_unforeseen_fault_of_a_decoder_is_a_skip_too(
    make_corpus: Make, letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(utterance: Utterance, sound: bytes | None) -> np.ndarray:
        if utterance.id == "tone1":
            raise RuntimeError("the decoder gave up")
        return np.zeros(16000, np.float32)

    monkeypatch.setattr(loader, "read_samples", fail)
    batch = collate(make_corpus(["a", "b", "c"]), letters)
    assert batch.ids == ("tone0", "tone2")
    assert "RuntimeError: the decoder gave up" in batch.skipped[0].reason


def test_the_skip_log_counts_each_once(tmp_path: Path) -> None:
    log = SkipLog()
    assert log.summary() == "no utterance was skipped"
    log.extend([Skipped("a", "a.wav", "bad"), Skipped("b", "b.wav", "wörse")])
    log.extend([Skipped("a", "a.wav", "bad")])
    log.add_misfits([(Utterance(audio_filepath=Path("/c.wav"), duration=1.0, text="", id="c"), "too long")])
    assert len(log) == 3
    assert log.summary() == "3 utterances were skipped: a: bad; b: wörse; c: too long"
    assert log.summary(most=1) == "3 utterances were skipped: a: bad; and 2 more"
    log.write(tmp_path / "skipped.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "skipped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[1] == {"id": "b", "file": "b.wav", "reason": "wörse"}
    assert list(SkipLog.read(tmp_path / "skipped.jsonl")) == list(log)
    (tmp_path / "torn.jsonl").write_text('{"id": "b"}\n')
    with pytest.raises(ManifestError, match=r"torn\.jsonl:1: .*id, file and reason"):
        SkipLog.read(tmp_path / "torn.jsonl")
    SkipLog().write(tmp_path / "skipped.jsonl")
    assert (tmp_path / "skipped.jsonl").read_bytes() == b""


def test_misfits_of_the_batching_are_in_the_log(make_corpus: Make, letters: Any) -> None:
    short = BatchConfig(longest=0.5)
    source = SpeechLoader(SpeechBatches(make_corpus(TEXTS), short, epochs=1), letters)
    assert len(source.skipped) + sum(map(len, source)) == len(TEXTS)
    assert all("longest allowed" in entry.reason for entry in source.skipped)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned_batches_are_the_same(make_corpus: Make, letters: Any) -> None:
    utterances = make_corpus(TEXTS)
    plain = _take(SpeechLoader(SpeechBatches(utterances, CONFIG), letters), 3)
    pinned = _take(SpeechLoader(SpeechBatches(utterances, CONFIG), letters, workers=1, pin_memory=True), 3)
    assert all(batch.samples_BN.is_pinned() for batch in pinned)
    assert all(itertools.starmap(_same, zip(plain, pinned, strict=True)))
