import dataclasses
import io
import json
import math
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from duolect.audio import read_audio, write_audio
from duolect.data import Utterance, load_manifest, write_manifest
from duolect.errors import ConfigError, ScoringError
from duolect.evaluation import HypothesisRow, Panel, RunRecord, panel_of, read_run, write_run
from duolect.evaluation.pairs import all_pairs
from duolect.reports.compare import CompareOptions, Report, Source, compare, sources_of, write_report
from duolect.reports.compare.audio import players
from duolect.reports.compare.measured import panel_part
from duolect.reports.compare.recommendation import safest
from duolect.reports.page import page
from duolect.reports.plots import pareto

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "seven", "dogs", "ran", "over", "green", "hills", "home")
# name → chance that a word is heard wrongly, RTFx, MiB
SYSTEMS = {"slow & exact": (0.05, 10.0, 900), "fast": (0.055, 200.0, 300), "bad<b>": (0.5, 400.0, 300)}
COUNT = 120


def make_set(folder: Path, seed: int = 0) -> Path:
    rng = random.Random(seed)
    write_audio(folder / "sound.wav", np.random.default_rng(0).normal(0, 0.1, 16000 * 4))
    utterances = [
        Utterance(
            audio_filepath=folder / "sound.wav",
            duration=1.0 + n % 30 / 20,
            offset=0.5 if n % 2 else 0.0,
            text=" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) if n else "",
            speaker=f"s{n % 6}",
            id=f"u{n:03}",
            fields={"accent": f"a{n % 3}", "snr": n / 7},
        )
        for n in range(COUNT)
    ]
    write_manifest(folder / "test.jsonl", utterances)
    return folder / "test.jsonl"


def make_file(folder: Path, name: str, manifest: Path, **changes: object) -> Path:
    rate, rtfx, memory = SYSTEMS[name]
    rng, rows = random.Random(name), []
    for utterance in load_manifest(manifest):
        heard = [rng.choice(WORDS) if rng.random() < rate else word for word in utterance.text.split()]
        rows.append(HypothesisRow(id=utterance.id, text=" ".join(heard), duration=utterance.duration))
    settings: dict[str, object] = {
        "system": name,
        "region": "samples to text",
        "device": "cpu",
        "audio_seconds": 200.0,
        "wall_seconds": 200.0 / rtfx,
        "host_memory": memory << 20,
    }
    path = folder / f"{name}.jsonl"
    write_run(path, rows, RunRecord(**(settings | changes)))  # ty: ignore[invalid-argument-type]
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compare")
    manifest = make_set(made)
    for name in SYSTEMS:
        make_file(made, name, manifest)
    (made / "train.txt").write_text("the cat the cat the cat the cat the cat the cat\nseven dogs\n")
    return made


