"""Sentences for rows of a diff."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import short
from circuitgraph.diff.record import CLAIMS, KEY, Diff
from circuitgraph.lenses.base import EdgeRow

_MEANING = {
    "rewired": "the edge changed",
    "sign_flip": "the edge changed its sign",
    "gained": "the edge is there in the second and was not in the first",
    "lost": "the edge was there in the first and is not in the second",
    "unchanged": "any change is smaller than the margin",
    "not_detected": "no change was found, which is not the same as none",
    "not_testable": "nothing can be said",
}


def edge_in_words(diff: Diff, rows: pd.DataFrame, per_scenario: pd.DataFrame) -> str:
    """Numbers, verdict, scenarios and caveats of one edge; a paragraph per input."""
    records = zip(rows.index.tolist(), rows.to_dict("records"), strict=True)
    parts = [_one_input(diff, index, row, per_scenario) for index, row in records]
    return "\n\n".join(parts)


def _one_input(diff: Diff, index: int, row: dict[Any, Any], per_scenario: pd.DataFrame) -> str:
    arrow = "→" if diff.asks.directed else "–"
    into = f" ({row['input']})" if row["input"] else ""
    more = {name: float(values[index]) for name, values in diff.lens_details.by_edge.items()}
    lines = [
        f"{short(row['source'])} {arrow} {short(row['target'])}{into}, "
        f"{short(diff.a)} → {short(diff.b)}, {diff.lens} lens, {diff.scope} scope",
        *diff.asks.in_words(EdgeRow(row, more, diff.a, diff.b, diff.scope, diff.margin)),
        _verdict(row),
        _scenarios(per_scenario[per_scenario["input"] == row["input"]], diff.signed),
        *_claim(diff, index, row),
        *_screen(diff, row),
        _basis(diff, row),
    ]
    return "\n".join(lines)


def _verdict(row: dict[Any, Any]) -> str:
    why = f" ({row['reason']})" if row["reason"] else ""
    return f"Verdict: {row['verdict']}{why}: {_MEANING[row['verdict']]}."


def _scenarios(table: pd.DataFrame, signed: bool) -> str:
    change = table["change" if "change" in table else "delta"].to_numpy()
    names = table["scenario"].tolist()
    if len(change) == 1:
        return "All prompts are of one scenario."
    up, down = int((change > 0).sum()), int((change < 0).sum())
    most, least = int(np.argmax(np.abs(change))), int(np.argmin(np.abs(change)))
    sign = "+" if signed else ""
    places = [f"{short(names[i])} ({change[i]:{sign}.3f})" for i in (most, least)]
    if not signed:
        return f"Of {len(change)} scenarios most in {places[0]}, least in {places[1]}."
    return (
        f"Of {len(change)} scenarios {up} changed upwards and {down} downwards; most in "
        f"{places[0]}, least in {places[1]}."
    )


def _claim(diff: Diff, index: int, row: dict[Any, Any]) -> list[str]:
    if row["verdict"] not in CLAIMS:
        return []
    if index not in diff.details.index:
        return diff.asks.mechanism_in_words(row, pd.Series(dtype=float))
    extra = diff.extras.loc[index]
    lines = [
        f"The prompts agree to {extra['cancellation']:.0%} (|mean| over the root mean square "
        "of their changes): near 100% all change alike, near 0% they cancel.",
        _again(extra),
    ]
    if pd.notna(extra["wording"]):
        lines.append(f"Without its worst wording {extra['wording']:.0%} of the change is left.")
    return [*lines, *diff.asks.mechanism_in_words(row, extra)]


def _again(extra: Any) -> str:
    """Stability of a claim, in a sentence."""
    kinds = ("scenario", "wording", "seed")
    left = [
        f"{extra[f'{kind}s_left']:.0%} of the fits that leave out one {kind}"
        for kind in kinds
        if pd.notna(extra[f"{kind}s_left"])
    ]
    shares = [f"{extra['stability']:.0%} of bootstrap samples of the prompts", *left]
    return f"The same test claims it again in {', in '.join(shares)}."


def _screen(diff: Diff, row: dict[Any, Any]) -> list[str]:
    """What an effect was estimated by, where no exact one was taken."""
    found = diff.summary.get("confirmation")
    if not found or tuple(row[name] for name in KEY) in set(diff.confirmed):
        return []
    return [
        f"Both effects are estimates ({found['estimator']}), which can be far off, sign included; "
        "exact ones were taken of the claims and the strongest edges alone."
    ]


def _basis(diff: Diff, row: dict[Any, Any]) -> str:
    return (
        f"Based on {row['n']} distinct prompts in {row['n_scenarios']} scenarios "
        f"(evidence {diff.summary['evidence']})."
    )
