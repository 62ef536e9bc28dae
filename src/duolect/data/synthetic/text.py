"""Which sentences go where: audio of train, dev and test, and the text of the language model."""

from __future__ import annotations

import dataclasses
import random

from duolect.data.synthetic.config import SyntheticConfig
from duolect.data.synthetic.domains import DEV_TEMPLATES, TEST_TEMPLATES, TRAINING_TEMPLATES
from duolect.data.synthetic.grammar import Sentence, Template, sample_sentences
from duolect.data.synthetic.lexicon import LEXICON


@dataclasses.dataclass(frozen=True)
class Texts:
    """The sentences of each part; no two of train, dev and test share one, openers aside, nor does `lm` with dev or
    test."""

    train: list[Sentence]
    dev: list[Sentence]
    test: list[Sentence]
    lm: list[Sentence]


def draw_texts(config: SyntheticConfig) -> Texts:
    """The sentences of a corpus, determined by its config; LM sentences are all different."""

    def mixed(split: str, unseen: tuple[Template, ...], n: int, avoid: set[str]) -> list[Sentence]:
        held_out = round(config.unseen_share * n)
        seen = sample_sentences(
            TRAINING_TEMPLATES, n - held_out, f"{config.seed}/{split}/seen", lexicon=LEXICON, avoid=avoid
        )
        new = sample_sentences(unseen, held_out, f"{config.seed}/{split}/unseen", lexicon=LEXICON)
        rng = random.Random(f"duolect/{config.seed}/{split}/order")
        return sorted(seen + new, key=lambda _: rng.random())

    def training(split: str, n: int) -> list[Sentence]:
        return sample_sentences(TRAINING_TEMPLATES, n, f"{config.seed}/{split}", lexicon=LEXICON, avoid=avoid)

    avoid: set[str] = set()
    test = mixed("test", TEST_TEMPLATES, config.test, avoid)
    avoid |= {sentence.core for sentence in test}
    dev = mixed("dev", DEV_TEMPLATES, config.dev, avoid)
    avoid |= {sentence.core for sentence in dev}
    return Texts(training("train", config.train), dev, test, training("lm", config.lm_sentences))
