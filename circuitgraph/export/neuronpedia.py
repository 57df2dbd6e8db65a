"""Graph JSON of Neuronpedia and circuit-tracer: ``metadata``, ``qParams``, ``nodes``, ``links``.

Their nodes are features at positions of one prompt; ours are components over all prompts. A
component stands in its layer's row, at one position; what would be a feature's description
(``clerp``) is its name with the verdicts of its edges, and blocks of claims are supernodes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.components import Component, parse
from circuitgraph.export.files import file_stem, write_lines
from circuitgraph.export.model import ExportGraph

SCHEMA_VERSION = 1
_TYPES = {"embed": "embedding", "logits": "logit"}


def write_neuronpedia(graph: ExportGraph, path: Path) -> Path:
    """Write one graph for Neuronpedia's viewer.

    Parameters
    ----------
    graph
        What to write. Links hold the signed values; those of one pair of components through
        several inputs are added up. ``influence`` is a node's share of all |value|, both ends
        counted.
    path
        The file; replaced in one step.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    return write_lines(path, [json.dumps(_content(graph), indent=1) + "\n"])


def _content(graph: ExportGraph) -> dict[str, Any]:
    nodes = _nodes(graph)
    ids = {name: node["node_id"] for name, node in nodes.items()}
    supernodes = [[label, *(ids[name] for name in names)] for label, names in graph.blocks]
    return {
        "metadata": {
            "slug": file_stem(graph.name).lower(),
            "scan": "circuitgraph",
            "transcoder_list": [],
            "prompt_tokens": ["all prompts"],
            "prompt": graph.description,
            "node_threshold": 1.0,
            "schema_version": SCHEMA_VERSION,
        },
        "qParams": {
            "pinnedIds": [node for _, *members in supernodes for node in members],
            "supernodes": supernodes,
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": list(nodes.values()),
        "links": _links(graph.edges, ids),
    }


def _nodes(graph: ExportGraph) -> dict[str, dict[str, Any]]:
    parts = [parse(name) for name in graph.nodes["name"]]
    top = 1 + max((part.layer for part in parts if part.layer is not None), default=-1)
    shares, verdicts = _shares(graph.edges), _verdicts(graph.edges)
    found: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for part in parts:
        layer = {"embed": "E", "logits": str(top)}.get(part.kind, str(part.layer or 0))
        feature = counts[layer] = counts.get(layer, -1) + 1
        found[part.name] = {
            "node_id": f"{layer}_{feature}_0",
            "feature": feature,
            "layer": layer,
            "ctx_idx": 0,
            "feature_type": _TYPES.get(part.kind, "cross layer transcoder"),
            "token_prob": 0.0,
            "is_target_logit": part.kind == "logits",
            "run_idx": 0,
            "reverse_ctx_idx": 0,
            "jsNodeId": f"{layer}_{feature}-0",
            "clerp": _label(part, verdicts.get(part.name, ())),
            "influence": shares.get(part.name, 0.0),
            "activation": None,
        }
    return found


def _label(part: Component, verdicts: Iterable[str]) -> str:
    told = ", ".join(dict.fromkeys(sorted(verdicts)))
    return f"{part.name}: {told}" if told else part.name


def _ends(edges: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(edges["source"], edges["target"], strict=True))


def _shares(edges: pd.DataFrame) -> dict[str, float]:
    sums: dict[str, float] = {}
    for ends, weight in zip(_ends(edges), edges["weight"], strict=True):
        for name in ends:
            sums[name] = sums.get(name, 0.0) + float(weight)
    total = sum(sums.values()) or 1.0
    return {name: value / total for name, value in sums.items()}


def _verdicts(edges: pd.DataFrame) -> dict[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    if "verdict" in edges:
        for ends, verdict in zip(_ends(edges), edges["verdict"], strict=True):
            for name in ends:
                found.setdefault(name, []).append(str(verdict))
    return {**found}


def _links(edges: pd.DataFrame, ids: dict[str, str]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str], float] = {}
    for ends, signed in zip(_ends(edges), edges["signed"], strict=True):
        sums[ends] = sums.get(ends, 0.0) + float(signed)
    return [
        {"source": ids[source], "target": ids[target], "weight": weight}
        for (source, target), weight in sums.items()
    ]
