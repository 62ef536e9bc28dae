"""What is to be written of an utterance: its transcript or its translation, and the tag that names the language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import ConfigError, ManifestError

Target = Literal["text", "translation"]
"""The key of a manifest that a model writes: what was said, or that in another language."""

LANGUAGE_KEYS: dict[Target, str] = {"text": "lang", "translation": "target_lang"}
"""The key of a manifest that names the language of each."""


def check_tags(tags: Sequence[str], what: str) -> None:
    """Raise ConfigError unless `tags`, those of `what`, are names of languages, each given once."""
    if not all(tags) or len(set(tags)) < len(tags):
        raise ConfigError(f"{what}: tags must be different names of languages, not {', '.join(map(repr, tags))}.")


def target_text(utterance: Utterance, target: Target) -> str:
    """What a model of this `target` writes. Raises ManifestError where there is no translation, or an empty one."""
    if target == "text":
        return utterance.text
    if not (utterance.translation or "").strip():
        raise ManifestError("has no 'translation', which is to be written.")
    return utterance.translation or ""


def tag_place(language: str | None, target: Target, tags: Sequence[str]) -> int:
    """The place among `tags` of the language that is to be written. Raises ManifestError that names them where it is
    missing or none of them."""
    if language is None:
        raise ManifestError(f"has no {LANGUAGE_KEYS[target]!r}; the model writes {', '.join(tags)}.")
    if language not in tags:
        raise ManifestError(f"is to be written in {language!r}; the model writes {', '.join(tags)}.")
    return list(tags).index(language)


def utterance_tag(utterance: Utterance, target: Target, tags: Sequence[str]) -> int:
    """`tag_place` of an utterance: of its `lang` where transcripts are written, else of its `target_lang`."""
    return tag_place(getattr(utterance, LANGUAGE_KEYS[target]), target, tags)


def with_targets(
    utterances: Iterable[Utterance], target: Target, tags: Sequence[str] = ()
) -> tuple[list[Utterance], list[Skipped]]:
    """The utterances that can be trained on, and those that lack the target text, or a tag where there are tags."""
    kept, skipped = [], []
    for utterance in utterances:
        try:
            target_text(utterance, target)
            if tags:
                utterance_tag(utterance, target, tags)
        except ManifestError as error:
            skipped.append(Skipped(utterance.id, str(utterance.audio_filepath), str(error)))
        else:
            kept.append(utterance)
    return kept, skipped
