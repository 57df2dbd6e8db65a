"""Qwen3: Llama with a norm on every head's q and k (read where present)."""

from circuitgraph.engine.families.common import Reader

read = Reader().read
