"""Phrases that models write of themselves: refusals of speech LLMs, and sentences that subtitles on the web end with.

Both are matched in text as `duolect.text.normalise` leaves it (lower case, no punctuation). They are no proof: people
do say "I'm sorry, I can't hear you", so the panel does not count a phrase that the reference has too.
"""

from __future__ import annotations

import re

# A model that speaks of its task, of the audio or of itself instead of writing what was said.
_REFUSALS = (
    (
        r"(?:i'm|i am|im|we're|we are) (?:really |very |so )?sorry (?:but )?(?:i|we|as an)\b.{0,24}?"
        r"(?:can't|cannot|can not|couldn't|could not|unable|not able|don't|do not|won't|am an ai)"
    ),
    (
        r"(?:i|we)(?:'m| am|'re| are| was| were)? (?:can't|cannot|can not|couldn't|could not|unable to|not able to) "
        r"(?:hear|transcribe|translate|recogni[sz]e|process|access|listen|assist|fulfil+|make out|detect|identify)"
    ),
    r"as an? (?:ai|artificial intelligence|language model|large language model|virtual assistant)",
    r"(?:i'm|i am) (?:just |only )?an? (?:ai|language model|large language model|virtual assistant)",
    (
        r"(?:there is|there's|there was|there are|i hear|contains?|detected|has) no "
        r"(?:(?:audible|discernible|clear|intelligible|recogni[sz]able|human|actual) )?"
        r"(?:speech|audio|voices?|spoken (?:words|content|language))"
    ),
    r"no (?:speech|audio|voice|spoken content) (?:was |is |has been )?(?:detected|provided|present|found|available)",
    (
        r"(?:the|this|your) (?:provided )?(?:audio|recording|audio clip|audio file|clip) (?:provided |you provided )?"
        r"(?:is (?:silent|empty|inaudible|unclear|too|not)|contains|consists|appears|seems|does not|doesn't|features)"
    ),
    (
        r"(?:please|could you|can you) (?:provide|upload|share|give|send)(?: me)? (?:with )?(?:the|an|your|a) "
        r"(?:audio|recording|speech|transcript|file)"
    ),
    r"(?:sure )?(?:here is|here's|below is) (?:the|a|your) (?:transcri\w+|translat\w+)",
    r"(?:the|a) transcri(?:ption|pt) of (?:the|this|your) (?:audio|speech|recording)",
    r"(?:transcribe|repeat|translate) (?:the|this) (?:audio|speech|recording|following)",
    r"es tut mir leid (?:aber )?ich kann",
    r"als (?:ki|künstliche intelligenz|sprachmodell)",
    r"(?:je suis )?désolée? (?:mais )?je ne (?:peux|suis)",
    r"en tant qu[e'](?: |)(?:ia|intelligence artificielle|modèle de langage)",
    r"lo siento (?:pero )?no puedo",
    r"como (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje)",
    r"mi dispiace (?:ma )?non posso",
)
_REFUSALS_UNSPACED = (
    "(?:抱歉|对不起) ?我?(?:无法|不能)",
    "作为(?:一个|一名)?(?:人工智能|ai|语言模型)",
    "申し訳(?:ありません|ございません)が",
)

# What speech recognisers trained on subtitles are known to write for silence and noise.
_STOCK = (
    r"thank(?:s| you)(?: so much| very much)? for (?:watching|listening|viewing)",
    r"(?:please )?(?:like and )?(?:subscribe|don't forget to subscribe)(?: to (?:my|our|the) channel)?",
    r"(?:i'll |we'll )?see you (?:in the |guys in the )?next (?:video|time|episode)",
    r"(?:subtitles?|captions?|captioning|transcription|transcribed|translated|translation) (?:provided |made )?by",
    r"(?:amara org|amaraorg)",
    r"www [\w ]{1,40} (?:com|org|net)",
    r"untertitel(?:ung)?(?: der| im auftrag| von|ung)",
    r"vielen dank fürs? (?:zuschauen|zusehen|zuhören)",
    r"sous titr(?:es|age)",
    r"merci d'avoir regardé",
    r"subtítulos (?:por|realizados)",
    r"gracias por ver",
    r"sottotitoli (?:e|a cura|creati|di)",
    r"продолжение следует",
    r"субтитры (?:сделал|создавал|делал)",
    r"спасибо за просмотр",
)
_STOCK_UNSPACED = (
    "ご視聴(?:いただき|頂き)?ありがとう",
    "チャンネル登録",
    "(?:请不吝|不吝)?点赞 ?订阅",
    "(?:谢谢|感谢)(?:大家)?(?:的)?观看",
    "字幕(?:由|by|志愿者|製作)",
    "시청해 ?주셔서 감사합니다",
)


def _pattern(spaced: tuple[str, ...], unspaced: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'])(?:{'|'.join(spaced)})(?![\w'])|{'|'.join(unspaced)}")


_REFUSAL = _pattern(_REFUSALS, _REFUSALS_UNSPACED)
_STOCK_PHRASE = _pattern(_STOCK, _STOCK_UNSPACED)


def refusal(normalised: str) -> str | None:
    """The first words in which a model speaks of itself, its task or the audio; None where there are none."""
    return _first(_REFUSAL, normalised)


def stock_phrase(normalised: str) -> str | None:
    """The first phrase of web subtitles; None where there is none."""
    return _first(_STOCK_PHRASE, normalised)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found.group() if found else None
