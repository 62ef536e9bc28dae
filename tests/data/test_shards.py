"""Batches from parquet shards: each utterance once, in an order of its own, taken up at any place."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from duolect.audio import read_audio
from duolect.data import BatchConfig, SkipLog, SpeechLoader
from duolect.data.shards import Columns, ShardBatches, Shards, ShardsConfig, is_shards, list_shards, reader
from duolect.data.shards.batches import duration_buckets
from duolect.errors import AudioError, ConfigError, DuolectError, ManifestError, TrainingError

pytest.importorskip("pyarrow")
from pyarrow import parquet
from shard_corpus import make_shards, shard_rows, write_shard

SHARDS, ROWS, GROUP = 12, 20, 3
CONFIG = BatchConfig(max_seconds=4, buckets=3)
SMALL = ShardsConfig(buffer=30, open_shards=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("shards"), SHARDS, ROWS, GROUP)


def _batches(folder: Path, config: BatchConfig = CONFIG, shards: ShardsConfig = SMALL, **options: Any) -> ShardBatches:
    return ShardBatches(Shards(list_shards([folder]), shards), config, **options)


def _ids(batches: Any) -> list[list[str]]:
    return [[utterance.id for utterance in batch.utterances] for batch in batches]


@pytest.mark.parametrize("seed", range(6))
def test_each_utterance_once_in_every_epoch_within_the_limits(folder: Path, seed: int) -> None:
    made = np.random.default_rng(seed)
    config = BatchConfig(
        max_seconds=float(made.uniform(0.8, 20)),
        max_utterances=int(made.integers(1, 30)),
        buckets=int(made.integers(1, 9)),
    )
    shards = ShardsConfig(buffer=int(made.integers(1, 300)), open_shards=int(made.integers(1, 15)))
    source = _batches(folder, config, shards, seed=seed, epochs=2)
    batches = list(source)
    for batch in batches:
        longest = max(utterance.duration for utterance in batch.utterances)
        assert len(batch.utterances) <= config.max_utterances, seed
        assert len(batch.utterances) == 1 or len(batch.utterances) * longest <= config.max_seconds, seed
    ids = list(itertools.chain(*_ids(batches)))
    everything = sorted(f"s{shard}r{row}" for shard in range(SHARDS) for row in range(ROWS))
    assert sorted(ids[: len(everything)]) == sorted(ids[len(everything) :]) == everything, seed
    assert ids[: len(everything)] != ids[len(everything) :], seed
    assert _ids(source) == _ids(batches), seed


def test_neighbours_are_torn_apart_and_batches_are_of_similar_durations(folder: Path) -> None:
    batches = list(_batches(folder, epochs=1))
    shards = [len({utterance.id.split("r")[0] for utterance in batch.utterances}) for batch in batches]
    assert np.mean(shards) > 2
    seconds = [[utterance.duration for utterance in batch.utterances] for batch in batches]
    padded = sum(len(each) * max(each) for each in seconds)
    assert padded < 1.15 * sum(map(sum, seconds))
    longest = [max(each) for each in seconds]
    assert longest != sorted(longest)


def test_without_shuffling_shards_and_rows_come_in_order(folder: Path) -> None:
    config = BatchConfig(max_seconds=4, buckets=1, max_utterances=1, shuffle=False)
    source = _batches(folder, config, ShardsConfig(buffer=1), epochs=1)
    blocks = [tuple(map(int, utterance[1:].split("r"))) for (utterance,) in _ids(source)]
    assert [shard for shard, _ in blocks] == sorted(shard for shard, _ in blocks)
    assert [row // GROUP for _, row in blocks] == [row // GROUP for _ in range(SHARDS) for row in range(ROWS)]
    assert _ids(source) == _ids(source)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_share_what_one_process_gets(folder: Path, world: int) -> None:
    alone = _ids(itertools.islice(_batches(folder, seed=4), 120))
    ranks = [
        _ids(itertools.islice(_batches(folder, seed=4, rank=r, world_size=world), 120 // world)) for r in range(world)
    ]
    assert [batch for step in zip(*ranks, strict=True) for batch in step] == alone[: 120 // world * world]


def test_taken_up_behind_any_batch_it_goes_on_as_if_nothing_had_been(folder: Path) -> None:
    whole = _batches(folder, seed=2)
    expected, states = [], [json.dumps(whole.state_dict())]
    for batch in itertools.islice(whole, 190):
        expected.append([(u, sound) for u, sound in zip(batch.utterances, batch.sounds, strict=True)])
        states.append(json.dumps(whole.state_dict()))
    assert json.loads(states[-1])["epoch"] >= 1
    assert max(map(len, states)) < 300
    for at in range(148):
        again = _batches(folder, seed=2)
        again.load_state_dict(json.loads(states[at]))
        found = [list(zip(b.utterances, b.sounds, strict=True)) for b in itertools.islice(again, 3 if at % 9 else 40)]
        assert found == expected[at : at + len(found)], at


def test_a_place_is_the_same_for_every_rank_and_world(folder: Path) -> None:
    pair = [_batches(folder, rank=rank, world_size=2) for rank in (0, 1)]
    for source in pair:
        list(itertools.islice(source, 21))
    assert pair[0].state_dict() == pair[1].state_dict()
    alone = _batches(folder)
    expected = _ids(itertools.islice(alone, 60))[42:]
    one = _batches(folder)
    one.load_state_dict(pair[0].state_dict())
    assert _ids(itertools.islice(one, 18)) == expected


class _Watch:
    """Counts shards opened, row groups read, and rows read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shards, self.groups, self.rows = 0, 0, 0
        opening, reading = reader.open_parquet, reader.Shard.read

        def open_parquet(path: Path) -> Any:
            self.shards += 1
            return opening(path)

        def read(shard: reader.Shard, *args: Any, **options: Any) -> Any:
            found = reading(shard, *args, **options)
            self.groups += 1
            self.rows += len(found[0])
            return found

        monkeypatch.setattr(reader, "open_parquet", open_parquet)
        monkeypatch.setattr(reader.Shard, "read", read)


