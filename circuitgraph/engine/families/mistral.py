"""Mistral: Llama whose layers all see back as far as one sliding window, where there is one."""

from circuitgraph.engine.families.common import Reader

read = Reader(window=lambda config, layer: config.sliding_window).read
