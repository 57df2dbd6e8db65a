"""Code on a Ray worker: it loads the variant itself and computes its batches.

It receives only paths, names of choices and token ids; models are never sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from circuitgraph.base.errors import CircuitGraphError, ClusterError
from circuitgraph.ingest.compute import compute, library_versions, placed
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.memory import Room
from circuitgraph.ingest.parts import Arrays
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.selfcheck import checked_model
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method, Variant

Plain = dict[str, Any]


def plain_variant(variant: Variant) -> Plain:
    """The description of a variant for a worker."""
    return {
        "base": variant.base,
        "adapter": variant.adapter or None,
        "name": variant.name,
        "fingerprints": dict(variant.fingerprints),
        "versions": library_versions(),
    }


def plain_job(job: Job, request: Request, room: Room) -> Plain:
    """The description of a job for a worker: its choices and its token ids."""
    return {
        "id": job.id,
        "method": asdict(job.method),
        "request": asdict(request),
        "sample": job.sample,
        "chunk_rows": room.chunk_rows,
        "tokens": [
            (
                *(p.prompt, p.corrupt, p.answer, p.wrong_answer, p.partners, p.rest),
                *(p.also, p.also_wrong),
            )
            for p in job.encoded
        ],
    }


def _job(plain: Plain) -> tuple[Job, Request]:
    nobody = Prompt("", "")
    encoded = tuple(
        Encoded(p, c, a, w, nobody, partners, rest, also=also, also_wrong=also_wrong)
        for p, c, a, w, partners, rest, also, also_wrong in plain["tokens"]
    )
    method, sample = Method(**plain["method"]), tuple(plain["sample"])
    job = Job(plain["id"], method, PromptSet((), ""), encoded, 0, "", sample=sample)
    return job, Request(**plain["request"])


class Worker:
    """One variant in memory, on one processor or GPU. Errors are results, not exceptions."""

    def __init__(self) -> None:
        self._model: Any = None
        self._of = ""
        self._compute: Callable[..., Arrays] | None = None

    def load(self, variant: Plain, job: Plain) -> Plain:
        """Load and verify the variant; process and host of this worker."""
        here = {"pid": os.getpid(), "host": socket.gethostname()}
        try:
            _require_same_versions(variant["versions"])
            loaded = load_variant(variant["base"], variant["adapter"], name=variant["name"])
            sent = replace(loaded.variant, fingerprints=variant["fingerprints"])
            if not loaded.variant.same_files(sent):
                raise ClusterError(f"{variant['base']}: its files differ from those here")
            known, request = _job(job)
            self._model = placed(checked_model(loaded, known.encoded)[0], request)
        except CircuitGraphError as error:
            return here | {"error": str(error)}
        return here

    def compute(
        self, job: Plain, rows: Sequence[int], edges: Sequence[int] | None
    ) -> dict[str, np.ndarray] | Plain:
        """Arrays of some rows of a job (and of some edges), in float32."""
        try:
            if self._of != job["id"]:
                whole = compute(self._model, *_job(job), job["chunk_rows"])
                self._compute, self._of = whole, job["id"]
            assert self._compute is not None
            some = {} if edges is None else {"edges": edges}
            arrays = self._compute(rows, **some)
        except CircuitGraphError as error:
            return {"error": str(error)}
        return {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}


def _require_same_versions(theirs: dict[str, str]) -> None:
    for name, here in library_versions().items():
        # A build for another processor (2.13.0+cu130) is the same library.
        if name != "python" and here.split("+")[0] != theirs[name].split("+")[0]:
            raise ClusterError(
                f"has {name} {here}, and this machine {theirs[name]}; install the same versions"
            )
