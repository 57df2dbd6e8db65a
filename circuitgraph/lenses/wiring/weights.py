"""Channel changes by weights: read times write weights of both models on common signals.

For A and B with read weights M and write weights W (rows are inputs) and y as in
``senders``: M_B W_B − M_A W_A = W̄ ΔM + ΔW M̄ on the common inner activation, so that
nothing is found by subtracting what is nearly equal, and equal models give exactly 0.
Everything is a sum of squares over a prompt's positions, so one second-moment matrix of y
a prompt serves every receiver of a place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import gather
from circuitgraph.engine.model import Model
from circuitgraph.lenses.wiring.null import Moments
from circuitgraph.lenses.wiring.read_points import Place, Reads, places, read_weights
from circuitgraph.lenses.wiring.senders import Signals, Writes, make_writes, signals
from circuitgraph.lenses.wiring.signals import Signalled, senders

ARRAYS = ("norm_a", "norm_b", "read", "write", "delta", "square", "expected")


@dataclass(frozen=True, eq=False)
class WeightChannels:
    """Two models, and their weights by receiver and sender.

    Attributes:
        models: A and B.
        granularity: of the components.
        places: where the stream is read.
        reads: of every place, of each of its receivers.
        writes: of every group of senders.
    """

    models: tuple[Model, Model]
    granularity: Granularity
    places: tuple[Place, ...]
    reads: tuple[tuple[Reads, ...], ...]
    writes: tuple[Writes, ...]

    @classmethod
    def of(cls, a: Model, b: Model, granularity: Granularity, inputs: Inputs) -> WeightChannels:
        """Read all weights of two models of one architecture."""
        found = tuple(places(a, granularity, inputs))
        reads = tuple(tuple(read_weights(a, b, p, r) for r in p.receivers) for p in found)
        writes = tuple(make_writes((a, b), group, granularity) for group in senders(a.layers))
        return cls((a, b), granularity, found, reads, writes)

    @property
    def width(self) -> int:
        """Dimensions in which a random update may point: d, one less where norms centre."""
        return self.models[0].width - int(self.models[0].norm.centre)

    @property
    def edges(self) -> int:
        """Number of edges."""
        return sum(p.senders * len(p.receivers) for p in self.places)

    @torch.no_grad()
    def measure(
        self, runs: Signalled, weights: np.ndarray
    ) -> tuple[dict[str, np.ndarray], Moments]:
        """Arrays [R × edges] of one batch, named as in ``channels.Channels``; and its second
        moments, summed with the prompts' weights [R], for the null."""
        said = [signals(self.models, runs, w, self.granularity) for w in self.writes]
        out = {name: np.zeros((len(runs.batch.clean), self.edges)) for name in ARRAYS}
        moments = Moments()
        for number in range(len(self.places)):
            self._place(number, runs, said, torch.from_numpy(weights), out, moments)
        return out, moments

    def _place(
        self,
        number: int,
        runs: Signalled,
        said: list[Signals],
        weights: Tensor,
        out: dict[str, np.ndarray],
        moments: Moments,
    ) -> None:
        place, first = self.places[number], 0
        steps, scale = _window(self.models, place, runs)
        rows = torch.arange(len(steps))[:, None]
        for group, (writes, signal) in enumerate(zip(self.writes, said, strict=True)):
            if first == place.senders:
                break
            common, inner = (
                _moments(y[:, rows, steps] * scale) for y in (signal.common, signal.inner)
            )
            moments.add(number, group, writes, common, inner, weights)
            loud = _energy(common, writes.common @ writes.common.mT)
            written = _sides(inner, writes.mean, writes.change)
            for i, reads in enumerate(self.reads[number]):
                start = place.columns(i).start + first
                part = slice(start, start + len(writes.mean))
                found = _edge(common, inner, writes, reads) | {"write": relative(written)}
                found["expected"] = _expected(reads, loud, written[0], self.width)
                for name, value in found.items():
                    out[name][:, part] = value.T.numpy()
            first += len(writes.mean)


def _window(models: tuple[Model, Model], place: Place, runs: Signalled) -> tuple[Tensor, Tensor]:
    """Steps of the window that count at a place [R, Q], and what the signal is multiplied by
    there [R, Q, 1].

    The factor is the mean of both models' 1/rms over the root of the number of the prompt's
    positions, so that sums of squares are means over positions.
    """
    batch = runs.batch
    last = place.layer == models[0].layers
    index = batch.read if last else batch.index
    streams = [gather(place.stream(trace), index).double() for trace in runs.clean]
    left, right = (place.norm(m).scale(x) for m, x in zip(models, streams, strict=True))
    scale = (left + right) / 2
    if last:
        return batch.read - batch.start[:, None], scale
    steps = torch.arange(batch.width).expand(len(index), -1)
    return steps, scale / batch.patched.double().sum(1, keepdim=True).sqrt()


def _moments(y: Tensor) -> Tensor:
    """[S, R, W, K] -> [S, R, K, K]."""
    return y.mT @ y


def _energy(moments: Tensor, gram: Tensor) -> Tensor:
    """Σ over positions of yᵀ G y: [S, R, K, K], [S, K, K] -> [S, R]."""
    return (moments.flatten(2) @ gram.flatten(1)[..., None])[..., 0]


def _sides(moments: Tensor, mean: Tensor, change: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squares of y·change, y·(mean − change/2) and y·(mean + change/2), [S, R] each."""
    level = _energy(moments, mean @ mean.mT)
    if not bool(change.any()):
        return torch.zeros_like(level), level, level
    cross = _energy(moments, mean @ change.mT)
    square = _energy(moments, change @ change.mT).clamp_min(0)
    level = level + square / 4
    return square, (level - cross).clamp_min(0), (level + cross).clamp_min(0)


def _edge(common: Tensor, inner: Tensor, writes: Writes, reads: Reads) -> dict[str, Tensor]:
    read = _sides(common, writes.common @ reads.mean, writes.common @ reads.change)
    mean = writes.mean @ reads.mean + writes.change @ reads.change / 4
    both = _sides(inner, mean, writes.mean @ reads.change + writes.change @ reads.mean)
    return {
        "norm_a": both[1].sqrt(),
        "norm_b": both[2].sqrt(),
        "read": relative(read),
        "delta": relative(both),
        "square": read[0] if bool(reads.change.any()) else both[0],
    }


def relative(squares: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """‖change‖ / (‖A‖ + ‖B‖); 0 where there is nothing."""
    change, a, b = (s.sqrt() for s in squares)
    return torch.where(change > 0, change / (a + b), 0.0).clamp_max(1.0)


def _expected(reads: Reads, loud: Tensor, written: Tensor, width: int) -> Tensor:
    """Mean of ``square`` under random updates, [S, R]: tr C ‖ΔM‖²/d of the read side, or where
    that is the same in both models tr D ‖M‖²/d; C of what is said, D of what is said anew."""
    if bool(reads.change.any()):
        return loud * float(reads.change.pow(2).sum()) / width
    return written * float(reads.mean.pow(2).sum()) / width
