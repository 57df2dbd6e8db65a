"""One edge in two variants: the numbers behind its row, prompt by prompt, and in words."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import parse
from circuitgraph.base.errors import UsageError
from circuitgraph.base.quoting import quoted
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.confirm import as_compared
from circuitgraph.diff.record import Diff
from circuitgraph.diff.words import edge_in_words
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.match import Matched, match_runs
from circuitgraph.runs.record import Run
from circuitgraph.stats.paired import change_per_prompt
from circuitgraph.stats.scores import standardise


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything measured about the edge from ``source`` to ``target``.

    Attributes:
        source, target: the components, in the order of the diff.
        rows: the diff's rows of this edge, one per input.
        per_prompt: one row per input and prompt. Effects: ``raw_a, raw_b`` (decision
            units), ``direction``, ``share_a, share_b`` (aligned, on the diff's scale),
            ``change``. Correlations: activities ``source_a, target_a, source_b,
            target_b``, ``change`` (this prompt's part in the change of r). Wiring:
            ``weight_a, weight_b, read, write, delta`` (see ``record.Closer``). Groups of
            variants are averaged; correlations show the first variant of each side.
        per_scenario: means of the same per scenario with their number of prompts; for
            correlations also ``r_a, r_b`` within the scenario.
        text: all this in words.
    """

    source: str
    target: str
    rows: pd.DataFrame
    per_prompt: pd.DataFrame
    per_scenario: pd.DataFrame
    text: str

    def __str__(self) -> str:
        return self.text


def explain(
    a: Sequence[Run], b: Sequence[Run], source: str, target: str, **options: Any
) -> Explanation:
    """Compare two sides and explain one edge.

    Parameters
    ----------
    a, b : sequences of runs
    source, target : str
        Components; correlations take them in either order.
    options
        Those of :func:`circuitgraph.diff.compare_runs`; names default to the variants'.
    """
    names = {"name_a": a[0].variant.name, "name_b": b[0].variant.name} if a and b else {}
    return explain_edge(compare_runs(a, b, **{**names, **options}), source, target)


def explain_edge(diff: Diff, source: str, target: str) -> Explanation:
    """Explain one edge of a diff.

    Raises
    ------
    UsageError
        The diff has no such edge.
    """
    rows = _rows_of(diff.table, source, target)
    if rows.empty and diff.lens == "correlation":
        source, target = target, source
        rows = _rows_of(diff.table, source, target)
    if rows.empty:
        raise UsageError(_unknown(diff, source, target))
    matched = match_runs(*as_compared(diff), diff.lens)
    per_prompt = _LOOKS[diff.lens](diff, matched, rows)
    per_scenario = _per_scenario(per_prompt, diff.lens)
    text = edge_in_words(diff, rows, per_scenario)
    return Explanation(source, target, rows, per_prompt, per_scenario, text)


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
    """Refuse components that no variant has.

    Raises
    ------
    UsageError
        Names the nearest ones, whatever their case.
    """
    for name in names:
        if name not in known:
            short = [str(k) for k in known if len(k) < 80]
            near = sorted(k for k in short if k.casefold() == name.casefold())
            near = near or difflib.get_close_matches(name[:80], short, 3)
            hint = f"did you mean {', '.join(near)}?" if near else "see the diff's table"
            raise UsageError(f"component {quoted(name, 80)} is in neither variant; {hint}")


def _prompt_columns(matched: Matched) -> dict[str, Any]:
    return {
        "prompt": [prompt.id for prompt in matched.prompts],
        "scenario": [prompt.scenario for prompt in matched.prompts],
    }


def _effect_prompts(diff: Diff, matched: Matched, rows: pd.DataFrame) -> pd.DataFrame:
    shares = Shares.of(matched, diff.scale)
    edges = rows.index.to_numpy()
    raw = [np.mean([x[:, edges] for x in side], axis=0) for side in (matched.a, matched.b)]
    share = [np.mean(shares.side(which, edges), axis=0) for which in "ab"]
    parts = []
    for column, into in enumerate(rows["input"]):
        numbers = {
            "raw_a": raw[0][:, column].astype(float),
            "raw_b": raw[1][:, column].astype(float),
            "direction": shares.signs.astype(int),
            "share_a": share[0][:, column],
            "share_b": share[1][:, column],
            "change": share[1][:, column] - share[0][:, column],
        }
        parts.append(pd.DataFrame({"input": into, **_prompt_columns(matched), **numbers}))
    return pd.concat(parts, ignore_index=True)


def _correlation_prompts(diff: Diff, matched: Matched, rows: pd.DataFrame) -> pd.DataFrame:
    row = rows.iloc[0]
    place = [matched.components.index(row[end]) for end in ("source", "target")]
    a, b = (np.asarray(x[0][:, place], float) for x in (matched.a, matched.b))
    score_a, score_b = (standardise(x, matched.scenarios, rank=diff.rank) for x in (a, b))
    numbers = {
        "source_a": a[:, 0],
        "target_a": a[:, 1],
        "source_b": b[:, 0],
        "target_b": b[:, 1],
        "change": change_per_prompt(score_a, score_b, np.array([0]), np.array([1]))[:, 0],
    }
    return pd.DataFrame({"input": "", **_prompt_columns(matched), **numbers})


def _wiring_prompts(diff: Diff, matched: Matched, rows: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for edge, into in zip(rows.index, rows["input"], strict=True):
        numbers = {name: values[:, edge] for name, values in diff.closer.by_prompt.items()}
        parts.append(pd.DataFrame({"input": into, **_prompt_columns(matched), **numbers}))
    return pd.concat(parts, ignore_index=True)


_LOOKS = {
    "correlation": _correlation_prompts,
    "effect": _effect_prompts,
    "wiring": _wiring_prompts,
}


def _per_scenario(per_prompt: pd.DataFrame, lens: str) -> pd.DataFrame:
    groups = per_prompt.groupby(["input", "scenario"], sort=False)
    table = groups.mean(numeric_only=True)
    table.insert(0, "n", groups.size())
    if lens == "correlation":
        for side in "ab":
            table[f"r_{side}"] = groups.apply(_r_within, side)
    return table.reset_index()


def _r_within(rows: pd.DataFrame, side: str) -> float:
    x, y = rows[f"source_{side}"].to_numpy(), rows[f"target_{side}"].to_numpy()
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")
