"""Circuit files of EAP-IG, MIB and CircuitKIT: scores and flags of edges, in JSON.

``{"cfg": {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"}, "nodes": {name: {"in_graph"}},
"edges": {"input->a0.h0<q>": {"score", "in_graph"}}}``: nodes are ``input``, ``a5.h3``, ``m5`` and
``logits``; ``<q>``, ``<k>``, ``<v>`` are the inputs of a head. All other content is kept.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.components import EMBED, LOGITS, Edge, digest, order_key, parse
from circuitgraph.base.errors import quoted
from circuitgraph.base.foreign import own_name
from circuitgraph.base.textfiles import MAX_JSON_BYTES, fail, file_kind, parse_json, read_text
from circuitgraph.runs.record import Run

KEPT = "circuit.json"
"""The file beside the arrays of an imported run."""
READS = "reads circuits from .json"
_INPUTS = ("q", "k", "v")


@dataclass(frozen=True, eq=False)
class CircuitFile:
    """A circuit file, its edges by our names.

    Attributes
    ----------
    content : dict
        All of the JSON, in its order.
    layers, heads : int
        As ``cfg`` says.
    edges : tuple of Edge
        In the order of the file.
    scores : float64 [e]
    in_graph : bool [e]
        Whether the edge belongs to the circuit.
    """

    content: dict[str, Any]
    layers: int
    heads: int
    edges: tuple[Edge, ...]
    scores: np.ndarray
    in_graph: np.ndarray

    @property
    def fingerprint(self) -> str:
        return digest("circuit", self.content)


def read_circuit(path: Path) -> CircuitFile:
    """Read a circuit file.

    Raises
    ------
    InputError
        No such file, not JSON, a missing key, or a bad name or score: says where.
    """
    file_kind(path, (".json",), READS)
    if path.stat().st_size > MAX_JSON_BYTES:
        fail(path, None, f"more than {MAX_JSON_BYTES >> 20} MiB of JSON are too many for a circuit")
    return _circuit(path, parse_json(path, read_text(path)))


def _circuit(path: Path, content: Any) -> CircuitFile:
    if not isinstance(content, dict):
        fail(path, None, "not an object; a circuit file has cfg, nodes and edges")
    for name in ("cfg", "nodes", "edges"):
        if not isinstance(content.get(name), dict) or not content[name]:
            fail(path, None, f"no {name!r}; a circuit file has cfg, nodes and edges, none empty")
    layers, heads = (_size(path, content["cfg"], name) for name in ("n_layers", "n_heads"))
    for name, node in content["nodes"].items():
        _component(path, f"node {quoted(name)}", name, layers, heads)
        _flag(path, f"node {quoted(name)}", node if isinstance(node, bool) else _of(node))
    edges, scores, flags = [], [], []
    for name, value in content["edges"].items():
        edges.append(_edge(path, name, content["nodes"], layers, heads))
        scores.append(_score(path, name, value))
        flags.append(_flag(path, f"edge {quoted(name)}", _of(value)))
    return CircuitFile(
        content, layers, heads, tuple(edges), np.array(scores), np.array(flags, dtype=bool)
    )


def _score(path: Path, name: str, value: Any) -> float:
    score = value.get("score") if isinstance(value, dict) else None
    if isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score):
        return float(score)
    fail(path, f"edge {quoted(name)}", f"its score is {quoted(score)}, not a number")


def _of(value: Any) -> Any:
    return value.get("in_graph") if isinstance(value, dict) else None


def _flag(path: Path, where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        fail(path, where, f"its in_graph is {quoted(value)}; it must be true or false")
    return value


def _size(path: Path, cfg: dict[str, Any], name: str) -> int:
    value = cfg.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        fail(path, "cfg", f"{name} is {quoted(value)}; it must be a number of at least 1")
    return value


def _component(path: Path, where: str, name: str, layers: int, heads: int) -> str:
    found = parse(own_name(name))
    if name not in ("input", "logits") and name[:1] not in ("a", "m"):
        found = parse("")
    if found.kind == "other":
        fail(path, where, "no component; names are input, a5.h3, m5 and logits")
    if (found.layer or 0) >= layers or (found.head or 0) >= heads:
        fail(path, where, f"no such component: cfg says {layers} layers of {heads} heads")
    return found.name


def _edge(path: Path, name: str, nodes: dict[str, Any], layers: int, heads: int) -> Edge:
    where = f"edge {quoted(name)}"
    source, arrow, target = name.partition("->")
    letter = ""
    if target.endswith(">") and target[-3:-2] == "<":
        target, letter = target[:-3], target[-2]
    for end in (source, target):
        if not arrow or end not in nodes:
            fail(path, where, f"{quoted(end)} is none of the nodes; write input->a0.h0<q>")
    first, last = (_component(path, where, end, layers, heads) for end in (source, target))
    reads = parse(last).kind == "head"
    beside = reads and parse(first).layer == parse(last).layer
    backwards = order_key(first) >= order_key(last) or first == LOGITS or last == EMBED
    if letter not in (_INPUTS if reads else ("",)) or beside or backwards:
        why = "no edge: heads read by <q>, <k> or <v>, from what is computed before them"
        fail(path, where, why)
    return Edge(first, last, letter or "in")


def circuit_of(run: Run) -> CircuitFile | None:
    """The kept file a run was imported from; None for other runs.

    Raises
    ------
    InputError
        The kept file is gone or damaged.
    """
    path = run.beside(KEPT)
    return read_circuit(path) if run.imported and path is not None else None


def as_bytes(content: dict[str, Any]) -> bytes:
    """A circuit as a file, as Python's json writes it, which EAP-IG uses."""
    return json.dumps(content).encode("ascii")
