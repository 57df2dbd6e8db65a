"""Rows of a diff as sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.quoting import short
from circuitgraph.diff.record import CLAIMS, Diff

_MEANING = {
    "rewired": "the edge changed",
    "sign_flip": "the edge changed its sign",
    "gained": "the edge is there in the second and was not in the first",
    "lost": "the edge was there in the first and is not in the second",
    "unchanged": "any change is smaller than the margin",
    "not_detected": "no change was found, which is not the same as none",
    "not_testable": "nothing can be said",
}

_SHARES = {
    "signal": "are due to the signal that enters",
    "edge": "to the edge itself",
    "downstream": "to what follows it",
}


def edge_in_words(diff: Diff, rows: pd.DataFrame, per_scenario: pd.DataFrame) -> str:
    """Numbers, verdict, scenarios and caveats of one edge; a paragraph per input."""
    records = zip(rows.index.tolist(), rows.to_dict("records"), strict=True)
    parts = [_one_input(diff, index, row, per_scenario) for index, row in records]
    return "\n\n".join(parts)


def _one_input(diff: Diff, index: int, row: dict[Any, Any], per_scenario: pd.DataFrame) -> str:
    arrow = "–" if diff.lens == "correlation" else "→"
    into = f" ({row['input']})" if row["input"] else ""
    lines = [
        f"{short(row['source'])} {arrow} {short(row['target'])}{into}, "
        f"{short(diff.a)} → {short(diff.b)}, {diff.lens} lens, {diff.scope} scope",
        *(_channel(diff, index, row) if diff.lens == "wiring" else [_numbers(diff, row)]),
        _verdict(row),
        _scenarios(per_scenario[per_scenario["input"] == row["input"]], diff.signed),
        *_claim(diff, index, row),
        _basis(diff, row),
    ]
    return "\n".join(lines)


def _numbers(diff: Diff, row: dict[Any, Any]) -> str:
    what = "Correlation within scenarios"
    if diff.lens == "effect":
        what = "Share of the norm of all edge effects"
        if diff.scale == "logit":
            what = "Aligned effect in log-odds"
    return (
        f"{what}: {row['weight_a']:.3f} in {short(diff.a)}, "
        f"{row['weight_b']:.3f} in {short(diff.b)}; "
        f"change {row['delta']:+.3f} (95% from {row['low']:+.3f} to {row['high']:+.3f}), "
        f"p {row['p']:.2g} for a change beyond {diff.margin:g}, q {row['q']:.2g}."
    )


def _channel(diff: Diff, index: int, row: dict[Any, Any]) -> list[str]:
    """What the receiver reads of the sender, and how much of that changed."""
    more = {name: float(values[index]) for name, values in diff.closer.by_edge.items()}
    tested = f"p {row['p']:.2g}, q {row['q']:.2g}."
    change = f"(95% from {row['low']:.3f} to {row['high']:.3f})"
    if diff.scope == "recipe":
        return [
            f"Change of the channel against the base: {row['weight_a']:.3f} in {short(diff.a)}, "
            f"{row['weight_b']:.3f} in {short(diff.b)}; apart by {row['delta']:+.3f} {change}.",
            f"That is {more['times_median_a']:.1f} and {more['times_median_b']:.1f} times the "
            f"median change of what {short(row['target'])} reads; {tested}",
        ]
    stands = (
        f"Too few channels into {short(row['target'])} could change to hold it against them"
        if pd.isna(more["times_median"])
        else f"That is {more['times_median']:.1f} times the median change of what "
        f"{short(row['target'])} reads"
    )
    return [
        f"Size of the channel: {row['weight_a']:.3g} in {short(diff.a)}, "
        f"{row['weight_b']:.3g} in {short(diff.b)}, cosine {more['cosine']:.2f}; relative change "
        f"{row['delta']:.3f} {change}; the receiver's reading alone {more['read']:.3f}, the "
        f"sender's writing alone {more['write']:.3f}.",
        f"{stands}; {tested}",
    ]


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
    lines = []
    if index in diff.details.index:
        extra = diff.extras.loc[index]
        lines.append(
            f"The prompts agree to {extra['cancellation']:.0%} (|mean| over the root mean square "
            "of their changes): near 100% all change alike, near 0% they cancel."
        )
        lines.append(_again(extra))
        if pd.notna(extra["wording"]):
            lines.append(f"Without its worst wording {extra['wording']:.0%} of the change is left.")
    return [*lines, *_mechanism(diff, index, row)]


def _mechanism(diff: Diff, index: int, row: dict[Any, Any]) -> list[str]:
    if not row["mechanism"]:
        return []
    line = f"Mechanism: {row['mechanism']}."
    extra = diff.details.loc[index] if index in diff.details.index else pd.Series(dtype=float)
    if pd.isna(extra.get("signal")):
        return [
            f"{line} An effect can change because the signal that enters, the edge itself, or "
            "what reads its result changed."
        ]
    same = extra["same"].split(", ")
    told = [
        f"{extra[name]:+.3f} {words}{' (bit for bit the same)' if name in same else ''}"
        for name, words in _SHARES.items()
    ]
    total = sum(extra[name] for name in _SHARES)
    line = f"{line} Of the change of {total:+.3f} in the decision's units, {', '.join(told)}."
    if diff.scale == "share":
        line += (
            f" The change of the norm of all edge effects (gain) makes {extra['gain']:+.3f} of the "
            f"{row['delta']:+.3f} by which the share changed."
        )
    return [line]


def _again(extra: Any) -> str:
    """How often the same test claims the edge again."""
    kinds = ("scenario", "wording", "seed")
    left = [
        f"{extra[f'{kind}s_left']:.0%} of the fits that leave out one {kind}"
        for kind in kinds
        if pd.notna(extra[f"{kind}s_left"])
    ]
    told = [f"{extra['stability']:.0%} of bootstrap samples of the prompts", *left]
    return f"The same test claims it again in {', in '.join(told)}."


def _basis(diff: Diff, row: dict[Any, Any]) -> str:
    return (
        f"Based on {row['n']} distinct prompts in {row['n_scenarios']} scenarios "
        f"(evidence {diff.summary['evidence']})."
    )
