"""Statistics for graphs measured on prompts: one idea a module, numpy and scipy only.

Nothing here knows about verdicts; :mod:`circuitgraph.diff` puts these together.
"""
