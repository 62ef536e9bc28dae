"""What is written of an utterance: its text or its translation, and in which language."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from duolect.data import SkipLog, Utterance, with_targets
from duolect.data.batching import BatchConfig, SpeechBatches
from duolect.data.loader import SpeechLoader, collate
from duolect.data.targets import check_tags, target_text
from duolect.errors import ConfigError, ManifestError

Make = Callable[..., list[Utterance]]


@pytest.fixture
def translated(make_corpus: Make) -> list[Utterance]:
    """Two languages; the third row has no translation, the fourth an unknown language, the fifth none."""
    extras: list[dict[str, Any]] = [
        {"translation": "ab", "target_lang": "de"},
        {"translation": "cde", "target_lang": "fr"},
        {"target_lang": "fr"},
        {"translation": "f", "target_lang": "xx"},
        {"translation": "g"},
    ]
    utterances = make_corpus(["one", "two", "three", "four", "five"])
    return [replace(u, **extra) for u, extra in zip(utterances, extras, strict=True)]


def test_labels_are_of_the_translation_and_ctc_labels_of_the_text(translated: Any, letters: Any) -> None:
    batch = collate(translated[:2], letters, letters, target="translation", tags=("fr", "de"))
    assert batch.labels_BN.tolist() == [[1, 2, 0], [3, 4, 5]]
    assert batch.ctc_labels_BN is not None
    assert batch.ctc_labels_BN.tolist() == [letters.encode("one"), letters.encode("two")]
    assert batch.tags_B is not None
    assert batch.tags_B.tolist() == [1, 0]
    assert collate(translated[:2], letters).tags_B is None


def test_rows_without_translation_or_tag_are_skipped_and_listed(translated: Any, letters: Any) -> None:
    batch = collate(translated, letters, target="translation", tags=("de", "fr"))
    assert batch.ids == ("tone0", "tone1")
    reasons = {entry.id: entry.reason for entry in batch.skipped}
    assert reasons["tone2"] == "has no 'translation', which is to be written."
    assert reasons["tone3"] == "is to be written in 'xx'; the model writes de, fr."
    assert reasons["tone4"] == "has no 'target_lang'; the model writes de, fr."
    kept, skipped = with_targets(translated, "translation", ("de", "fr"))
    assert (kept, tuple(skipped)) == (translated[:2], batch.skipped)
    assert [u.id for u in with_targets(translated, "translation")[0]] == ["tone0", "tone1", "tone3", "tone4"]
    assert with_targets(translated, "text") == (translated, [])


def test_the_language_of_a_transcript_is_lang(translated: Any, letters: Any) -> None:
    spoken = [replace(u, lang=lang) for u, lang in zip(translated[:2], ("en", "sw"), strict=True)]
    batch = collate(spoken, letters, tags=("sw", "en"))
    assert batch.tags_B is not None
    assert batch.tags_B.tolist() == [1, 0]
    assert batch.labels_BN.tolist() == [letters.encode("one"), letters.encode("two")]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_hands_tags_on(translated: Any, letters: Any, workers: int) -> None:
    batches = SpeechBatches(translated, BatchConfig(max_seconds=10, buckets=1, shuffle=False), 0, epochs=1)
    log = SkipLog()
    loader = SpeechLoader(batches, letters, workers=workers, skipped=log, target="translation", tags=("de", "fr"))
    found = {}
    for batch in loader:
        assert batch.tags_B is not None
        found |= dict(zip(batch.ids, batch.tags_B.tolist(), strict=True))
    assert found == {"tone0": 0, "tone1": 1}
    assert {entry.id for entry in log} == {"tone2", "tone3", "tone4"}


def test_blank_translations_and_bad_tags(translated: Any) -> None:
    with pytest.raises(ManifestError, match="no 'translation'"):
        target_text(replace(translated[0], translation=" \n"), "translation")
    for tags in (("de", ""), ("de", "de")):
        with pytest.raises(ConfigError, match="task: tags must be different"):
            check_tags(tags, "task")
