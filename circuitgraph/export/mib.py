"""Circuits in the JSON of EAP-IG, MIB and CircuitKIT.

A circuit that was imported is written as it was read. A measured variant is written with its
mean aligned effects as scores, every edge in the graph: EAP-IG's own ``apply_topn`` and MIB's
evaluation choose among them by score.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.components import Edge, in_order, parse
from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.base.foreign import eap_name
from circuitgraph.export.files import write_lines
from circuitgraph.runs.circuit_file import as_bytes, circuit_of
from circuitgraph.runs.record import Run
from circuitgraph.runs.summaries import edge_table

WIDTHS = ("hidden_size", "n_embd", "d_model")
"""What families call the width of the residual stream in their ``config.json``."""


def write_mib(runs: Sequence[Run], path: Path) -> Path:
    """Write one variant's effects as a circuit file.

    Parameters
    ----------
    runs
        Of one variant; its effect run is written.
    path
        The file; replaced in one step.

    Raises
    ------
    UsageError
        No effects; not of single heads, q, k and v apart; or key/value groups of several heads,
        which the format cannot say.
    InputError
        A score that is no number, a model folder that is gone, or a file that cannot be written.
    """
    name = quoted(runs[0].variant.name)
    run = next((run for run in runs if run.kind == "effect"), None)
    if run is None:
        raise UsageError(f"{name} has no effects, and circuits are made of them; ingest them")
    circuit = circuit_of(run)
    content = _content(run) if circuit is None else circuit.content
    return write_lines(path, [as_bytes(content).decode("ascii")])


def _content(run: Run) -> dict[str, Any]:
    _require_heads(run)
    table = edge_table(run)
    scores = table["weight"].to_numpy(dtype=float)
    if not np.isfinite(scores).all():
        raise InputError(f"{quoted(run.variant.name)}: some effects are not finite numbers")
    names = in_order({end for edge in run.edges for end in (edge.source, _reader(edge))})
    edges = {
        _written(edge): {"score": float(score), "in_graph": True}
        for edge, score in zip(run.edges, scores, strict=True)
    }
    nodes = {str(eap_name(parse(name))): {"in_graph": True} for name in names}
    return {"cfg": _cfg(run), "nodes": nodes, "edges": edges}


def _require_heads(run: Run) -> None:
    variant, method = run.variant, run.method
    if method.granularity != "head" or method.inputs != "split":
        raise UsageError(
            f"{quoted(variant.name)}: the format knows single heads that read by q, k and v apart; "
            "ingest with ``split_inputs`` and ``granularity=head``"
        )
    mixture = next((e for e in run.edges if parse(e.target).kind == "router"), None)
    if mixture is not None:
        raise UsageError(
            f"{quoted(variant.name)}: a mixture of experts ({mixture.target}), and the format "
            "knows no router and no experts; export it in another format"
        )
    if variant.kv_heads != variant.heads:
        raise UsageError(
            f"{quoted(variant.name)}: {variant.heads} heads share {variant.kv_heads} keys and "
            "values, and the format knows k and v of single heads only"
        )


def _reader(edge: Edge) -> str:
    """The target; for a key/value group of one head, that head."""
    target = parse(edge.target)
    return f"L{target.layer}H{target.head}" if target.kind == "kv" else edge.target


def _written(edge: Edge) -> str:
    letter = "" if edge.input == "in" else f"<{edge.input}>"
    return f"{eap_name(parse(edge.source))}->{eap_name(parse(edge.target))}{letter}"


def _cfg(run: Run) -> dict[str, Any]:
    variant = run.variant
    own = {(edge.source, edge.target) for edge in run.edges}
    return {
        "n_layers": variant.layers,
        "n_heads": variant.heads,
        "parallel_attn_mlp": ("L0H0", "L0_MLP") not in own,
        "d_model": _width(run),
    }


def _width(run: Run) -> int:
    file = Path(run.variant.base) / "config.json"
    try:
        config = json.loads(file.read_text("utf-8"))
        return int(next(config[name] for name in WIDTHS if name in config))
    except (OSError, ValueError, TypeError, StopIteration) as error:
        raise InputError(
            f"{file}: does not say how wide the residual stream is, which a circuit file must; "
            "restore the model's folder"
        ) from error
