"""Channels between two models: arrays that ``measure.py`` makes and ``checkpoint.py`` tests.

A channel is what one receiver reads of one sender: read weights times write weights, on
signals common to both models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.base.components import Edge


@dataclass(frozen=True, eq=False)
class Channels:
    """Changes of every channel between models A and B, prompt by prompt.

    n prompts in the order of the runs, e edges in the order of ``components.effect_edges``,
    D draws. An average over a prompt's patched positions is a mean of squares before the root.

    Attributes
    ----------
    edges : source, target and input of every edge
    form : {"weights", "functional"}
        Weights on common signals, or the receivers' outputs.
    norm_a, norm_b : float64 [n × e]
        Size of each model's channel.
    read, write : float64 [n × e]
        Change of the read side on the common signal, and of the write side on common inner
        activations, 0 to 1; NaN for the functional form.
    delta : float64 [n × e]
        Change of both together, 0 to 1; 0 without a signal; NaN where a functional channel is
        too weak beside its receiver's output.
    square : float64 [n × e]
        Squared change that is tested: of the read side, or of the write side where read weights
        are equal; functional: of ``delta``.
    expected : float64 [n × e]
        Expectation of ``square`` under random updates with the singular values of the real ones.
        Functional: mean ``delta``² of A against random drifts of it, or 1 without any.
    draws : [D × e]
        ``square`` summed over prompts (weights of sum n) under D such updates, one for all senders
        of a receiver and for all receivers of a sender. Functional: mean ``delta``² under each
        random drift.
    floor : float64 [e]
        Changes of ``delta`` below this are rounding of the stored weights.
    """

    edges: tuple[Edge, ...]
    form: str
    norm_a: np.ndarray
    norm_b: np.ndarray
    read: np.ndarray
    write: np.ndarray
    delta: np.ndarray
    square: np.ndarray
    expected: np.ndarray
    draws: np.ndarray
    floor: np.ndarray
