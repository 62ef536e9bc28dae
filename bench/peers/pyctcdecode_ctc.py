"""CTC beam search of pyctcdecode without a language model. Run by bench/ctc.py."""

import logging

from worker import seconds, serve  # first: it moves what is printed to stderr  # isort: skip
import numpy as np

logging.disable(logging.WARNING)  # it asks for kenlm when imported
from pyctcdecode import build_ctcdecoder  # noqa: E402

FIRST = 0x4E00  # each label is one character of its own, so that texts are label sequences
posteriors = []
decoder = None


def load(path: str) -> dict:
    """(B, T, W) float32 log-probabilities, blank last."""
    global posteriors, decoder
    posteriors = list(np.load(path))
    labels = [chr(FIRST + c) for c in range(posteriors[0].shape[1] - 1)]
    decoder = build_ctcdecoder([*labels, ""])
    return {}


def search(beam: int, label_floor: float, threshold: float) -> dict:
    """Seconds for all utterances, and each one's best labels and score."""
    settings = {"beam_width": beam, "token_min_logp": label_floor, "beam_prune_logp": threshold}
    taken, results = seconds(lambda: [decoder.decode_beams(each, **settings)[0] for each in posteriors])
    return {
        "seconds": taken,
        "labels": [[ord(c) - FIRST for c in each[0]] for each in results],
        "scores": [each[-2] for each in results],
    }


serve({"load": load, "search": search})
