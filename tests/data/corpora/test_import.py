"""What all imports promise: nothing twice, nothing lost, whatever happens in the middle."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from corpus_files import imported, lines, rows, skipped, sound

from duolect.data import Utterance, load_manifest
from duolect.data.corpora import UNKNOWN, Checkpoint, Corpus, Plan, Split, corpus_named, import_corpus, repeatable
from duolect.data.corpora.base import sign_files
from duolect.data.corpora.journal import IdSet
from duolect.data.corpora.run import Progress
from duolect.data.skips import Skipped
from duolect.errors import DuolectError, ManifestError


@dataclass(frozen=True)
class Options:
    """Of the corpus of this test."""

    mark: str = ""


def corpus(read: Any, **settings: Any) -> Corpus:
    """A corpus of one split, `read` from the start."""

    def plan(source: str, options: Options, out: Path) -> Plan:
        return Plan((Split("all", repeatable(read), **settings),), signature="one")

    return Corpus("made", "made by the test", "nothing", Options, plan)


@pytest.fixture(autouse=True)
def _note_at_every_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duolect.data.corpora.run.NOTE_SECONDS", 0.0)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Twelve sound files with text, of which three cannot be used."""
    folder = tmp_path / "files"
    for number in range(12):
        sound(folder / f"{number:02}.wav", 0.1 + 0.01 * number)
        if number != 3:
            lines(folder / f"{number:02}.txt", f"text {number}")
    (folder / "05.wav").write_bytes(b"")
    lines(folder / "07.txt", "")
    return folder


