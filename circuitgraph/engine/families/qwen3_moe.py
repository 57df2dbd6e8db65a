"""Qwen3-MoE: Qwen3 with a mixture of experts in the place of most MLPs, and one window for all
layers where there is one."""

from circuitgraph.engine.families.common import Reader

read = Reader(window=lambda config, layer: config.sliding_window).read
