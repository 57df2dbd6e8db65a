"""The batches in which a stored model is measured again, within the memory it may take."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.base.components import Granularity
from circuitgraph.base.resources import Resources
from circuitgraph.engine.batches import window
from circuitgraph.engine.model import Model, numbers
from circuitgraph.engine.patch import usual_rows
from circuitgraph.engine.receivers import first_components
from circuitgraph.ingest.estimate import rows
from circuitgraph.ingest.memory import Room, make_room
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method

COPIES = 5
"""Numbers a run of circuits or transplants holds of every sender, position and width."""
TRACED = 16
"""Numbers that two traces keep of a position and block, in widths of the model."""


def room_again(model: StoredModel, method: Method, columns: int | None = None) -> Room:
    """Prompts and positions at once.

    Parameters
    ----------
    model : StoredModel
        With the memory it may take.
    method : Method
        Of effects, and how they are measured now.
    columns : int, optional
        Edges measured; None for all.

    Raises
    ------
    UsageError
        Not even one prompt fits; says how much would do.
    """
    engine, resources = model.engine, model.resources
    held = resources.held(weights_of(engine))
    shape = Shape.of_engine(engine)
    return make_room(
        shape, method, model.prompts, BATCH, resources.memory, held, columns,
        usual_rows(resources.device),
    )  # fmt: skip


def prompts_at_once(
    models: Sequence[Model],
    prompts: Sequence[Encoded],
    granularity: Granularity,
    ablation: str,
    resources: Resources,
) -> int:
    """Prompts in a batch of circuits or transplants; raises as :func:`room_again` does.

    Parameters
    ----------
    models : sequence of Model
        All that are loaded; the first is run.
    prompts : sequence of Encoded
    granularity : Granularity
        Of the senders.
    ablation : str
        ``corrupt`` patches from the first change on, all else whole prompts.
    resources : Resources
    """
    model = models[0]
    senders = first_components(model, granularity)[-1]
    reach = max(rows(p) * window(p, ablation) for p in prompts)
    longest = max(rows(p) * window(p, "mean") for p in prompts)
    each = COPIES * senders * reach + TRACED * model.layers * longest
    held = resources.held(sum(map(weights_of, models)))
    return resources.batch_size(
        BATCH, held, lambda size: float(size * each * model.width * model.dtype.itemsize)
    )


def weights_of(model: Model) -> float:
    """Bytes of a model's weights."""
    return float(numbers(model) * model.dtype.itemsize)
