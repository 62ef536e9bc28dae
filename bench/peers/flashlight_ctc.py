"""CTC beam search of flashlight-text: the lexicon-free decoder without a language model. Run by bench/ctc.py."""

from worker import seconds, serve  # first: it moves what is printed to stderr  # isort: skip
import numpy as np
from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions, ZeroLM

posteriors = []


def load(path: str) -> dict:
    """(B, T, W) float32 log-probabilities, blank last."""
    global posteriors
    posteriors = [np.ascontiguousarray(each) for each in np.load(path)]
    return {}


def search(beam: int, labels_per_frame: int, threshold: float) -> dict:
    """Seconds for all utterances, and each one's best labels and score.

    A decoder slows down from one utterance to the next, because its language model's states are never freed; so each
    utterance has its own, made before the clock starts.
    """
    width = posteriors[0].shape[1]
    options = LexiconFreeDecoderOptions(beam, labels_per_frame, threshold, 0.0, 0.0, True, CriterionType.CTC)
    decoders = [LexiconFreeDecoder(options, ZeroLM(), -1, width - 1, []) for _ in posteriors]
    pairs = list(zip(decoders, posteriors))  # noqa: B905
    taken, results = seconds(lambda: [decoder.decode(each.ctypes.data, *each.shape)[0] for decoder, each in pairs])
    return {
        "seconds": taken,
        "labels": [collapsed(each.tokens, width - 1) for each in results],
        "scores": [each.score for each in results],
    }


def collapsed(path: list, blank: int) -> list:
    """The label sequence of an alignment; −1 stands before its first and behind its last frame."""
    return [int(c) for c, before in zip(path, [blank, *path]) if c not in (before, blank, -1)]  # noqa: B905


serve({"load": load, "search": search})
