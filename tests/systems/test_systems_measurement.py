"""What a run cost: the same hypotheses whether measured or not, stages that sum up, operations of the parts."""

import dataclasses
from pathlib import Path

import pytest
import torch

from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.evaluation import read_run
from duolect.evaluation.speed import FILES_TO_TEXT
from duolect.nn.flops import flop_counter
from duolect.systems import Measure, System, recognize_manifest
from duolect.systems.batches import utterance_source
from duolect.systems.measurement import _spread

SOME = Measure(utterances=2, batches=2)
NAMES = ["ctc-greedy", "attention+ctc", "ctc+lm-delayed", "ctc+lm-rescoring", "speech-llm-draft", "speech-llm+ctc"]
SPEAKING = {
    "ctc-greedy": set(),
    "attention+ctc": {"search/decoder", "search/ctc"},
    "ctc+lm-delayed": {"search/lm"},
    "ctc+lm-rescoring": {"rescoring/lm"},
    "speech-llm-draft": {"search/speech_llm"},
    "speech-llm+ctc": {"search/speech_llm", "search/ctc"},
}


@pytest.mark.parametrize("name", NAMES)
def test_measuring_changes_no_hypothesis(name: str, system: System, corpus: list[Utterance]) -> None:
    """To the bit, scores of every n-best entry included; the only thing added to a row is its time."""
    searching, three = system.with_method(name), corpus[:3]
    plain = searching.recognize(three, nbest=True, batch_seconds=2.0)
    found = searching.recognize(three, nbest=True, batch_seconds=2.0, measure=SOME)
    times = [row.fields["time"] for row in found.rows]
    stripped = [
        dataclasses.replace(row, fields={key: value for key, value in row.fields.items() if key != "time"})
        for row in found.rows
    ]
    assert stripped == plain.rows
    assert found.statistics == plain.statistics
    assert (plain.flops, plain.latency) == ({}, None)

    assert sum(times) == pytest.approx(found.timing.wall_seconds)
    for run in (plain, found):
        assert sum(run.stages.values()) == pytest.approx(run.timing_with_files.wall_seconds)
        assert all(seconds > 0 for seconds in run.stages.values())
        expected = {"reading", "features", "search", "text", "other"} | SPEAKING[name]
        assert expected <= run.stages.keys()
        assert {stage for stage in run.stages if stage.partition("/")[2]} == SPEAKING[name]
    assert {stage for stage in found.flops if "/" in stage} == SPEAKING[name]
    assert found.flops.keys() <= found.stages.keys()
    assert found.latency is not None
    assert found.latency.utterances == 2
    assert found.latency.audio_seconds == pytest.approx(corpus[0].duration + corpus[1].duration)
    assert 0 < found.latency.median <= found.latency.p95


def test_fields_named_like_results_are_kept_beside_these(system: System, corpus: list[Utterance]) -> None:
    said = {"time": "noon", "nbest": 3, "scales": "C major", "length_exponent": 2, "run": 7, "room": "B"}
    utterance = dataclasses.replace(corpus[0], fields=said)
    row = system.with_method("ctc-greedy").recognize([utterance], nbest=True, measure=SOME).rows[0]
    assert {name: row.fields[name] for name in ("source_time", "source_nbest", "source_run", "room")} == {
        "source_time": "noon",
        "source_nbest": 3,
        "source_run": 7,
        "room": "B",
    }
    assert (row.fields["source_scales"], row.fields["source_length_exponent"]) == ("C major", 2)
    assert (row.fields["nbest"][0]["text"], row.fields["time"] > 0) == (row.text, True)


