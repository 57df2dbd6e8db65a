"""Qwen2: Llama with biases on q, k, v (read where present) and sliding windows."""

from circuitgraph.engine.families.common import Reader

read = Reader().read
