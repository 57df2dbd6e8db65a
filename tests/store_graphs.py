"""A small planted graph whose every answer is known by hand, for store and query tests.

Two variants of one architecture (components L0H0, L0_MLP, L1H0, L1_MLP; effects add
EMBED and LOGITS), a correlation and an effect run each, and one effect diff.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import Edge, digest
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Method, Run, Variant
from circuitgraph.store import FILE_NAME, EmbeddedStore, Store
from circuitgraph.store.columns import NODES, RELATIONSHIPS
from circuitgraph.store.tables import GraphTables, diff_tables, run_tables

HOSTILE = [
    "'; MATCH (n) DETACH DELETE n; //",
    '"double" `back` \\n \\u0041 \\',
    "\u202egnp.exe \u05d0",
    "line\nfeed\r\ttab",
    "nul\x00inside",
    "$name {x: 1} [1, 2]",
    "x" * 65_000,
    " ",
    "0",
    "null",
    "𝔘𝔫𝔦 e\u0301",
]

COMPONENTS = ("L0H0", "L0_MLP", "L1H0", "L1_MLP")
CLAIMED = ("rewired", "sign_flip", "gained", "lost")


def variant(name: str, recipe: str = "", **changes: Any) -> Variant:
    parts = {
        "name": name,
        "recipe": recipe,
        "base": "/models/base",
        "adapter": "",
        "architecture": "arch",
        "model_type": "llama",
        "layers": 2,
        "heads": 1,
        "kv_heads": 1,
        "parameters": 1234,
        "fingerprint": digest("fingerprint", name),
    }
    return Variant(**{**parts, **changes})


def prompts(n: int = 4) -> tuple[RunPrompt, ...]:
    return tuple(RunPrompt(id=str(i), scenario="AB"[i % 2]) for i in range(n))


def run(of: Variant, kind: str, created: str = "2026-01-01T00:00:00Z", **changes: Any) -> Run:
    correlation = kind == "correlation"
    method = Method(
        kind, activity="norm" if correlation else "", estimator="" if correlation else "exact"
    )
    activity = np.array([[0, 1, 2, 3], [1, 1, 4, 3], [2, 1, 6, 3], [3, 1, 8, 4]], np.float32)
    parts = {
        "id": digest("run", of.name, kind),
        "variant": of,
        "method": method,
        "prompts": prompts(),
        "prompts_fingerprint": "prompts",
        "duplicates": 0,
        "components": COMPONENTS if correlation else (),
        "edges": () if correlation else (Edge("EMBED", "L0H0", "all"),),
        "self_check": {},
        "versions": {"circuitgraph": "0.1.0"},
        "seed": 0,
        "created": created,
        "_arrays": {"activity": activity} if correlation else {},
    }
    return Run(**{**parts, **changes})


def edge_frame(kind: str, rows: list[tuple]) -> pd.DataFrame:
    """Rows (source, target, input, weight, q) as a table of edges."""
    frame = pd.DataFrame(rows, columns=["source", "target", "input", "weight", "q"])
    frame.insert(2, "kind", kind)
    frame.insert(4, "estimator", "" if kind == "correlation" else "exact")
    frame.insert(6, "pooled", frame["weight"] if kind == "correlation" else np.nan)
    frame.insert(7, "low", frame["weight"] - 0.125)
    frame.insert(8, "high", frame["weight"] + 0.125)
    frame.insert(9, "p", frame["q"] / 2)
    frame["n"] = 4
    if kind == "effect":
        frame["raw"] = -frame["weight"]
    return frame


@dataclass(frozen=True, eq=False)
class PlantedDiff:
    """The attributes of a diff that the graph reads."""

    a: str
    b: str
    runs_a: tuple[Run, ...]
    runs_b: tuple[Run, ...]
    table: pd.DataFrame
    lens: str = "effect"
    scope: str = "checkpoint"
    alpha: float = 0.05
    margin: float = 0.01
    created: str = "2026-01-03T00:00:00Z"
    extras: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def id(self) -> str:
        return digest("diff", self.a, self.b, self.lens, self.scope)

    @property
    def name(self) -> str:
        return f"{self.a} → {self.b}"

    @property
    def claims(self) -> pd.DataFrame:
        return self.table[self.table["verdict"].isin(CLAIMED)]

    @property
    def summary(self) -> dict[str, Any]:
        return {
            "n_edges": len(self.table),
            "n_testable": len(self.table),
            "n_claims": len(self.claims),
            "n_effective": 2,
            "evidence": "low",
        }


def diff_frame(rows: list[tuple]) -> pd.DataFrame:
    """Rows (source, target, input, weight_a, weight_b, q, verdict, mechanism)."""
    names = ["source", "target", "input", "weight_a", "weight_b", "q", "verdict", "mechanism"]
    frame = pd.DataFrame(rows, columns=names)
    frame["delta"] = frame["weight_b"] - frame["weight_a"]
    frame["low"], frame["high"] = frame["delta"] - 0.125, frame["delta"] + 0.125
    frame["p"] = frame["q"] / 2
    return frame.assign(lens="effect", scope="checkpoint", reason="", n=4)


BASE = variant("base")
TUNED = variant("tuned", recipe="kind")

CORRELATIONS = [
    ("L0H0", "L0_MLP", "", 0.5, 0.01),
    ("L0H0", "L1H0", "", -0.75, 0.001),
    ("L0_MLP", "L1_MLP", "", 0.25, 0.9),
]
EFFECTS_BASE = [
    ("EMBED", "L0H0", "all", 1.0, 0.001),
    ("L0H0", "L0_MLP", "in", -2.0, 0.001),
    ("L0H0", "L1H0", "all", 0.25, 0.9),
    ("L0_MLP", "LOGITS", "in", 3.0, 0.001),
]
EFFECTS_TUNED = [
    ("EMBED", "L0H0", "all", 1.0, 0.001),
    ("L0H0", "L0_MLP", "in", 2.0, 0.001),
    ("L0H0", "L1H0", "all", 4.0, 0.001),
    ("L0_MLP", "LOGITS", "in", 0.0, 0.9),
]
CHANGES = [
    ("EMBED", "L0H0", "all", 0.25, 0.25, 0.9, "unchanged", ""),
    ("L0H0", "L0_MLP", "in", -0.5, 0.5, 0.001, "sign_flip", "edge"),
    ("L0H0", "L1H0", "all", 0.0, 0.75, 0.002, "gained", "upstream"),
    ("L0_MLP", "LOGITS", "in", 0.5, 0.0, 0.003, "lost", "edge"),
]


def planted_runs() -> list[tuple[Run, pd.DataFrame]]:
    day = "2026-01-0{}T00:00:00Z".format
    return [
        (run(BASE, "correlation", day(1)), edge_frame("correlation", CORRELATIONS)),
        (run(BASE, "effect", day(1)), edge_frame("effect", EFFECTS_BASE)),
        (run(TUNED, "correlation", day(2)), edge_frame("correlation", CORRELATIONS[:2])),
        (run(TUNED, "effect", day(2)), edge_frame("effect", EFFECTS_TUNED)),
    ]


def planted_diff() -> PlantedDiff:
    runs = [r for r, _ in planted_runs()]
    frame = diff_frame(CHANGES)
    extras = pd.DataFrame({"stability": [0.5, 0.75]}, index=[1, 2])
    return PlantedDiff("base", "tuned", (runs[1],), (runs[3],), frame, extras=extras)


def planted() -> list[GraphTables]:
    """The whole planted graph, runs first."""
    return [*(run_tables(r, e) for r, e in planted_runs()), diff_tables(planted_diff())]


def write_planted(path: Path) -> None:
    """An embedded store's file of the planted graph; written once, then copied."""
    path.write_bytes(_planted_file())


@cache
def _planted_file() -> bytes:
    with TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder) / FILE_NAME)
        store.write_all(planted())
        return store.path.read_bytes()


def same(first: GraphTables, second: GraphTables) -> bool:
    """Whether two graphs are the same in every cell."""
    pairs = [(first.nodes[k], second.nodes[k]) for k in NODES]
    pairs += [(first.rels[k], second.rels[k]) for k in RELATIONSHIPS]
    return all(a.equals(b) for a, b in pairs)


def sizes(store: Store) -> dict[str, int]:
    """Number of nodes and relationships by kind, where there are any."""
    tables = store.read_all()
    return {k: len(v) for k, v in {**tables.nodes, **tables.rels}.items() if len(v)}


def large_tables(name: str, size: int = 150) -> GraphTables:
    """A run with every edge between ``size`` MLPs."""
    names = [f"L{i}_MLP" for i in range(size)]
    rows = [(a, b, "", 0.5, 0.5) for i, a in enumerate(names) for b in names[:i]]
    of = run(variant(name), "correlation")
    return run_tables(of, edge_frame("correlation", rows))
