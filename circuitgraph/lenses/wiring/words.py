"""Sentences of the wiring lens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import short
from circuitgraph.lenses.base import EdgeRow, Measured
from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests
from circuitgraph.lenses.wiring.channel_tests import PROMINENT

FACTOR = PROMINENT**0.5
"""A claim needs twice the change of the receiver's median channel."""


def whole_receivers(tests: EdgeTests, margin: float) -> Iterator[str]:
    """Remark on receivers whose input from every sender changed."""
    table = pd.DataFrame({"target": tests.names[1].astype(str), "delta": tests.delta})
    table = table[tests.reason == TESTABLE]
    median = table.groupby("target", sort=False)["delta"].median()
    median = median[median >= max(margin, 1e-9)].sort_values(ascending=False, kind="stable")
    if len(median):
        most = ", ".join(f"{name!s:.40} {value:.2f}" for name, value in median[:3].items())
        yield (
            f"receivers whose input from every sender changed: {len(median)}, most {most} "
            "(median change); their edges are claimed only where they change twice as much"
        )


def needed(measured: Measured, margin: float) -> Iterator[str]:
    """The change a channel needs to be claimed, which prompts hardly alter."""
    times = measured.lens_details.by_edge.get("times_median")
    if times is None:
        return
    tests = measured.tests
    with np.errstate(divide="ignore", invalid="ignore"):
        change = FACTOR * tests.delta / times
    change = change[(tests.reason == TESTABLE) & np.isfinite(change) & (change > 0)]
    if len(change):
        least = max(float(np.median(change)), margin)
        yield (
            f"a channel can be claimed from a change of about {least:.2g} at a typical receiver, "
            "twice that of its median channel; more prompts alter that little"
        )


def channel(edge: EdgeRow) -> list[str]:
    """Size of one channel and its change."""
    row, more, a, b = edge.row, edge.lens_details, short(edge.a), short(edge.b)
    target = short(row["target"])
    tested = f"p {row['p']:.2g}, q {row['q']:.2g}."
    change = f"(95% from {row['low']:.3f} to {row['high']:.3f})"
    if edge.scope == "recipe":
        return [
            f"Change of the channel against the base: {row['weight_a']:.3f} in {a}, "
            f"{row['weight_b']:.3f} in {b}; apart by {row['delta']:+.3f} {change}.",
            f"That is {more['times_median_a']:.1f} and {more['times_median_b']:.1f} times the "
            f"median change of what {target} reads; {tested}",
        ]
    stands = (
        f"Too few channels into {target} could change to hold it against them"
        if pd.isna(more["times_median"])
        else f"That is {more['times_median']:.1f} times the median change of what {target} reads"
    )
    return [
        f"Size of the channel: {row['weight_a']:.3g} in {a}, "
        f"{row['weight_b']:.3g} in {b}, cosine {more['cosine']:.2f}; relative change "
        f"{row['delta']:.3f} {change}; the receiver's reading alone {more['read']:.3f}, the "
        f"sender's writing alone {more['write']:.3f}.",
        f"{stands}; {tested}",
    ]


def random_updates(yardstick: Mapping[str, Any], name: str) -> str:
    """The noise floor: channels that change, beside claims expected under random updates."""
    changed = f"yardstick: {yardstick['observed']['margin']} channels change beyond the margin"
    itself = f"{short(name)} against itself is 0 by construction"
    if yardstick["expected"] is None:
        return f"{changed}; {itself}"
    return (
        f"{changed}; {itself}, and random updates of the same size would make "
        f"{yardstick['expected']:.2g} claims a pair"
    )
