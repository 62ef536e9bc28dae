"""Templates and the sentences drawn from them."""

import random
from collections import Counter

import pytest

from duolect.data.synthetic import (
    ALL_TEMPLATES,
    DEV_TEMPLATES,
    LEXICON,
    TEST_TEMPLATES,
    TRAINING_TEMPLATES,
    sample_sentences,
    sound_alikes,
)
from duolect.data.synthetic.grammar import Template, category_of

ENGLISH = set("abcdefghijklmnopqrstuvwxyz' ")
GERMAN = set("abcdefghijklmnopqrstuvwxyzäöüßéABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ ")


@pytest.fixture(scope="module")
def sentences():
    return sample_sentences(TRAINING_TEMPLATES, 6000, "test", lexicon=LEXICON)


def test_every_template_renders_with_every_entry():
    for template in ALL_TEMPLATES:
        categories = {slot: LEXICON[category_of(slot)] for slot in template.slots}
        for slot, entries in categories.items():
            for entry in entries:
                chosen = {other: entries[-1] for other, entries in categories.items()} | {slot: entry}
                sentence = template.render(chosen)
                assert set(sentence.text) <= ENGLISH, sentence
                assert set(sentence.translation) <= GERMAN, sentence
                assert "  " not in sentence.text + sentence.translation, sentence


def test_every_template_gives_sentences_of_4_to_14_words():
    rng = random.Random(3)
    for template in ALL_TEMPLATES:
        for _ in range(20):
            assert 4 <= len(template.draw(LEXICON, rng).text.split()) <= 14


def test_size_of_the_language(sentences):
    vocabulary = {word for sentence in sentences for word in sentence.text.split()}
    assert len(ALL_TEMPLATES) >= 150
    assert len({template.domain for template in ALL_TEMPLATES}) >= 12
    assert len(vocabulary) >= 800
    assert sum(template.size(LEXICON) for template in ALL_TEMPLATES) >= 1e8


def test_size_counts_the_fillings():
    template = Template("x", "x", "{day} and {day2} in {season}", "{day} und {day2} im {season}")
    assert template.size(LEXICON) == 7 * 6 * 4
    drawn = {template.draw(LEXICON, random.Random(seed)).text for seed in range(4000)}
    assert len(drawn) == 7 * 6 * 4


def test_slots_of_one_category_differ():
    template = Template("x", "x", "{day} and {day2}", "{day2} und {day}")
    template_texts = (template.render(dict(zip(template.slots, pair, strict=True))) for pair in [LEXICON["day"][:2]])
    assert next(iter(template_texts)).translation == "Dienstag und Montag"


def test_templates_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="lacks"):
        _ = Template("x", "x", "on {day}", "am {day} im {month}").slots
    with pytest.raises(ValueError, match="not a template"):
        _ = Template("x", "x", "on {day", "am {day}").slots
    with pytest.raises(KeyError):
        Template("x", "x", "the {item}", "{item:denn}").draw(LEXICON, random.Random(0))


def test_sentences_are_rich_in_homophones(sentences):
    counts = Counter(word for sentence in sentences for word in sentence.text.split())
    share = sum(n for word, n in counts.items() if sound_alikes(word)) / counts.total()
    assert share > 0.25
    for group in ("for four", "their there they're", "write right", "to two too", "sea see", "one won", "road rode"):
        assert all(counts[word] for word in group.split()), group


def test_held_out_templates_are_apart():
    groups = [{template.name for template in part} for part in (TRAINING_TEMPLATES, DEV_TEMPLATES, TEST_TEMPLATES)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(ALL_TEMPLATES)
    assert len({template.english for template in ALL_TEMPLATES}) == len(ALL_TEMPLATES)
    assert 0.12 < len(TEST_TEMPLATES) / len(ALL_TEMPLATES) < 0.18
    assert 0.03 < len(DEV_TEMPLATES) / len(ALL_TEMPLATES) < 0.08


def test_held_out_templates_bring_hardly_any_new_words():
    known = {w for s in sample_sentences(TRAINING_TEMPLATES, 20_000, 1, lexicon=LEXICON) for w in s.text.split()}
    for part in (DEV_TEMPLATES, TEST_TEMPLATES):
        found = [w for s in sample_sentences(part, 2000, 1, lexicon=LEXICON) for w in s.text.split()]
        assert sum(word not in known for word in found) / len(found) < 0.005


def test_sampling_is_deterministic_distinct_and_avoids(sentences):
    again = sample_sentences(TRAINING_TEMPLATES, 500, "test", lexicon=LEXICON)
    assert again == sentences[:500]
    assert again != sample_sentences(TRAINING_TEMPLATES, 500, "other", lexicon=LEXICON)
    assert len({sentence.text for sentence in sentences}) == len(sentences)
    avoid = {sentence.core for sentence in again}
    assert not avoid & {s.core for s in sample_sentences(TRAINING_TEMPLATES, 500, "test", lexicon=LEXICON, avoid=avoid)}


def test_sampling_more_than_there_is_fails():
    template = Template("x", "x", "we will meet on {day}", "wir treffen uns am {day}")
    assert len(sample_sentences([template], 7, 1, lexicon=LEXICON)) == 7
    with pytest.raises(ValueError, match="do not give 8"):
        sample_sentences([template], 8, 1, lexicon=LEXICON)
