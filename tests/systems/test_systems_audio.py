"""Bad sounds: each is named in one sentence, none stops the others, and nothing half-written is left."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from duolect.data import Utterance
from duolect.systems import System, Transcript
from duolect.systems.batches import audio_source

RATE = 16_000


@pytest.fixture
def zoo(tmp_path: Path, voice: Callable[[float, str], Path]) -> dict[str, Path]:
    """One file of every kind; those that can be recognised are good, wide, silent and short."""
    good = voice(0.6, "good.wav")
    whole, _ = soundfile.read(good, dtype="float32")
    paths = {name: tmp_path / f"{name}.wav" for name in ("missing", "empty", "cut", "text", "none", "nan", "one")}
    paths["empty"].write_bytes(b"")
    paths["text"].write_text("this is no sound " * 100)
    soundfile.write(paths["none"], np.zeros(0, np.float32), RATE)
    soundfile.write(
        paths["nan"], np.where(np.arange(8000) == 4000, np.nan, 0.1).astype(np.float32), RATE, subtype="FLOAT"
    )
    soundfile.write(paths["one"], np.zeros(1, np.float32), RATE)
    voice(1.0, "whole.flac")
    paths["cut"] = tmp_path / "cut.flac"
    paths["cut"].write_bytes((tmp_path / "whole.flac").read_bytes()[:60])
    paths |= {
        "good": good,
        "wide": tmp_path / "wide.wav",
        "silent": tmp_path / "silent.wav",
        "short": tmp_path / "s.wav",
    }
    soundfile.write(paths["wide"], np.repeat(whole[:, None], 8, axis=1), RATE)
    soundfile.write(paths["silent"], np.zeros(RATE, np.float32), RATE)
    soundfile.write(paths["short"], whole[:480], RATE)
    paths["long"] = tmp_path / "long.wav"
    soundfile.write(paths["long"], np.zeros(30 * 60 * RATE // 4, np.int16), RATE // 4)
    return paths


BAD = ("missing", "empty", "cut", "text", "none", "nan", "one")


def test_bad_files_are_transcribed_to_an_error_and_the_rest_goes_on(system: System, zoo: dict[str, Path]) -> None:
    found = dict(zip(zoo, system.with_method("ctc-greedy").transcribe(list(zoo.values())), strict=True))
    for name, transcript in found.items():
        assert (transcript.error is not None) == (name in BAD), (name, transcript)
        if transcript.error:
            assert zoo[name].name in transcript.error
            assert transcript.text == ""
            assert "\n" not in transcript.error
        else:
            assert transcript.duration is not None
    assert found["wide"].text == found["good"].text
    assert (found["long"].flags, found["long"].duration) == (("no_speech",), 1800.0)


def test_bad_utterances_of_a_manifest_are_skipped_and_listed(system: System, zoo: dict[str, Path]) -> None:
    utterances = [
        Utterance(audio_filepath=path, duration=0.5, text="bad" if name in BAD else "good", id=name)
        for name, path in zoo.items()
    ]
    found = system.with_method("ctc-greedy").recognize(utterances)
    assert [s.id for s in found.skipped] == [name for name in zoo if name in BAD]
    assert [r.id for r in found.rows] == [name for name in zoo if name not in BAD]
    for skipped in found.skipped:
        assert skipped.file == str(zoo[skipped.id])
        assert zoo[skipped.id].name in skipped.reason
        assert skipped.reference == "bad"


def test_nothing_but_bad_files_is_an_empty_result(system: System, tmp_path: Path) -> None:
    lost = [Utterance(audio_filepath=tmp_path / "no.wav", duration=1.0, text="a", id="a")]
    found = system.with_method("attention").recognize(lost)
    assert (found.rows, len(found.skipped)) == ([], 1)
    assert system.with_method("attention").recognize([]).rows == []
    assert system.with_method("attention").transcribe([]) == []


@pytest.mark.parametrize("method", ["ctc-beam", "attention+ctc", "speech-llm", "ctc+lm-labelwise"])
def test_the_shortest_and_the_silent_are_answered(method: str, system: System, zoo: dict[str, Path]) -> None:
    for transcript in system.with_method(method).transcribe([zoo["short"], zoo["silent"]], keep_silence=True):
        assert transcript.error is None
        assert transcript.score is not None
        assert np.isfinite(transcript.score)


def test_arrays_and_files_give_the_same(system: System, zoo: dict[str, Path]) -> None:
    samples, _ = soundfile.read(zoo["good"], dtype="float32")
    searching = system.with_method("attention+ctc")
    one, array, tensor = searching.transcribe([zoo["good"], samples, torch.from_numpy(samples)], nbest=True)
    assert (one.id, array.id, tensor.id) == ("good", "array-1", "array-2")
    assert one.text == array.text == tensor.text
    assert one.score == pytest.approx(array.score, abs=1e-4)
    assert [c.text for c in one.nbest] == [c.text for c in array.nbest]
    assert one.nbest[0].text == one.text
    (alone,) = searching.transcribe(str(zoo["good"]))
    assert isinstance(alone, Transcript)
    assert (alone.text, alone.nbest) == (one.text, ())


def test_arrays_that_are_no_samples_are_named(system: System) -> None:
    wide, broken, empty = np.zeros((2, 16000), np.float32), np.full(16000, np.nan, np.float32), np.zeros(0, np.float32)
    found = system.with_method("ctc-greedy").transcribe([wide, broken, empty])
    assert "shape (2, 16000)" in (found[0].error or "")
    assert "not finite" in (found[1].error or "")
    assert "0 samples" in (found[2].error or "")


def test_sound_of_a_data_set_of_hugging_face_is_taken_as_it_comes(system: System, zoo: dict[str, Path]) -> None:
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("torchcodec")
    column = datasets.Dataset.from_dict({"audio": [str(zoo["good"])] * 2}).cast_column("audio", datasets.Audio())
    samples, _ = soundfile.read(zoo["good"], dtype="float32")
    sounds = [row["audio"] for row in column]
    np.testing.assert_allclose(audio_source(0, sounds[0]).read(), samples, atol=1e-4)
    searching = system.with_method("ctc-beam")
    from_file, *others = [
        transcript
        for given in (zoo["good"], sounds[0], sounds)
        for transcript in searching.transcribe(given, keep_silence=True)
    ]
    assert [(other.text, other.error) for other in others] == [(from_file.text, None)] * 3


def test_samples_of_any_type_and_rate_give_the_same(system: System, zoo: dict[str, Path]) -> None:
    whole, _ = soundfile.read(zoo["good"], dtype="int16")
    samples = whole / np.float32(32768)
    fixed = samples.copy()
    fixed.flags.writeable = False
    given = [
        samples,
        whole,
        torch.from_numpy(whole),
        whole.astype(np.int32) << 16,
        (whole.astype(np.int32) + 32768).astype(np.uint16),
        whole.astype(">i2"),
        samples.astype(">f8"),
        samples[::-1].copy()[::-1],
        np.repeat(samples, 2)[::2],
        fixed,
        samples.tolist(),
        torch.from_numpy(samples).double().requires_grad_(),
        {"array": samples, "sampling_rate": RATE},
        {"path": None, "array": whole, "sampling_rate": RATE},
    ]
    for k, audio in enumerate(given):
        np.testing.assert_allclose(audio_source(k, audio).read(), samples, atol=1e-7, err_msg=str(k))
    searching = system.with_method("ctc-beam")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, *others = searching.transcribe(given, keep_silence=True)
    assert [other.error for other in others] == [None] * len(others)
    assert {other.text for other in others} == {one.text}
    coarse = audio_source(0, (samples * 127 + 128).astype(np.uint8)).read()
    np.testing.assert_allclose(coarse, samples, atol=0.02)
    brain = audio_source(0, torch.from_numpy(samples).bfloat16()).read()
    np.testing.assert_allclose(brain, samples, atol=0.01)
    slow = audio_source(0, {"array": samples, "sampling_rate": 8000})
    assert slow.seconds == pytest.approx(2 * len(samples) / RATE, abs=1e-4)
    (alone,) = searching.transcribe({"array": samples, "sampling_rate": RATE}, keep_silence=True)
    assert (alone.id, alone.text) == ("array-0", one.text)


def test_what_is_no_sound_is_named_and_stops_nothing(system: System, zoo: dict[str, Path]) -> None:
    samples, _ = soundfile.read(zoo["good"], dtype="float32")
    with open(zoo["good"], "rb") as handle:
        odd = {
            "of different lengths": (samples, RATE),
            "found int": 5,
            "found NoneType": None,
            "found bytes": zoo["good"].read_bytes(),
            "found BufferedReader": handle,
            "found complex64": samples.astype(np.complex64),
            "numbers, found complex64": torch.from_numpy(samples).to(torch.complex64),
            "found bool": samples > 0,
            "found object": np.array([None, 1]),
            "nobody knows the full scale": (samples * 32767).astype(np.int64),
            "samples of up to": samples / np.abs(samples).max() * 32768,
            "a mapping of 'array'": {"array": samples},
            "sampling_rate must be above 0 Hz, not -1": {"array": samples, "sampling_rate": -1},
            "not 'x'": {"array": samples, "sampling_rate": "x"},
            "shape (2, 8)": {"array": np.zeros((2, 8)), "sampling_rate": RATE},
        }
        found = system.with_method("ctc-greedy").transcribe([samples, *odd.values()])  # type: ignore[list-item]
        assert found[0].error is None
        for place, (said, transcript) in enumerate(zip(odd, found[1:], strict=True), 1):
            assert transcript.id == f"array-{place}"
            assert (transcript.error or "").startswith(f"array-{place}: "), said
            assert said in (transcript.error or ""), transcript.error
            assert "\n" not in (transcript.error or "")
        for alone in (zoo["good"].read_bytes(), handle):
            (transcript,) = system.with_method("ctc-greedy").transcribe(alone)  # type: ignore[arg-type]
            assert "array-0: expected" in (transcript.error or "")


def test_a_manifest_that_lies_about_the_length_is_held_to_the_limit(system: System, zoo: dict[str, Path]) -> None:
    lie = Utterance(audio_filepath=zoo["good"], duration=0.6, text="a", id="a")
    found = system.with_method("ctc-greedy").recognize([lie], max_seconds=0.5)
    assert "more than the 0.5 s" in found.skipped[0].reason


def test_what_is_skipped_keeps_the_fields_of_a_row(system: System, zoo: dict[str, Path]) -> None:
    made = Utterance(audio_filepath=zoo["good"], duration=0.6, text="a", id="a", speaker="s1", lang="en")
    made = dataclasses.replace(made, fields={"session": "m1", "of": ["x"]})
    gone = dataclasses.replace(made, audio_filepath=zoo["missing"], id="b")
    found = system.with_method("ctc-greedy").recognize([made, gone])
    kept = {"speaker": "s1", "lang": "en", "session": "m1", "of": ["x"]}
    assert found.skipped[0].fields == found.rows[0].fields == kept


def test_a_model_that_gives_nan_stops_with_its_name(system: System, corpus: list[Utterance]) -> None:
    from duolect.errors import SearchError

    assert system.acoustic is not None
    bias = system.acoustic.model.speech.ctc_heads["2"].bias
    kept = bias.data.clone()
    try:
        bias.data[3] = float("nan")
        with pytest.raises(SearchError, match=r"ctc.*u2"):
            system.with_method("ctc-beam").recognize(corpus)
    finally:
        bias.data.copy_(kept)