def test_operations_are_those_of_the_models(system: System, corpus: list[Utterance]) -> None:
    """One utterance, greedy: features, encoder and CTC head are what they count outside of any search."""
    alone = corpus[2:3]
    found = system.with_method("ctc-greedy").recognize(alone, measure=SOME)
    assert system.acoustic is not None
    model, samples = system.acoustic.model, torch.from_numpy(utterance_source(0, alone[0]).read())
    with torch.inference_mode(), flop_counter() as counter:
        encoded = model.encode(samples[None], torch.tensor([len(samples)]))
    frames, width = encoded.states_BTD.shape[1:]
    head = 2 * frames * width * (system.acoustic.units.size + 1)
    seconds = found.timing.audio_seconds
    assert found.flops["ctc.acoustic"] * seconds == pytest.approx(head)
    whole = found.flops["features"] + found.flops["encoder.acoustic"]
    assert whole * seconds == pytest.approx(counter.get_total_flops())
    assert found.statistics["output.labels"] == len(found.rows[0].text) + 1  # characters, and EOS


def test_a_label_costs_about_two_operations_for_each_weight(system: System, corpus: list[Utterance]) -> None:
    """Of the language model, in a search with a cache and in rescoring; attention, EOS and padding come on top."""
    runs = {
        name: system.with_method(name).recognize(corpus[:3], measure=Measure(utterances=1, batches=99))
        for name in ("ctc+lm-delayed", "ctc+lm-rescoring")
    }
    for name, stage in (("ctc+lm-delayed", "search/lm"), ("ctc+lm-rescoring", "rescoring/lm")):
        run = runs[name]
        assert system.language is not None
        weights = sum(p.numel() for p in system.language.model.parameters())
        per_label = run.flops[stage] * run.timing.audio_seconds / run.statistics["lm.labels"]
        assert 2 * weights * 0.9 < per_label < 2 * weights * 3


def test_a_record_says_what_its_run_cost(system: System, corpus: list[Utterance], tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    lines = [
        f'{{"audio_filepath": "{u.audio_filepath}", "duration": {u.duration}, "text": "{u.text}", "id": "{u.id}"}}'
        for u in corpus
    ]
    missing = '{"audio_filepath": "none.wav", "duration": 1.0, "text": "a", "id": "missing"}'
    manifest.write_text("\n".join([missing, *lines]) + "\n")
    searching = system.with_method("ctc+lm-rescoring")
    measured = recognize_manifest(searching, manifest, tmp_path / "a.jsonl", measure=SOME)
    recognize_manifest(searching, manifest, tmp_path / "b.jsonl", warm_up=True)
    rows, record = read_run(tmp_path / "a.jsonl")
    plain_rows, plain = read_run(tmp_path / "b.jsonl")
    assert record is not None
    assert plain is not None
    assert record.hash == plain.hash
    assert record.region == plain.region
    assert (record.stages, record.flops, record.latency) == (measured.stages, measured.flops, measured.latency)
    assert (plain.flops, plain.latency) == ({}, None)
    assert [row.text for row in rows] == [row.text for row in plain_rows]
    assert all("time" in row.fields for row in rows)
    assert all("time" not in row.fields for row in plain_rows)
    assert record.timing_with_files is not None
    assert record.timing_with_files.region == FILES_TO_TEXT
    assert record.timing_with_files.wall_seconds > record.wall_seconds
    assert record.parameters.keys() == {"acoustic", "language"}
    assert system.language is not None
    assert record.parameters["language"] == sum(p.numel() for p in system.language.model.parameters())


def test_nothing_that_can_be_read_has_no_latency(system: System, tmp_path: Path) -> None:
    gone = [Utterance(audio_filepath=tmp_path / "none.wav", duration=1.0, text="a", id="a")]
    found = system.with_method("ctc-greedy").recognize(gone, measure=SOME)
    assert (found.latency, found.flops, len(found.skipped)) == (None, {}, 1)


def test_counted_batches_are_spread_from_the_longest_to_the_shortest(corpus: list[Utterance]) -> None:
    batches = [[utterance_source(i, corpus[0])] for i in range(11)]
    chosen = {count: [batch[0].index for batch in _spread(batches, count)] for count in (1, 2, 3, 11, 50)}
    assert chosen == {1: [5], 2: [0, 10], 3: [0, 5, 10], 11: list(range(11)), 50: list(range(11))}
    with pytest.raises(ConfigError, match="measure: utterances must be at least 1, not 0"):
        Measure(utterances=0)
