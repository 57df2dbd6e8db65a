"""Diffs as one HTML page that works offline: text for everybody, drawings by a script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import InputError, short
from circuitgraph.diff.record import Diff
from circuitgraph.export.drawing import VERDICTS, as_hex
from circuitgraph.levels.record import Levels, percent
from circuitgraph.report.methods import bibtex, methods, not_checked
from circuitgraph.report.payload import payload
from circuitgraph.report.words import TERMS, headline, null_pair, summary_lines, title

MOST_ROWS = 60
ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("state", "figure", "circuit", "charts", "table", "detail", "main")
"""The page's own scripts, in the order in which they are run."""


@dataclass(frozen=True)
class Section:
    """One diff as the page shows it.

    Attributes
    ----------
    title, lead : str
        What a reader should look for.
    diff : Diff
    blocks : DataFrame, optional
        Its blocks as ``patching.BlockTests`` has them, where these were tested.
    hubs : DataFrame, optional
        Its hubs of change, where they are known already.
    """

    title: str
    lead: str
    diff: Diff
    blocks: pd.DataFrame | None = None
    hubs: pd.DataFrame | None = None

    @property
    def values(self) -> dict[str, Any]:
        """Text values of the template."""
        diff = self.diff
        return {
            "title": self.title,
            "lead": self.lead,
            "diff": diff,
            "number": "?" if diff.insufficient else diff.summary["n_claims"],
            "headline": headline(diff),
            "lines": summary_lines(diff)[1:],
            "nulls": [null_pair(decoy) for decoy in diff.summary["decoys"]],
            "units": diff.summary["units"],
            "blocks": _largest(self.blocks),
            "behaviour": diff.summary["behaviour"],
            "methods": methods(diff),
            "not_checked": not_checked(diff),
            "runs": [*diff.runs_a, *diff.runs_b],
        }


def _largest(blocks: pd.DataFrame | None) -> list[dict[Hashable, Any]]:
    """Blocks by size of change."""
    if blocks is None or blocks.empty:
        return []
    order = blocks["change"].abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
    return blocks.loc[order].to_dict("records")


def page_html(
    heading: str,
    lines: Sequence[str],
    sections: Sequence[Section],
    explorer: Mapping[str, Any] | None = None,
    levels: Levels | None = None,
) -> str:
    """A page of several diffs, self-contained.

    Parameters
    ----------
    heading : str
    lines : sequence of str
        What the whole page says, first.
    sections : sequence of Section
        One a diff.
    explorer : mapping, optional
        What ``circuitgraph explore`` adds: the pairs that can be chosen and its token.
    levels : Levels, optional
        How alike two variants are, for a table under ``lines``.
    """
    own = (*SCRIPTS, "explorer") if explorer else SCRIPTS
    scripts = [_asset("vendor/echarts.min.js"), "\n".join(_asset(f"{name}.js") for name in own)]
    data = {
        "diffs": [payload(section.diff, section.hubs) for section in sections],
        "colours": {verdict: as_hex(colour) for verdict, colour in VERDICTS.items()},
        "terms": TERMS,
        "explorer": explorer,
    }
    shown = None
    if levels is not None:
        shown = {**levels.summary, "rows": [*map(_level_row, levels.table.to_dict("records"))]}
    return _template().render(
        title=heading,
        lines=lines,
        levels=shown,
        sections=[section.values for section in sections],
        style=_asset("page.css"),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
        data=_as_json(data),
        terms=TERMS,
        bibtex=bibtex(),
        explorer=explorer,
        version=version("circuitgraph"),
    )


def _level_row(row: dict[Any, Any]) -> dict[str, str]:
    """How alike two variants are by one measure, beside null pairs and two seeds, as text.

    Where nothing was measured, ``verdict`` is the reason.
    """
    known, claims = isfinite(row["alike"]), row["claims"]
    return {
        "level": str(row["level"]),
        "measure": str(row["measure"]),
        "alike": percent(row["alike"]) if known else "",
        "interval": _range(row["low"], row["high"]),
        "claims": f"{claims:.0f} of {row['testable']:.0f}" if isfinite(claims) else "",
        "nulls": _beside(row, "null"),
        "seeds": _beside(row, "seeds"),
        "verdict": str(row["verdict"] if known else row["reason"]),
    }


def _beside(row: dict[Any, Any], which: str) -> str:
    """From the least to the most alike of other pairs, and the most claims there."""
    told = _range(row[f"{which}_least"], row[f"{which}_most"])
    claims = row[f"{which}_claims"]
    return f"{told}, {claims:.0f} claimed" if told and isfinite(claims) else told


def _range(low: float, high: float) -> str:
    if not isfinite(low):
        return ""
    return " to ".join(dict.fromkeys((percent(low), percent(high))))


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("circuitgraph.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    return environment.get_template("page.html")


def _hash(script: str) -> str:
    """By which the page's policy lets this script run and no other."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()


def _as_json(data: object) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write_page(
    heading: str,
    lines: Sequence[str],
    sections: Sequence[Section],
    path: Path,
    levels: Levels | None = None,
) -> Path:
    """Write a page of several diffs, atomically. See :func:`page_html`.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    html = page_html(heading, lines, sections, levels=levels)
    try:
        write_atomic(path, html.encode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def write_report(
    diff: Diff,
    path: Path,
    blocks: pd.DataFrame | None = None,
    levels: Levels | None = None,
    hubs: pd.DataFrame | None = None,
) -> Path:
    """Write the page of one diff, with its tested blocks; ``levels`` stand first."""
    sections = [Section("What changed", "", diff, blocks, hubs)]
    return write_page(title(diff), [], sections, path, levels)