SCRIPT = """
import os, signal, sys
from pathlib import Path
from duolect.data.corpora import base, import_corpus, corpus_named, journal, run

def die(journals):
    for each in journals:  # what is in the file's buffer may have come to the disk or not: here it has
        for handle in (each.manifest, each.skips):
            if not handle.closed:
                handle.flush()
    os.kill(os.getpid(), signal.SIGKILL)

def dying(owner, name, after, kill_at):
    real, calls, journals = getattr(owner, name), [], []
    def call(*arguments, **settings):
        calls.append(name)
        journals[:] = [each for each in arguments if isinstance(each, journal.Journal)]
        if len(calls) == kill_at and not after:
            die(journals)
        result = real(*arguments, **settings)
        if len(calls) == kill_at:
            die(journals)
        return result
    setattr(owner, name, call)

base._OFFERED_EVERY, run.NOTE_SECONDS = 2, 0.0
for case in sys.argv[2:]:
    when, name, kill_at = case.split("-")
    child = os.fork()
    if not child:
        dying(run if name == "publish" else journal.Journal, name, when == "after", int(kill_at))
        import_corpus(corpus_named("folder"), sys.argv[1], Path(case), workers=2)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
KILLS = ("before-add-1", "after-add-4", "after-add-8", "before-note-2", "after-note-3", "before-note-7")
KILLS += ("after-finish-1", "before-publish-1", "after-publish-1")


def test_a_killed_import_goes_on(files: Path, tmp_path: Path) -> None:
    """Lines that were written but not noted are cut off; the result is that of an import that was left alone."""
    imported("folder", files, tmp_path / "whole")
    command = [sys.executable, "-c", SCRIPT, str(files), *KILLS]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(KILLS), done.stderr
    for case in KILLS:
        out = tmp_path / case
        assert (out / "all.jsonl").exists() == (case == "after-publish-1")
        made = imported("folder", files, out)
        for name in ("all.jsonl", "all.skipped.jsonl"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), case
        records = [json.loads((folder / "import.json").read_text()) for folder in (out, tmp_path / "whole")]
        for record in records:
            del record["date"]
        assert records[0] == records[1], case
        assert sorted(p.name for p in out.iterdir()) == ["all.jsonl", "all.skipped.jsonl", "import.json"], case
        if case == "after-add-8":
            assert 0 < made.splits[0].resumed < 9


def test_what_was_left_out_is_counted_and_listed(files: Path, tmp_path: Path) -> None:
    made = imported("folder", files, tmp_path / "out")
    (split,) = made.splits
    assert (split.utterances, split.skipped) == (9, 3)
    assert split.reasons == {"no transcript": 2, "cannot be read": 1}
    assert sorted(skipped(split.manifest)) == ["03", "05", "07"]
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["splits"]["all"]["reasons"] == split.reasons
    assert record["corpus"] == "folder"
    assert record["options"]["text"] == "auto"
    assert split.hours == pytest.approx(sum(row["duration"] for row in rows(split.manifest)) / 3600, abs=1e-4)
    assert len(load_manifest(split.manifest)) == 9


def test_the_same_again_does_nothing(files: Path, tmp_path: Path) -> None:
    imported("folder", files, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    made = imported("folder", files, tmp_path / "out")
    assert made.splits[0].resumed == made.splits[0].utterances == 9
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == before


def test_a_manifest_that_was_thrown_away_is_made_again(files: Path, tmp_path: Path) -> None:
    (split,) = imported("folder", files, tmp_path / "out").splits
    before = split.manifest.read_bytes()
    split.manifest.unlink()
    assert imported("folder", files, tmp_path / "out").splits[0].resumed == 0
    assert split.manifest.read_bytes() == before


def test_another_import_in_the_folder_is_refused(files: Path, tmp_path: Path) -> None:
    imported("folder", files, tmp_path / "out")
    kaldi = tmp_path / "kaldi"
    lines(kaldi / "wav.scp", f"a {files / '00.wav'}")
    lines(kaldi / "text", "a b")
    with pytest.raises(DuolectError, match=r"holds an import of 'folder' from .*; choose another folder"):
        imported("kaldi", kaldi, tmp_path / "out")
    with pytest.raises(DuolectError, match=r"begun otherwise \(lang: None, now 'en'\)"):
        imported("folder", files, tmp_path / "out", lang="en")
    sound(files / "12.wav")
    lines(files / "12.txt", "more")
    with pytest.raises(DuolectError, match=r"begun otherwise \(the source has changed since\)"):
        imported("folder", files, tmp_path / "out")
    assert len(rows(tmp_path / "out/all.jsonl")) == 9
    from duolect.data.corpora import corpus_named

    made = import_corpus(corpus_named("folder"), str(files), tmp_path / "out", restart=True)
    assert (made.splits[0].utterances, made.splits[0].resumed) == (10, 0)


def test_a_manifest_that_no_import_wrote_is_left_alone(files: Path, tmp_path: Path) -> None:
    lines(tmp_path / "out/all.jsonl", "mine")
    with pytest.raises(DuolectError, match=r"all\.jsonl: is there already, and no import wrote it"):
        imported("folder", files, tmp_path / "out")
    assert (tmp_path / "out/all.jsonl").read_text() == "mine\n"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["all.jsonl"]


def test_two_imports_at_once(files: Path, tmp_path: Path) -> None:
    code = (
        "import fcntl, sys, time\nhandle = open(sys.argv[1], 'w')\nfcntl.flock(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\ntime.sleep(60)"
    )
    (tmp_path / "out/.import").mkdir(parents=True)
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out/.import/lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DuolectError, match="another process is importing into this folder"):
            imported("folder", files, tmp_path / "out")
    finally:
        other.kill()
        other.wait()
    assert imported("folder", files, tmp_path / "out").splits[0].utterances == 9


class _Full:
    """A disk that is full after so many bytes."""

    def __init__(self, handle: Any, room: int) -> None:
        self.handle, self.room = handle, room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            self.handle.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.handle.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)


@pytest.mark.parametrize("room", [100, 700])
def test_a_full_disk(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    from duolect.data.corpora import base, journal

    monkeypatch.setattr(base, "_OFFERED_EVERY", 2)
    imported("folder", files, tmp_path / "whole")
    with monkeypatch.context() as patched:
        take_up = journal.Journal._take_up
        patched.setattr(
            journal.Journal,
            "_take_up",
            lambda self, name, size: _Full(take_up(self, name, size), room if name == "manifest.jsonl" else 10**9),
        )
        with pytest.raises(DuolectError, match=r"cannot be written \(No space left on device\); what was done is kept"):
            imported("folder", files, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".import"]
    imported("folder", files, tmp_path / "out")
    for name in ("all.jsonl", "all.skipped.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_full_disk_where_the_place_is_noted(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DuolectError("place.json: could not be written") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("duolect.data.corpora.journal.write_json", full)
        with pytest.raises(DuolectError, match=r"\(No space left on device\); what was done is kept"):
            imported("folder", files, tmp_path / "out")
    assert imported("folder", files, tmp_path / "out").splits[0].utterances == 9


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(files: Path, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    with pytest.raises(DuolectError, match="nothing can be written there"):
        imported("folder", files, tmp_path / "shut/out")


def test_a_file_where_the_folder_should_be(files: Path, tmp_path: Path) -> None:
    with pytest.raises(DuolectError, match="is a file; a folder was expected"):
        imported("folder", files, lines(tmp_path / "out"))


def cut_short(path: Path, ids: int, **split: Any) -> tuple[Corpus, list[bool]]:
    """500 utterances of so many ids, of which 450 come as long as the list is [True]."""
    stop = [True]

    def read() -> Iterator[Utterance]:
        for number in range(500):
            if stop[0] and number == 450:
                raise RuntimeError("power cut")
            yield Utterance(audio_filepath=path, duration=0.1, text="x", id=f"u{number % ids}")

    return corpus(read, **split), stop


def test_ids_are_unique_across_an_interruption(tmp_path: Path) -> None:
    """The ids of the part that stood there already are known when it goes on."""
    made, stop = cut_short(sound(tmp_path / "a.wav"), 490, trusted=True)
    with pytest.raises(RuntimeError):
        import_corpus(made, "", tmp_path / "out")
    stop[0] = False
    split = import_corpus(made, "", tmp_path / "out").splits[0]
    assert (split.resumed, split.utterances, split.reasons) == (400, 490, {"duplicate id": 10})


def test_what_goes_on_trusts_as_it_did_when_it_was_begun(tmp_path: Path) -> None:
    (made, stop), out = cut_short(sound(tmp_path / "a.wav"), 500), tmp_path / "out"
    with pytest.raises(RuntimeError):
        import_corpus(made, "", out, trust_durations=True)
    stop[0] = False
    with pytest.raises(DuolectError, match=r"begun otherwise \(trust_durations: True, now False\)"):
        import_corpus(made, "", out)
    split = import_corpus(made, "", out, trust_durations=True).splits[0]
    assert (split.resumed, split.utterances) == (400, 500)
    assert import_corpus(made, "", out).splits[0].resumed == 500  # what stands is not made again


def test_an_importer_that_writes_files_goes_on_from_its_own_state(tmp_path: Path) -> None:
    """What it yielded since its last checkpoint comes again, under the same names."""
    path = sound(tmp_path / "a.wav")
    begun, stop = [], True

    def read(state: Any) -> Iterator[Utterance | Checkpoint]:
        begun.append(state)
        for shard in range(0 if state is None else state["shard"], 4):
            for row in range(3):
                if stop and (shard, row) == (2, 1):
                    raise RuntimeError("power cut")
                yield Utterance(audio_filepath=path, duration=0.1, text="x", id=f"{shard}-{row}")
            yield Checkpoint({"shard": shard + 1})

    def plan(source: str, options: Options, out: Path) -> Plan:
        return Plan((Split("all", read, trusted=True),), signature={"revision": "abc"})

    made = Corpus("made", "", "", Options, plan)
    with pytest.raises(RuntimeError):
        import_corpus(made, "", tmp_path / "out")
    stop = False
    assert import_corpus(made, "", tmp_path / "out").splits[0].resumed == 6
    assert [row["id"] for row in rows(tmp_path / "out/all.jsonl")] == [f"{s}-{r}" for s in range(4) for r in range(3)]
    assert begun == [None, {"shard": 2}]


def test_durations_are_those_of_the_files(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", 1.0)
    cases = {
        "whole": (0.0, UNKNOWN, 1.0),
        "rest": (0.75, UNKNOWN, 0.25),
        "rounded": (0.0, 1.004, 1.004),
        "overshoots": (0.5, 0.9, 0.5),
        "inside": (0.25, 0.5, 0.5),
    }
    wrong = {"too long": (0.5, 1.1), "too late": (1.0, 0.1), "nothing": (0.2, 0.0)}

    def read() -> Iterator[Utterance]:
        for name, (offset, duration, *_) in (cases | wrong).items():
            yield Utterance(audio_filepath=path, offset=offset, duration=duration, text="x", id=name)

    import_corpus(corpus(read), "", tmp_path / "out")
    found = {row["id"]: row["duration"] for row in rows(tmp_path / "out/all.jsonl")}
    assert found == pytest.approx({name: length for name, (_, _, length) in cases.items()})
    assert sorted(skipped(tmp_path / "out/all.jsonl")) == sorted(wrong)


def test_a_damaged_sound_in_a_row_of_parquet_is_not_missing(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    sound(tmp_path / "x.wav", 1.0)
    whole = (tmp_path / "x.wav").read_bytes()
    table = pa.table({"audio": [whole, whole[: len(whole) // 2], None]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")

    def read() -> Iterator[Utterance]:
        for name in ("a.parquet#0", "a.parquet#1", "a.parquet#2", "a.parquet#9", "b.parquet#0"):
            yield Utterance(audio_filepath=tmp_path / name, duration=UNKNOWN, text="x", id=name)

    made = import_corpus(corpus(read), "nothing", tmp_path / "out")
    why = skipped(made.splits[0].manifest)
    assert made.splits[0].utterances == 1
    assert why["a.parquet#1"].startswith("cannot be read: is truncated")
    assert why["a.parquet#2"] == "cannot be read: this row has no sound in it"
    assert why["a.parquet#9"].startswith("cannot be read: there is no such row")
    assert why["b.parquet#0"].startswith("audio is missing")


def test_durations_that_are_trusted_open_no_file(tmp_path: Path) -> None:
    def read() -> Iterator[Utterance]:
        yield Utterance(audio_filepath=tmp_path / "gone.wav", duration=2.0, text="x", id="told")
        yield Utterance(audio_filepath=tmp_path / "gone.wav", duration=UNKNOWN, text="x", id="not told")

    import_corpus(corpus(read), "", tmp_path / "out", trust_durations=True)
    assert [row["id"] for row in rows(tmp_path / "out/all.jsonl")] == ["told"]
    assert skipped(tmp_path / "out/all.jsonl")["not told"].startswith("audio is missing")


def test_a_split_without_utterances_is_an_error_and_can_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "late.wav"

    def read() -> Iterator[Utterance | Skipped]:
        yield Skipped("a", "b", "no transcript")
        yield Utterance(audio_filepath=path, duration=UNKNOWN, text="x", id="late")

    made = corpus(read)
    with pytest.raises(
        ManifestError,
        match=r"none of its utterances can be used \(1 × no transcript, 1 × audio is missing\); the first, in b: no",
    ):
        import_corpus(made, "", tmp_path / "out")
    sound(path)
    assert import_corpus(made, "", tmp_path / "out").splits[0].utterances == 1


def test_a_corpus_without_a_single_entry(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="split all: the corpus has no utterance for it"):
        import_corpus(corpus(lambda: iter(())), "", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_is_told(files: Path, tmp_path: Path) -> None:
    from duolect.data.corpora import corpus_named

    told: list[Progress] = []
    import_corpus(corpus_named("folder"), str(files), tmp_path / "out", progress=told.append)
    assert (told[0].utterances, told[-1].utterances, told[-1].skipped) == (0, 9, 3)


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """Only as much is read ahead as the threads need."""
    path = sound(tmp_path / "a.wav")
    taken = most = 0

    def read() -> Iterator[Utterance]:
        nonlocal taken
        for taken in range(5000):
            yield Utterance(audio_filepath=path, duration=UNKNOWN, text="x", id=str(taken))

    def watch(now: Progress) -> None:
        nonlocal most
        most = max(most, taken - now.utterances)

    import_corpus(corpus(read), "", tmp_path / "out", workers=2, progress=watch)
    assert most <= 2 * 16 + 2


def test_a_signature_stays_what_it_was_and_holds_no_more_than_names(tmp_path: Path) -> None:
    """Of paths in the order of paths, as in imports that were begun before; `Path`s would be three times as much."""
    names = ["a/b.wav", "a.wav", "a/é.wav", "a-b/c.wav", "a b/c.wav", "B/x.wav", "a/b/c.wav"]
    files = [tmp_path / name for name in names]
    for number, path in enumerate(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    expected = hashlib.blake2b(digest_size=16)
    for path in sorted(files):
        expected.update(json.dumps([str(path), path.stat().st_size, path.stat().st_mtime_ns]).encode())
    assert sign_files(files) == sign_files(reversed(files)) == expected.hexdigest()
    with pytest.raises(ManifestError, match=r"gone\.wav: cannot be read"):
        sign_files([tmp_path / "gone.wav"])
    tracemalloc.start()
    sign_files(tmp_path / "a.wav" for _ in range(20_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most / 20_000 < 100 + len(str(tmp_path))


def test_the_set_of_ids_against_a_real_set() -> None:
    import random

    generator, ids, real = random.Random(1), IdSet(), set()
    for _ in range(20_000):
        name = str(generator.randrange(15_000))
        assert ids.add(name) == (name not in real)
        real.add(name)


def test_an_unknown_corpus_and_an_unknown_split(files: Path, tmp_path: Path) -> None:
    with pytest.raises(DuolectError, match="there is no corpus 'libri-speech'; did you mean 'librispeech'"):
        imported("libri-speech", files, tmp_path / "out")
    with pytest.raises(DuolectError, match="there is no split 'dev' here; it has all"):
        imported("folder", files, tmp_path / "out", splits=("dev",))
    with pytest.raises(ManifestError, match="does not exist; expected the folder of the corpus"):
        imported("folder", tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize("name", ["huggingface", "loquacious", "open-asr-leaderboard"])
def test_begun_anew_it_takes_the_newest_version_of_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opened(source: str, *, config: str | None = None, revision: str | None = None) -> None:
        asked.append(revision)
        raise DuolectError(f"{source}: {config}: no hub here.")

    named = corpus_named(name)
    monkeypatch.setattr(f"duolect.data.corpora.{name.replace('-', '_')}.open_data_set", opened)
    out = tmp_path / "out"
    out.mkdir()
    held = {"corpus": name, "signature": [{"commit": "a" * 40, "files": "x"}], "splits": {}}
    (out / "import.json").write_text(json.dumps(held))
    for restart in (False, True):
        with pytest.raises(DuolectError, match="no hub here"):
            import_corpus(named, "user/name", out, restart=restart)
    assert asked == ["a" * 40, None]
    assert json.loads((out / "import.json").read_text()) == held  # nothing is thrown away before the source is there
