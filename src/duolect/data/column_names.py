"""What the columns of a table of utterances are commonly called."""

COLUMN_NAMES = {
    "text": ("text", "sentence", "normalized_text", "transcript", "transcription", "raw_transcription", "raw_text"),
    "id": ("id", "utterance_id", "utt_id", "segment_id", "audio_id", "key"),
    "speaker": ("speaker", "speaker_id", "spk_id", "spk", "client_id"),
    "lang": ("lang", "language", "locale"),
    "translation": ("translation", "tgt_text", "target_text"),
    "target_lang": ("target_lang", "tgt_lang"),
    "duration": ("duration", "audio_length_s", "duration_s", "audio_duration", "length_s", "duration_ms"),
}
"""In the data sets of the hub, for each part of an utterance but its sound: lower case, the most telling name first."""


def seconds_in(column: str) -> float:
    """How many seconds the unit of a column of durations has: milliseconds where its name ends in "_ms"."""
    return 0.001 if column.lower().endswith("_ms") else 1.0
