"""Result tables, figures and one self-contained HTML page."""

from duolect.reports.attention import save_attention
from duolect.reports.comparison import Comparison, SystemResult, TrainingCurve, read_curve, system_result
from duolect.reports.cost import cost_markdown, cost_table, measured_runs, stage_table
from duolect.reports.leaderboard import print_leaderboard
from duolect.reports.page import page, write_page
from duolect.reports.panel import PanelComparison, PanelResult, panels_markdown, print_panels, worst_utterances
from duolect.reports.plots import curves_svg, save_png, speed_svg
from duolect.reports.runs import compare_files, panel_files
from duolect.reports.summary import difference_sentence, findings
from duolect.reports.table import markdown_table, print_table, terminal_table
from duolect.reports.translations import TranslationComparison, TranslationResult

__all__ = [
    "Comparison",
    "PanelComparison",
    "PanelResult",
    "SystemResult",
    "TrainingCurve",
    "TranslationComparison",
    "TranslationResult",
    "compare_files",
    "cost_markdown",
    "cost_table",
    "curves_svg",
    "difference_sentence",
    "findings",
    "markdown_table",
    "measured_runs",
    "page",
    "panel_files",
    "panels_markdown",
    "print_leaderboard",
    "print_panels",
    "print_table",
    "read_curve",
    "save_attention",
    "save_png",
    "speed_svg",
    "stage_table",
    "system_result",
    "terminal_table",
    "worst_utterances",
    "write_page",
]
