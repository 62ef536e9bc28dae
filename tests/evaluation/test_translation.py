"""BLEU and chrF: sacreBLEU's own numbers, intervals and tests that agree with its, and what cannot be scored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.significance import PairedTest

from duolect.errors import ScoringError
from duolect.evaluation import HypothesisRow, Skipped, compare_translations, score_translations

WORDS = [
    "Der",
    "die",
    "Das",
    "ein",
    "Haus,",
    "Baum",
    "geht",
    "läuft",
    "schnell.",
    "heute",
    "morgen",
    "und",
    "Anna",
    "Peter's",
    "3,5",
    "Ämter",
]


def _texts(chance: random.Random, count: int, noise: float) -> tuple[list[str], list[str]]:
    references = [" ".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(count)]
    written = [
        " ".join(
            chance.choice(WORDS) if chance.random() < noise else word for word in text.split() if chance.random() > 0.1
        )
        for text in references
    ]
    return references, written


def _rows(references: list[str], written: list[str], **fields: Any) -> list[HypothesisRow]:
    texts = enumerate(zip(references, written, strict=True))
    return [HypothesisRow(id=f"u{i:04d}", text=h, reference=r, fields=fields) for i, (r, h) in texts]


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_sacrebleus(seed: int) -> None:
    chance = random.Random(seed)
    references, written = _texts(chance, chance.randint(1, 60), chance.random())
    rows = _rows(references, written)
    chance.shuffle(rows)
    score = score_translations(rows, replicas=20)
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        expected = metric.corpus_score(written, [references])
        found = score.metrics[name]
        assert found.value == pytest.approx(expected.score, abs=1e-9), f"seed {seed}"
        assert found.signature == str(metric.get_signature())
        if len(rows) > 1:
            assert found.interval is not None
            assert found.interval.low <= found.interval.high
        else:
            assert found.interval is None
    assert score.utterances == len(rows)


def test_intervals_and_p_values_agree_with_sacrebleu() -> None:
    chance = random.Random(11)
    references, first = _texts(chance, 150, 0.3)
    second = [" ".join(chance.choice(WORDS) if chance.random() < 0.06 else w for w in t.split()) for t in first]
    metrics = {"BLEU": BLEU(), "chrF2": CHRF()}
    systems = [("first", first), ("second", second)]
    _, randomised = PairedTest(systems, metrics, [references], test_type="ar", n_samples=2000, n_ar_confidence=2000)()
    a, b = (score_translations(_rows(references, texts), replicas=2000) for texts in (first, second))
    paired = compare_translations(a, b, trials=2000)
    for name, title in (("bleu", "BLEU"), ("chrf", "chrF2")):
        theirs = randomised[title][1]
        interval = b.metrics[name].interval
        assert interval is not None
        assert (interval.high - interval.low) / 2 == pytest.approx(theirs.ci, rel=0.12)
        assert paired[name].value == pytest.approx(theirs.score)
        assert paired[name].difference == pytest.approx(theirs.score - randomised[title][0].score)
        assert paired[name].p_value == pytest.approx(theirs.p_value, abs=0.03)
        assert paired[name].interval.low < paired[name].difference < paired[name].interval.high
        assert paired[name].significant == (paired[name].p_value < 0.05)
        back = compare_translations(b, a, trials=2000)[name]
        assert back.probability_of_improvement == pytest.approx(1 - paired[name].probability_of_improvement)


def test_a_system_is_not_better_than_itself() -> None:
    references, written = _texts(random.Random(2), 30, 0.4)
    score = score_translations(_rows(references, written), replicas=50)
    for paired in compare_translations(score, score, trials=50).values():
        assert (paired.difference, paired.p_value, paired.probability_of_improvement) == (0.0, 1.0, 0.5)
        assert not paired.significant


def test_the_order_of_rows_does_not_matter_and_the_seed_decides() -> None:
    references, written = _texts(random.Random(3), 40, 0.4)
    rows = _rows(references, written)
    one, other = score_translations(rows, replicas=60), score_translations(rows[::-1], replicas=60)
    assert one == other
    assert np.array_equal(one.metrics["bleu"].counts_NS, other.metrics["bleu"].counts_NS)
    assert one.metrics["bleu"].interval != score_translations(rows, replicas=60, seed=5).metrics["bleu"].interval
    assert set(score_translations(rows, ["chrf"], replicas=10).metrics) == {"chrf"}
    assert one.summary()["bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp")


def test_case_and_punctuation_count() -> None:
    rows = _rows(["Das Haus, heute."], ["das haus heute"])
    assert score_translations(rows).metrics["bleu"].value < 30


def test_skipped_utterances_are_empty_translations_and_empty_references_are_dropped() -> None:
    references, written = _texts(random.Random(4), 12, 0.2)
    rows = _rows(references, written)
    lost = Skipped(id="lost", reason="no audio", reference="Das Haus läuft morgen und heute.")
    blank = HypothesisRow(id="blank", text="Anna", reference=" ")
    kept = score_translations(rows, replicas=5)
    worse = score_translations([*rows, blank], skipped=[lost], replicas=5)
    assert worse.metrics["bleu"].value < kept.metrics["bleu"].value
    assert (worse.utterances, worse.empty_references, worse.skipped) == (13, 1, 1)
    free = score_translations(rows, skipped=[lost], skipped_as_deletions=False, replicas=5)
    assert free.metrics == kept.metrics
    from_outside = score_translations(
        [HypothesisRow(id=row.id, text=row.text) for row in rows],
        references={row.id: row.reference or "" for row in rows},
        replicas=5,
    )
    assert from_outside == kept


def test_languages_are_scored_apart_and_split_in_their_own_way() -> None:
    rows = _rows(["das Haus", "la maison"], ["das Haus", "la maison"])
    mixed = [
        HypothesisRow(id=r.id, text=r.text, reference=r.reference, fields={"target_lang": t})
        for r, t in zip(rows, ("de", "fr"), strict=True)
    ]
    with pytest.raises(ScoringError, match="translations into de, fr; score each language by itself"):
        score_translations(mixed)
    chinese = score_translations(_rows(["我喜欢这本书。"], ["我喜欢那本书。"], target_lang="zho_Hans"))
    assert "tok:zh" in chinese.metrics["bleu"].signature
    assert chinese.metrics["bleu"].value > 20
    assert score_translations(mixed[:1]).target_lang == "de"


def test_texts_that_were_split_in_different_ways_are_not_compared() -> None:
    texts = ["我喜欢这本书。", "今天天气不错。"], ["我喜欢那本书。", "今天天气不错。"]
    told, untold = score_translations(_rows(*texts, target_lang="zh")), score_translations(_rows(*texts))
    with pytest.raises(ScoringError, match=r"^BLEU as .*tok:zh.* and as .*tok:13a.* cannot be compared\.$"):
        compare_translations(told, untold)
    assert list(compare_translations(told, told)) == ["bleu", "chrf"]


def test_what_cannot_be_scored_or_compared() -> None:
    references, written = _texts(random.Random(5), 5, 0.2)
    rows = _rows(references, written)
    with pytest.raises(ScoringError, match="nothing to score: 1 utterances, all of them with an empty reference"):
        score_translations([HypothesisRow(id="a", text="b", reference="")])
    with pytest.raises(ScoringError, match="'a' is without a reference"):
        score_translations([HypothesisRow(id="a", text="b")])
    with pytest.raises(ScoringError, match="'u0000' is in the hypotheses more than once"):
        score_translations([*rows, rows[0]])
    score = score_translations(rows, replicas=2)
    with pytest.raises(ScoringError, match="'u0004' is not the same"):
        compare_translations(score, score_translations(rows[:4], replicas=2))
    with pytest.raises(ScoringError, match="at least one replica"):
        score_translations(rows, replicas=0)
