"""What commands print for people: the rows and columns that matter, and where the rest is.

CSV, JSON and parquet always carry every row and column in the contract's order; these
views are for a terminal only.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from circuitgraph.diff.many import KEY, ManyDiff
from circuitgraph.diff.record import CLAIMS, VERDICTS, Diff
from circuitgraph.frames import short, to_text

MOST_CLAIMS = 30
LEAST_ROWS = 10
MOST_SCENARIOS = 12
WHERE = "--format csv, or -o FILE (.csv, .json, .parquet)"

_DIFF = ["source", "target", "input", "weight_a", "weight_b", "delta", "low", "high", "q"]
_DECISIONS = {"decision": "decision", "p_answer": "p", "mass": "mass", "saturation": "saturated"}


def diff_view(diff: Diff, width: int) -> str:
    """Claims, strongest first, what else there is, and what both sides decide."""
    rows = _strongest(diff.table)
    texts = [name for name in ("mechanism", "reason") if (rows[name] != "").any()]
    columns = [*_DIFF, "verdict", *texts]
    parts = [to_text(rows[columns], "table", width=width), _rest(diff, len(rows))]
    if diff.summary["behaviour"]:
        decisions = to_text(_decisions(diff), "table", width=width)
        parts.append(
            f"\nwhat they decide (log-odds of the answer, its probability, that of both answers "
            f"together,\nshare of prompts above 99%), a: {short(diff.a)}, b: {short(diff.b)}\n"
            + decisions
        )
    return "".join(parts)


def _strongest(table: pd.DataFrame) -> pd.DataFrame:
    """Claims by size of the change; filled up with the largest other changes."""
    claimed = table["verdict"].isin(CLAIMS).to_numpy()
    size = np.nan_to_num(table["delta"].abs().to_numpy(), nan=-1.0)
    order = np.lexsort((-size, ~claimed))
    return table.iloc[order[: max(LEAST_ROWS, min(MOST_CLAIMS, int(claimed.sum())))]]


def _rest(diff: Diff, shown: int) -> str:
    counts = diff.summary["verdicts"]
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts.get(verdict))
    total = len(diff.table)
    if shown >= total:
        return f"all {total} edges: {told}\n"
    return f"{shown} of {total} edges, the strongest first; all rows: {WHERE}\nall: {told}\n"


def _decisions(diff: Diff) -> pd.DataFrame:
    """One row a scenario; the mean over the variants of each side."""
    panel = pd.DataFrame(diff.summary["behaviour"]).astype({"mass": float})
    by_scenario = panel.groupby("scenario", sort=False)
    wide = pd.DataFrame({"n": by_scenario["n"].first()})
    for name, title in _DECISIONS.items():
        for side in "ab":
            own = panel[panel["side"] == side].groupby("scenario", sort=False)
            wide[f"{title}_{side}"] = own[name].mean()
    if len(wide) > MOST_SCENARIOS:
        apart = (wide["decision_a"] - wide["decision_b"]).abs()
        wide = wide.loc[apart.sort_values(ascending=False).index[:MOST_SCENARIOS]]
    return wide.reset_index()


def compare_view(result: ManyDiff, width: int) -> str:
    """Edges claimed anywhere: the change in every variant, and who shares it."""
    table = result.table
    claimed = table[table["n_claims"] > 0]
    sizes = claimed[[f"delta: {name}" for name in result.diffs]].abs().max(axis=1)
    claimed = claimed.iloc[np.lexsort((-sizes.to_numpy(), -claimed["n_recipes"].to_numpy()))]
    shown = claimed[[*KEY, "pattern"]].head(MOST_CLAIMS)
    for name in result.diffs:
        cells = zip(claimed[f"delta: {name}"], claimed[f"verdict: {name}"], strict=True)
        shown[short(name, 24)] = [_cell(*cell) for cell in cells][:MOST_CLAIMS]
    patterns = claimed["pattern"].value_counts()
    told = ", ".join(f"{count} {short(pattern)}" for pattern, count in patterns.items())
    text = to_text(shown, "table", width=width) if len(claimed) else ""
    summary = f"{len(claimed)} of {len(table)} edges are claimed in some variant"
    lines = textwrap.wrap(f"{summary}: {told}" if told else summary, width)
    return "\n".join([*text.splitlines(), *lines, f"all rows: {WHERE}", ""])


def _cell(delta: float, verdict: str) -> str:
    if verdict in CLAIMS:
        return f"{delta:+.3f} {verdict}"
    return "?" if verdict == "not_testable" else "·"


def edges_view(table: pd.DataFrame, width: int) -> str:
    """Edges of each kind, strongest first, without columns that are empty here."""
    kinds = table.groupby("kind", sort=True)
    most = MOST_CLAIMS // max(1, kinds.ngroups)
    order = table["weight"].abs().sort_values(ascending=False, kind="stable").index
    ordered = table.loc[order].groupby("kind", sort=True).head(most)
    ordered = ordered.sort_values("kind", kind="stable", ascending=False)
    used = [name for name in ordered if not _empty(ordered[name])]
    told = ", ".join(f"{size} {kind}" for kind, size in kinds.size().items())
    note = f"{len(ordered)} of {len(table)} edges ({told}), the strongest of each kind"
    more = f"; all: {WHERE}" if len(table) > len(ordered) else ""
    return to_text(ordered[used], "table", width=width) + f"{note}{more}\n"


def _empty(values: pd.Series) -> bool:
    return bool((values.isna() | (values.astype(object) == "")).all())


def hubs_view(table: pd.DataFrame, width: int) -> str:
    """Hubs with their rank and its 95% interval in one column; two variants side by side."""
    two = "rank_a" in table
    shown = table[["component"]].copy()
    for side in ("_a", "_b") if two else ("",):
        shown[f"rank{side}"] = table[f"rank{side}"]
        bounds = zip(table[f"rank_low{side}"], table[f"rank_high{side}"], strict=True)
        shown[f"95%{side}"] = [f"{low:.0f}–{high:.0f}" for low, high in bounds]
    alone = ("strength", "positive", "negative", "out_strength", "in_strength")
    both = ("share_a", "share_b", "delta", "low", "high", "changed", "reason")
    more = both if two else (*alone, "betweenness", "pagerank", "community")
    wanted = [name for name in more if name in table and not _empty(table[name])]
    return to_text(pd.concat([shown, table[wanted]], axis=1), "table", width=width)


def change_hubs_view(table: pd.DataFrame, width: int) -> str:
    """Hubs of change with their rank and its 95% interval, and how many there are."""
    shown = table[["component", "edges", "degree", "weighted", "expected", "p", "q", "rank"]].copy()
    bounds = zip(table["rank_low"], table["rank_high"], strict=True)
    shown["95%"] = [f"{low:.0f}–{high:.0f}" for low, high in bounds]
    shown["verdict"] = table["verdict"]
    found = table.loc[table["verdict"] == "hub_of_change", "component"].tolist()
    told = f"hubs of change: {', '.join(map(short, found))}" if found else "no hub of change"
    if (table["verdict"] == "not_testable").all():
        told = "cannot tell whether there are hubs of change"
    return to_text(shown, "table", width=width) + "\n".join(textwrap.wrap(told, width)) + "\n"
