"""Figures of a diff for papers, drawn by matplotlib (extra ``circuitgraph[plot]``).

Colours are those of Okabe & Ito, which people who confuse red and green can tell apart;
widths are those of one and of two columns of common journals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from circuitgraph.base.errors import UsageError, short
from circuitgraph.diff.record import CLAIMS, Diff
from circuitgraph.export.drawing import OTHER, VERDICTS, as_hex
from circuitgraph.report.layers import components_of, strength_by_layer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTHS = {1: 3.35, 2: 7.0}
"""Inches of a figure over one and over two columns."""
SIDES = ("#0072B2", "#D55E00")
MOST_HUBS = 15
Columns = Literal[1, 2]


def _drawn(draw: Callable[..., Axes]) -> Callable[..., Axes]:
    """Give a method its axes, and matplotlib's absence a name."""

    @wraps(draw)
    def method(self: Figures, *, columns: Columns = 1, ax: Axes | None = None) -> Axes:
        if columns not in WIDTHS:
            raise UsageError(f"``columns`` is 1 or 2, not {columns!r}")
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise UsageError("figures need matplotlib: pip install 'circuitgraph[plot]'") from error
        if ax is None:
            width = WIDTHS[columns]
            _, ax = pyplot.subplots(figsize=(width, 0.8 * width), layout="constrained")
        return draw(self, ax)

    return method


@dataclass(frozen=True)
class Figures:
    """Drawings of one diff; each method returns matplotlib axes, to change or to save.

    Every method takes ``columns`` (1 or 2: the width of the figure) or ``ax`` (axes to draw
    into). Claims that a figure leaves out are counted in its title.

    Attributes
    ----------
    diff : Diff
    """

    diff: Diff

    @_drawn
    def volcano(self, ax: Axes) -> Axes:
        """Change of every testable edge against −log10 of its p, coloured by verdict."""
        table = self.diff.table.dropna(subset=["p", "delta"])
        height = -np.log10(np.maximum(table["p"].to_numpy(float), 1e-50))
        verdicts = table["verdict"].astype(str).to_numpy()
        for verdict in (None, *CLAIMS):
            rows = ~np.isin(verdicts, CLAIMS) if verdict is None else verdicts == verdict
            if rows.any():
                label = "no claim" if verdict is None else verdict.replace("_", " ")
                ax.scatter(
                    table["delta"][rows], height[rows], s=9, label=label, linewidths=0,
                    color=as_hex(VERDICTS.get(verdict or "", OTHER)),
                )  # fmt: skip
        for margin in (-self.diff.margin, self.diff.margin)[not self.diff.signed :]:
            ax.axvline(margin, color="#666666", linewidth=0.6, linestyle=":")
        ax.set(xlabel=self._change(), ylabel="−log10 p")
        ax.legend(fontsize="x-small", frameon=False)
        return ax

    @_drawn
    def heatmap(self, ax: Axes) -> Axes:
        """Change of every edge; senders as rows, receivers as columns."""
        matrix = self.diff.matrix()
        values = matrix.to_numpy(float)
        top = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
        image = ax.imshow(
            values, cmap="PuOr_r" if self.diff.signed else "Blues", aspect="auto",
            vmin=-top if self.diff.signed else 0, vmax=top, interpolation="nearest",
        )  # fmt: skip
        _ticks(ax, list(matrix.columns), list(matrix.index))
        ax.set(xlabel="receiver", ylabel="sender")
        ax.figure.colorbar(image, ax=ax, label=self._change())
        return ax

    @_drawn
    def circuit(self, ax: Axes) -> Axes:
        """Claims as arcs over layers (rows) and heads or MLPs (columns)."""
        table, claims = self.diff.table, self.diff.claims
        names, grid = components_of(self.diff)
        places = dict(zip(names, grid.places, strict=True))
        top = float(claims["delta"].abs().max()) if len(claims) else 1.0
        xs, ys = zip(*grid.places, strict=True)
        ax.scatter(xs, ys, s=8, color="#BBBBBB", zorder=1)
        for row in claims.to_dict("records"):
            ax.annotate(
                "", xy=places[str(row["target"])], xytext=places[str(row["source"])],
                arrowprops={
                    "arrowstyle": "->" if self.diff.asks.directed else "-",
                    "connectionstyle": "arc3,rad=0.15",
                    "color": as_hex(VERDICTS.get(str(row["verdict"]), OTHER)),
                    "linewidth": 0.4 + 2.2 * abs(row["delta"]) / top,
                },
            )  # fmt: skip
        ax.set_xticks(range(len(grid.columns)), [short(c, 8) for c in grid.columns], rotation=90)
        ax.set_yticks(range(len(grid.rows)), [short(r, 8) for r in grid.rows])
        ax.tick_params(labelsize="x-small", length=0)
        ax.set(xlim=(-0.8, len(grid.columns) - 0.2), ylim=(-0.8, len(grid.rows) - 0.2))
        ax.set_title(f"{len(claims)} claims of {len(table)} edges", fontsize="small")
        return ax

    @_drawn
    def trajectories(self, ax: Axes) -> Axes:
        """Sum of |weight| over the edges that leave each layer, in both variants."""
        sums = strength_by_layer(self.diff)
        names = (self.diff.a, self.diff.b)
        for side, column, colour in zip(names, sums, SIDES, strict=True):
            ax.plot(sums.index, sums[column], marker="o", ms=3, color=colour, label=short(side, 30))
        ax.tick_params(axis="x", rotation=90 if len(sums) > 8 else 0, labelsize="x-small")
        ax.set(xlabel="layer that sends", ylabel="sum of |weight|")
        ax.legend(fontsize="x-small", frameon=False)
        return ax

    @_drawn
    def hubs(self, ax: Axes) -> Axes:
        """Components by the change at their edges: ranks and their 95% intervals."""
        from circuitgraph.hubs.change import hubs_of_change

        found = hubs_of_change(self.diff)
        some = found[found["degree"] > 0].nsmallest(MOST_HUBS, "rank").iloc[::-1]
        rank = some["rank"].to_numpy(float)
        low, high = (some[name].to_numpy(float) for name in ("rank_low", "rank_high"))
        spread = [np.maximum(rank - low, 0), np.maximum(high - rank, 0)]
        ax.errorbar(rank, range(len(some)), xerr=spread, fmt="o", ms=3, color="#0072B2", lw=0.8)
        ax.set_yticks(range(len(some)), [short(str(name), 12) for name in some["component"]])
        ax.tick_params(labelsize="x-small")
        ax.set(xlabel="rank by change (95% interval)")
        ax.set_title(f"{len(some)} of {(found['degree'] > 0).sum()} components", fontsize="small")
        return ax

    def _change(self) -> str:
        heads = self.diff.asks.heads(self.diff.scope)
        return f"{heads.get('delta', 'delta')} ({self.diff.summary['units']['delta']})"


def _ticks(ax: Axes, columns: list[Any], rows: list[Any], most: int = 40) -> None:
    """Names of at most so many rows and columns, evenly apart."""
    for names, put in ((columns, ax.set_xticks), (rows, ax.set_yticks)):
        every = max(1, -(-len(names) // most))
        at = range(0, len(names), every)
        put(list(at), [short(str(names[i]), 10) for i in at])
    ax.tick_params(labelsize="xx-small", length=1)
    ax.tick_params(axis="x", rotation=90)
