"""The page people look at: self-contained HTML, no script, nothing from the network."""

from circuitgraph.report.page import write_page, write_report
from circuitgraph.report.words import headline, summary_lines

__all__ = ["headline", "summary_lines", "write_page", "write_report"]
