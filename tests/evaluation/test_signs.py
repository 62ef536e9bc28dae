"""Each sign against its definition, spelled out without regard to speed, on random texts."""

import itertools
import random
import zlib
from functools import cache

import pytest

from duolect.evaluation import align
from duolect.evaluation.signs import (
    characters_per_word,
    compression_ratio,
    longest_loop,
    split_words,
    surplus,
    without_events,
)
from duolect.evaluation.stock_phrases import refusal, stock_phrase
from duolect.text import normalise


def repeats(words: list[str], start: int, n: int) -> int:
    gram, count = words[start : start + n], 0
    while words[start + count * n : start + (count + 1) * n] == gram:
        count += 1
    return count


@pytest.mark.parametrize("seed", range(300))
def test_the_longest_loop_is_the_most_repeats_of_any_n_gram_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    words = rng.choices("ab" if seed % 2 else "abc", k=rng.randrange(0, 25))
    if seed % 3 == 0:
        gram = rng.choices("abcd", k=rng.randrange(1, 9))
        words += gram * rng.randrange(1, 6) + gram[: rng.randrange(len(gram))]
    order = rng.randrange(1, 9)
    every = [(repeats(words, s, n), -n, -s) for n in range(1, order + 1) for s in range(len(words) - n + 1)]
    found = longest_loop(words, order)
    if not every:
        assert (found.repeats, found.words) == (0, ()), (seed, words)
        return
    most, n, start = max(every)
    assert found.repeats == most, (seed, words, order)
    assert list(found.words) == words[-start : -start - n], (seed, words, order)


def optimal_alignments(r: tuple[str, ...], h: tuple[str, ...]) -> list[list[tuple[str | None, str | None]]]:
    """All alignments of least cost."""

    @cache
    def best(i: int, j: int) -> tuple[int, tuple[tuple[tuple[str | None, str | None], ...], ...]]:
        if i == len(r) and j == len(h):
            return 0, ((),)
        found = []
        if i < len(r) and j < len(h):
            found.append(((r[i], h[j]), r[i] != h[j], best(i + 1, j + 1)))
        if i < len(r):
            found.append(((r[i], None), 1, best(i + 1, j)))
        if j < len(h):
            found.append(((None, h[j]), 1, best(i, j + 1)))
        least = min(cost + rest[0] for _, cost, rest in found)
        return least, tuple((step, *tail) for step, cost, rest in found if cost + rest[0] == least for tail in rest[1])

    return [list(alignment) for alignment in best(0, 0)[1]]


def longest_insertion(pairs: list[tuple[str | None, str | None]]) -> int:
    return max((len(list(run)) for key, run in itertools.groupby(pairs, lambda p: p[0] is None) if key), default=0)


@pytest.mark.parametrize("seed", range(150))
def test_the_surplus_is_a_longest_run_of_insertions_among_alignments_of_least_cost(seed: int) -> None:
    rng = random.Random(seed)
    r, h = ("".join(rng.choices("abc", k=rng.randrange(low, 6))) for low in (1, 0))
    pairs = align(list(r), list(h))
    matched = [r == h for r, h in pairs].count(True)
    alike = [a for a in optimal_alignments(tuple(r), tuple(h)) if [x == y for x, y in a].count(True) == matched]
    found = surplus(pairs).count
    assert longest_insertion(pairs) <= found <= max(map(longest_insertion, alike)), (seed, r, h)


def test_insertions_stand_together_whatever_order_the_alignment_gives_them() -> None:
    pairs = [("a", "a"), (None, "x"), ("b", "y"), (None, "z"), (None, "w"), ("c", None), ("d", "d"), (None, "e")]
    found = surplus(pairs)
    assert (found.count, found.words) == (2, ("x", "y", "z", "w"))
    assert surplus([]).count == 0
    assert surplus([("a", None), ("b", "b")]).count == 0


