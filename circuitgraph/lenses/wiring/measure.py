"""How much the connections changed between two stored variants, for every edge.

Both are loaded again, and asked the prompts of their runs. By ``weights`` the same signal
is read with both models' weights, which means something only where both write and read in
one basis; by ``functional`` each receiver's own output is compared under the same change
of its input, which rewrites of a model that keep its function leave alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from circuitgraph.base.components import Edge, EdgeSpec
from circuitgraph.base.errors import UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import quoted, short
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.engine.batches import in_batches
from circuitgraph.engine.model import Model, to_device
from circuitgraph.engine.receivers import edges_of, first_components
from circuitgraph.lenses.wiring.drifts import drifted
from circuitgraph.lenses.wiring.functional import FunctionalChannels
from circuitgraph.lenses.wiring.heads import aligned, distances, matched
from circuitgraph.lenses.wiring.null import MATRICES
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.lenses.wiring.signals import Signalled, make_signalled
from circuitgraph.lenses.wiring.weights import WeightChannels
from circuitgraph.models.basis import require_shared_basis, roundoff
from circuitgraph.models.stored import BATCH, ModelPair
from circuitgraph.prompts.tokens import Encoded, unequal_pairs
from circuitgraph.runs.record import Run
from circuitgraph.runs.signs import Rows
from circuitgraph.stats.scenarios import balanced_weights

DRIFTS, ASKED = 8, 16
"""Random drifts of the whole model that ``functional`` is held against, each asked so many
prompts at most."""

TRIED, SIZES = 0.02, (0.002, 0.3)
"""‖ΔW‖ / ‖W‖ of a first drift, and how small and large others may be."""

TRACED = {"weights": 32, "functional": 56}
"""Numbers that traces keep of a position and block, in widths of the model."""
SAID = 4
"""Numbers kept of every sender and position by function, in widths."""

FORMS = ("weights", "functional")


@dataclass(frozen=True)
class _Asked:
    """Two models, the prompts of their runs, and how prompts weigh.

    Attributes:
        models: A and B.
        prompts: encoded, in the order of the runs.
        pairs: whether signals are corrupt − clean.
        weights: of every prompt, scenarios alike, sum n: float64 [n].
        spec: which edges.
        size: prompts at once.
    """

    models: tuple[Model, Model]
    prompts: tuple[Encoded, ...]
    pairs: bool
    weights: np.ndarray
    spec: EdgeSpec
    size: int

    @property
    def batches(self) -> list[list[int]]:
        """Rows of every batch."""
        return in_batches(self.prompts, "corrupt" if self.pairs else "mean", self.size)


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
    """Changes of every channel between the variants of two runs.

    Parameters
    ----------
    a, b : Run
        On the same prompts, with the same inputs and granularity.
    form : {"weights", "functional"}
    shared_basis : bool
        The user's word that both models write and read in one basis.
    draws : int
        Random updates that ``weights`` is held against; 0 for none, of either form.
    seed : int
        Of the draws.
    resources : Resources
        Within what memory; of the CPU alone.

    Raises
    ------
    UsageError
        An unknown form; another device than the CPU; a family without a reader; different
        architectures, prompts or methods; ``weights`` for models that share no basis.
    InputError
        The files of a variant are gone or no longer the same.
    """
    _require_form(form)
    title = f"{short(a.variant.name, 30)} → {short(b.variant.name, 30)} wiring"
    if form == "weights":
        asked = _ask(a, b, form, shared_basis, reporter, resources)
        return _by_weights(asked, draws, seed, reporter, title)
    drifts = min(draws, DRIFTS)
    unit = max(roundoff(run.variant) for run in (a, b))
    with reporter.progress(a.n + drifts, title) as progress:
        # no name for what is asked here: it holds B, which makes room for the drifts
        return _by_function(
            a, _ask(a, b, form, False, reporter, resources), unit, drifts, seed, progress.advance
        )


def _require_form(form: str) -> None:
    if form not in FORMS:
        raise UsageError(f"form {quoted(form, 40)} is unknown; take {' or '.join(FORMS)}")


def _ask(
    a: Run, b: Run, form: str, shared_basis: bool, reporter: Reporter, resources: Resources
) -> _Asked:
    if resources.device != "cpu":
        raise UsageError(
            f"``device={resources.device}``: the wiring lens measures in float64 on the CPU; leave "
            "it out"
        )
    keys = ("granularity", "inputs", "ablation", "template")
    pair = ModelPair.alike(a, b, "the wiring lens", keys)
    if form == "weights" and not shared_basis:
        other = 'compare what the receivers do (``form="functional"``), or '
        require_shared_basis(pair, instead=other)
    prompts, spec, models = pair.a.prompts, pair.a.spec, pair.engines
    if uneven := _lacking_partners(a, prompts):
        reporter.remark(
            f"wiring: {uneven} of {a.n} pairs are of unequal lengths and unmarked (columns span "
            "and corrupt_span), so signals are those of the prompts, not corrupt − clean"
        )
    if form == "functional":
        models = to_device(models, "cpu", torch.float64)
    size = _batch_size(models, prompts, spec, form, resources)
    return _Asked(models, prompts, _paired(a, prompts), _weights(a), spec, size)


def _batch_size(
    models: tuple[Model, Model],
    prompts: Sequence[Encoded],
    spec: EdgeSpec,
    form: str,
    resources: Resources,
) -> int:
    """Prompts at once: both models' traces; by function what every sender says beside them."""
    model, longest = models[0], max(len(p.prompt) for p in prompts)
    senders = first_components(model, spec.granularity)[-1]
    each = TRACED[form] * model.layers + (SAID * senders if form == "functional" else 0)
    most = BATCH if form == "weights" else BATCH // 2
    drawn = 4.0 * min(MATRICES, senders * model.width**2) if form == "weights" else 0.0
    return resources.batch_size(
        most,
        resources.held(0.0) + drawn,
        lambda size: float(size * each * longest * model.width * model.dtype.itemsize),
    )


