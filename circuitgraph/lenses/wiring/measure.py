"""Channels between two stored variants, for every edge.

Both models are loaded and run on the prompts of their runs. By ``weights`` a common signal is
read with both models' weights, which needs a shared basis; by ``functional`` each receiver's
output is compared under the same change of its input, which is invariant to rewrites that
keep the model's function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from circuitgraph.base.components import Edge, EdgeSpec
from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources, kind_of
from circuitgraph.engine.batches import in_batches
from circuitgraph.engine.model import Model, to_device
from circuitgraph.engine.receivers import edges_of, first_components
from circuitgraph.ingest.memory import weights_of
from circuitgraph.lenses.wiring.functional import FunctionalChannels, drifted
from circuitgraph.lenses.wiring.heads import aligned, distances, matched
from circuitgraph.lenses.wiring.null import MATRICES
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.lenses.wiring.signals import BatchRuns, run_both
from circuitgraph.lenses.wiring.weights import WeightChannels
from circuitgraph.models.basis import require_shared_basis, roundoff
from circuitgraph.models.stored import BATCH, ModelPair
from circuitgraph.prompts.tokens import Encoded, unequal_pairs
from circuitgraph.runs.record import Run
from circuitgraph.runs.signs import Rows
from circuitgraph.stats.scenarios import balanced_weights

DRIFTS, ASKED = 8, 16
"""Random drifts of the whole model that ``functional`` is held against, each run on so many
prompts at most."""

TRIED, SIZES = 0.02, (0.002, 0.3)
"""‖ΔW‖ / ‖W‖ of a first drift, and how small and large others may be."""

TRACED = {"weights": 32, "functional": 56}
"""Numbers that traces keep of a position and block, in widths of the model."""
CONTRIBUTED = 4
"""Numbers kept of every sender and position by function, in widths."""

FORMS = ("weights", "functional")


@dataclass(frozen=True)
class _Setup:
    """Two models, their prompts, and the weights of prompts.

    Attributes
    ----------
    pairs : bool
        Whether signals are corrupt − clean.
    weights : float64 [n]
        Scenarios alike, sum n.
    size : int
        Prompts at once.
    """

    models: tuple[Model, Model]
    prompts: tuple[Encoded, ...]
    pairs: bool
    weights: np.ndarray
    spec: EdgeSpec
    size: int

    @property
    def batches(self) -> list[list[int]]:
        """Rows of the prompts that run together."""
        return in_batches(self.prompts, "corrupt" if self.pairs else "mean", self.size)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge, in the order of ``components.effect_edges``."""
        return tuple(edges_of(self.models[0], self.spec.granularity, self.spec.inputs))

    def runs(
        self, batches: Sequence[Sequence[int]] | None = None
    ) -> Iterator[tuple[BatchRuns, Sequence[int]]]:
        """Both models' runs of each batch (by default all), and its rows."""
        for rows in self.batches if batches is None else batches:
            yield run_both(self.models, [self.prompts[i] for i in rows], self.pairs), rows


def channels_of(
    a: Run,
    b: Run,
    *,
    form: str = "weights",
    shared_basis: bool = False,
    draws: int = 1000,
    seed: int = 0,
    reporter: Reporter,
    resources: Resources = USUAL,
) -> Channels:
    """Channels between the variants of two runs.

    Parameters
    ----------
    a, b : Run
        On the same prompts, with the same inputs and granularity.
    form : {"weights", "functional"}
    shared_basis : bool
        Compare weights without a check that both models share a basis.
    draws : int
        Random updates for the null of ``weights``; 0 for none, of either form.
    seed : int
        Of the draws.
    resources : Resources
        Where it is measured, and within what memory.

    Raises
    ------
    UsageError
        An unknown form; a device without float64; a family without a reader; different
        architectures, prompts or methods; ``weights`` for models that share no basis.
    InputError
        The files of a variant are gone or changed.
    """
    if form not in FORMS:
        raise UsageError(f"form {quoted(form, 40)} is unknown; take {' or '.join(FORMS)}")
    title = f"{short(a.variant.name, 30)} → {short(b.variant.name, 30)} wiring"
    if form == "weights":
        setup = _set_up(a, b, form, shared_basis, reporter, resources)
        return _by_weights(setup, draws, seed, reporter, title)
    drifts = min(draws, DRIFTS)
    unit = max(roundoff(run.variant) for run in (a, b))
    with reporter.progress(a.n + drifts, title) as progress:
        # no name for the setup here: it holds B, which makes room for the drifts
        return _by_function(
            a, _set_up(a, b, form, False, reporter, resources), unit, drifts, seed, progress.advance
        )


