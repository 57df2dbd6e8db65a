"""Llama: RMSNorm, rotary positions, grouped keys, gated MLP."""

from circuitgraph.engine.families.common import Reader

read = Reader().read
