"""Estimate of the time that the study takes on this machine."""

from __future__ import annotations

from dataclasses import replace

from circuitgraph.ingest.estimate import affordable, operations, rate_here
from circuitgraph.planning.cost import shape_of
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import encode
from circuitgraph.runs.record import Method
from circuitgraph.study.design import TAUGHT
from circuitgraph.study.levels import of_levels
from circuitgraph.study.steps import HEADS, LAYERS, Steps

BESIDE = 4.0
"""What the whole takes over these operations at the rate of an ingest (SmolLM2, measured): training
reaches less of it, and diffs, wiring, patches and loading come on top."""
SHARED = 1.5
"""Tokens of four packed texts over those of one, in the prompts of games."""


LOADING = 180e-9
"""CPU seconds a parameter of two models: loading and merging them, and the cosines of all weights
(SmolLM2, measured)."""


def forecast(steps: Steps) -> tuple[float, float]:
    """Seconds of one core, or of the device, guessed from operations and its rate.

    Of the whole study, from nothing; and of weights and attention of two variants, a part of it.
    """
    design = steps.design
    shape, _ = shape_of(design.model)
    rate = rate_here(shape, design.device)
    prompts = encode(steps.asked(LAYERS), load_tokenizer(design.model)).prompts
    length = SHARED * sum(len(p.prompt) for p in prompts) / len(prompts)
    trained = 2 / 3 * shape.layers  # of whole variants; parts are cheaper
    parts = 4 + 2 * design.draws
    steps_taken = [design.steps_of(recipe) for _, recipe in design.variants]
    runs = sum(steps_taken) + parts * design.steps_of(TAUGHT)
    total = 4.0 * runs * length * shape.block_weights * trained
    for where in (LAYERS, HEADS) if design.heads else (LAYERS,):
        granularity = "layer" if where == LAYERS else "head"
        method = Method("effect", granularity=granularity)
        wanted = steps.estimator(where)
        chosen = affordable(shape, method, prompts) if wanted == "auto" else wanted
        method = replace(method, estimator=chosen)
        total += (1 + len(design.variants)) * operations(shape, method, prompts)
    forward = operations(shape, Method("correlation", granularity="layer"), prompts)
    levels = LOADING * shape.parameters + 2 * forward / rate_here(shape)
    pairs = {pair for one in of_levels() for pair in one.pairs}
    return BESIDE * total / rate + len(pairs) * levels, levels
