"""Recordings of any length: cut at pauses, recognised piece by piece, with the times of words, and as subtitles."""

from duolect.systems.recordings.subtitles import FORMATS, subtitles, written_as
from duolect.systems.recordings.transcribe import SEGMENT_SECONDS, TranscribeConfig, Transcriber
from duolect.systems.recordings.transcript import Segment, Transcript

__all__ = [
    "FORMATS",
    "SEGMENT_SECONDS",
    "Segment",
    "TranscribeConfig",
    "Transcriber",
    "Transcript",
    "subtitles",
    "written_as",
]