@pytest.mark.parametrize("seed", range(3))
def test_start_and_resumption_read_a_block_whatever_the_number_of_shards(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    watch = _Watch(monkeypatch)
    source = _batches(folder, seed=seed)
    next(iter(source))
    most = 2 * (SMALL.buffer + 2 * GROUP)
    assert watch.shards <= 1 + 2 * SMALL.open_shards
    assert watch.rows <= most
    for at in (20, 45):
        whole = _batches(folder, seed=seed)
        list(itertools.islice(whole, at))
        again, watch.rows, watch.shards = _batches(folder, seed=seed), 0, 0
        again.load_state_dict(whole.state_dict())
        next(iter(again))
        assert watch.rows <= most, seed
        assert watch.shards <= 1 + 3 * SMALL.open_shards, seed


def test_memory_holds_the_buffer_and_little_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = _Watch(monkeypatch)
    given = 0
    for batch in _batches(folder, epochs=2):
        assert watch.rows - given <= SMALL.buffer + 4 * GROUP + len(batch.utterances)
        given += len(batch.utterances)
    assert given == watch.rows == 2 * SHARDS * ROWS


def _tensors(source: Any, count: int) -> Iterator[Any]:
    for batch in itertools.islice(source, count):
        yield batch.ids, batch.samples_BN, batch.labels_BN, batch.seeds_B


@pytest.mark.parametrize("workers", [0, 2])
def test_loaded_by_workers_it_is_the_sound_of_the_rows(folder: Path, letters: Any, workers: int) -> None:
    def loader(workers: int) -> SpeechLoader:
        return SpeechLoader(_batches(folder), letters, workers=workers)

    expected = list(_tensors(loader(0), 30))
    source = loader(workers)
    found = list(_tensors(source, 17))
    again = loader(2 - workers)
    again.load_state_dict(json.loads(json.dumps(source.state_dict())))
    found += list(_tensors(again, 13))
    for (ids, *tensors), (expected_ids, *expected_tensors) in zip(found, expected, strict=True):
        assert ids == expected_ids
        assert all(itertools.starmap(torch.equal, zip(tensors, expected_tensors, strict=True)))
    batch = next(iter(loader(0)))
    for utterance, samples_N, length in zip(batch.utterances, batch.samples_BN, batch.sample_lengths_B, strict=True):
        np.testing.assert_array_equal(read_audio(utterance.audio_filepath), samples_N[:length].numpy())
    assert batch.utterances[0].speaker in ("speaker0", "speaker1", "speaker2")


def test_rows_that_cannot_be_used_are_named_and_the_others_kept(tmp_path: Path, letters: Any) -> None:
    table = shard_rows(0, 14)
    sound = table["wav"]
    sound[1], sound[2], sound[3] = None, {"bytes": None, "path": "x"}, {"bytes": b"", "path": "x"}
    sound[4] = {"bytes": sound[4]["bytes"][:2000], "path": "x"}
    sound[5] = {"bytes": b"no sound at all", "path": "x"}
    table["duration"][6], table["duration"][7], table["duration"][8] = None, float("nan"), -1.0
    table["duration"][9], table["duration"][10] = 0.01, 99.0
    table["text"][11], table["ID"][12] = None, None
    write_shard(tmp_path / "a.parquet", table, 5)
    config, skipped = BatchConfig(max_seconds=4, buckets=2, shortest=0.1, longest=20), SkipLog()
    source = SpeechLoader(_batches(tmp_path, config, epochs=1, skipped=skipped), letters, skipped=skipped)
    assert sorted(i for batch in source for i in batch.ids) == ["a-12", "s0r0", "s0r13"]
    reasons = {entry.id: (entry.file, entry.reason) for entry in skipped}
    assert sorted(reasons) == sorted(f"s0r{row}" for row in range(1, 12))
    for row, reason in {
        1: "no sound in it", 2: "no sound in it", 3: "no sound in it", 4: "is truncated", 5: "is not a",
        6: "duration must", 8: "not -1.0", 9: "less than the shortest", 10: "more than the longest", 11: "text must be",
    }.items():  # fmt: skip
        assert reasons[f"s0r{row}"][0] == f"{tmp_path}/a.parquet#{row}"
        assert reason in reasons[f"s0r{row}"][1]


def test_durations_from_the_sound_and_other_columns(tmp_path: Path) -> None:
    table = shard_rows(0, 8)
    sounds = [sound["bytes"] for sound in table["wav"]]
    other = {"blob": sounds, "said": table["text"], "Language": ["en"] * 8, "client_id": list(range(8))}
    write_shard(tmp_path / "a.parquet", other, 3)
    named = ShardsConfig(columns=Columns(text="said"), buffer=3)
    found = {u.id: u for batch in _batches(tmp_path, CONFIG, named, epochs=1) for u in batch.utterances}
    assert sorted(found) == [f"a-{row}" for row in range(8)]
    for row in range(8):
        utterance = found[f"a-{row}"]
        assert (utterance.text, utterance.duration) == (table["text"][row], table["duration"][row])
        assert (utterance.lang, utterance.speaker) == ("en", str(row))
        assert len(read_audio(utterance.audio_filepath)) == round(16_000 * utterance.duration)
    both = {**other, "audio": table["wav"][::-1]}
    write_shard(tmp_path / "both" / "a.parquet", both, 3)
    for column, suffix in ((None, ""), ("blob", ":blob")):
        first = next(
            Shards(
                list_shards([tmp_path / "both"]), ShardsConfig(columns=Columns(audio=column, text="said"))
            ).utterances()
        )
        assert str(first.audio_filepath) == f"{tmp_path}/both/a.parquet#{first.line}{suffix}"
        assert len(read_audio(first.audio_filepath)) == round(16_000 * first.duration)
    other["duration_ms"] = [1000 * seconds for seconds in table["duration"]]
    write_shard(tmp_path / "ms" / "a.parquet", other, 3)
    timed = {u.id: u for u in Shards(list_shards([tmp_path / "ms"]), named).utterances()}
    assert [timed[id].duration for id in found] == pytest.approx([found[id].duration for id in found])
    sampled = Shards(list_shards([tmp_path / "ms"]), named).sample(5)
    assert (sampled.shards, sampled.rows, len(sampled.utterances)) == (1, 8, 5)


def test_what_is_wrong_with_shards_is_named(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_shard(tmp_path / f"{name}.parquet", shard_rows(0, 12), 3)
    good = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(good[: len(good) // 2])
    with pytest.raises(AudioError, match=r"b\.parquet: is not a whole parquet file"):
        list(_batches(tmp_path, epochs=1))
    (tmp_path / "b.parquet").write_bytes(good[:4] + bytes(2000) + good[2004:])
    with pytest.raises(AudioError, match=r"b\.parquet: row group 0 cannot be read"):
        list(_batches(tmp_path, epochs=1))
    (tmp_path / "b.parquet").unlink()
    source = _batches(tmp_path)
    state = source.state_dict()
    (tmp_path / "b.parquet").write_bytes(good)
    with pytest.raises(TrainingError, match="The 3 parquet shards are not those, by name, that this run began with"):
        _batches(tmp_path).load_state_dict(state)
    with pytest.raises(TrainingError, match="none in parquet shards"):
        source.load_state_dict({"epoch": 0, "consumed": 3})
    with pytest.raises(ConfigError, match="curriculum"):
        _batches(tmp_path, BatchConfig(curriculum=0.5))
    for columns, message in {
        Columns(text="words"): "has no column 'words' for the text; its columns are ID, duration, wav",
        Columns(audio="text"): "has no column of sound 'text' among its columns",
    }.items():
        with pytest.raises(DuolectError, match=message):
            _batches(tmp_path, CONFIG, ShardsConfig(columns=columns))
    write_shard(tmp_path / "none" / "a.parquet", {"wav": shard_rows(0, 2)["wav"], "words": ["a", "b"]}, 2)
    with pytest.raises(
        ManifestError,
        match=r"no column text or sentence for the text; say with shards.columns.text which .* wav, words",
    ):
        _batches(tmp_path / "none")
    for bad, message in (
        (tmp_path / "empty", "no parquet file there"),
        (tmp_path / "x*.parquet", "no parquet file there"),
    ):
        bad.with_name("empty").mkdir(exist_ok=True)
        with pytest.raises(ManifestError, match=message):
            list_shards([bad])
    with pytest.raises(ConfigError, match="parquet shards or manifests"):
        list_shards([folder, "train.jsonl"])
    full = write_shard(tmp_path / "rowless" / "b.parquet", shard_rows(0, 4), 2)
    parquet.write_table(parquet.read_table(full).slice(0, 0), full.with_name("a.parquet"))
    assert sum(map(len, _ids(_batches(tmp_path / "rowless", epochs=1)))) == 4


def test_folders_patterns_and_files_are_shards(folder: Path) -> None:
    assert [is_shards(each) for each in (folder, "x/*.parquet", "a.jsonl", "a.PARQUET")] == [True, True, False, True]
    whole = list_shards([folder])
    assert whole == sorted(whole)
    assert len(whole) == SHARDS
    assert list_shards([str(folder / "train-0000*.parquet")]) == whole[:10]
    assert list_shards([folder / "train-00003.parquet", folder]) == [whole[3], *whole[:3], *whole[4:]]


def test_shards_behind_a_linked_folder_are_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.parquet").symlink_to(folder / "train-00000.parquet")
    (tmp_path / "linked").symlink_to(folder)
    (tmp_path / "own" / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in list_shards([tmp_path])]
    assert found == [*(f"linked/train-{n:05}.parquet" for n in range(SHARDS)), "own/a.parquet"]


def test_buckets_ascend_hold_equal_shares_and_are_narrow() -> None:
    for seed in range(20):
        made = np.random.default_rng(seed)
        durations, number = made.lognormal(1, 0.8, int(made.integers(1, 400))), int(made.integers(1, 30))
        found = duration_buckets(durations, number)
        order = np.argsort(durations, kind="stable")
        assert (np.diff(found[order]) >= 0).all(), seed
        for bucket in range(found.max() + 1):
            inside = durations[found == bucket]
            assert inside.max() <= 1.25 * inside.min() * (1 + 1e-9), seed
            assert inside.sum() <= durations.sum() / number + inside.max() + 1e-9, seed


def test_neither_soundfile_nor_the_other_ranks_sound_is_touched_by_dealing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundfile, "SoundFile", None)
    assert len(list(_batches(folder, epochs=1))) > 10


def test_counted_once(folder: Path) -> None:
    texts = Counter(u.text for u in Shards(list_shards([folder]), SMALL).utterances(timed=False))
    assert texts.total() == SHARDS * ROWS
