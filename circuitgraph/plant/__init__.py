"""Pairs of models with known changed edges: ground truth for lenses.

Examples
--------
>>> from circuitgraph import plant
>>> pair = plant.plant("./base", "./planted", drift=0.02)  # doctest: +SKIP
>>> pair.truth  # doctest: +SKIP
"""

from circuitgraph.plant.drifts import drift
from circuitgraph.plant.folders import Planted
from circuitgraph.plant.grafts import graft
from circuitgraph.plant.plants import plant
from circuitgraph.plant.programs import PROGRAMS, program
from circuitgraph.plant.rewrites import KINDS, rewrite

__all__ = ["KINDS", "PROGRAMS", "Planted", "drift", "graft", "plant", "program", "rewrite"]
