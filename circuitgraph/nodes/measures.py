"""All measures of components by name; to add one, add a file and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from circuitgraph.nodes.record import Measure, NodeValues

_EITHER = ("effect", "correlation")


def _from(module: str, function: str) -> Callable[..., NodeValues]:
    """A function imported (with torch) only when it is called."""

    def call(*given: object) -> NodeValues:
        return getattr(import_module(f"circuitgraph.nodes.{module}"), function)(*given)

    return call


MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "activity", "norm of a component's contribution to the residual stream",
            "norm", 0.08, "norm", _EITHER, False, _from("activity", "activity"),
        ),
        Measure(
            "attribution", "a component's direct contribution to the logit difference",
            "logits", 0.1, "norm", _EITHER, False, _from("attribution", "attribution"),
        ),
        Measure(
            "ablation", "change of the decision when a component's contribution is replaced",
            "nats", 0.04, "norm", ("effect",), True, _from("ablation", "ablation"),
        ),
        Measure(
            "logit-lens", "logit difference read from the residual stream after a layer",
            "logits", 0.15, "norm", _EITHER, False, _from("logit_lens", "logit_lens"),
        ),
        Measure(
            "attention", "attention of a head to a category of tokens",
            "share", 0.15, "one", _EITHER, False, _from("attention", "attention"),
        ),
        Measure(
            "probe", "whether a linear probe of the residual stream predicts a label",
            "accuracy", 0.05, "one", _EITHER, False, _from("probe", "probe"),
        ),
    )
}  # fmt: skip
"""Measures with one number per prompt. With these margins none of the eight null fine-tunes of
``examples/ipd`` (own answers, random rewards; four seeds each) gives a claim. ``weights`` has no
prompts: see ``nodes.weights``."""

WEIGHTS = "weights"
LAYERED = "logit-lens"
"""Of its nodes, layer after layer, it is asked where two variants part first."""
NAMES = (*MEASURES, WEIGHTS)
