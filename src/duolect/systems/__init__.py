"""Systems: trained models with their units and a search, from audio to text; saved, loaded, combined and tuned."""

from duolect.systems.attention import Attention, attend
from duolect.systems.combination import combine, default_method, make_system, pretrained_language, write_single
from duolect.systems.components import Component
from duolect.systems.config import Scales, SearchConfig
from duolect.systems.explanation import Explanation, HypothesisVotes, explain
from duolect.systems.files import recognize_manifest, run_record
from duolect.systems.folder import component_folder, system_folder, trained_components
from duolect.systems.grid import GridConfig
from duolect.systems.measurement import Measure
from duolect.systems.methods import METHODS, Method, find_method
from duolect.systems.nbest_file import read_lists, write_lists
from duolect.systems.prior import add_counted_priors, counted_prior, ctc_prior, estimate_prior
from duolect.systems.provenance import TuningRecord, utterance_set_hash
from duolect.systems.recognition import Recognition
from duolect.systems.recordings import Segment, Transcript, subtitles
from duolect.systems.rows import Candidate, TimedWord
from duolect.systems.system import System, load
from duolect.systems.tuning import NBEST, ROUNDS, tune, tune_lists
from duolect.systems.tuning_plan import Tuned

__all__ = [
    "METHODS",
    "NBEST",
    "ROUNDS",
    "Attention",
    "Candidate",
    "Component",
    "Explanation",
    "GridConfig",
    "HypothesisVotes",
    "Measure",
    "Method",
    "Recognition",
    "Scales",
    "SearchConfig",
    "Segment",
    "System",
    "TimedWord",
    "Transcript",
    "Tuned",
    "TuningRecord",
    "add_counted_priors",
    "attend",
    "combine",
    "component_folder",
    "counted_prior",
    "ctc_prior",
    "default_method",
    "estimate_prior",
    "explain",
    "find_method",
    "load",
    "make_system",
    "pretrained_language",
    "read_lists",
    "recognize_manifest",
    "run_record",
    "subtitles",
    "system_folder",
    "trained_components",
    "tune",
    "tune_lists",
    "utterance_set_hash",
    "write_lists",
    "write_single",
]