def _set_up(
    a: Run, b: Run, form: str, shared_basis: bool, reporter: Reporter, resources: Resources
) -> _Setup:
    if kind_of(resources.device) == "mps":
        raise UsageError(
            f"``device={resources.device}``: the wiring lens measures in float64, which this "
            "device has not; leave it out"
        )
    keys = ("granularity", "inputs", "ablation", "template")
    pair = ModelPair.alike(a, b, "the wiring lens", keys, resources)
    if form == "weights" and not shared_basis:
        other = 'compare what the receivers do (``form="functional"``), or '
        require_shared_basis(pair, instead=other)
    prompts, spec, models = pair.a.prompts, pair.a.spec, pair.engines
    corrupt = a.method.ablation in ("", "corrupt") and all(p.corrupt is not None for p in prompts)
    unequal = len(unequal_pairs(prompts)) if corrupt else 0
    if unequal:
        reporter.remark(
            f"wiring: {unequal} of {a.n} pairs are of unequal lengths and unmarked (columns span "
            "and corrupt_span), so signals are those of the prompts, not corrupt − clean"
        )
    if form == "functional":
        models = to_device(models, resources.device, torch.float64)
    size = _batch_size(models, prompts, spec, form, resources)
    return _Setup(models, prompts, corrupt and not unequal, _weights(a), spec, size)


def _batch_size(
    models: tuple[Model, Model],
    prompts: Sequence[Encoded],
    spec: EdgeSpec,
    form: str,
    resources: Resources,
) -> int:
    """Prompts at once: both models' traces; by function every sender's contribution, too."""
    model, longest = models[0], max(len(p.prompt) for p in prompts)
    senders = first_components(model, spec.granularity)[-1]
    each = TRACED[form] * model.layers + (CONTRIBUTED * senders if form == "functional" else 0)
    most = BATCH if form == "weights" else BATCH // 2
    drawn = 4.0 * min(MATRICES, senders * model.width**2) if form == "weights" else 0.0
    return resources.batch_size(
        most,
        resources.held(sum(map(weights_of, models))) + drawn,
        lambda size: float(size * each * longest * model.width * model.dtype.itemsize),
    )


def _weights(run: Run) -> np.ndarray:
    """n / (S · observations of the scenario), prompts that are one observation counted once.

    Such a pair belongs to its first prompt's scenario, as in every test.
    """
    rows = Rows.of_run(run)
    return balanced_weights(run.scenarios[rows.first], rows.of, run.n)


def _by_weights(
    setup: _Setup,
    draws: int,
    seed: int,
    reporter: Reporter,
    title: str,
) -> Channels:
    channels = WeightChannels.of(*setup.models, setup.spec.granularity, setup.spec.inputs)
    with reporter.progress(len(channels.points), title, "read point") as progress:
        arrays = channels.measure(setup.runs, setup.weights, draws, seed, progress.advance)
    edges = setup.edges
    return Channels(edges=edges, form="weights", **arrays, floor=np.zeros(len(edges)))


