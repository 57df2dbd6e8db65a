"""The vocabulary of every graph: labels, relationship types, and their properties.

One list for all stores, so that Python, Cypher, CSV and JSON use the same words. The
schema file of each store says the same in its own dialect; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Columns = Mapping[str, str]


def _columns(spec: str) -> Columns:
    """``"id layers:int"`` → {"id": "string", "layers": "int"}, in that order."""
    pairs = (word.partition(":") for word in spec.split())
    return MappingProxyType({name: kind or "string" for name, _, kind in pairs})


_TEST = "low:float high:float p:float q:float"

NODES: Mapping[str, Columns] = MappingProxyType(
    {
        "Variant": _columns(
            "id name recipe base adapter architecture"
            " layers:int heads:int kv_heads:int parameters:int fingerprint"
        ),
        "Run": _columns(
            "id name variant kind estimator steps:int inputs granularity activity ablation"
            " decision dtype template n:int n_scenarios:int n_effective:int"
            " prompts version seed:int created"
        ),
        "Component": _columns("id name architecture kind layer:int head:int"),
        "Diff": _columns(
            "id name a b lens scope alpha:float margin:float n_edges:int n_testable:int"
            " n_claims:int n_effective:int evidence created"
        ),
        "Scenario": _columns("id name game"),
    }
)

RELATIONSHIPS: Mapping[str, Columns] = MappingProxyType(
    {
        "OF": _columns(""),
        "COMPARES": _columns("side"),
        "MEASURES": _columns(
            "key mean:float sd:float distinct:int measure category low:float high:float n:int"
        ),
        "CHANGED": _columns(
            f"key measure category value_a:float value_b:float change:float {_TEST} verdict"
        ),
        "CORRELATES": _columns(f"key run variant weight:float pooled:float {_TEST} n:int"),
        "AFFECTS": _columns(
            f"key run variant input estimator weight:float screen:float {_TEST} n:int"
        ),
        "COMPOSES": _columns("key run variant input weight:float"),
        "TRANSFERS": _columns(
            "key run variant source_variant effect:float flips:float n:int method"
        ),
        "DECIDES": _columns("key run p:float low:float high:float legal:float n:int"),
        "REWIRED": _columns(
            "key diff a b lens scope input weight_a:float weight_b:float delta:float"
            f" {_TEST} verdict mechanism signal:float edge:float downstream:float"
            " read:float write:float stability:float"
        ),
    }
)

ENDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "OF": ("Run", "Variant"),
        "COMPARES": ("Diff", "Run"),
        "MEASURES": ("Run", "Component"),
        "CHANGED": ("Diff", "Component"),
        "CORRELATES": ("Component", "Component"),
        "AFFECTS": ("Component", "Component"),
        "COMPOSES": ("Component", "Component"),
        "TRANSFERS": ("Component", "Component"),
        "DECIDES": ("Variant", "Scenario"),
        "REWIRED": ("Component", "Component"),
    }
)

RUN_EDGES = ("CORRELATES", "AFFECTS", "COMPOSES", "TRANSFERS", "DECIDES")
"""Relationship types whose ``run`` property names the run they belong to."""