@pytest.mark.parametrize("seed", range(60))
def test_compression_is_that_of_whisper_and_of_the_worst_piece_of_a_long_text(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choices("abc äß你好🙂 ", k=rng.randrange(1, 250)))
    window = rng.randrange(1, 60)
    if len(text) < 2 * window:
        data = text.encode()
        assert compression_ratio(text, window) == len(data) / len(zlib.compress(data)), seed
    pieces, start, count = [], 0, max(1, len(text) // window)
    for number in range(1, count + 1):
        end = len(text) * number // count
        pieces.append(text[start:end])
        start = end
    assert "".join(pieces) == text
    assert all(window <= len(piece) <= 2 * window for piece in pieces) or count == 1
    ratio = max(len(p.encode()) / len(zlib.compress(p.encode())) for p in pieces)
    assert compression_ratio(text, window) == ratio, seed


def test_natural_text_of_any_length_stays_below_the_bound_and_a_loop_in_it_does_not() -> None:
    rng = random.Random(0)
    lexicon = ["".join(rng.choices("etaoinshrdlu", k=rng.randrange(2, 9))) for _ in range(2000)]
    text = " ".join(rng.choices(lexicon, k=5000))
    assert compression_ratio(text, 1000) < 2.4
    assert compression_ratio(text[:10_000] + "and so on " * 150 + text[10_000:], 1000) > 2.4
    assert compression_ratio("", 1000) == 0
    assert compression_ratio("\ud800", 10) > 0  # half a surrogate pair, from a damaged file


def test_words_of_scripts_without_spaces_are_characters() -> None:
    assert split_words("  Wie geht's\u00a0dir? 你好ok 谢 ") == ["Wie", "geht's", "dir?", "你", "好", "ok", "谢"]
    assert longest_loop(split_words("谢谢观看谢谢观看谢谢观看谢谢观看"), 8).repeats == 4
    assert split_words("ありがとう")[0] == "あ"
    assert split_words("שלום עולם") == ["שלום", "עולם"]
    assert split_words("") == []


@pytest.mark.parametrize(
    ("texts", "length"),
    [
        (["请在三点之前打电话给我", "明天去北京"], 8.0),
        (["请在三点 打电话", "我 们", ""], 2.25),
        (["我们 明天 去 找 Anna", "四百 人"], None),  # spaces part enough of them
        (["我 们 明 天 去", "the boats"], None),
        (["我们明天去", "four boats", "set sail"], None),  # not most of them
        (["das Wort 漢字 kommt vor"], None),
        (["今日はいい天気ですね", "ガギグ"], 6.5),
        (["อากาศดี"], 7.0),
        (["오늘 날씨가 좋네요"], None),  # Korean has spaces
        (["four boats"], None),
        ([], None),
    ],
)
def test_texts_without_spaces_are_known_by_the_length_of_their_words(texts: list[str], length: float | None) -> None:
    assert characters_per_word(texts) == length


def test_events_in_brackets_are_no_text() -> None:
    assert without_events(" [Music] ♪ (silence) <noise> *") == ""
    assert without_events("so [laughter] what") == "so what"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I can't transcribe this audio.",
        "I’m sorry, but I cannot help with that.",
        "I am unable to process audio.",
        "As an AI language model, I do not have ears.",
        "There is no speech in this recording.",
        "No speech detected.",
        "The audio contains background noise.",
        "The provided audio is silent.",
        "Please provide the audio you want me to transcribe.",
        "Sure, here is the transcription:",
        "Transcribe the audio to text.",
        "Es tut mir leid, aber ich kann das nicht.",
        "En tant qu'IA, je ne peux pas écouter.",
        "Lo siento, no puedo ayudar.",
        "抱歉，我无法听取音频。",
    ],
)
def test_refusals_are_recognised(text: str) -> None:
    assert refusal(normalise(text))
    assert not stock_phrase(normalise(text))


@pytest.mark.parametrize(
    "text",
    [
        "Thanks for watching!",
        "Thank you very much for listening.",
        "Please like and subscribe to my channel",
        "Subtitles by the Amara.org community",
        "Untertitel der Amara.org-Community",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "ご視聴ありがとうございました",
        "请不吝点赞 订阅 转发",
    ],
)
def test_stock_phrases_are_recognised(text: str) -> None:
    assert stock_phrase(normalise(text))
    assert not refusal(normalise(text))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that.",
        "as an airline pilot i can see the sea",
        "We can't go on like this, the audience is waiting.",
        "Thank you for coming.",
        "There is no reason to speak.",
        "the transcript was sealed by the court",
        "",
    ],
)
def test_ordinary_speech_is_neither(text: str) -> None:
    assert refusal(normalise(text)) is None
    assert stock_phrase(normalise(text)) is None
