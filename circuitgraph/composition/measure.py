"""Composition scores of stored variants, and the change of virtual weights between two."""

from __future__ import annotations

import pandas as pd

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.composition.products import relative_change, scores, virtual_products
from circuitgraph.engine.families import require_one_mlp
from circuitgraph.engine.model import Model
from circuitgraph.engine.receivers import edges_of
from circuitgraph.models.basis import require_shared_basis
from circuitgraph.models.stored import ModelPair, StoredModel, require_readable
from circuitgraph.runs.comparable import require_same_build
from circuitgraph.runs.record import Run


def require_composable(run: Run) -> None:
    """Refuse runs without heads or weights, before anything is loaded.

    Raises
    ------
    UsageError
        A table, a family without a reader, a mixture of experts, or a run of whole layers.
    """
    require_readable([run], "compose")
    require_one_mlp(run.variant.model_type, "compose")
    if run.method.granularity != "head":
        raise UsageError(
            f"compose: {quoted(run.variant.name)} was ingested by layers, and composition is of "
            'heads; ingest it under another name with ``granularity="head"``'
        )


def compose(run: Run, reporter: Reporter) -> pd.DataFrame:
    """Composition scores of one variant: ``source``, ``target``, ``input``, ``weight``."""
    require_composable(run)
    model = StoredModel.open(run, "compose").engine
    with reporter.progress(model.layers + 1, "composition", unit="layer") as bar:
        found = scores(virtual_products(model, model, bar.advance))
    return _edges(model).assign(weight=found.numpy())


def compose_pair(a: Run, b: Run, shared_basis: bool, reporter: Reporter) -> pd.DataFrame:
    """Scores of two variants, and the relative change of every virtual weight.

    ``source``, ``target``, ``input``, ``weight_a``, ``weight_b`` and ``delta`` =
    ‖V_b − V_a‖ / (‖V_a‖ + ‖V_b‖), 0 to 1. ``shared_basis`` skips the check that both models
    share a basis.

    Raises
    ------
    UsageError
        Models of different architectures, or without a shared basis.
    InputError
        See ``StoredModel.open``.
    """
    for run in (a, b):
        require_composable(run)
    require_same_build(a.variant, b.variant)
    pair = ModelPair.open(a, b, "compose")
    pair.require_same_shapes()
    if not shared_basis:
        require_shared_basis(pair)
    first, second = pair.engines
    with reporter.progress(3 * (first.layers + 1), "composition", unit="layer") as bar:
        own_a, own_b, both = (
            virtual_products(*models, bar.advance)
            for models in ((first, first), (second, second), (first, second))
        )
    return _edges(first).assign(
        weight_a=scores(own_a).numpy(),
        weight_b=scores(own_b).numpy(),
        delta=relative_change(own_a, own_b, both).numpy(),
    )


def _edges(model: Model) -> pd.DataFrame:
    return pd.DataFrame(edges_of(model, "head", "split"), columns=["source", "target", "input"])
