"""The sentence templates of all domains, and which of them are kept out of training."""

import hashlib
from collections import Counter

from duolect.data.synthetic.domains import everyday, home, outside, people, story, work
from duolect.data.synthetic.grammar import Template, category_of
from duolect.data.synthetic.lexicon import LEXICON

ALL_TEMPLATES: tuple[Template, ...] = (
    *everyday.TEMPLATES,
    *outside.TEMPLATES,
    *people.TEMPLATES,
    *work.TEMPLATES,
    *home.TEMPLATES,
    *story.TEMPLATES,
)
_TEST_SHARE, _DEV_SHARE = 0.15, 0.05


def _rank(template: Template) -> str:
    # By content, so that a template does not change sides when another is added or the seed differs.
    return hashlib.sha256(template.english.encode()).hexdigest()


def _held_out() -> tuple[frozenset[str], frozenset[str]]:
    """Names of the templates only in test and only in dev: of each domain the first by rank that add no new words.

    A held-out template asks for words in new surroundings; words that are not in the LM text at all would say nothing
    about the model. So its literal words and its slot categories must occur in a template that stays.
    """
    words = Counter(word for template in ALL_TEMPLATES for word in _needs(template))
    lexical = {
        word
        for category, entries in LEXICON.items()
        if category != "journey"  # only ever in the past tense
        for entry in entries
        for word in entry.english().split()
    }
    chosen: tuple[set[str], set[str]] = (set(), set())
    for domain in dict.fromkeys(template.domain for template in ALL_TEMPLATES):
        ranked = sorted((template for template in ALL_TEMPLATES if template.domain == domain), key=_rank)
        quotas = [round(_TEST_SHARE * len(ranked)), round(_DEV_SHARE * len(ranked))]
        for template in ranked:
            side = 0 if quotas[0] else 1
            if quotas[side] and all(words[word] > 1 or word in lexical for word in _needs(template)):
                quotas[side] -= 1
                chosen[side].add(template.name)
                words.subtract(_needs(template))
    return frozenset(chosen[0]), frozenset(chosen[1])


def _needs(template: Template) -> set[str]:
    forms = {f"{{{category_of(piece.slot)}:{piece.form}}}" for piece in template.pieces[0] if piece.slot}
    return set(template.literal_words) | forms


TEST_ONLY, DEV_ONLY = _held_out()
TRAINING_TEMPLATES = tuple(t for t in ALL_TEMPLATES if t.name not in TEST_ONLY | DEV_ONLY)
TEST_TEMPLATES = tuple(t for t in ALL_TEMPLATES if t.name in TEST_ONLY)
DEV_TEMPLATES = tuple(t for t in ALL_TEMPLATES if t.name in DEV_ONLY)
