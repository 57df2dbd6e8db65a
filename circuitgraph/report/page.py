"""Diffs as one HTML page."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.quoting import short
from circuitgraph.diff.record import Diff
from circuitgraph.export.colours import VERDICTS, as_hex
from circuitgraph.report.drawing import draw
from circuitgraph.report.words import headline, summary_lines, title

MOST_ROWS = 60
MOST_SCENARIOS = 20
MEAN = "mean: "


@dataclass(frozen=True)
class Section:
    """One diff as the page shows it.

    Attributes:
        title, lead: what a reader should look for.
        diff: the diff.
        blocks: its blocks as ``patching.BlockTests`` has them, or None where not tested.
    """

    title: str
    lead: str
    diff: Diff
    blocks: pd.DataFrame | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What the template shows."""
        claims = self.diff.claims
        order = claims["delta"].abs().sort_values(ascending=False).index[:MOST_ROWS]
        return {
            "title": self.title,
            "lead": self.lead,
            "diff": self.diff,
            "change": "%+.3f" if self.diff.signed else "%.3f",
            "headline": headline(self.diff),
            "lines": summary_lines(self.diff)[1:],
            "claims": claims.loc[order].to_dict("records"),
            "more": max(0, len(claims) - MOST_ROWS),
            "blocks": _largest(self.blocks),
            "scenarios": _scenario_names(self.diff),
            "by_scenario": _by_scenario(self.diff, claims.loc[order]),
            "drawing": draw(self.diff),
            "heads": self.diff.asks.heads(self.diff.scope),
            "units": self.diff.summary["units"],
            "colours": {verdict: as_hex(colour) for verdict, colour in VERDICTS.items()},
            "behaviour": self.diff.summary["behaviour"],
            "runs": [*self.diff.runs_a, *self.diff.runs_b],
        }


def _largest(blocks: pd.DataFrame | None) -> list[dict[Hashable, Any]]:
    """The blocks that change most, first."""
    if blocks is None or blocks.empty:
        return []
    order = blocks["change"].abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
    return blocks.loc[order].to_dict("records")


def _scenario_names(diff: Diff) -> list[str]:
    names = [str(name) for name in diff.details if str(name).startswith(MEAN)]
    return [name.removeprefix(MEAN) for name in names[:MOST_SCENARIOS]]


def _by_scenario(diff: Diff, claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Of every claim the mean change per scenario, and how far its prompts agree."""
    details = diff.details.reindex(claims.index)
    agreement = details.get("cancellation", pd.Series(dtype=float)).tolist()
    means = details[[MEAN + name for name in _scenario_names(diff)]].to_numpy().tolist()
    rows = claims[["source", "target", "input"]].itertuples(index=False)
    return [
        {"source": s, "target": t, "input": into, "agreement": agreed, "means": by_scenario}
        for (s, t, into), agreed, by_scenario in zip(rows, agreement, means, strict=True)
    ]


@cache  # half the time that a page takes
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("circuitgraph.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    return environment.get_template("page.html")


def write_page(heading: str, lines: Sequence[str], sections: Sequence[Section], path: Path) -> Path:
    """Write a page of several diffs; it appears only when whole.

    Args:
        heading: of the page.
        lines: what the whole page says, first.
        sections: one a diff.
        path: the HTML file.

    Raises:
        InputError: the file cannot be written.
    """
    html = _template().render(
        title=heading,
        lines=lines,
        sections=[section.values for section in sections],
        version=version("circuitgraph"),
    )
    try:
        write_atomic(path, html.encode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def require_page(path: Path) -> None:
    """Refuse a file that no page can be written to, before the work for it begins.

    Raises:
        UsageError: another ending than .html, a folder, or no folder to write to.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {path}: the report is an HTML page; end the name in .html")
    if path.is_dir():
        raise UsageError(f"-o {path}: this is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"-o {path}: there is no folder {path.parent}")


def write_report(
    diff: Diff, path: Path, blocks: pd.DataFrame | None = None, levels: Sequence[str] = ()
) -> Path:
    """Write the page of one diff, with its blocks where these were tested.

    ``levels`` are lines on how alike both are by weights, attention, behaviour and edges, which
    stand first.
    """
    section = Section("What changed", "", diff, blocks)
    return write_page(title(diff), [*levels, headline(diff)], [section], path)
