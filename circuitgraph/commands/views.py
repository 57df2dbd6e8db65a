"""What commands print for people: the rows and columns that matter, and where the rest is.

CSV, JSON and parquet always carry every row and column in the contract's order; these
views are for a terminal only.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import short
from circuitgraph.base.frames import to_text
from circuitgraph.commands.terminal import READABLE
from circuitgraph.diff.record import CLAIMS, KEY, VERDICTS, Diff
from circuitgraph.runs.summaries import EDGE_HEADS, EDGE_UNITS

if TYPE_CHECKING:
    from circuitgraph.diff.explain import Explanation
    from circuitgraph.diff.many import ManyDiff

MOST_CLAIMS = 30
LEAST_ROWS = 10
MOST_SCENARIOS = 12
WHERE = "--format csv, or -o FILE (.csv, .json, .parquet)"

_MUST = ["source", "target", "input", "verdict", "weight_a", "weight_b", "delta", "mechanism"]
_MAY = ["reason", "95%", "q"]
_JOINT = {"", "all", "in"}
"""Inputs that say nothing but that q, k and v were measured together."""
_DECISIONS = {"decision": "decision", "p_answer": "p", "mass": "mass", "saturation": "saturated"}


def diff_view(diff: Diff, width: int) -> str:
    """Claims, strongest first, what else there is, and what both sides decide."""
    rows = _strongest(diff.table)
    told = diff.asks.heads(diff.scope)
    shown = rows.assign(**{"95%": _interval(rows)})[_told_columns(rows)].rename(columns=told)
    must = sum(told.get(name, name) in shown for name in _MUST)
    parts = [to_text(shown, "table", width=width, must=must), _units(diff, width)]
    parts.append(_rest(diff, len(rows)))
    if diff.summary["behaviour"]:
        decisions = to_text(_decisions(diff), "table", width=width)
        parts.append(f"\n{_decided_head(diff, width)}\n{decisions}")
    return "".join(parts)


def _decided_head(diff: Diff, width: int) -> str:
    told = (
        "what they decide (log-odds of the answer, its probability, that of both answers "
        f"together, share of prompts above 99%), a: {short(diff.a)}, b: {short(diff.b)}"
    )
    return "\n".join(textwrap.wrap(told, min(width, READABLE)))


def _told_columns(rows: pd.DataFrame) -> list[str]:
    """The answer first; what is the same in every row left out."""
    empty = {name for name in ("mechanism", "reason") if not (rows[name] != "").any()}
    if set(rows["input"]) <= _JOINT:
        empty.add("input")
    return [name for name in (*_MUST, *_MAY) if name not in empty]


def _interval(rows: pd.DataFrame) -> list[str]:
    bounds = zip(rows["low"], rows["high"], strict=True)
    return ["" if low != low else f"{low:z.3f} to {high:z.3f}" for low, high in bounds]


def _units(diff: Diff, width: int) -> str:
    """One line about the units of the numbers."""
    told, unit = diff.asks.heads(diff.scope), diff.summary["units"]
    a, b, change = told["weight_a"], told["weight_b"], told["delta"]
    line = f"{a}, {b}, {change}: {unit['delta']}"
    if unit["weight_a"] != unit["delta"]:
        line = f"{a}, {b}: {unit['weight_a']}; {change}: {unit['delta']}"
    return "\n".join(textwrap.wrap(line, width)) + "\n"


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
    keys = [name for name in KEY if name != "input" or not set(claimed["input"]) <= _JOINT]
    shown = claimed[[*keys, "pattern"]].head(MOST_CLAIMS)
    tested = zip(claimed["q_specific"], claimed["specific"], strict=True)
    shown["specific"] = [_specific(*both) for both in tested][:MOST_CLAIMS]
    for name in result.diffs:
        cells = zip(claimed[f"delta: {name}"], claimed[f"verdict: {name}"], strict=True)
        shown[short(name, 24)] = [_cell(*cell) for cell in cells][:MOST_CLAIMS]
    patterns = claimed["pattern"].value_counts()
    told = ", ".join(f"{count} {short(pattern)}" for pattern, count in patterns.items())
    text = to_text(shown, "table", width=width) if len(claimed) else ""
    summary = f"{len(claimed)} of {len(table)} edges are claimed in some variant"
    unit = next(iter(result.diffs.values())).summary["units"]["delta"]
    lines = [f"{summary}: {told}" if told else summary, f"changes: {unit}", f"all rows: {WHERE}"]
    wrapped = [part for line in lines for part in textwrap.wrap(line, width)]
    return "\n".join([*text.splitlines(), *wrapped, ""])


def _specific(q: float, yes: bool) -> str:
    return "" if q != q else "yes" if yes else "no"


def _cell(delta: float, verdict: str) -> str:
    if verdict in CLAIMS:
        return f"{delta:+.3f} {verdict}"
    return "?" if verdict == "not_testable" else "·"


def edges_view(table: pd.DataFrame, width: int) -> str:
    """Edges of each kind, strongest first, a table a kind, without columns that are empty."""
    kinds = table.groupby("kind", sort=True)
    most = MOST_CLAIMS // max(1, kinds.ngroups)
    order = table["weight"].abs().sort_values(ascending=False, kind="stable").index
    ordered = table.loc[order]
    parts, shown = [], 0
    for kind in sorted(table["kind"].unique(), reverse=True):
        rows: pd.DataFrame = ordered[ordered["kind"] == kind].head(most)
        used = [name for name in rows if name != "kind" and not _empty(rows[name])]
        head = EDGE_HEADS[kind]
        text = to_text(rows[used].rename(columns={"weight": head}), "table", width=width)
        parts.append(f"{text}{head}: {EDGE_UNITS[kind]}\n\n")
        shown += len(rows)
    told = ", ".join(f"{size} {kind}" for kind, size in kinds.size().items())
    note = f"{shown} of {len(table)} edges ({told}), the strongest of each kind"
    more = f"; all: {WHERE}" if len(table) > shown else ""
    return "".join(parts) + f"{note}{more}\n"


def _empty(values: pd.Series) -> bool:
    return bool((values.isna() | (values.astype(object) == "")).all())


def hubs_view(table: pd.DataFrame, width: int) -> str:
    """Hubs with their rank and its 95% interval in one column; two variants side by side."""
    if "rank_a" in table:
        return _moved_hubs(table, width)
    shown = table[["component"]].copy().assign(**_ranks(table, ""))
    more = ("strength", "positive", "negative", "out_strength", "in_strength")
    for column in (*more, "betweenness", "pagerank", "community"):
        if column in table and not _empty(table[column]):
            shown[column] = table[column]
    return to_text(shown, "table", width=width)


def _ranks(table: pd.DataFrame, side: str) -> dict[str, Any]:
    bounds = zip(table[f"rank_low{side}"], table[f"rank_high{side}"], strict=True)
    spans = [f"{low:.0f}–{high:.0f}" for low, high in bounds]
    return {f"rank{side}": table[f"rank{side}"], f"95%{side}": spans}


def _moved_hubs(table: pd.DataFrame, width: int) -> str:
    """Which hubs changed, in a line under the table; the answer stands beside the name."""
    changed = table["changed"].to_numpy(bool)
    shown = table[["component"]].assign(changed=np.where(changed, "yes", "no"))
    shown = shown.assign(**_ranks(table, "_a"), **_ranks(table, "_b"))
    shown = shown.assign(share_a=table["share_a"], share_b=table["share_b"], change=table["delta"])
    shown["95%"] = _interval(table)
    if not _empty(table["reason"]):
        shown["reason"] = table["reason"]
    names = ", ".join(map(short, table.loc[changed, "component"]))
    told = f"hubs changed: {int(changed.sum())} of {len(table)}{': ' if names else ''}{names}"
    if (table["evidence"] == "insufficient").all():
        told = "cannot tell whether hubs changed"
    text = to_text(shown, "table", width=width)
    return text + "\n".join(textwrap.wrap(told, width)) + "\n"


def scenarios_view(found: Explanation, width: int) -> str:
    """Means of one edge per scenario, under their units."""
    return to_text(found.per_scenario.rename(columns=found.heads), "table", width=width)


def change_hubs_view(table: pd.DataFrame, width: int) -> str:
    """Hubs of change with their rank and its 95% interval, and how many there are."""
    shown = table[["component", "edges", "degree", "weighted", "expected", "p", "q"]]
    shown = shown.assign(**_ranks(table, ""), verdict=table["verdict"])
    found = table.loc[table["verdict"] == "hub_of_change", "component"].tolist()
    told = f"hubs of change: {', '.join(map(short, found))}" if found else "no hub of change"
    if (table["verdict"] == "not_testable").all():
        told = "cannot tell whether there are hubs of change"
    return to_text(shown, "table", width=width) + "\n".join(textwrap.wrap(told, width)) + "\n"
