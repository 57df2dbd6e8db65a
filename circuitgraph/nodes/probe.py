"""Linear probes of the residual stream, tested on groups that they were not trained on.

Alain & Bengio (2016), Understanding intermediate layers using linear classifier probes. Controls:
the same probe on shuffled labels (Hewitt & Liang 2019, Designing and interpreting probes with
control tasks), and always predicting the commonest label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from circuitgraph.base.components import EMBED, resid_name
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.batches import right_padded
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.readout import streams_at
from circuitgraph.nodes.record import Node, NodeValues

SHUFFLES = 5
PROBE, SHUFFLED, MAJORITY = "", "shuffled", "majority"
RIDGE = 1e-3


def probe(
    model: StoredModel,
    labels: Sequence[Any],
    groups: Sequence[Any],
    label: str = "label",
    seed: int = 0,
) -> NodeValues:
    """Held-out accuracy of a linear probe on the residual stream at the last prompt token.

    Parameters
    ----------
    model
        Of any run.
    labels
        One a prompt, in the run's order: text or whole numbers are classes, other numbers are
        regressed.
    groups
        One a prompt. Each group is held out in turn, so paraphrases must share one.
    label
        Name of the labels.
    seed
        Of the shuffled labels; where every group has one label, labels are permuted over groups.

    Returns
    -------
    NodeValues
        After the embedding and every layer, in three categories: the probe, the probe on
        shuffled labels, and the commonest label (or mean). Classes: 1 where correct, else 0.
        Numbers: 1 − (error / standard deviation of the label)². One probe predicts all prompts of a
        group, so they are right or wrong together: intervals and tests count groups.

    Raises
    ------
    UsageError
        Only one class, or a class that occurs in one group only.
    """
    y, classes = _coded(labels)
    g = np.unique([str(group) for group in groups], return_inverse=True)[1]
    _require_learnable(y, g, classes)
    streams = _streams(model)
    shuffled = [_shuffled(y, g, np.random.default_rng([seed, k])) for k in range(SHUFFLES)]
    nodes: list[Node] = []
    values: list[np.ndarray] = []
    trivial = _scores(y, _held_out(None, y, g, classes), classes)
    for name, x in zip([EMBED, *map(resid_name, range(model.engine.layers))], streams, strict=True):
        own = _scores(y, _held_out(x, y, g, classes), classes)
        control = np.mean([_scores(s, _held_out(x, s, g, classes), classes) for s in shuffled], 0)
        nodes += [Node(name, kind) for kind in (PROBE, SHUFFLED, MAJORITY)]
        values += [own, control, trivial]
    facts = {
        "label": label,
        "classes": [] if classes is None else list(classes),
        "groups": int(g.max()) + 1,
    }
    return NodeValues(tuple(nodes), np.stack(values, 1).astype(np.float32), facts, groups=g)


def _coded(labels: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Classes as codes and their names, or numbers and None."""
    if all(isinstance(label, float) for label in labels) and len(set(labels)) > 10:
        return np.array(labels, np.float64), None
    names, codes = np.unique([str(label) for label in labels], return_inverse=True)
    return codes, tuple(names.tolist())


def _require_learnable(y: np.ndarray, g: np.ndarray, classes: tuple[str, ...] | None) -> None:
    if g.max() < 1:
        raise UsageError("``groups``: one group alone leaves nothing to be tested on")
    if classes is None:
        return
    if len(classes) < 2:
        raise UsageError(f"``label``: every prompt has the label {classes[0]!r}")
    for code, name in enumerate(classes):
        if len(set(g[y == code].tolist())) < 2:
            raise UsageError(
                f"``label``: {name!r} stands in one group only, so a probe that never saw the "
                'group never saw the label; group by another column (``groups="template"``)'
            )


@torch.no_grad()
def _streams(model: StoredModel) -> list[np.ndarray]:
    """The residual stream at the last prompt token, [n × d] after the embedding and each layer."""
    parts = []
    for start in range(0, len(model.prompts), BATCH):
        rows = [prompt.prompt for prompt in model.prompts[start : start + BATCH]]
        tokens, last = right_padded(rows)
        parts.append(torch.stack(streams_at(model, tokens, last + 1, last[:, None]))[:, :, 0])
    return list(torch.cat(parts, 1).double().numpy())


def _shuffled(y: np.ndarray, g: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Labels permuted over prompts, or over groups where every group has one label."""
    by_group = [y[g == group] for group in range(int(g.max()) + 1)]
    if any(len(set(own.tolist())) > 1 for own in by_group):
        return generator.permutation(y)
    firsts = generator.permutation([own[0] for own in by_group])
    return np.asarray(firsts)[g]


def _held_out(
    x: np.ndarray | None, y: np.ndarray, g: np.ndarray, classes: tuple[str, ...] | None
) -> np.ndarray:
    """Predictions for each group by a probe trained on the others; trivial ones without ``x``."""
    found = np.empty(len(y), np.float64)
    for group in range(int(g.max()) + 1):
        test, train = g == group, g != group
        if x is None:
            own = y[train]
            found[test] = own.mean() if classes is None else np.bincount(own).argmax()
        else:
            found[test] = _fitted(x[train], y[train], classes).predict(x[test])
    return found


def _fitted(x: np.ndarray, y: np.ndarray, classes: tuple[str, ...] | None) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if classes is None:
        last: Any = Ridge(alpha=RIDGE * len(x) * x.shape[1])
    else:
        last = LogisticRegression(C=1 / (RIDGE * x.shape[1]), max_iter=500)
    return make_pipeline(StandardScaler(), last).fit(x, y)


def _scores(y: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...] | None) -> np.ndarray:
    if classes is not None:
        return (y == predicted).astype(np.float64)
    return 1 - (y - predicted) ** 2 / y.var()
