"""N-best lists with every term in a file, so that scales can be chosen again without running a model.

One utterance a line, as in a hypothesis file with its lists: `{"id", "reference", "text", "nbest": [{"text", "terms",
"labels"}, …]}`; terms are unweighted natural logarithms, `labels` their number without EOS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from duolect.errors import ScoringError
from duolect.evaluation import HypothesisRow, read_rows, write_run
from duolect.systems.lists import Entry


def write_lists(
    path: str | os.PathLike[str], lists: Mapping[str, Sequence[Entry]], references: Mapping[str, str]
) -> None:
    """Write the list of every utterance id; `references` has its text. The file appears whole or not at all."""
    rows = [
        HypothesisRow(
            id=name,
            text=entries[0].text,
            reference=references[name],
            fields={"nbest": [{"text": e.text, "terms": dict(e.terms), "labels": e.labels} for e in entries]},
        )
        for name, entries in lists.items()
    ]
    write_run(path, rows)


def read_lists(path: str | os.PathLike[str]) -> dict[str, list[Entry]]:
    """The list of every utterance id, from a file of `write_lists` or of `duolect recognize --nbest`.

    Raises ScoringError that names the utterance whose list is missing or is not one.
    """
    lists: dict[str, list[Entry]] = {}
    for row in read_rows(path):
        entries = row.fields.get("nbest")
        if not isinstance(entries, list) or not entries:
            raise ScoringError(f"{path}: the utterance {row.id!r} has no list 'nbest'; recognise with --nbest.")
        try:
            lists[row.id] = [
                Entry(str(e["text"]), {k: float(v) for k, v in e["terms"].items()}, int(e["labels"])) for e in entries
            ]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ScoringError(
                f"{path}: a hypothesis of {row.id!r} lacks its 'text', 'terms' or number of 'labels'."
            ) from None
    return lists
