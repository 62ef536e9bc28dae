import json
import random
from pathlib import Path
from typing import Any

import kaldialign
import pytest

pytest.importorskip("whisper_normalizer")
from whisper_reference import references

from duolect.errors import ScoringError
from duolect.evaluation.leaderboard import model_and_set, read_leaderboard_file, score_leaderboard

MARCH, AUGUST = "open-asr-2026-03", "open-asr-2026-08"
WORDS = ["the", "white", "paper", "whitepaper", "Mr.", "it's", "twenty", "five", "colour", "and", "um", "OK,", "dogs"]


def name(data: str, model: str = "org-some-model") -> str:
    return f"MODEL_{model}_DATASET_{data}.jsonl"


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def line(n: int, text: str, heard: str, **more: Any) -> dict[str, Any]:
    return {"audio_filepath": f"sample_{n}", "duration": 3.0, "time": 0.25, "text": text, "pred_text": heard} | more


def random_lines(rng: random.Random, count: int) -> list[dict[str, Any]]:
    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(2, 12)))

    return [
        line(n, text(), text(), duration=round(rng.uniform(1, 20), 2), time=round(rng.uniform(0.01, 0.4), 4))
        for n in range(count)
    ]


def test_the_number_is_that_of_the_leaderboards_rules(tmp_path: Path) -> None:
    """Texts through an independent normaliser, errors pooled by kaldialign, means as `score_results` forms them."""
    seed, normalised = 7, references()[AUGUST]
    rng = random.Random(seed)
    sets = {data: random_lines(rng, 60) for data in ("hf-audio-x_ami_test", "hf-audio-x_librispeech_test.clean")}
    rates, audio, seconds = [], 0.0, 0.0
    for data, lines in sets.items():
        write(tmp_path / "deeper" / name(data), lines)
        spoken = [normalised(each["text"]).split() for each in lines]
        said = [normalised(each["pred_text"]).split() for each in lines]
        kept = [pair for pair in zip(spoken, said, strict=True) if pair[0]]
        counted = kaldialign.batch_error_rate([r for r, _ in kept], [h for _, h in kept], merge_compounds=True)
        rates.append(round(100 * counted["err_rate"], 2))
        audio += sum(each["duration"] for each in lines)
        seconds += sum(each["time"] for each in lines)
    (result,) = score_leaderboard(tmp_path)
    assert result.model == "org/some-model"
    assert [each.wer for each in result.sets] == rates, seed
    assert result.wer == sum(rates) / 2
    assert result.rtfx == pytest.approx(audio / seconds)
    summary = json.loads(json.dumps(result.summary()))
    assert summary["sets"]["hf-audio-x_ami_test"]["normaliser"] == AUGUST


def test_texts_stored_normalised_are_counted_as_they_are_under_the_march_regime(tmp_path: Path) -> None:
    # Normalising again would make "1" "one", and nothing was wrong.
    lines = [line(n, "there are 12 of them", "there are 12 of them") for n in range(98)]
    lines += [line(98, "chapter 1", "chapter one"), line(99, "a white paper", "a whitepaper")]
    write(tmp_path / name("esb_ami_test"), lines)
    (march,) = score_leaderboard(tmp_path, MARCH)
    assert march.sets[0].score.errors.errors == 1 + 2
    assert march.sets[0].score.normaliser == MARCH
    assert not march.notes
    (august,) = score_leaderboard(tmp_path)
    assert august.sets[0].score.errors.errors == 0
    assert "were normalised when written" in august.notes[0]


def test_raw_texts_are_normalised_under_both(tmp_path: Path) -> None:
    write(tmp_path / name("x_ami_test"), [line(0, "Mr. Smith's twenty dogs!", "mister smith is 20 dogs")])
    assert score_leaderboard(tmp_path, MARCH)[0].wer == 0
    assert score_leaderboard(tmp_path, AUGUST)[0].wer == 20.0  # "smith s" against "smith is", of five words
    assert score_leaderboard(tmp_path, "none")[0].wer == 125.0


def test_files_of_two_regimes_in_one_folder_are_refused(tmp_path: Path) -> None:
    write(tmp_path / name("a_ami_test"), [line(n, "there is 1 thing".replace("1", str(n + 2)), "x") for n in range(60)])
    write(tmp_path / name("a_raw_test"), [line(n, "It's Mr. Smith.", "It's Mr. Smyth.") for n in range(60)])
    with pytest.raises(
        ScoringError, match=r"a_ami_test\.jsonl holds normalised texts.* but .*a_raw_test\.jsonl raw ones"
    ):
        score_leaderboard(tmp_path)


def test_calls_are_joined_from_their_chunks(tmp_path: Path) -> None:
    def chunk(index: int, heard: str | None) -> dict[str, Any]:
        return line(index, "we sold more this year.", heard or "", parent_id="call", chunk_index=index) | {
            "pred_text": heard
        }

    path = write(tmp_path / name("AA-chunked__test"), [chunk(2, "this year"), chunk(0, "We sold "), chunk(1, None)])
    (result,) = score_leaderboard(tmp_path)
    assert result.sets[0].score.counts_N4.tolist() == [[0, 1, 0, 5]]
    assert (result.sets[0].audio_seconds, result.sets[0].seconds) == (9.0, 0.75)
    write(path, [chunk(2, "this year"), chunk(0, "We sold ")])
    assert score_leaderboard(tmp_path)[0].notes == (
        "AA-chunked__test: 1 chunks of call are missing; their words count as deleted.",
    )


