"""`duolect compare`: any number of systems and hypothesis files on one manifest, as a table and one report."""

from duolect.reports.compare.inputs import Source, sources_of
from duolect.reports.compare.options import CompareOptions
from duolect.reports.compare.run import Report, compare, write_report

__all__ = ["CompareOptions", "Report", "Source", "compare", "sources_of", "write_report"]
