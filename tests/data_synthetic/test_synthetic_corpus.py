"""The corpus as a whole, on its smallest size."""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from duolect.data.manifest import load_manifest
from duolect.data.synthetic import DEV_TEMPLATES, TEST_TEMPLATES, make_corpus, synthetic_config
from duolect.data.synthetic.config import SoundConfig
from duolect.data.synthetic.text import draw_texts
from duolect.errors import ConfigError, DuolectError


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "tiny", "tiny", workers=1)


@pytest.fixture(scope="module")
def splits(corpus):
    return {name: load_manifest(getattr(corpus, name)) for name in ("train", "dev", "test")}


def test_manifests_are_complete(corpus, splits):
    assert {name: len(found) for name, found in splits.items()} == {"train": 24, "dev": 8, "test": 8}
    for name, found in splits.items():
        assert corpus.hours[name] == pytest.approx(sum(u.duration for u in found) / 3600, abs=1e-4)
        for utterance in found:
            info = soundfile.info(utterance.audio_filepath)
            assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
            assert utterance.duration == info.frames / 16_000
            assert 4 <= len(utterance.text.split()) <= 14
            assert utterance.translation
            assert (utterance.lang, utterance.target_lang) == ("en", "de")
            assert utterance.speaker
            assert {"domain", "template", "seen_template", "voice", "rate", "pitch", "snr", "room"} <= set(
                utterance.fields
            )
            assert np.abs(soundfile.read(utterance.audio_filepath)[0]).max() > 0.05


def test_nothing_else_is_left_in_the_folder(corpus):
    assert sorted(path.name for path in corpus.folder.iterdir()) == [
        *("audio", "config.json", "dev.jsonl", "lm.de", "lm.txt", "test.jsonl", "train.jsonl")
    ]


def test_lm_text_and_translations_are_aligned(corpus):
    english, german = corpus.lm_text.read_text().splitlines(), corpus.translations.read_text().splitlines()
    assert len(english) == len(german) == len(set(english)) == 300
    assert english != german


def test_splits_share_neither_voices_nor_sentences(corpus, splits):
    texts = {name: {u.text for u in found} for name, found in splits.items()}
    lm = set(corpus.lm_text.read_text().splitlines())
    assert not texts["train"] & texts["dev"]
    assert not texts["train"] & texts["test"]
    assert not texts["dev"] & texts["test"]
    assert not lm & (texts["dev"] | texts["test"])
    qualities = {name: {u.speaker.partition("+")[2] for u in found} for name, found in splits.items()}
    assert not qualities["test"] & (qualities["train"] | qualities["dev"])
    assert not qualities["dev"] & qualities["train"]


def test_held_out_templates_occur_in_their_split_only(splits):
    only_test, only_dev = ({t.name for t in part} for part in (TEST_TEMPLATES, DEV_TEMPLATES))
    found = {name: {u.fields["template"] for u in part} for name, part in splits.items()}
    assert not found["train"] & (only_test | only_dev)
    assert not found["dev"] & only_test
    assert not found["test"] & only_dev
    for name, own in (("dev", only_dev), ("test", only_test)):
        unseen = [u for u in splits[name] if not u.fields["seen_template"]]
        assert len(unseen) == 2
        assert {u.fields["template"] for u in unseen} <= own
    assert all(u.fields["seen_template"] for u in splits["train"])


def test_no_test_sentence_hides_behind_an_opener_in_larger_text():
    config = dataclasses.replace(synthetic_config("demo"), lm_sentences=20_000)
    texts = draw_texts(config)
    held = {s.core for s in texts.dev} | {s.core for s in texts.test}
    assert not held & ({s.core for s in texts.lm} | {s.core for s in texts.train})
    assert not {s.core for s in texts.dev} & {s.core for s in texts.test}
    only_held = {template.name for template in (*TEST_TEMPLATES, *DEV_TEMPLATES)}
    assert not only_held & {s.template for s in (*texts.lm, *texts.train)}


def test_bytes_do_not_depend_on_the_number_of_workers(corpus, tmp_path):
    again = make_corpus(tmp_path / "two", "tiny", workers=2)
    assert hashes(again.folder) == hashes(corpus.folder)


def test_another_seed_gives_another_corpus(corpus, tmp_path):
    other = make_corpus(tmp_path / "other", "tiny", seed=2, workers=1)
    assert not set(other.test.read_text().splitlines()) & set(corpus.test.read_text().splitlines())
    assert other.lm_text.read_text() != corpus.lm_text.read_text()


def test_a_complete_corpus_is_reused_and_an_unfinished_one_made_anew(tmp_path):
    folder = tmp_path / "corpus"
    small = dataclasses.replace(synthetic_config("tiny"), train=4, dev=4, test=4, lm_sentences=20)
    calls: list[tuple[int, int]] = []
    made = make_corpus(folder, workers=1, config=small, progress=lambda *call: calls.append(call))
    assert calls[-1] == (12, 12)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    before, count = hashes(folder), len(calls)
    assert make_corpus(folder, workers=1, config=small, progress=lambda *call: calls.append(call)) == made
    assert len(calls) == count

    (folder / "config.json").rename(folder / "unfinished.json")  # as if it had been interrupted
    next((folder / "audio").rglob("*.wav")).write_bytes(b"half")
    make_corpus(folder, workers=1, config=small)
    assert hashes(folder) == before

    louder = dataclasses.replace(small, sound=SoundConfig(level_db=(1.0, 2.0)))
    make_corpus(folder, workers=1, config=louder)
    assert hashes(folder) != before


def test_an_interrupted_corpus_is_not_taken_for_a_complete_one(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_corpus(tmp_path / "corpus", "tiny", workers=1, progress=stop)
    assert not (tmp_path / "corpus" / "config.json").exists()
    assert not (tmp_path / "corpus" / "train.jsonl").exists()
    assert make_corpus(tmp_path / "corpus", "tiny", workers=1).train.exists()


def test_other_things_in_the_folder_are_left_alone(tmp_path):
    for name, content in (("notes.txt", "mine"), ("config.json", '{"layers": 3}')):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text(content)
        with pytest.raises(DuolectError, match="no synthetic corpus"):
            make_corpus(folder, "tiny", workers=1)
        assert [path.name for path in folder.iterdir()] == [name]
        assert (folder / name).read_text() == content


def test_errors_name_the_folder_or_the_size(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DuolectError, match="file"):
        make_corpus(tmp_path / "file" / "corpus", "tiny", workers=1)
    with pytest.raises(ConfigError, match="size must be"):
        make_corpus(tmp_path / "corpus", "large", workers=1)  # type: ignore[arg-type]
    assert not os.path.exists(tmp_path / "corpus")