def _paired(run: Run, prompts: Sequence[Encoded]) -> bool:
    """Whether every prompt has a corrupt one to set against it position by position."""
    if run.method.ablation not in ("", "corrupt"):
        return False
    return all(p.corrupt is not None for p in prompts) and not unequal_pairs(prompts)


def _lacking_partners(run: Run, prompts: Sequence[Encoded]) -> int:
    """How many pairs there are that cannot be set against each other, of a run that has pairs."""
    if run.method.ablation not in ("", "corrupt") or any(p.corrupt is None for p in prompts):
        return 0
    return len(unequal_pairs(prompts))


def _weights(run: Run) -> np.ndarray:
    """n / (S · observations of the scenario), a pair that stands both ways counted once.

    Such a pair is of its first prompt's scenario, as in every test.
    """
    rows = Rows.of_run(run)
    return balanced_weights(run.scenarios[rows.first], rows.of, run.n)


def _edges(spec: EdgeSpec, model: Model) -> tuple[Edge, ...]:
    return tuple(edges_of(model, spec.granularity, spec.inputs))


def _by_weights(
    asked: _Asked,
    draws: int,
    seed: int,
    reporter: Reporter,
    title: str,
) -> Channels:
    edges = _edges(asked.spec, asked.models[0])
    channels = WeightChannels.of(*asked.models, asked.spec.granularity, asked.spec.inputs)
    batches = asked.batches

    def runs() -> Iterator[tuple[Signalled, Sequence[int]]]:
        for rows in batches:
            chosen = [asked.prompts[i] for i in rows]
            yield make_signalled(asked.models, chosen, asked.pairs), rows

    with reporter.progress(len(channels.places), title, "place") as progress:
        arrays = channels.measure(runs, asked.weights, draws, seed, progress.advance)
    return Channels(edges=edges, form="weights", **arrays, floor=np.zeros(len(edges)))