def run(folder: Path, names: Sequence[str] = tuple(SYSTEMS), **options: object) -> Report:
    sources = sources_of([str(folder / f"{name}.jsonl") for name in names])
    asked = CompareOptions(**options)  # ty: ignore[invalid-argument-type]
    return compare(sources, folder / "test.jsonl", folder / "out", asked, console=Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return run(folder, train=(folder / "train.txt",), rare=2, utterances=20, embed_audio=2)


def test_the_parts_are_there_and_agree_with_one_another(report: Report) -> None:
    anchors = [part.anchor for part in report.parts]
    assert anchors == ["lead", "pairs", "panel", "cost", "vocabulary", "fields", "words", "utterances"]
    scores = {system.name: system.score for system in report.comparison.systems}
    assert scores["fast"].empty_references == 1
    by_name = {row["name"]: row for row in report.raw}
    for pair in all_pairs(scores):
        assert by_name[pair.b]["against"][pair.a]["difference"] == pair.difference
        assert by_name[pair.a]["against"][pair.b]["difference"] == -pair.difference
        assert by_name[pair.a]["against"][pair.b]["p_holm"] == pair.p_holm
    for name, row in by_name.items():
        errors = scores[name].errors
        assert sum(part["errors"] for part in row["by"]["accent"].values()) == errors.errors
        assert sum(part["utterances"] for part in row["by"]["snr"].values()) == COUNT - 1
        recall = row["word_recall"].values()
        assert sum(each["tokens"] for each in recall) == errors.words
        assert sum(each["hits"] for each in recall) == errors.words - errors.substitutions - errors.deletions
        assert row["record"]["system"] == name
        assert row["panel"]["speech"] == COUNT - 1


def test_the_recommendation_says_no_more_than_the_tests(report: Report) -> None:
    accurate, fast = report.said[:2]
    assert accurate.startswith("Most accurate: No significant difference between")
    assert "the others are significantly worse" in accurate
    assert "bad<b>" not in accurate
    pair = next(p for p in all_pairs({s.name: s.score for s in report.comparison.systems}) if p.b == "fast")
    assert not pair.significant
    assert fast.startswith("Fastest within 5 % (relative) of the best WER:")
    assert any("Utterances were taken as independent, though they are of" in line for line in report.said)


def test_a_clear_winner_is_named_and_a_slower_one_within_reach_is_not_the_fastest(folder: Path) -> None:
    clear = run(folder, ["slow & exact", "bad<b>"])
    assert re.match(r"Most accurate: slow & exact, .* significantly better than bad<b> \(p < 0.001\)", clear.said[0])
    assert clear.said[1].endswith("slow & exact, RTFx 10.0, the only one within that bound.")
    wide = run(folder, within=20.0, utterances=0)
    assert wide.said[1].startswith("Fastest within 2000 % (relative) of the best WER: bad<b>, RTFx 400")
    assert "significantly higher (p < 0.001)" in wide.said[1]
    assert [part.anchor for part in wide.parts][-1] == "words"


def test_equal_systems_are_called_equal(folder: Path, tmp_path: Path) -> None:
    rows, record = read_run(folder / "fast.jsonl")
    assert record is not None
    twin = dataclasses.replace(record, system="twin", device="cuda", search={"tuned_on_this_set": True})
    write_run(tmp_path / "twin.jsonl", [dataclasses.replace(row, run=None) for row in rows], twin)
    sources = [
        Source(name=n, path=p, file=True) for n, p in (("a", folder / "fast.jsonl"), ("b", tmp_path / "twin.jsonl"))
    ]
    found = compare(sources, folder / "test.jsonl", tmp_path, console=Console(file=io.StringIO()))
    assert found.said[0].startswith("Most accurate: No difference: a and b make equally many errors")
    assert found.said[1].endswith("The speeds cannot be compared: they ran on different devices.")
    assert any("b were tuned on this very set" in line or "of b were tuned" in line for line in found.said)


def test_one_system_has_a_report_too(folder: Path) -> None:
    found = run(folder, ["fast"], utterances=3)
    assert "nothing to compare" in found.said[0]
    assert "pairs" not in [part.anchor for part in found.parts]
    assert "<article" in page(found.comparison, parts=found.parts)


def test_nothing_dominates_a_filled_point(report: Report) -> None:
    kept = {system.name for system in pareto(report.comparison.systems)}
    for one in report.comparison.systems:
        beaten = any(
            other.score.wer <= one.score.wer
            and other.timing.rtfx >= one.timing.rtfx
            and (other.peak_memory or 0) <= (one.peak_memory or 0)
            and other is not one
            for other in report.comparison.systems
        )
        assert (one.name in kept) == (not beaten)


def test_the_page_is_whole_safe_and_loads_nothing_but_recordings(report: Report, folder: Path) -> None:
    text = page(report.comparison, utterances=0, parts=report.parts)
    assert "<script" not in text
    assert "<b>" not in text
    assert "bad&lt;b&gt;" in text
    assert text.count('src="data:audio/flac;base64,') == 2
    linked = set(re.findall(r'<audio[^>]* src="([^d][^"]*)"', text))
    parts = {(u.offset, u.offset + u.duration) for u in load_manifest(folder / "test.jsonl")}
    assert linked <= {f"../sound.wav#t={start:.3f},{end:.3f}" for start, end in parts}
    assert {link.partition(",")[0] for link in linked} == {"../sound.wav#t=0.000", "../sound.wav#t=0.500"}
    assert "media-src data: 'self' file:" in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert text == page(report.comparison, utterances=0, parts=report.parts)
    embedded = run(folder, utterances=4, embed_audio=4)
    assert "'self'" not in page(embedded.comparison, utterances=0, parts=embedded.parts)


def test_a_link_is_to_the_utterances_part_however_late(tmp_path: Path) -> None:
    (tmp_path / "a b.wav").touch()
    stretches = {"first": (0.0, 2.5), "late": (12345.678, 2.0), "very late": (1_234_567.25, 1.0)}
    utterances = [
        Utterance(audio_filepath=tmp_path / "a b.wav", offset=offset, duration=duration, text="x", id=key)
        for key, (offset, duration) in stretches.items()
    ]
    found = players(utterances, tmp_path, embed=0)
    assert [re.findall(r'src="([^"]+)"', found[key]) for key in stretches] == [
        ["a%20b.wav#t=0.000,2.500"],
        ["a%20b.wav#t=12345.678,12347.678"],
        ["a%20b.wav#t=1234567.250,1234568.250"],
    ]


def test_an_embedded_recording_is_its_part_of_the_file(report: Report, folder: Path, tmp_path: Path) -> None:
    import base64

    text = "".join(next(part for part in report.parts if part.anchor == "utterances").html)
    key = re.findall(r"<h3>(u\d+) ", text)[0]
    data = re.findall(r'base64,([^"]+)"', text)[0]
    (tmp_path / "part.flac").write_bytes(base64.b64decode(data))
    utterance = next(u for u in load_manifest(folder / "test.jsonl") if u.id == key)
    whole = read_audio(folder / "sound.wav", offset=utterance.offset, duration=utterance.duration)
    np.testing.assert_allclose(read_audio(tmp_path / "part.flac"), whole, atol=2 / 32768)


def test_what_is_written(report: Report, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(report, folder / "out", Console(file=io.StringIO()))
    assert "slow & exact" in capsys.readouterr().out
    lines = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == list(SYSTEMS)
    assert lines[0]["score"]["normaliser"] == "plain"
    text = (folder / "out" / "report.md").read_text()
    for heading in ("Results", "Each system against each other", "Words new to the systems", "Where errors are made"):
        assert f"## {heading}" in text
    assert text.startswith("# Comparison on test.jsonl\n")
    assert not math.isnan(lines[0]["rtfx"])


def test_hypotheses_that_do_not_belong_are_refused_before_anything_else(folder: Path, tmp_path: Path) -> None:
    rows, record = read_run(folder / "fast.jsonl")
    assert record is not None
    clean = [dataclasses.replace(row, run=None) for row in rows]

    def complaint(rows: list[HypothesisRow], record: RunRecord = record, **options: object) -> str:
        write_run(tmp_path / "odd.jsonl", rows, record)
        # A system that cannot be run stands first: the file is refused before it is tried.
        sources = [
            Source(name="no system", path=tmp_path / "nothing"),
            Source(name="odd", path=tmp_path / "odd.jsonl", file=True),
        ]
        with pytest.raises(ScoringError) as caught:
            compare(sources, folder / "test.jsonl", tmp_path, CompareOptions(**options))  # ty: ignore[invalid-argument-type]
        return str(caught.value)

    assert "odd.jsonl: utterance 'u119' is in the manifest, but neither recognised" in complaint(clean[:-1])
    other = [*clean, HypothesisRow(id="stranger", text="x")]
    assert "'stranger' is not in the manifest" in complaint(other)
    mixed = dataclasses.replace(record, normaliser="whisper-english")
    assert "normalised under 'whisper-english', but are to be scored under 'plain'" in complaint(clean, mixed)
    (tmp_path / "twice.jsonl").write_text('{"id": "a", "text": "b"}\n' * 2)
    with pytest.raises(ScoringError, match=r"twice\.jsonl:2: the id 'a' is already on line 1"):
        compare([Source(name="t", path=tmp_path / "twice.jsonl", file=True)], folder / "test.jsonl", tmp_path)
    with pytest.raises(ConfigError, match="no utterance has a field 'dialect'; known are accent"):
        run(folder, by=("dialect",))
    with pytest.raises(ConfigError, match="--blocks: no utterance"):
        run(folder, blocks="session")
    nothing = [Source(name="no system", path=tmp_path / "nothing")]
    with pytest.raises(ConfigError, match="no utterance has a field 'dialect'"):  # before any system is tried
        compare(nothing, folder / "test.jsonl", tmp_path, CompareOptions(by=("dialect",)))


def test_blocks_and_fields_that_are_asked_for(folder: Path) -> None:
    found = run(folder, ["fast", "bad<b>"], blocks="speaker", by=("accent",))
    assert found.comparison.systems[0].score.units == 6
    assert any("Only 6 blocks by speaker" in line for line in found.said)
    markdown = next(part.markdown for part in found.parts if part.anchor == "fields")
    assert markdown.index("### Accent") < markdown.index("### Speaker") < markdown.index("### Length in seconds")


def test_recordings_in_chunks_are_compared_whole(tmp_path: Path) -> None:
    write_audio(tmp_path / "sound.wav", np.random.default_rng(0).normal(0, 0.1, 16000))
    chunks = [
        Utterance(
            audio_filepath=tmp_path / "sound.wav",
            duration=1.0,
            text=" ".join(WORDS),
            speaker=f"s{n % 10}",
            id=f"call {n}, {place}",
            fields={"parent_id": f"call {n}", "chunk_index": place},
        )
        for n in range(20)
        for place in range(3)
    ]
    write_manifest(tmp_path / "test.jsonl", chunks)
    for name, loud in (("good", ""), ("bad", " what")):
        heard = [
            HypothesisRow(
                id=chunk.id,
                text=" ".join(WORDS[5 * chunk.fields["chunk_index"] :][:5]) + loud,
                duration=1.0,
                fields=chunk.fields,
            )
            for chunk in chunks
        ]
        write_run(tmp_path / f"{name}.jsonl", heard)
    report = run(tmp_path, ("good", "bad"))
    good, bad = (system.score for system in report.comparison.systems)
    assert (good.wer, bad.errors.insertions, good.blocks, good.units) == (0, 60, "speaker", 10)
    panel = report.raw[0]["panel"]
    assert (panel["speech"], panel["rates"]["short"]["count"]) == (20, 0)
    first = report.comparison.systems[0].rows[0]
    assert (first.id, first.text) == ("call 0", " ".join(WORDS))
    shown = next(part for part in report.parts if part.anchor == "utterances")
    assert "not recognised" not in "".join(shown.html)
    # Each is the only one of its block, so that nothing is drawn together.
    assert run(tmp_path, ("good", "bad"), blocks="parent_id").comparison.systems[0].score.units == 20


def test_sources_have_names_that_tell_them_apart(tmp_path: Path) -> None:
    for name in ("x/system", "y/system"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "hyps.jsonl").touch()

    def names(*specs: object, methods: Sequence[str] = ()) -> list[str]:
        found = sources_of(list(map(str, specs)), methods, lambda folder: ["ctc-greedy", "attention"])
        return [source.name for source in found]

    x, y = tmp_path / "x", tmp_path / "y"
    assert names(x / "system", f"{y}/system:ctc-beam", tmp_path / "hyps.jsonl") == ["x", "y:ctc-beam", "hyps"]
    for name in ("test.clean", "test.other"):
        (tmp_path / name).touch()
    assert names(tmp_path / "test.clean", tmp_path / "test.other") == ["test.clean", "test.other"]
    assert names(x / "system", methods=("all",)) == ["x:ctc-greedy", "x:attention"]
    assert names(f"mine={x}/system", f"theirs={y}/system:attention") == ["mine", "theirs"]
    (x / "a").mkdir()
    (y / "a").mkdir()
    assert names(x / "a", y / "a") == ["x/a", "y/a"]
    for specs, said in (
        ([x / "a", x / "a"], "is to be compared with itself"),
        ([f"n={x}/a", f"n={y}/a"], "two of the systems are named 'n'"),
        ([tmp_path / "nothing"], "there is no such system folder or hypothesis file"),
        ([f"{x}/a:ctc-greddy"], "there is no method 'ctc-greddy'"),
        ([], "there is nothing to compare"),
    ):
        with pytest.raises(ConfigError, match=said):
            names(*specs)


def silence(heard: dict[str, str]) -> Panel:
    rows = [HypothesisRow(id=key, text=text, reference="", duration=6.0) for key, text in heard.items()]
    return panel_of(rows, replicas=100)


def test_who_is_safest_where_nobody_speaks() -> None:
    ids = [f"n{n:02}" for n in range(40)]
    quiet = silence(dict.fromkeys(ids, ""))
    once = silence({key: "oh" if key == "n00" else "" for key in ids})
    loud = silence(dict.fromkeys(ids, "thank you for watching"))
    clear = safest({"loud": loud, "quiet": quiet}, ["loud", "quiet"])
    assert clear is not None
    assert clear.systems == ("quiet",)
    assert re.match(
        r"quiet, any text for 0.0 % of 40 .*; significantly less often than loud \(p < 0.001\)", clear.sentence
    )
    tied = safest({"loud": loud, "once": once, "quiet": quiet}, ["loud", "once", "quiet"])
    assert tied is not None
    assert tied.systems == ("quiet", "once")
    assert tied.sentence.startswith("No significant difference between quiet and once: ")
    assert tied.sentence.endswith("The others do significantly more often.")
    assert "for 0.0 to 2.5 % of 40 recordings" in tied.sentence
    assert safest({"quiet": quiet}, ["quiet"]) is None


def test_panels_of_systems_that_heard_nothing_in_common_stand_untested() -> None:
    first, second = silence({"n0": "oh", "n1": ""}), silence({"n2": "oh", "n3": ""})
    part = panel_part(SimpleNamespace(names=["a", "b"], panels={}, nonspeech={"a": first, "b": second}))  # ty: ignore[invalid-argument-type]
    assert part is not None
    assert "50.0" in part.markdown


def test_who_is_safest_is_told_on_the_recordings_that_both_recognised() -> None:
    ids = [f"n{n:03}" for n in range(100)]
    hard, easy = ids[:40], ids[40:]
    # Has the lower rate of its own only because it left out what is hard.
    picky = silence({key: "oh" if key < "n060" else "" for key in easy})
    whole = silence({key: "oh" if key in hard else "" for key in ids})
    for names in (["picky", "whole"], ["whole", "picky"]):
        found = safest({"picky": picky, "whole": whole}, names)
        assert found is not None
        assert found.systems == ("whole",)
        assert found.sentence.startswith("whole, any text for 40.0 % of 100 recordings")
        assert found.sentence.endswith("than picky on the recordings that both recognised (p < 0.001).")
    fewer = silence({key: "oh" if key in ids[:39] else "" for key in ids[:99]})
    tied = safest({"whole": whole, "fewer": fewer}, ["whole", "fewer"])
    assert tied is not None
    assert set(tied.systems) == {"whole", "fewer"}
    assert tied.sentence.endswith("for 39.4 to 40.0 % of the recordings without speech that each of them recognised.")
    apart = safest({"hard": silence(dict.fromkeys(hard, "oh")), "picky": picky}, ["hard", "picky"])
    assert apart is not None
    assert apart.systems == ("picky", "hard")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_filters_and_prints_it(report: Report, folder: Path, tmp_path: Path) -> None:
    write_report(report, folder / "out", Console(file=io.StringIO()))
    text = (folder / "out" / "report.html").read_text()
    # What a reader chooses, chosen beforehand: the rules of style hide the others.
    chosen = text.replace('<option value="hard">', '<option value="hard" selected>')
    chosen = chosen.replace('<option value="errors">', '<option value="errors" selected>')
    (folder / "out" / "chosen.html").write_text(chosen)

    def browser(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)

    done = browser(folder / "out" / "chosen.html", f"--print-to-pdf={tmp_path / 'chosen.pdf'}")
    assert "CONSOLE" not in done.stderr
    done = browser(folder / "out" / "report.html", f"--print-to-pdf={tmp_path / 'all.pdf'}")
    assert "CONSOLE" not in done.stderr
    assert (tmp_path / "chosen.pdf").stat().st_size < (tmp_path / "all.pdf").stat().st_size
    shot = tmp_path / "shot.png"
    done = browser(folder / "out" / "report.html", "--window-size=500,3000", f"--screenshot={shot}")
    assert "CONSOLE" not in done.stderr  # neither errors nor refused loads
    assert shot.stat().st_size > 50_000
