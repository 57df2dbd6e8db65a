"""Peak memory of a run, and the batches that fit a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuitgraph.base.components import Granularity
from circuitgraph.base.progress import human_bytes
from circuitgraph.base.resources import Resources, TooLittle
from circuitgraph.engine.batches import window
from circuitgraph.engine.decision import CHUNK_LOGITS
from circuitgraph.engine.model import Model, numbers
from circuitgraph.engine.patch import CHUNK_ROWS, usual_rows
from circuitgraph.engine.receivers import first_components
from circuitgraph.ingest.estimate import number_of_edges, rows
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method

FLOAT = 4
KEPT_BY_ALLOCATORS = 60e6
"""Bytes that come with any work: freed blocks not given back, threads, small tables."""
FEWEST_ROWS = 64
"""Smallest chunk of positions; below it matrix products are too small to be efficient."""


@dataclass(frozen=True)
class Room:
    """Prompts and positions of edges (``chunk_rows``) at once, and the peak in bytes."""

    batch_size: int
    chunk_rows: int
    peak: float

    def __str__(self) -> str:
        return (
            f"memory: {human_bytes(self.peak)} at most, in batches of {self.batch_size} prompts "
            f"and {self.chunk_rows} positions"
        )


def make_room(
    shape: Shape,
    method: Method,
    prompts: Sequence[Encoded],
    batch_size: int,
    budget: float | None,
    held: float,
    columns: int | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Room:
    """The largest batches, up to ``batch_size`` prompts, that keep within a budget of bytes.

    ``budget`` is for the whole process (None: the batches given), which holds ``held`` bytes
    already; ``columns`` are the edges whose results are kept (None: all); ``chunk_rows`` positions
    are recomputed at once at most. ``TooLittle`` where not even one prompt fits.
    """
    size = min(batch_size, len(prompts))
    chunk = chunk_rows
    while True:
        needed = working_set(shape, method, prompts, size, chunk, columns)
        room = Room(size, chunk, held + needed)
        if budget is None or room.peak <= budget:
            return room
        if chunk > FEWEST_ROWS and (size == 1 or chunk > chunk_rows // 8):
            chunk //= 2
        elif size > 1:
            size, chunk = (size + 1) // 2, chunk_rows
        else:
            raise TooLittle(
                f"``memory``: {human_bytes(budget)} are too few; this run needs at least "
                f"{human_bytes(room.peak)}, of which {human_bytes(held)} are held already"
            )


def working_set(
    shape: Shape,
    method: Method,
    prompts: Sequence[Encoded],
    batch_size: int,
    chunk_rows: int,
    columns: int | None = None,
) -> float:
    """Bytes that one batch takes at its peak, and the whole matrix of results."""
    if method.kind == "correlation":
        return _activities(shape, method, prompts, batch_size)
    longest = max(rows(p) * _length(p) for p in prompts) * batch_size
    results = len(prompts) * (number_of_edges(shape, method) if columns is None else columns)
    if shape.hooked:
        return FLOAT * results + _whole_rows(shape, method, longest, chunk_rows)
    reach = max(rows(p) * window(p, method.ablation) for p in prompts) * batch_size
    senders = first_components(shape, method.spec.granularity)[-1]
    trace = longest * shape.layers * _kept_by_forward(shape)
    deltas = senders * reach * shape.width
    judged = batch_size * max(rows(p) for p in prompts) * shape.vocabulary
    apart = max(shape.experts, default=0) * reach * shape.width  # what one block's experts add
    preparing = 2 * trace + 2 * deltas + apart
    at_once = min(max(chunk_rows, reach), senders * reach)
    working = trace + deltas + _at_work(shape, method, prompts, reach, longest, at_once)
    held = max(preparing, working, trace + deltas + 2 * judged) + results
    return FLOAT * held + KEPT_BY_ALLOCATORS


def _at_work(
    shape: Shape,
    method: Method,
    prompts: Sequence[Encoded],
    reach: int,
    longest: int,
    at_once: int,
) -> float:
    """Numbers an estimator holds beside the clean run and the senders' changes."""
    scores = shape.heads * max(map(_length, prompts))
    block = 6 * shape.width + 4 * shape.heads * shape.head_size
    block += (3 if shape.gated else 2) * shape.hidden + scores
    several = any(len(a) > 1 for p in prompts for a in (p.answer, p.wrong_answer))
    vocabulary = min(CHUNK_LOGITS, at_once * shape.vocabulary) if several else 0
    recomputed = at_once * block + 2 * vocabulary
    if method.estimator == "exact":
        return recomputed
    graph = longest * shape.layers * (_kept_by_forward(shape) + 3 * shape.hidden + 2 * scores)
    gradients = longest * shape.layers * (2 * shape.width + 4 * shape.heads * shape.head_size)
    leaning = 3 * shape.heads * reach * shape.width
    after = recomputed if method.estimator == "receiver-exact" else leaning
    return gradients + max(graph, after)


def _kept_by_forward(shape: Shape) -> int:
    """Numbers a forward keeps for one position of one block."""
    attention = 2 * shape.head_size * (shape.heads + shape.kv_heads)
    return 4 * shape.width + attention


def _whole_rows(shape: Shape, method: Method, longest: int, chunk_rows: int) -> float:
    """Hooks hold contributions at every position, and one forward's logits."""
    senders = first_components(shape, method.spec.granularity)[-1]
    logits = min(CHUNK_LOGITS, max(chunk_rows, longest) * shape.vocabulary)
    return FLOAT * (2.0 * senders * shape.width * longest + 2 * logits)


def _activities(shape: Shape, method: Method, prompts: Sequence[Encoded], batch_size: int) -> float:
    longest = max(map(_length, prompts)) * batch_size
    block = (3 if shape.gated else 2) * shape.hidden
    return FLOAT * longest * (shape.layers * _kept_by_forward(shape) + block)


def _length(prompt: Encoded) -> int:
    return len(prompt.prompt) + max(len(prompt.answer), len(prompt.wrong_answer), 1) - 1


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