def test_chunks_that_do_not_belong_together_are_named_with_their_file(tmp_path: Path) -> None:
    chunks = [line(n, "we sold more", "we", parent_id="call", chunk_index=n) for n in range(2)]
    path = tmp_path / name("AA-chunked__test")
    for second, sentence in (
        ({"chunk_index": 0}, "chunk 0 of 'call' is there twice"),
        ({"chunk_index": "1"}, "utterance 'sample_1': 'chunk_index' must be an integer from 0"),
        ({"text": "more"}, "the chunks of 'call' have different references; the whole recording's was expected."),
    ):
        write(path, [chunks[0], chunks[1] | second])
        with pytest.raises(ScoringError) as caught:
            score_leaderboard(tmp_path)
        assert str(caught.value).startswith(f"{path}: {sentence}")


def test_without_all_times_there_is_no_speed(tmp_path: Path) -> None:
    write(tmp_path / name("x_ami_test"), [line(0, "a", "a"), line(1, "b", "b", time=None)])
    write(tmp_path / name("x_spgispeech_test"), [line(0, "a", "a")])
    (result,) = score_leaderboard(tmp_path)
    assert [each.rtfx for each in result.sets] == [None, 12.0]
    assert result.rtfx is None
    assert result.notes == (
        "x_ami_test: no RTFx, since 1 of 2 lines lack their duration or time.",
        "RTFx: there is none of all sets together, since these have none: x_ami_test.",
    )


def test_what_was_not_recognised_does_not_count_in_the_speed(tmp_path: Path) -> None:
    lines = [line(0, "a", "a"), line(1, "b", "", time=None, duration=None), line(2, "c", "", time=None)]
    path = write(tmp_path / name("x_ami_test"), lines)
    (result,) = score_leaderboard(tmp_path)
    assert (result.rtfx, result.sets[0].score.errors.deletions) == (12.0, 2)
    assert result.notes == ("x_ami_test: 2 lines without text and time do not count in the RTFx.",)
    write(path, [line(0, "a", "", time=0.0), line(1, "b", "", time=None)])
    (result,) = score_leaderboard(tmp_path)
    assert result.rtfx is None
    assert result.notes == ("x_ami_test: no RTFx, since 2 of 2 lines lack their duration or time.",)


def test_empty_references_are_dropped_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path / name("x_ami_test"), [line(0, "a", "a"), line(1, "(noise)", "hello")])
    (result,) = score_leaderboard(tmp_path)
    assert result.wer == 0
    assert result.sets[0].score.empty_reference_words == 1
    assert result.notes == ("x_ami_test: 1 references that are empty or not to be scored are left out.",)


def test_models_are_told_apart(tmp_path: Path) -> None:
    for model in ("org-a", "org-b-2"):
        write(tmp_path / name("x_ami_test", model), [line(0, "a", "a")])
    assert [result.model for result in score_leaderboard(tmp_path)] == ["org/a", "org/b-2"]
    assert [result.model for result in score_leaderboard(tmp_path, model="org/b-2")] == ["org/b-2"]
    with pytest.raises(ScoringError, match="holds no results of org/c; there are those of org/a, org/b-2"):
        score_leaderboard(tmp_path, model="org/c")
    assert model_and_set(tmp_path / name("d_set_test.clean")) == ("org/some-model", "d_set_test.clean")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", r":1: not valid JSON"),
        ("[]", r":1: expected an object, found list"),
        ('\n{"text": "a"}', r":2: 'text' and 'pred_text' must be strings; they are 'a' and None"),
        ('{"text": "a", "pred_text": "a", "time": "0.1"}', r":1: 'time' must be a number of seconds or null"),
        ('{"text": "a", "pred_text": "a", "duration": -1}', r":1: 'duration' must be a number of seconds or null"),
        (f'{{"text": "a", "pred_text": "a", "time": {10**400}}}', r":1: 'time' must be a number of seconds or null"),
        ('\n{"text": "a", "pred_text": "caf\xe9"}', r":2: not UTF-8 text \(byte 32\)"),
        ("", r"there is no result in this file"),
    ],
)
def test_damaged_files_are_named_with_the_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / name("x_ami_test")
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ScoringError, match=sentence):
        read_leaderboard_file(path)


def test_folders_that_cannot_be_scored(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="holds no result file"):
        score_leaderboard(tmp_path)
    write(tmp_path / "hyps.jsonl", [line(0, "a", "a")])
    with pytest.raises(
        ScoringError, match=r"is no result file of the leaderboard; MODEL_…_DATASET_…\.jsonl was expected"
    ):
        score_leaderboard(tmp_path)
    (tmp_path / "hyps.jsonl").unlink()
    for folder in ("one", "two"):
        write(tmp_path / folder / name("x_ami_test"), [line(0, "a", "a")])
    with pytest.raises(ScoringError, match="the set x_ami_test of org/some-model is also in"):
        score_leaderboard(tmp_path)


def test_sets_in_a_linked_folder_are_scored(tmp_path: Path) -> None:
    write(tmp_path / "far" / name("x_ami_test"), [line(0, "a", "a")])
    write(tmp_path / "near" / name("x_spgispeech_test"), [line(0, "a", "a")])
    (tmp_path / "near" / "more").symlink_to(tmp_path / "far")
    (result,) = score_leaderboard(tmp_path / "near")
    assert [each.name for each in result.sets] == ["x_ami_test", "x_spgispeech_test"]


def test_lines_that_are_there_twice_are_noted(tmp_path: Path) -> None:
    write(tmp_path / name("x_ami_test"), [line(0, "a", "a"), line(0, "a", "a"), line(1, "b", "b")])
    (result,) = score_leaderboard(tmp_path)
    assert result.sets[0].score.utterances == 3
    assert result.notes == ("x_ami_test: 1 lines are there more than once, and are scored as often.",)
