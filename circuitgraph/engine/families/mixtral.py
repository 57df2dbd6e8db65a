"""Mixtral: Mistral with a mixture of experts in the place of every MLP."""

from circuitgraph.engine.families.common import Reader

read = Reader(window=lambda config, layer: config.sliding_window).read
