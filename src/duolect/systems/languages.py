"""In which language a system writes: what its models with tags must be told of every utterance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from duolect.data import Target, Utterance
from duolect.data.targets import LANGUAGE_KEYS, tag_place
from duolect.errors import ConfigError, ManifestError
from duolect.systems.batches import Source
from duolect.systems.components import Component, written
from duolect.systems.config import OWNERS, SearchConfig


def languages_of(parts: Mapping[str, Component], search: SearchConfig) -> tuple[str, ...]:
    """The languages that every model of a search with tags can be told to write; none where none need be told."""
    told = _told(parts, search)
    return tuple(tag for tag in told[0].tags if all(tag in part.tags for part in told)) if told else ()


def reference(utterance: Utterance, target: Target) -> str | None:
    """What a hypothesis is compared with: the transcript, or the translation, where there is one."""
    return utterance.text if target == "text" else utterance.translation


def with_languages(
    parts: Mapping[str, Component],
    search: SearchConfig,
    sources: Sequence[Source],
    utterances: Sequence[Utterance | None],
    asked: str | None = None,
) -> tuple[list[Source], dict[int, tuple[Source, str]]]:
    """The sources with the language each is to be written in, and, by their places, those without one and the reason.

    asked: the language of all of them; else an utterance says its own (`target_lang`, or `lang` of a transcript), and a
    model of one language needs none. Raises ConfigError, naming the known languages, where `asked` is none of them or
    no utterance has one of them.
    """
    known = languages_of(parts, search)
    told = _told(parts, search)
    if not told:
        if asked is not None:
            raise ConfigError(f"the target language {asked!r} is asked for, but no model of this search has a choice.")
        return list(sources), {}
    if asked is not None and asked not in known:
        raise ConfigError(f"the target language {asked!r} is unknown; the system writes {', '.join(known)}.")
    target = written(parts, search)
    kept: list[Source] = []
    bad: dict[int, tuple[Source, str]] = {}
    for source, utterance in zip(sources, utterances, strict=True):
        own = None if utterance is None else getattr(utterance, LANGUAGE_KEYS[target])
        try:
            language = asked or own or (known[0] if len(known) == 1 else None)
            tag_place(language, target, known)
        except ManifestError as error:
            bad[source.index] = (source, str(error))
        else:
            kept.append(dataclasses.replace(source, language=language))
    if bad and not kept:
        first, reason = next(iter(bad.values()))
        raise ConfigError(f"{first.id}: {reason.removesuffix('.')}; say which one is the target language of all.")
    return kept, bad


def _told(parts: Mapping[str, Component], search: SearchConfig) -> list[Component]:
    """The components that write something in this search and have tags."""
    writing = [parts[OWNERS[term]] for term in search.scales.active if term in OWNERS]
    return [part for part in writing if part.tags]