def _by_function(
    run: Run,
    setup: _Setup,
    unit: float,
    drifts: int,
    seed: int,
    advance: Callable[[int], None],
) -> Channels:
    edges, (a, b) = setup.edges, setup.models
    setup = replace(setup, models=(a, aligned(b, _orders(setup))))
    arrays = _functions(setup, advance)
    floor = _floor(unit, arrays.pop("level"), arrays["norm_a"] + arrays["norm_b"])
    setup, b = replace(setup, models=(a, a)), a  # B makes room for the drifts
    drawn = _drifts(run, setup, arrays["delta"], drifts, seed, advance)
    shape = (len(setup.prompts), len(edges))
    expected = np.ones(shape) if not len(drawn) else np.broadcast_to(drawn.mean(0), shape)
    unknown = np.full(shape, np.nan)
    return Channels(
        edges=edges,
        form="functional",
        **arrays,
        read=unknown,
        write=unknown,
        expected=expected,
        draws=drawn,
        floor=floor,
    )


def _functions(
    setup: _Setup, advance: Callable[[int], None] = lambda _: None
) -> dict[str, np.ndarray]:
    """Arrays of ``FunctionalChannels.measure`` [n × e] of two models in float64."""
    channels = FunctionalChannels.of(*setup.models, setup.spec.granularity, setup.spec.inputs)
    arrays: dict[str, np.ndarray] = {}
    for runs, rows in setup.runs():
        for name, found in channels.measure(runs).items():
            width = found.shape[1]
            arrays.setdefault(name, np.empty((len(setup.prompts), width)))[list(rows)] = found
        advance(len(rows))
    return arrays


def _drifts(
    run: Run,
    setup: _Setup,
    delta: np.ndarray,
    count: int,
    seed: int,
    advance: Callable[[int], None],
) -> np.ndarray:
    """Mean squared ``delta`` of A against randomly updated copies of it [count × e].

    Their size makes the median channel change as much as B's (``delta`` [n × e]), because the
    change is not linear in the size of the update.
    """
    if not count:
        return np.empty((0, delta.shape[1]))
    chosen = _spread(run, setup.prompts, ASKED)
    setup = replace(setup, prompts=tuple(setup.prompts[i] for i in chosen))

    def drift_of(size: float, number: int) -> np.ndarray:
        copy = drifted(setup.models[0], size, seed * 1000 + number)
        pair = replace(setup, models=(setup.models[0], copy))
        return (_functions(pair)["delta"] ** 2).mean(0)

    far = np.nanmedian((delta**2).mean(0)) / np.nanmedian(drift_of(TRIED, count))
    size = float(np.clip(TRIED * np.sqrt(far), *SIZES))
    found = []
    for number in range(count):
        found.append(drift_of(size, number))
        advance(1)
    return np.array(found)


def _spread(run: Run, prompts: Sequence[Encoded], most: int) -> list[int]:
    """Up to ``most`` prompts, scenarios in turn, independent of the order of the file."""
    order = sorted(range(len(prompts)), key=lambda i: (prompts[i].prompt, prompts[i].corrupt or ()))
    turn: dict[int, int] = {}
    keys: list[tuple[int, int, int]] = []
    for i in order:
        scenario = int(run.scenarios[i])
        turn[scenario] = turn.get(scenario, -1) + 1
        keys.append((turn[scenario], len(keys), i))
    return [i for _, _, i in sorted(keys)[:most]]


def _orders(setup: _Setup) -> list[list[int]]:
    """The head of B that matches each head of A, layer by layer."""
    batches, models = setup.batches, setup.models
    [(runs, _)] = setup.runs([batches[len(batches) // 2]])
    return [matched(layer, models[0].group) for layer in distances(models, runs)]


def _floor(unit: float, level: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Changes that rounding of the weights explains: 100 · roundoff · ‖f‖ / ‖δ‖, at most 1 [e]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 2 * np.sqrt((level**2).mean(0) / (channels**2).mean(0))
    return np.minimum(100 * unit * np.where(np.isnan(ratio), np.inf, ratio), 1.0)
