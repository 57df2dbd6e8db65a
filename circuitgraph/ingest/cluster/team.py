"""Ray workers that compute tasks; a dead worker is replaced and its task repeated."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from circuitgraph.base.errors import ClusterError, first_line
from circuitgraph.base.progress import Reporter
from circuitgraph.ingest.cluster.worker import Plain, Worker
from circuitgraph.ingest.parts import Arrays

RETRIES = 3
"""How often a batch is given to another worker after its worker died."""
WARN_AFTER_SECONDS = 60.0
"""Seconds without any worker before the user is told what is waited for."""


@dataclass(frozen=True)
class Task:
    """A batch (its number and rows), or some of its edges (None for all)."""

    batch: int
    rows: tuple[int, ...]
    edges: tuple[int, ...] | None = None


@dataclass
class _WorkerSlot:
    """One worker: its actor, its process, and its current task (None: loading)."""

    actor: Any
    number: int
    place: str = "a worker that was starting"
    task: Task | None = None


class Team:
    """Workers that hold one variant.

    Parameters
    ----------
    ray : module
        Connected.
    variant : dict
        See ``worker.plain_variant``.
    slots : int
        Most workers.
    resources : dict
        Of each, as ``ray.remote`` takes them.
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
        self._idle: list[_WorkerSlot] = []
        self._pending: dict[Any, _WorkerSlot] = {}
        self._started = 0
        self._lost_starts = 0
        lost = ray.exceptions
        self._deaths = (
            *(lost.RayActorError, lost.WorkerCrashedError, lost.OutOfMemoryError),
            *(lost.NodeDiedError, lost.ObjectLostError),
        )

    def run(self, job: Plain, tasks: Sequence[Task]) -> Iterator[tuple[Task, Arrays]]:
        """Results as they come, in any order; tasks are begun in the order given.

        Raises
        ------
        ClusterError
            A task whose workers died four times, no worker left, or a worker that fails.
        """
        sent = self._ray.put(job)
        queue, deaths = deque(tasks), Counter[Task]()
        left = len(queue)
        while left:
            self._start_workers(sent, left)
            while queue and self._idle:
                self._assign(sent, self._idle.pop(), queue.popleft())
            for reference in self._wait():
                slot = self._pending.pop(reference)
                task, slot.task = slot.task, None
                answer = self._answer(reference, slot, task, deaths)
                if answer is None:
                    queue.extendleft([task] if task is not None else [])
                    continue
                self._idle.append(slot)
                if task is not None:
                    left -= 1
                    yield task, answer

    def close(self) -> None:
        """Stop all workers at once."""
        for slot in (*self._idle, *self._pending.values()):
            self._ray.kill(slot.actor)
        self._idle, self._pending = [], {}

    def _start_workers(self, job: Any, wanted: int) -> None:
        here = len(self._idle) + len(self._pending)
        for _ in range(min(self.slots, wanted) - here):
            self._started += 1
            slot = _WorkerSlot(self._actor.remote(), self._started)
            self._pending[slot.actor.load.remote(self._variant, job)] = slot
        if not self._idle and not self._pending:
            raise ClusterError(
                f"no Ray worker survives loading the model ({self._lost_starts} died); each needs "
                "memory for the whole model; finished batches are kept"
            )

    def _assign(self, job: Any, slot: _WorkerSlot, task: Task) -> None:
        slot.task = task
        self._pending[slot.actor.compute.remote(job, task.rows, task.edges)] = slot

    def _wait(self) -> list[Any]:
        timeout = (
            WARN_AFTER_SECONDS if all(h.task is None for h in self._pending.values()) else None
        )
        done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        if not done:
            self._reporter.warn(
                "no Ray worker is ready yet: no slot of the cluster is free, or loading is slow"
            )
        return done

    def _answer(
        self, reference: Any, slot: _WorkerSlot, task: Task | None, deaths: Counter[Task]
    ) -> Any:
        """A worker's result; None where it died."""
        try:
            answer = self._ray.get(reference)
        except self._deaths as error:
            if task is None and "creation task" in str(error):
                raise ClusterError(
                    f"a Ray worker cannot start ({str(error).strip().splitlines()[-1][:300]}); "
                    "every machine of the cluster needs the same circuitgraph[ray]"
                ) from error
            self._replace_dead(slot, task, deaths, type(error).__name__)
            return None
        except self._ray.exceptions.RayTaskError as error:
            raise ClusterError(
                f"{slot.place}: {first_line(error.cause, 300, kind=True)}"
            ) from error
        if "error" in answer:
            place = _place(answer) if task is None else slot.place
            raise ClusterError(f"{place}: {answer['error']}")
        if task is None:
            slot.place, self._lost_starts = _place(answer), 0
            self._reporter.remark(f"Ray worker {slot.number} is ready: {slot.place}")
        return answer

    def _replace_dead(
        self, slot: _WorkerSlot, task: Task | None, deaths: Counter[Task], reason: str
    ) -> None:
        self._ray.kill(slot.actor)
        if task is None:
            self._lost_starts += 1
            if self._lost_starts > RETRIES:
                self.slots = len(self._idle) + len(self._pending)
            self._reporter.warn(f"a Ray worker died while it loaded the model ({reason})")
            return
        deaths[task] += 1
        what = f"{slot.place} died ({reason}) at batch {task.batch + 1}"
        if deaths[task] > RETRIES:
            raise ClusterError(
                f"{what}, like {RETRIES} others before it; a smaller ``batch_size`` needs less "
                "memory; finished batches are kept"
            )
        self._reporter.warn(f"{what}; another one does it again")


def _place(answer: Plain) -> str:
    return f"process {answer['pid']} on {answer['host']}"
