"""Systems on disk: the same system comes back, whole or not at all, and whatever does not fit is named."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import duolect
from duolect.data import Utterance
from duolect.errors import ConfigError, DuolectError, ModelError, SystemFolderError, UnitsError
from duolect.models import save_model
from duolect.systems import (
    METHODS,
    Component,
    Scales,
    SearchConfig,
    System,
    combine,
    component_folder,
    default_method,
    tune,
    write_single,
)
from duolect.text import CharacterUnits


@pytest.fixture
def saved(system: System, tmp_path: Path) -> Path:
    """A system folder with all parts, to be damaged."""
    system.with_method("ctc+lm-rescoring").save(tmp_path / "system")
    return tmp_path / "system"


def edit(saved: Path, **changes: object) -> None:
    path = saved / "system.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_was_saved_gives_the_same_result(system: System, corpus: list[Utterance], tmp_path: Path) -> None:
    search = SearchConfig(
        first_pass="frames", inside=Scales(ctc=1.0, lm=0.5, prior=0.2), after=Scales(speech_llm=0.3), beam=8, nbest=8
    )
    before = system.with_search(search)
    before.save(tmp_path / "system")
    after = duolect.load(tmp_path / "system")
    assert isinstance(after, duolect.System)
    assert after.search == search
    assert after.fingerprint() == before.fingerprint()
    rows = before.recognize(corpus, nbest=True).rows
    assert after.recognize(corpus, nbest=True).rows == rows


def test_an_unchanged_component_is_linked_and_a_new_search_rewrites_only_the_settings(
    saved: Path, corpus: list[Utterance], tmp_path: Path
) -> None:
    weights = saved / "acoustic" / "model.safetensors"
    again = duolect.load(saved)
    again.with_method("ctc-beam").save(tmp_path / "other")
    assert os.path.samefile(weights, tmp_path / "other" / "acoustic" / "model.safetensors")
    before = weights.stat().st_mtime_ns, weights.stat().st_ino
    (saved / "notes.txt").write_text("kept")
    again.with_method("ctc-greedy").save(saved)
    assert (weights.stat().st_mtime_ns, weights.stat().st_ino) == before
    assert (saved / "notes.txt").read_text() == "kept"
    assert duolect.load(saved).method == "ctc-greedy"
    other = duolect.load(tmp_path / "other")
    shutil.rmtree(saved)
    assert other.recognize(corpus[:1]).rows


def test_changed_weights_are_written_anew(saved: Path, tmp_path: Path) -> None:
    changed = duolect.load(saved)
    assert changed.acoustic is not None
    changed.acoustic.model.speech.ctc_heads["2"].bias.data.add_(1.0)
    changed.save(tmp_path / "changed")
    assert duolect.load(tmp_path / "changed").fingerprint() == changed.fingerprint()
    assert duolect.load(saved).fingerprint() != changed.fingerprint()


def test_a_folder_that_holds_anything_else_is_not_replaced(system: System, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not lose")
    with pytest.raises(SystemFolderError, match=r"thesis\.txt"):
        system.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(SystemFolderError, match="is a file"):
        system.save(tmp_path / "thesis.txt")


def test_what_would_be_lost_is_named_unless_it_may_be(
    saved: Path, corpus: list[Utterance], make: dict[str, Callable[..., Component]], units: CharacterUnits
) -> None:
    full = duolect.load(saved)
    tuned = full.with_tuning(tune(full, corpus, "ctc+lm-rescoring", nbest=4, rounds=1).record)
    tuned = tuned.with_tuning(tune(full, corpus, "attention+ctc", nbest=4, rounds=1).record)
    tuned.save(saved, overwrite=False)
    tuned.with_method("ctc-greedy").save(saved, overwrite=False)  # a search can be named again
    before = (saved / "system.json").read_text()
    less = combine(acoustic=saved, language=saved)
    other = combine(acoustic=make["acoustic"](units, seed=9), language=saved, speech_llm=saved)
    scales = r"the scales tuned for ctc\+lm-rescoring, attention\+ctc"
    for system, lost in (
        (less, rf"the speech LLM and {scales}"),
        (other, rf"the acoustic model and {scales}"),
        (full, scales),
    ):
        with pytest.raises(SystemFolderError, match=rf"system: holds {lost}, which would be lost; .*--overwrite"):
            system.save(saved, overwrite=False)
        with pytest.raises(SystemFolderError, match=f"holds {lost}, which".replace(r", attention\+ctc", "")):
            system.require_nothing_lost(saved, "attention+ctc")
    assert (saved / "system.json").read_text() == before
    older = json.loads(before)
    for record in older["tuned"].values():
        del record["search"]["draft_gate"]  # as of before there was such a field
    (saved / "system.json").write_text(json.dumps(older))
    duolect.load(saved).save(saved, overwrite=False)
    assert json.loads((saved / "system.json").read_text())["tuned"] == json.loads(before)["tuned"]
    (saved / "system.json").write_text("{}")
    with pytest.raises(
        SystemFolderError, match="holds the acoustic model, the language model and the speech LLM, which"
    ):
        full.save(saved, overwrite=False)
    less.save(saved)
    assert list(duolect.load(saved).parts) == ["acoustic", "language"]
    full.save(saved, overwrite=False)  # more than there was
    full.save(saved.parent / "new", overwrite=False)


def test_a_failed_save_leaves_the_old_system(saved: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    changed = duolect.load(saved)
    assert changed.language is not None
    next(changed.language.model.parameters()).data.add_(1.0)
    monkeypatch.setattr("duolect.systems.folder.save_model", full)
    with pytest.raises(DuolectError, match="No space left"):
        changed.save(saved)
    assert duolect.load(saved).parts.keys() == system.parts.keys()
    assert [p.name for p in saved.parent.iterdir()] == ["system"]


MISSING = [
    ("system.json", r"no system\.json"),
    ("acoustic/model.safetensors", r"lacks its model\.safetensors"),
    ("language/config.json", r"lacks its config\.json"),
    ("speech_llm/units", "lacks its units"),
]


@pytest.mark.parametrize(("part", "named"), MISSING)
def test_a_missing_part_is_named(saved: Path, part: str, named: str) -> None:
    path = saved / part
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(SystemFolderError, match=named):
        duolect.load(saved)


WRONG = [
    ({"format": 99}, SystemFolderError, "format 99"),
    ({"kind": "something"}, SystemFolderError, "duolect-system"),
    ({"components": {}}, SystemFolderError, "components"),
    ({"components": {"vision": {}}}, SystemFolderError, "vision"),
    ({"search": {"beem": 4}}, ConfigError, "beem.*beam"),
    ({"search": {"beam": 0}}, ConfigError, "beam"),
    ({"tuned": {"ctc-beam": {}}}, ConfigError, "tuned.ctc-beam"),
]


@pytest.mark.parametrize(("changes", "error", "named"), WRONG)
def test_other_formats_and_settings_are_named(
    saved: Path, changes: dict, error: type[DuolectError], named: str
) -> None:
    edit(saved, **changes)
    with pytest.raises(error, match=named):
        duolect.load(saved)


def test_settings_that_do_not_go_together_are_named_with_their_file(saved: Path) -> None:
    search = json.loads((saved / "system.json").read_text())["search"]
    edit(saved, search={**search, "beam": 1, "nbest": 2})
    with pytest.raises(ConfigError, match=r"system/system\.json: .*nbest is 2"):
        duolect.load(saved)


def test_damaged_settings_and_weights(saved: Path) -> None:
    weights = saved / "acoustic" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(DuolectError, match=r"model\.safetensors"):
        duolect.load(saved)
    (saved / "system.json").write_text('{"kind": ')
    with pytest.raises(SystemFolderError, match=r"system\.json:1"):
        duolect.load(saved)
    with pytest.raises(SystemFolderError, match="no such system folder"):
        duolect.load(saved / "nothing")


def test_a_run_folder_stands_for_what_it_exported(saved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    for use in (duolect.load, lambda folder: combine(acoustic=folder)):
        with pytest.raises(SystemFolderError, match="not finished; go on with"):
            use(run)
    shutil.copytree(saved, run / "system")
    assert duolect.load(run).folder == run / "system"
    assert combine(acoustic=run).parts.keys() == {"acoustic"}
    for folder in (run, run / "system", run / "system" / "language"):
        assert component_folder(folder, "language") == run / "system" / "language"
    with pytest.raises(SystemFolderError, match="has no trained model"):
        component_folder(tmp_path / "nothing", "language")


def test_units_of_another_system_are_noticed(saved: Path) -> None:
    shutil.rmtree(saved / "language" / "units")
    CharacterUnits("ijklmnop ").save(saved / "language" / "units")
    with pytest.raises(SystemFolderError, match=r"language.units.*fingerprint"):
        duolect.load(saved)


def test_a_component_of_another_kind_is_noticed(saved: Path) -> None:
    shutil.rmtree(saved / "language")
    shutil.copytree(saved / "acoustic", saved / "language")
    with pytest.raises(ModelError, match="language: expected the class LanguageModel"):
        duolect.load(saved)


@pytest.mark.parametrize(
    ("kind", "method"), [("acoustic", "attention+ctc"), ("language", None), ("speech_llm", "speech-llm")]
)
def test_a_trained_component_becomes_a_system(kind: str, method: str | None, system: System, tmp_path: Path) -> None:
    component: Component = getattr(system, kind)
    save_model(component.model, tmp_path / "run" / kind)
    component.units.save(tmp_path / "run" / kind / "units")
    (tmp_path / "run" / "log.txt").write_text("kept")
    write_single(tmp_path / "run", kind)
    again = duolect.load(tmp_path / "run")
    assert again.method == method
    assert list(again.parts) == [kind]
    assert (tmp_path / "run" / "log.txt").exists()


def test_a_language_model_alone_cannot_listen(system: System, corpus: list[Utterance]) -> None:
    lone = System(language=system.language)
    with pytest.raises(SystemFolderError, match="no search"):
        lone.recognize(corpus)
    with pytest.raises(SystemFolderError, match="at least one component"):
        System()


def test_parts_are_combined(saved: Path, system: System, make: dict[str, Callable], units: CharacterUnits) -> None:
    both = combine(acoustic=saved, language=make["language"](units), search="ctc+lm-labelwise")
    assert list(both.parts) == ["acoustic", "language"]
    assert both.search == METHODS["ctc+lm-labelwise"].search
    assert combine(acoustic=system, speech_llm=system).method == "attention+ctc"
    assert combine(acoustic=system, language=system).method == "ctc+lm-rescoring"
    with pytest.raises(SystemFolderError, match="no component 'language'"):
        combine(language=System(acoustic=system.acoustic))
    System(acoustic=system.acoustic).save(saved.parent / "lone")
    with pytest.raises(SystemFolderError, match="holds no speech LLM"):
        combine(speech_llm=saved.parent / "lone")


def test_what_must_share_its_units_does(system: System, make: dict[str, Callable], corpus: list[Utterance]) -> None:
    other = make["language"](CharacterUnits("abcdefgh 0123"))
    with pytest.raises(UnitsError):
        combine(acoustic=system, language=other, search="ctc+lm-labelwise")
    rescoring = combine(acoustic=system, language=other, search="ctc+lm-rescoring")
    assert all("lm" in row.terms for row in rescoring.recognize(corpus).rows)
    assert system.acoustic is not None
    with pytest.raises(UnitsError, match="vocabulary of"):
        Component(system.acoustic.model, other.units)
    with pytest.raises(UnitsError, match=r"CTC heads of the AcousticModel have \d+ labels"):
        Component(system.acoustic.model, system.acoustic.units, ctc_units=other.units)


def test_a_search_needs_its_models(system: System, make: dict[str, Callable], units: CharacterUnits) -> None:
    lone = make["acoustic"](units, decoder=False)
    assert default_method({"acoustic": lone}) == "ctc-greedy"
    with pytest.raises(SystemFolderError, match="no component 'language'"):
        System(acoustic=lone).with_method("ctc+lm-rescoring")
    with pytest.raises(ConfigError, match="no attention decoder"):
        System(acoustic=lone).with_method("attention")
    with pytest.raises(ConfigError, match="no prior"):
        System(acoustic=lone, language=system.language).with_search(
            SearchConfig(first_pass="frames", inside=Scales(ctc=1.0, lm=0.5, prior=0.5), beam=2)
        )
    with pytest.raises(ModelError, match="acoustic: expected the class AcousticModel"):
        System(acoustic=system.language)


def test_importing_the_package_stays_cheap() -> None:
    code = "import sys, duolect; assert 'torch' not in sys.modules; duolect.System; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError):
        _ = duolect.nothing


def test_tuned_scales_come_back_and_their_set_is_known(system: System, corpus: list[Utterance], tmp_path: Path) -> None:
    tuned = tune(system, corpus, "ctc+lm-labelwise", nbest=8)
    system.with_tuning(tuned.record).save(tmp_path / "system")
    again = duolect.load(tmp_path / "system")
    assert again.tuned == {"ctc+lm-labelwise": tuned.record}
    assert again.method == "ctc+lm-labelwise"
    assert again.recognize(corpus).tuned_on_this_set
    assert again.recognize(corpus[::-1]).tuned_on_this_set
    assert not again.recognize(corpus[:3]).tuned_on_this_set
    assert not again.with_method("ctc-beam").recognize(corpus).tuned_on_this_set
    assert again.with_method("ctc-beam").with_method("ctc+lm-labelwise").search == tuned.record.search
