"""How each term voted, as a table."""

import io

from rich.console import Console

from duolect.reports.votes import votes_table
from duolect.systems import Explanation
from duolect.systems.explanation import HypothesisVotes, WordVotes


def test_words_in_brackets_are_not_taken_for_markup() -> None:
    def said(name: str, word: str) -> HypothesisVotes:
        votes = {"ctc": -1.0}
        words = (WordVotes(word, votes),)
        return HypothesisVotes(
            name=name, text=word, score=-2.0, labels=1, flags=(), words=words, end=votes, rest={"ctc": 0.0}
        )

    explained = Explanation(
        id="a",
        factors={"ctc": 1.0},
        length_exponent=0.0,
        hypotheses=(said("winner", "[noise]"), said("runner-up", "[/inst]")),
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(votes_table(explained))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count("[noise]") == text.count("[/inst]") == 2  # as the text, and as a row
