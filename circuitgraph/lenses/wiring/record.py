"""How much the connections themselves changed between two models: numbers of one pair.

A channel is what one receiver reads of one sender: read weights times write weights, on
signals that both models share. ``measure.py`` measures these arrays, ``checkpoint.py``
judges them; nothing here needs a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.base.components import Edge


@dataclass(frozen=True, eq=False)
class Channels:
    """Changes of every channel between models A and B, prompt by prompt.

    n prompts in the order of the runs, e edges in the order of ``components.effect_edges``,
    D draws. An average over a prompt's changed positions is a mean of squares before the root.

    Attributes:
        edges: source, target and input of every edge.
        form: ``weights`` (weights on common signals) or ``functional`` (the receivers' own
            outputs under common signals).
        norm_a, norm_b: size of each model's own channel, float64 [n × e].
        read: change of the read side alone on the common signal, 0 to 1 [n × e]; NaN for
            the functional form, which has no sides.
        write: change of the write side alone on common inner activations, 0 to 1 [n × e];
            NaN likewise.
        delta: change of both together, 0 to 1 [n × e]; 0 where there is no signal; NaN where
            a functional channel is too weak beside its receiver to be judged.
        square: squared size of the change that is tested, before it is made relative
            [n × e]: of the read side, or where the receiver reads with the same weights in
            both models, of what the sender writes; functional: of ``delta``.
        expected: what ``square`` would be on average if those weights had changed by random
            updates with the singular values of the real ones [n × e]. Functional form:
            mean ``delta``² of A against copies of it that drifted at random, the same for
            all prompts; 1 where none were drawn.
        draws: ``square`` summed over prompts, scenarios weighted alike (weights of sum n),
            under D such random updates [D × e]; the same update for all senders of one
            receiver and for all receivers of one sender. Functional form: mean ``delta``²
            under each random drift of the whole model.
        floor: changes of ``delta`` below this are rounding of the stored weights [e].
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
