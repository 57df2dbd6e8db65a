"""Seed-OSS: Llama with biases on q, k, v (read where present)."""

from circuitgraph.engine.families.common import Reader

read = Reader().read
