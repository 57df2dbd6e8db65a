"""Ray workers that compute pieces of a job; one that dies is replaced, its piece done again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from circuitgraph.base.errors import ClusterError
from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import first_line
from circuitgraph.ingest.cluster.worker import Plain, Worker
from circuitgraph.ingest.parts import Arrays

RETRIES = 3
"""How often a batch is given to another worker after its worker died."""
IMPATIENT = 60.0
"""Seconds without any worker before the user is told what is waited for."""


@dataclass(frozen=True)
class Piece:
    """A batch, or some edges of one.

    Attributes:
        batch: its number.
        rows: the prompts of the batch.
        edges: indices of the edges wanted; None for all.
    """

    batch: int
    rows: tuple[int, ...]
    edges: tuple[int, ...] | None = None


@dataclass
class _Hand:
    """One worker: its actor, where it is, and what it is doing (None: loading)."""

    actor: Any
    number: int
    place: str = "a worker that was starting"
    piece: Piece | None = None


class Team:
    """Workers that hold one variant.

    Args:
        ray: the module, connected.
        variant: what they load; see ``cluster_worker.plain_variant``.
        slots: workers at most.
        resources: of each, as ``ray.remote`` takes them.
        reporter: where deaths are told.
    """

    def __init__(
        self,
        ray: Any,
        variant: Plain,
        slots: int,
        resources: dict[str, float],
        reporter: Reporter,
    ) -> None:
        self.slots = slots
        self._ray = ray
        self._variant = variant
        self._actor = ray.remote(Worker).options(max_restarts=0, **resources)
        self._reporter = reporter
        self._idle: list[_Hand] = []
        self._pending: dict[Any, _Hand] = {}
        self._hired = 0
        self._lost_starts = 0
        lost = ray.exceptions
        self._deaths = (
            *(lost.RayActorError, lost.WorkerCrashedError, lost.OutOfMemoryError),
            *(lost.NodeDiedError, lost.ObjectLostError),
        )

    def run(self, job: Plain, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Arrays]]:
        """Results as they come, in any order; pieces are begun in the order given.

        Raises:
            ClusterError: a piece whose workers died four times, no worker left, or a
                worker that cannot do its work.
        """
        sent = self._ray.put(job)
        queue, deaths = deque(pieces), Counter[Piece]()
        left = len(queue)
        while left:
            self._hire(sent, left)
            while queue and self._idle:
                self._give(sent, self._idle.pop(), queue.popleft())
            for reference in self._wait():
                hand = self._pending.pop(reference)
                piece, hand.piece = hand.piece, None
                answer = self._answer(reference, hand, piece, deaths)
                if answer is None:
                    queue.extendleft([piece] if piece is not None else [])
                    continue
                self._idle.append(hand)
                if piece is not None:
                    left -= 1
                    yield piece, answer

    def close(self) -> None:
        """Let all workers go, at once."""
        for hand in (*self._idle, *self._pending.values()):
            self._ray.kill(hand.actor)
        self._idle, self._pending = [], {}

    def _hire(self, job: Any, wanted: int) -> None:
        here = len(self._idle) + len(self._pending)
        for _ in range(min(self.slots, wanted) - here):
            self._hired += 1
            hand = _Hand(self._actor.remote(), self._hired)
            self._pending[hand.actor.load.remote(self._variant, job)] = hand
        if not self._idle and not self._pending:
            raise ClusterError(
                f"no Ray worker survives loading the model ({self._lost_starts} died); each needs "
                "memory for the whole model; finished batches are kept"
            )

    def _give(self, job: Any, hand: _Hand, piece: Piece) -> None:
        hand.piece = piece
        self._pending[hand.actor.compute.remote(job, piece.rows, piece.edges)] = hand

    def _wait(self) -> list[Any]:
        timeout = IMPATIENT if all(h.piece is None for h in self._pending.values()) else None
        done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        if not done:
            self._reporter.warn(
                "no Ray worker is ready yet: no slot of the cluster is free, or loading is slow"
            )
        return done

    def _answer(
        self, reference: Any, hand: _Hand, piece: Piece | None, deaths: Counter[Piece]
    ) -> Any:
        """What a worker has to say; None where it died."""
        try:
            answer = self._ray.get(reference)
        except self._deaths as error:
            if piece is None and "creation task" in str(error):
                raise ClusterError(
                    f"a Ray worker cannot start ({str(error).strip().splitlines()[-1][:300]}); "
                    "every machine of the cluster needs the same circuitgraph[ray]"
                ) from error
            self._bury(hand, piece, deaths, type(error).__name__)
            return None
        except self._ray.exceptions.RayTaskError as error:
            raise ClusterError(
                f"{hand.place}: {first_line(error.cause, 300, kind=True)}"
            ) from error
        if "error" in answer:
            place = _place(answer) if piece is None else hand.place
            raise ClusterError(f"{place}: {answer['error']}")
        if piece is None:
            hand.place, self._lost_starts = _place(answer), 0
            self._reporter.remark(f"Ray worker {hand.number} is ready: {hand.place}")
        return answer

    def _bury(self, hand: _Hand, piece: Piece | None, deaths: Counter[Piece], reason: str) -> None:
        self._ray.kill(hand.actor)
        if piece is None:
            self._lost_starts += 1
            if self._lost_starts > RETRIES:
                self.slots = len(self._idle) + len(self._pending)
            self._reporter.warn(f"a Ray worker died while it loaded the model ({reason})")
            return
        deaths[piece] += 1
        what = f"{hand.place} died ({reason}) at batch {piece.batch + 1}"
        if deaths[piece] > RETRIES:
            raise ClusterError(
                f"{what}, like {RETRIES} others before it; a smaller ``batch_size`` needs less "
                "memory; finished batches are kept"
            )
        self._reporter.warn(f"{what}; another one does it again")


def _place(answer: Plain) -> str:
    return f"process {answer['pid']} on {answer['host']}"
