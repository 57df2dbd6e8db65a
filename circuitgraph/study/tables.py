"""What the study found, as small tables: a row a comparison, an edge, a variant and state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.frames import write_frame
from circuitgraph.diff.record import CLAIMS, Diff
from circuitgraph.study.design import Comparison, Part
from circuitgraph.study.parts import layers_of
from circuitgraph.training.written import Trained

TOP = 10
"""Claims of a comparison that are shown, the largest changes first."""
CUT = "0.3"
"""|Δr| from which published practice calls a pair of components rewired, without a test."""


@dataclass
class Tables:
    """Rows by name of table; written as one CSV each."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """More rows of a table."""
        self.rows.setdefault(name, []).extend(map(dict, rows))

    def __getitem__(self, name: str) -> pd.DataFrame:
        return pd.DataFrame(self.rows.get(name, []))

    def comparisons(self, **keys: str) -> pd.DataFrame:
        """Comparisons whose columns hold these values."""
        return self.where("comparisons", **keys)

    def where(self, table: str, **keys: str) -> pd.DataFrame:
        """Rows of a table whose columns hold these values; an empty one has no columns."""
        rows = self[table]
        for name, value in keys.items():
            rows = rows[rows[name] == value] if len(rows) else rows
        return rows

    def write(self, folder: Path) -> None:
        """Each table as CSV, numbers with four digits that count."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.rows:
            write_frame(self[name].map(_short), "csv", folder / f"{name}.csv")


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and np.isfinite(value) else value


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def comparison_row(one: Comparison, where: str, diff: Diff) -> dict[str, Any]:
    """Counts of a diff, beside those of each pair of its variants."""
    told, verdicts = diff.summary, diff.summary["verdicts"]
    alone = told["alone"] or {}
    pairs = [pair["n_claims"] for pair in alone.get("pairs", ())]
    both = diff.table[["weight_a", "weight_b"]].dropna().to_numpy(float)
    return {
        "granularity": where, "lens": one.lens, "scope": one.scope, "role": one.role,
        "numbers": _numbers(diff), "a": one.a, "b": one.b,
        "edges": told["n_edges"], "testable": told["n_testable"], "claims": told["n_claims"],
        **{name: verdicts[name] for name in (*CLAIMS, "unchanged", "not_detected")},
        "evidence": told["evidence"], "prompts": told["n"], "n_effective": told["n_effective"],
        "least_alone": min(pairs, default=None), "most_alone": max(pairs, default=None),
        "shared_alone": alone.get("shared"),
        "bare_cut": told.get("naive", {}).get(CUT),
        "gain": told["gain"], "alike": float(np.corrcoef(both.T)[0, 1]) if len(both) > 2 else None,
    }  # fmt: skip


def _numbers(diff: Diff) -> str:
    """``exact``, ``screened`` (nothing confirmed), or ``confirmed``."""
    if "confirmation" in diff.summary:
        return "confirmed"
    return "screened" if diff.asks.screened(diff.runs_a) else "exact"


def claim_rows(one: Comparison, where: str, diff: Diff) -> list[dict[str, Any]]:
    """The largest claims of a diff."""
    largest = diff.claims.loc[diff.claims["delta"].abs().sort_values(ascending=False).index]
    names = ("source", "target", "weight_a", "weight_b", "delta", "low", "high", "q", "verdict")
    told = {"granularity": where, "lens": one.lens, "scope": one.scope, "a": one.a, "b": one.b}
    return [{**told, **row} for row in records(largest.head(TOP)[[*names]])]


def behaviour_rows(trained: Sequence[Trained], part: Part | None = None) -> list[dict[str, Any]]:
    """What trained variants do on held-out wordings."""
    shown = ("state", "n", "base", "p", "low", "high", "target", "legal")
    return [
        {
            "recipe": one.record["recipe"],
            "part": part.name if part else "whole",
            "seed": one.record["seed"],
            **{name: row[name] for name in shown},
            "learnt": {True: "yes", False: "no", None: "null"}[one.learnt],
            "change": one.record["change"],
            "steps": one.record["steps"],
            "cpu_seconds": one.record["cpu_seconds"],
        }
        for one in trained
        for row in one.record["held_out"]
    ]


def part_row(one: Trained, part: Part | None) -> dict[str, Any]:
    """One seed of a part, or of the whole: the distance of its policy from the target."""
    rows = one.record["held_out"]
    apart = [abs(row["p"] - row["target"]) for row in rows]
    return {
        "part": part.name if part else "whole",
        "components": _named(part.components if part else one.record["components"]),
        "seed": one.record["seed"],
        **{row["state"]: row["p"] for row in rows},
        "error": float(np.mean(apart)),
        "learnt": "yes" if one.learnt else "no",
        "change": one.record["change"],
        "cpu_seconds": one.record["cpu_seconds"],
    }


def _named(components: Sequence[str]) -> str:
    """``L3_MLP``, or the layers of which both parts are trained."""
    if len(components) == 1:
        return components[0]
    layers = layers_of(components)
    if len(layers) > 2 and layers == list(range(layers[0], layers[-1] + 1)):
        return f"layers {layers[0]} to {layers[-1]}"
    return "layers " + ", ".join(map(str, layers))


def hub_rows(a: str, b: str, found: pd.DataFrame) -> list[dict[str, Any]]:
    """Components at which more edges differ than chance puts there; the first where none are."""
    hubs = found[found["verdict"] == "hub_of_change"]
    names = ["component", "edges", "degree", "expected", "p", "q", "verdict"]
    shown = (found.head(1) if hubs.empty else hubs.head(TOP))[names]
    return [{"a": a, "b": b, **row} for row in records(shown)]


def patch_rows(found: pd.DataFrame) -> list[dict[str, Any]]:
    """The components that carry most of one variant's decision into the other, both ways."""
    names = ("source_variant", "variant", "component", "share", "effect", "low", "high", "flips")
    rows: list[dict[str, Any]] = []
    for _, own in found.groupby("variant", sort=False):
        largest = own.loc[own["effect"].abs().sort_values(ascending=False).index]
        rows += records(largest.head(TOP)[[*names, "n"]])
    return rows
