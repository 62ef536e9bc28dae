"""All studies with their questions, the published findings that they test, and what stands of them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

from duolect.errors import DuolectError
from duolect.studies.catalogue import STUDIES, build_study
from duolect.studies.engine import STAGES, Asked
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Store, in_order


def listing(asked: Asked, out: Path) -> Iterator[str]:
    """Lines for people: the studies of `asked` (all where it names none) at its scale, with what stands in `out`."""
    names = asked.names or tuple(STUDIES)
    scale = dataclasses.replace(asked, names=names).build(planned=True)
    for name in names:
        yield name
        yield from (f"  {line}" for line in _about(name, scale, Store(out / STAGES)))


def _about(name: str, scale: Scale, store: Store) -> Iterator[str]:
    try:
        study = build_study(name, scale)
        stages = in_order(study.stages)
    except DuolectError as error:
        if name in STUDIES:
            yield (inspect.getdoc(STUDIES[name]) or name).splitlines()[0]
        yield f"cannot be run: {error}"
        return
    yield study.question
    for claim in study.claims:
        yield f"published: {claim.text} ({claim.source})"
    stand = sum(store.made(stage) is not None for stage in stages)
    yield f"{len(study.entries)} rows, {len(stages)} stages at scale {scale.name}, {stand} of which stand"
