"""One edge in two variants: the numbers behind its row, prompt by prompt, and in words."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from circuitgraph.base.components import parse
from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.foreign import own_name
from circuitgraph.base.notebook import framed
from circuitgraph.diff.confirm import as_compared
from circuitgraph.diff.record import Diff
from circuitgraph.diff.words import edge_in_words
from circuitgraph.lenses.base import Lens
from circuitgraph.lenses.match import Matched


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything measured about the edge from ``source`` to ``target``.

    Attributes
    ----------
    rows : DataFrame
        The diff's rows of this edge, one per input.
    per_prompt : DataFrame
        One row per input and prompt. Effects: ``raw_a, raw_b`` (decision units), ``direction``,
        ``share_a, share_b`` (signed, on the diff's scale), ``change``. Correlations: activities
        ``source_a, target_a, source_b, target_b``, ``change`` (influence on the change of r).
        Wiring: ``LensDetails.by_prompt``. Groups of variants are averaged; correlations show the
        first variant of each side.
    per_scenario : DataFrame
        Means of the same per scenario with their number of prompts; for correlations also
        ``r_a, r_b`` within the scenario.
    text : str
    heads : mapping
        Titles of columns whose names lack their units.
    """

    source: str
    target: str
    rows: pd.DataFrame
    per_prompt: pd.DataFrame
    per_scenario: pd.DataFrame
    text: str
    heads: Mapping[str, str]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        verdict = ", ".join(self.rows["verdict"].astype(str))
        return f"Explanation({short(self.source)} → {short(self.target)}: {verdict})"

    def _repr_html_(self) -> str:
        return framed(self.text, self.per_scenario.rename(columns=dict(self.heads)))


def explain_edge(diff: Diff, source: str, target: str) -> Explanation:
    """Explain one edge of a diff; ``UsageError`` where it has no such edge."""
    known = {*diff.table["source"].cat.categories, *diff.table["target"].cat.categories}
    source, target = own_name(source, known), own_name(target, known)
    rows = _rows_of(diff.table, source, target)
    if rows.empty and not diff.asks.directed:
        source, target = target, source
        rows = _rows_of(diff.table, source, target)
    if rows.empty:
        raise UsageError(_unknown(diff, source, target))
    per_prompt = _per_prompt(diff, diff.asks.lined_up(*as_compared(diff)), rows)
    per_scenario = _per_scenario(per_prompt, diff.asks)
    text = edge_in_words(diff, rows, per_scenario)
    heads = diff.asks.heads_by_scenario(diff.scope)
    return Explanation(source, target, rows, per_prompt, per_scenario, text, heads)


def _rows_of(table: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    return table[(table["source"] == source) & (table["target"] == target)]


def _unknown(diff: Diff, source: str, target: str) -> str:
    known = {*diff.table["source"].cat.categories, *diff.table["target"].cat.categories}
    require_components((source, target), known)
    ends = parse(source), parse(target)
    beside = ends[0].kind != "mlp" and ends[1].kind == "mlp" and ends[0].layer == ends[1].layer
    return f"no edge from {quoted(source)} to {quoted(target)} was measured: " + (
        "attention and MLP of a block read the same stream in this model (parallel blocks)"
        if beside
        else "an edge runs from an earlier component to a later one"
    )


def require_components(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse components that no variant has, by our name or another program's.

    Raises
    ------
    UsageError
        Names the nearest ones.
    """
    for name in names:
        if own_name(name, known) not in known:
            short = [str(k) for k in known if len(k) < 80]
            near = sorted(k for k in short if k.casefold() == name.casefold())
            near = near or [layer for layer in (_layer_of(name),) if layer in known]
            near = near or difflib.get_close_matches(name[:80], short, 3)
            hint = f"did you mean {', '.join(near)}?" if near else "see the diff's table"
            raise UsageError(f"component {quoted(name, 80)} is in neither variant; {hint}")


def _layer_of(name: str) -> str:
    """The attention layer of a head, for variants measured layer by layer."""
    head = parse(name)
    return f"L{head.layer}_ATTN" if head.kind == "head" else ""


def _per_prompt(diff: Diff, matched: Matched, rows: pd.DataFrame) -> pd.DataFrame:
    found = diff.asks.by_prompt(matched, rows, diff.lens_details)
    named: dict[str, Any] = {
        "prompt": [prompt.id for prompt in matched.prompts],
        "scenario": [prompt.scenario for prompt in matched.prompts],
    }
    parts = [
        pd.DataFrame({"input": into, **named, **numbers})
        for into, numbers in zip(rows["input"], found, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _per_scenario(per_prompt: pd.DataFrame, lens: Lens) -> pd.DataFrame:
    groups = per_prompt.groupby(["input", "scenario"], sort=False)
    table = groups.mean(numeric_only=True)
    table.insert(0, "n", groups.size())
    more = pd.DataFrame([lens.by_scenario(group) for _, group in groups], index=table.index)
    return table.join(more).reset_index()
