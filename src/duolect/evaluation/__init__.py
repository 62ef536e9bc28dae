"""Word errors, BLEU and chrF, intervals and tests, hallucination, speed and memory, hypothesis files (no torch)."""

from duolect.evaluation.blocks import Blocks
from duolect.evaluation.hallucination import (
    PairedRate,
    Panel,
    Rate,
    compare_panels,
    panel_of,
)
from duolect.evaluation.intervals import Interval, Paired, bootstrap_interval, paired
from duolect.evaluation.mapsswe import Mapsswe
from duolect.evaluation.normalisers import NORMALISERS, Normaliser, normaliser_function
from duolect.evaluation.pairs import Pair, all_pairs, holm
from duolect.evaluation.results import RunRecord, Skipped, read_run, run_record_path, write_run
from duolect.evaluation.rows import HypothesisRow, read_rows
from duolect.evaluation.score import (
    Score,
    blocks_of_rows,
    compare_scores,
    manifest_references,
    score_file,
    score_run,
)
from duolect.evaluation.speed import Latency, Timing, peak_memory_bytes, processor_name, reset_peak_memory
from duolect.evaluation.translation import (
    PairedTranslation,
    TranslationMetric,
    TranslationScore,
    compare_translations,
    score_translations,
)
from duolect.evaluation.utterance_signs import PanelConfig, Sign
from duolect.evaluation.words import ALIGNER, WordErrors, align, is_same, word_errors

__all__ = [
    "ALIGNER",
    "NORMALISERS",
    "Blocks",
    "HypothesisRow",
    "Interval",
    "Latency",
    "Mapsswe",
    "Normaliser",
    "Pair",
    "Paired",
    "PairedRate",
    "PairedTranslation",
    "Panel",
    "PanelConfig",
    "Rate",
    "RunRecord",
    "Score",
    "Sign",
    "Skipped",
    "Timing",
    "TranslationMetric",
    "TranslationScore",
    "WordErrors",
    "align",
    "all_pairs",
    "blocks_of_rows",
    "bootstrap_interval",
    "compare_panels",
    "compare_scores",
    "compare_translations",
    "holm",
    "is_same",
    "manifest_references",
    "normaliser_function",
    "paired",
    "panel_of",
    "peak_memory_bytes",
    "processor_name",
    "read_rows",
    "read_run",
    "reset_peak_memory",
    "run_record_path",
    "score_file",
    "score_run",
    "score_translations",
    "word_errors",
    "write_run",
]
