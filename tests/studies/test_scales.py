"""The scales small and paper: every study builds, arguments mean what they say, and data that lack are named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from duolect.errors import ConfigError, DuolectError
from duolect.studies.catalogue import STUDIES, build_scale, build_study
from duolect.studies.figures import absent
from duolect.studies.scales.base import AEDModel, Architecture, Scale
from duolect.studies.scales.published_aed import LANGUAGES
from duolect.studies.stages import in_order
from duolect.studies.stages.corpora import GivenCorpus, Joined
from duolect.studies.stages.distillation import Distilled, GivenTeacher
from duolect.studies.stages.measures import Perplexity
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.sets import GivenSets
from duolect.studies.stages.training import Training, Tuned
from duolect.systems import SearchConfig, find_method


@pytest.fixture(scope="module", params=["small", "paper"])
def scale(request: pytest.FixtureRequest) -> Scale:
    return build_scale(request.param, seeds=(1,), planned=True)


@pytest.fixture(scope="module")
def paper() -> Any:
    return build_scale("paper", planned=True)


def task(stage: Training) -> Mapping[str, Any]:
    return stage.settings()["task"]


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_builds_at_every_scale(scale: Scale, name: str) -> None:
    study = build_study(name, scale)
    stages = in_order(study.stages)
    assert (study.name, study.scale) == (name, scale.name)
    assert len({stage.place for stage in stages}) == len(stages)
    for stage in stages:
        assert stage.needs.gpus == 1 or not isinstance(stage, Tuned | Recognition), stage.name
        if isinstance(stage, Training):
            assert (stage.needs.gpus, stage.needs.processes) in ((1, 1), (4, 4)), stage.name


def test_the_precision_of_a_scale_is_that_of_all_its_trainings() -> None:
    usual = build_scale("small", planned=True, seeds=(1,), settings={"precision": "auto"})
    halved = build_scale("small", planned=True, seeds=(1,), settings={"precision": "bf16"})
    for name in STUDIES:
        stages, plain = (in_order(build_study(name, each).stages) for each in (halved, usual))
        trained = [stage for stage in stages if isinstance(stage, Training)]
        assert {stage.settings()["loop"].get("precision") for stage in trained} <= {"bf16"}, name
        assert not {stage.key for stage in trained} & {stage.key for stage in plain}, name
    assert usual.acoustic(1).key == build_scale("small", planned=True).acoustic(1).key
    device = {
        (gpus, precision): build_scale(
            "small", planned=True, seeds=(1,), settings={"gpus": gpus, "precision": precision}
        )
        .acoustic(1)
        .settings()
        .get("device")
        for gpus in (0, 1)
        for precision in ("auto", "bf16")
    }
    assert device == {(0, "auto"): None, (0, "bf16"): None, (1, "auto"): "gpu", (1, "bf16"): None}
    with pytest.raises(ConfigError, match="precision"):
        build_scale("small", planned=True, settings={"precision": "fp8"})


def test_an_argument_at_its_usual_value_gives_the_same_stage(paper: Any) -> None:
    usual = paper.speech_llm(1)
    for arguments in (
        {"units": "llm"},
        {"size": "Qwen2-0.5B"},
        {"prompts": ("role-tagged",)},
        {"finetune": "lora-speech-llm"},
        {"interface": "prefix", "adapter": "concat", "concatenate": 2},
        {"pretrained": True},
    ):
        assert paper.speech_llm(1, **arguments).key == usual.key, arguments
    assert paper.language(1, units="acoustic", size="Qwen2-0.5B").key == paper.language(1).key
    assert len({usual.key, paper.speech_llm(2).key, paper.speech_llm(1, prompts=("none",)).key}) == 3


def test_published_settings_of_the_speech_llm(paper: Any) -> None:
    usual = task(paper.speech_llm(1))
    assert (usual["model"]["encoder"]["layers"], usual["model"]["ctc_layers"]) == (18, [18])
    assert usual["model"]["lora"]["rank"] == 320
    shared = task(paper.speech_llm(1, units="acoustic"))
    assert shared["model"]["encoder"]["layers"] == 16
    assert shared["model"]["llm"]["replace_embeddings"]
    assert shared["initialise_llm"] == shared["units"]["folder"] == "<language>"
    mixed = task(paper.speech_llm(1, ctc="acoustic"))
    assert mixed["ctc_units"]["folder"] == "<acoustic>"
    assert mixed["units"]["source"] == "Qwen/Qwen2-0.5B"


def aed(architecture: Architecture = "cross-conformer", **fields: Any) -> AEDModel:
    return AEDModel(architecture=architecture, **fields)


def test_published_settings_of_translation(paper: Any) -> None:
    transcribing, translating = (paper.aed(1, aed(translate=translate)) for translate in (False, True))
    assert task(transcribing)["units"]["size"] == 5000
    assert (task(translating)["units"]["size"], task(translating)["ctc_units"]["size"]) == (8000, 5000)
    assert translating.inputs["start"].key == transcribing.key
    several = paper.aed(1, aed("decoder-only-large", translate=True, languages=("de", "es")), corpus=paper.multilingual)
    assert task(several)["units"]["size"] == 32_000
    assert task(several)["model"]["decoder"]["layers"] == 32
    assert several.settings()["loop"]["accumulate"] * several.needs.processes == 8
    twice = paper.aed(1, aed(translate=True, from_scratch=True)).settings()["loop"]["steps"]
    assert twice == 2 * translating.settings()["loop"]["steps"]


def test_covost_has_settings_of_its_own(paper: Any) -> None:
    heard = paper.languages
    transcribing = paper.aed(1, aed(), corpus=heard.transcribed)
    translating = paper.aed(1, aed(translate=True), corpus=heard.translated, transcribed=heard.transcribed)
    assert task(transcribing)["units"]["size"] == 32_000
    assert (task(translating)["units"]["size"], task(translating)["ctc_units"]["size"]) == (5000, 32_000)
    assert translating.inputs["start"].key == transcribing.key
    for stage in (transcribing, translating):
        settings = stage.settings()
        frames = settings["task"]["batches"]["max_seconds"] * settings["loop"]["accumulate"] * stage.needs.processes
        assert (100 * frames, settings["loop"]["steps"]) == (256_000, 60_000)
    assert len(heard.transcribed.corpora) == 21
    assert list(heard.test_translated.corpora) == ["ca", "de", "es", "fr"]
    # Who has MuST-C alone needs no CoVoST for it.
    assert paper.aed(1, aed()).settings()["loop"]["steps"] == 100_000


def test_language_models_read_their_text_as_often_whatever_its_size() -> None:
    def steps(**settings: Any) -> tuple[int, int]:
        scale: Any = build_scale("paper", settings=settings, planned=True)
        return tuple(m.settings()["loop"]["steps"] for m in (scale.language(1), scale.adapted(1, "new")))

    assert steps() == (280_000, 500_000)
    assert steps(hours=2500) == (28_000, 50_000)
    assert steps(speech="librispeech", text_size=2) == (560_000, 1_000_000)
    assert steps(speech="librispeech")[0] == pytest.approx(280_000 * 960 / 25_000, abs=200)


def test_the_leaderboard_is_that_of_the_paper_or_todays(paper: Any) -> None:
    assert paper.test_sets.normaliser == "open-asr-2026-03"
    today = build_scale("paper", settings={"regime": "open-asr-2026-08"}, planned=True)
    assert today.test_sets.normaliser == "open-asr-2026-08"
    assert build_scale("small", planned=True, data={"leaderboard": "x"}).test_sets.normaliser == "open-asr-2026-08"
    with pytest.raises(ConfigError, match="regime"):
        build_scale("paper", settings={"regime": "open-asr-2025-01"})


def test_published_searches(paper: Any) -> None:
    overall = build_study("overall", paper)

    def search(name: str) -> SearchConfig:
        recognition = overall.entry(name).runs[1]
        base = getattr(recognition.system, "search", None) or find_method(recognition.method).search
        return recognition.searched(base)

    labelwise, joint = search("CTC + LM, label by label"), search("speech LLM + CTC")
    assert (labelwise.beam, labelwise.nbest, labelwise.merge, labelwise.collapse) == (64, 64, "max", 0.8)
    assert (labelwise.collapse_how, labelwise.lm_interval) == ("max", None)
    assert (joint.first_pass, joint.beam, joint.candidates) == ("labels", 4, None)
    assert (joint.collapse, joint.collapse_how) == (0.8, "mean")
    decoder = search("attention decoder + CTC")
    assert (decoder.first_pass, decoder.beam, decoder.inside.active) == ("frames", 64, ("ctc", "decoder"))
    assert search("attention decoder").beam == 12
    assert search("speech LLM").beam == 4
    assert search("CTC + LM, delayed").lm_interval == 20
    assert search("CTC + LM, label by label, beam 4").beam == 4
    for name in ("CTC + LM, label by label", "attention decoder + CTC"):  # what is tuned is what is searched
        tuned = overall.entry(name).runs[1].system.search
        assert dataclasses.replace(search(name), inside=tuned.inside) == tuned
    other = build_scale("paper", settings={"speech": "librispeech"}, planned=True)
    assert other.search("ctc+lm-labelwise").collapse == 0.9


def test_rows_say_what_they_search_with_whatever_is_usual_at_the_scale(paper: Any) -> None:
    def row(study: str, name: str) -> Any:
        return build_study(study, paper).entry(name).runs[1]

    plain = row("optimisations", "speech-llm+ctc").searched(paper.search("speech-llm+ctc"))
    assert (plain.collapse, plain.candidates) == (None, 24)
    assert row("optimisations", "ctc+lm-labelwise").searched(paper.search("ctc+lm-labelwise")).merge == "sum"
    assert row("beam", "CTC + LM, label by label, beam 16").changes["beam"] == 16
    assert row("fusion", "delayed, every frame").changes["lm_interval"] == 1
    for name in ("speech-llm+ctc, collapse 0.8", "ctc+lm-labelwise"):  # tuned without what is switched on
        tuned = row("optimisations", name).system.search
        assert (tuned.collapse, tuned.merge) == (None, "sum"), name
    assert {"attention decoder, beam 12", "attention decoder + CTC, beam 64"} <= {
        entry.name for entry in build_study("beam", paper).entries
    }
    mixed = row("units", "the LLM's own labels, CTC in the acoustic model's, with CTC")
    assert mixed.changes["beam"] == paper.search("speech-llm+ctc").beam
    without = row("joint-ctc", "CTC 0").searched(paper.search("speech-llm+ctc"))
    assert (without.inside.ctc, without.collapse) == (0.0, None)


@pytest.mark.parametrize("name", STUDIES)
def test_every_search_of_a_study_can_be_built(name: str, paper: Any) -> None:
    for stage in in_order(build_study(name, paper).stages):
        if isinstance(stage, Recognition):
            base = getattr(stage.system, "search", None) or find_method(stage.method).search
            assert stage.searched(base).beam == stage.changes.get("beam", base.beam), stage.name


def test_gpus_share_a_step(paper: Any) -> None:
    four = build_scale("paper", settings={"gpus": 4}, planned=True).acoustic(1)
    one = paper.acoustic(1)
    assert four.needs.processes == four.needs.gpus == 4
    assert four.settings()["loop"]["accumulate"] == 1
    seconds = [stage.settings()["task"]["batches"]["max_seconds"] for stage in (one, four)]
    assert seconds[0] == 4 * seconds[1]
    large = build_scale("paper", settings={"gpus": 2}, planned=True).speech_llm(1, size="Qwen2-7B").settings()
    assert large["loop"]["accumulate"] * 2 * large["task"]["batches"]["max_seconds"] == 500


def test_what_there_is_not_at_a_scale_is_said_in_a_sentence(paper: Any) -> None:
    with pytest.raises(ConfigError, match=r"no LLM of the size '3B'; known are Qwen2-0\.5B"):
        paper.language(1, size="3B")
    with pytest.raises(ConfigError, match="both 'none' and in 'acoustic' units"):
        paper.adapted(1, "none")
    with pytest.raises(ConfigError, match="aed_gpus must be 1, 2, 4 or 8, not 3"):
        build_scale("paper", settings={"aed_gpus": 3})


def test_missing_data_are_named_with_what_makes_them(tmp_path: Path, paper: Any) -> None:
    with pytest.raises(ConfigError, match="--data train=PATH is missing at scale paper; train is the folder"):
        _ = build_scale("paper").acoustic(1).key
    with pytest.raises(ConfigError, match=r"--data mustc=PATH is missing.*duolect import mustc"):
        _ = build_scale("paper").aed(1, aed()).key
    with pytest.raises(ConfigError, match=r"--data covost=PATH is missing.*duolect import covost2"):
        _ = build_scale("paper").languages
    given = {part: tmp_path / f"{part}.jsonl" for part in ("train", "dev", "test")}
    with pytest.raises(DuolectError, match=r"dev\.jsonl: there is no such dev data\. .*duolect import loquacious"):
        _ = build_scale("paper", data=given).acoustic(1).key
    assert "train, dev, test data are not there. Fetch it with `hf download" in absent(paper.corpus)
    assert "train-*.jsonl" in absent(build_scale("paper", settings={"speech": "librispeech"}, planned=True).corpus)


@pytest.mark.parametrize("name", ["demo", "small"])
def test_own_scales_take_the_users_data(tmp_path: Path, name: str) -> None:
    given = {part: tmp_path / f"{part}.jsonl" for part in ("train", "dev", "test")}
    scale = build_scale(name, data={**given, "lm": tmp_path / "text.gz"}, planned=True)
    assert isinstance(scale.corpus, GivenCorpus)
    settings = task(scale.language(1))
    assert settings["train"] == ["<corpus>/lm.txt.gz"]
    assert task(scale.acoustic(1))["train"] == ["<corpus>/train.jsonl"]
    with pytest.raises(ConfigError, match=f"--data dev=PATH is missing at scale {name}"):
        _ = build_scale(name, data={"train": given["train"]}).corpus


def test_eight_languages_are_eight_corpora(paper: Any) -> None:
    joined = paper.multilingual
    assert isinstance(joined, Joined)
    assert sorted(joined.corpora) == [f"en-{code}" for code in ("de", "es", "fr", "it", "nl", "pt", "ro", "ru")]


def test_what_is_made_depends_on_the_data_it_reads(tmp_path: Path) -> None:
    given = {part: tmp_path / f"{part}.jsonl" for part in ("train", "dev", "test")}
    for part in (*given, "other"):
        row = {"audio_filepath": f"{part}.wav", "duration": 1.0, "text": part}
        (tmp_path / f"{part}.jsonl").write_text(f"{json.dumps(row)}\n")
    text = tmp_path / "text"
    text.write_text("a text\n")

    def keys(name: str, **data: Path) -> dict[str, str]:
        scale = build_scale(name, data=given | data)
        recognised = scale.recognition("", scale.acoustic(1), "ctc-greedy")
        return {
            "acoustic": scale.acoustic(1).key,
            "language": scale.language(1).key,
            "speech LLM": scale.speech_llm(1).key,
            "tuned": scale.tuned(scale.acoustic(1), "attention+ctc").key,
            "counted": scale.system(1, "acoustic", counted=True).key,
            "recognised": recognised.key,
            "dev recognised": dataclasses.replace(recognised, split="dev").key,
        }

    for name in ("small", "paper"):
        before = keys(name)

        def changed(before: Mapping[str, str] = before, name: str = name, **data: Path) -> set[str]:
            now = keys(name, **data)
            return {made for made in now if now[made] != before[made]}

        assert changed(test=tmp_path / "other.jsonl") == {"recognised"}
        of_text = {"language"} if name == "paper" else {"language", "speech LLM"}  # there it starts from Qwen2 as it is
        assert changed(lm=text) == of_text
        assert changed(train=tmp_path / "other.jsonl") == before.keys()
        assert changed(dev=tmp_path / "other.jsonl") == before.keys()


def test_what_models_of_translation_hear_has_a_key_of_its_own(tmp_path: Path) -> None:
    def keys(test: str) -> tuple[str, ...]:
        for place in (f"mustc/en-{code}" for code in LANGUAGES):
            for part in ("train", "dev", "tst-COMMON"):
                manifest = tmp_path / place / f"{part}.jsonl"
                manifest.parent.mkdir(parents=True, exist_ok=True)
                text = test if part == "tst-COMMON" else "a"
                row = {"audio_filepath": "a.wav", "duration": 1.0, "text": text, "translation": place}
                manifest.write_text(f"{json.dumps(row)}\n")
        scale = build_scale("paper", data={"mustc": tmp_path / "mustc"})
        several = scale.aed(1, aed(translate=True, languages=LANGUAGES), corpus=scale.multilingual)
        teacher = GivenTeacher(name="x", source=Path("a/b"))
        distilled = Distilled(name="x", teacher=teacher, corpus=scale.translated)
        heard = scale.recognition("", several, "attention+ctc", corpus=scale.multilingual)
        return several.key, distilled.key, heard.key

    one, other = keys("a test"), keys("another")
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, True, False]


@pytest.mark.parametrize(
    ("scale", "field", "value"),
    [
        ("small", "gpus", -1),
        ("demo", "acoustic_steps", 0),
        ("demo", "pretrained_steps", -5),
        ("small", "sampled", 0),
        ("paper", "hours", 0),
        ("paper", "hours", -5.0),
        ("paper", "epochs", -1),
        ("paper", "epochs", 0),
        ("paper", "gpus", 0),
    ],
)
def test_numbers_that_mean_nothing_are_refused(scale: str, field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"scale {scale}: {field} must be .* not {value}"):
        build_scale(scale, settings={field: value}, planned=True)


def test_the_code_that_decides_a_result_is_in_its_fingerprint() -> None:
    for kind, rooms in {
        Perplexity: {"systems"},
        Recognition: {"data"},
        Tuned: {"data", "evaluation"},
        Distilled: {"data", "training"},
        GivenCorpus: {"data"},
        Joined: {"data"},
        GivenSets: {"data"},
    }.items():
        assert rooms <= set(kind.rooms), kind