def _by_function(
    run: Run,
    asked: _Asked,
    unit: float,
    drifts: int,
    seed: int,
    advance: Callable[[int], None],
) -> Channels:
    edges, batches, (a, b) = _edges(asked.spec, asked.models[0]), asked.batches, asked.models
    asked = replace(asked, models=(a, aligned(b, _orders((a, b), asked, batches))))
    arrays = _functions(asked, batches, advance)
    floor = _floor(unit, arrays.pop("level"), arrays["norm_a"] + arrays["norm_b"])
    asked, b = replace(asked, models=(a, a)), a  # B makes room for the drifts
    drawn = _drifts(run, asked, arrays["delta"], drifts, seed, advance)
    shape = (len(asked.prompts), len(edges))
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
    asked: _Asked,
    batches: Sequence[Sequence[int]],
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, np.ndarray]:
    """Arrays [n × e] of two models in float64, as ``FunctionalChannels.measure`` names them."""
    channels = FunctionalChannels.of(*asked.models, asked.spec.granularity, asked.spec.inputs)
    return _collected(asked, batches, lambda runs, _: channels.measure(runs), advance)


def _collected(
    asked: _Asked,
    batches: Sequence[Sequence[int]],
    measure: Callable[[Signalled, Sequence[int]], dict[str, np.ndarray]],
    advance: Callable[[int], None],
) -> dict[str, np.ndarray]:
    """What is measured of every batch (its runs and rows), in the order of the prompts [n × e]."""
    arrays: dict[str, np.ndarray] = {}
    for rows in batches:
        runs = make_signalled(asked.models, [asked.prompts[i] for i in rows], asked.pairs)
        for name, found in measure(runs, rows).items():
            width = found.shape[1]
            arrays.setdefault(name, np.empty((len(asked.prompts), width)))[list(rows)] = found
        advance(len(rows))
    return arrays


def _drifts(
    run: Run,
    asked: _Asked,
    delta: np.ndarray,
    count: int,
    seed: int,
    advance: Callable[[int], None],
) -> np.ndarray:
    """Mean squared ``delta`` of A against copies of it that drifted at random [count × e].

    They drift as far as makes their median channel change as much as B's (``delta`` [n × e]):
    what a large update does is not a multiple of what a small one does.
    """
    if not count:
        return np.empty((0, delta.shape[1]))
    chosen = _spread(run, asked.prompts, ASKED)
    asked = replace(asked, prompts=tuple(asked.prompts[i] for i in chosen))
    batches = asked.batches

    def moved_by(size: float, number: int) -> np.ndarray:
        copy = drifted(asked.models[0], size, seed * 1000 + number)
        pair = replace(asked, models=(asked.models[0], copy))
        return (_functions(pair, batches)["delta"] ** 2).mean(0)

    far = np.nanmedian((delta**2).mean(0)) / np.nanmedian(moved_by(TRIED, count))
    size = float(np.clip(TRIED * np.sqrt(far), *SIZES))
    found = []
    for number in range(count):
        found.append(moved_by(size, number))
        advance(1)
    return np.array(found)


def _spread(run: Run, prompts: Sequence[Encoded], most: int) -> list[int]:
    """Up to ``most`` prompts, scenarios in turn, whatever the order of the file."""
    order = sorted(range(len(prompts)), key=lambda i: (prompts[i].prompt, prompts[i].corrupt or ()))
    turn: dict[int, int] = {}
    keys: list[tuple[int, int, int]] = []
    for i in order:
        scenario = int(run.scenarios[i])
        turn[scenario] = turn.get(scenario, -1) + 1
        keys.append((turn[scenario], len(keys), i))
    return [i for _, _, i in sorted(keys)[:most]]


def _orders(
    models: tuple[Model, Model], asked: _Asked, batches: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Which head of B does what each head of A does, layer by layer."""
    chosen = [asked.prompts[i] for i in batches[len(batches) // 2]]
    runs = make_signalled(models, chosen, asked.pairs)
    return [matched(layer, models[0].group) for layer in distances(models, runs)]


def _floor(unit: float, level: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Changes that rounding of the weights explains: 100 · roundoff · ‖f‖ / ‖δ‖, at most 1 [e]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 2 * np.sqrt((level**2).mean(0) / (channels**2).mean(0))
    return np.minimum(100 * unit * np.where(np.isnan(ratio), np.inf, ratio), 1.0)
