"""Corpora of given sentences: the recordings of the grammar's corpus, of any text."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from duolect.data.manifest import load_manifest
from duolect.data.synthetic import SpeakingConfig, make_corpus, speak_sentences, synthetic_config
from duolect.data.synthetic.pool import Pool
from duolect.data.synthetic.voices import VARIANTS
from duolect.errors import ConfigError, DuolectError

SENTENCES = {
    "train": ["Once upon a time, there was a cat.", 'She said: "Hello!"', "It was a sunny day.", "They ran home."],
    "dev": ["The cat didn't eat it."],
    "test": ["One day, Tim saw 3 birds.", "Mom was happy too."],
}
CONFIG = SpeakingConfig(babble_tracks=1, babble_seconds=2.0)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_was_given_is_spoken_and_written_as_it_was_given(tmp_path):
    made = speak_sentences(tmp_path / "one", SENTENCES, CONFIG, workers=1)
    voices = {}
    for split, sentences in SENTENCES.items():
        found = load_manifest(getattr(made, split))
        assert [u.text for u in found] == sentences
        assert made.hours[split] == pytest.approx(sum(u.duration for u in found) / 3600, abs=1e-4)
        voices[split] = {u.speaker.partition("+")[2] for u in found}
        for u in found:
            assert soundfile.info(u.audio_filepath).frames == u.duration * 16_000
            assert np.abs(soundfile.read(u.audio_filepath)[0]).max() > 0.05
            assert u.translation is None
            assert {"voice", "noise", "snr", "room"} <= set(u.fields)
            assert "template" not in u.fields
    assert not voices["test"] & (voices["train"] | voices["dev"])
    assert sorted(path.name for path in made.folder.iterdir()) == [
        *("audio", "config.json", "dev.jsonl", "test.jsonl", "train.jsonl")
    ]
    again = speak_sentences(tmp_path / "two", SENTENCES, CONFIG, workers=2)
    assert hashes(again.folder) == hashes(made.folder)


def test_german_is_spoken_by_the_same_qualities_in_german(tmp_path):
    said = {"train": ["Das Mädchen isst Äpfel.", "Wir gehen heim."], "dev": ["Guten Tag."], "test": ["Schönes Wetter!"]}
    made = {name: speak_sentences(tmp_path / name, said, CONFIG, workers=1, language=name) for name in ("de", "en")}
    for split in said:
        german, english = (load_manifest(getattr(made[name], split)) for name in ("de", "en"))
        assert {u.lang for u in german} == {"de"}
        assert {u.speaker.partition("+")[0] for u in german} == {"de"}
        assert {u.speaker.partition("+")[2] for u in german} <= {variant or "" for variant in VARIANTS[split]}
        assert [u.text for u in german] == [u.text for u in english] == said[split]
        assert [u.fields["voice"] for u in german] == [u.speaker for u in german]
        assert not {u.duration for u in german} & {u.duration for u in english}


def test_sentences_of_the_grammar_sound_as_in_its_corpus(tmp_path):
    config = dataclasses.replace(synthetic_config("tiny"), train=6, dev=3, test=3, lm_sentences=20, babble_seconds=2.0)
    corpus = make_corpus(tmp_path / "grammar", workers=1, config=config)
    texts = {split: [u.text for u in load_manifest(getattr(corpus, split))] for split in ("train", "dev", "test")}
    speak_sentences(tmp_path / "given", texts, config.speaking, workers=1)
    assert hashes(tmp_path / "given" / "audio") == hashes(tmp_path / "grammar" / "audio")


def test_the_same_sentences_are_found_and_others_spoken_anew(tmp_path):
    calls: list[tuple[int, int]] = []

    def make(sentences=SENTENCES, config=CONFIG):
        calls.clear()
        made = speak_sentences(tmp_path / "c", sentences, config, workers=1, progress=lambda *call: calls.append(call))
        return made, hashes(tmp_path / "c")

    first = make()
    assert calls[-1] == (7, 7)
    assert make() == first
    assert not calls
    assert make({**SENTENCES, "dev": ["The cat ate it all."]})[1] != first[1]
    assert calls
    assert make(config=dataclasses.replace(CONFIG, seed=2))[1] != first[1]
    assert make() == first


@pytest.mark.skipif(sys.platform != "linux", reason="signals to a process group")
def test_ctrl_c_ends_all_processes_and_leaves_an_unfinished_corpus(tmp_path):
    """Ctrl-C reaches the whole process group; a worker that died of it could take a lock of the pool with it."""
    with Pool(2) as pool:
        assert pool.map(signal.getsignal, [signal.SIGINT] * 4) == [signal.SIG_IGN] * 4
    program = (
        "from duolect.data.synthetic import SpeakingConfig, speak_sentences\n"
        "said = {split: [f'This is number {i}.' for i in range(n)] for split, n in"
        " (('train', 5000), ('dev', 1), ('test', 1))}\n"
        "config = SpeakingConfig(babble_tracks=1, babble_seconds=1.0)\n"
        f"speak_sentences({str(tmp_path / 'c')!r}, said, config, workers=3,"
        " progress=lambda *counts: print(*counts, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout.readline().endswith(b"5002\n")
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert said.rstrip().endswith(b"KeyboardInterrupt")
    assert (tmp_path / "c" / "unfinished.json").exists()
    assert not (tmp_path / "c" / "config.json").exists()


def test_what_cannot_be_spoken_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"dev has no sentence"):
        speak_sentences(tmp_path / "c", {**SENTENCES, "dev": []}, CONFIG)
    with pytest.raises(ConfigError, match=r"train sentence 2, '\.\.\.', has no word"):
        speak_sentences(tmp_path / "c", {**SENTENCES, "train": ["Yes it is.", "..."]}, CONFIG)
    with pytest.raises(ConfigError, match="speak en and de, not 'fr'"):
        speak_sentences(tmp_path / "c", SENTENCES, CONFIG, language="fr")
    with pytest.raises(ConfigError, match="babble_tracks must be at least 1"):
        SpeakingConfig(babble_tracks=0)
    with pytest.raises(ConfigError, match="seed must be 0 or more, not -1"):
        SpeakingConfig(seed=-1)
    assert not (tmp_path / "c").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(DuolectError, match="no synthetic corpus"):
        speak_sentences(tmp_path / "mine", SENTENCES, CONFIG, workers=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
