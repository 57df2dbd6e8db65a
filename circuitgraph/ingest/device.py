"""Device placement, and a check of device results against float64 on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from circuitgraph.base.errors import UsageError
from circuitgraph.base.resources import kind_of
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.families import has_reader
from circuitgraph.engine.interface import Engine
from circuitgraph.engine.model import to_device
from circuitgraph.ingest.compute import batch_effects
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.request import Request
from circuitgraph.models.devices import require_there
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method

PROBES = 2
PROBED_EDGES = 16


def require_device(request: Request, family: str) -> None:
    """Refuse a device or type that the model cannot have, before anything is loaded for it."""
    require_there(request.device)
    kind = kind_of(request.device)
    if not has_reader(family) and (request.device, request.dtype) != ("cpu", "float32"):
        raise UsageError(
            f"model type {family!r} has no reader, and hooks on TransformerBridge run on the CPU "
            "in float32; leave ``device`` and ``dtype`` out"
        )
    if request.tf32 and kind != "cuda":
        raise UsageError(
            '``tf32`` is a way of CUDA devices; leave it out, or add ``device="cuda"``'
        )


def placed(model: Engine, request: Request) -> Engine:
    """The model where, and in the numbers, it is to be computed."""
    torch.backends.cuda.matmul.allow_tf32 = request.tf32
    dtype = torch.bfloat16 if request.dtype == "bfloat16" else None
    if request.device == "cpu" and dtype is None:
        return model
    return to_device(model, request.device, dtype)


def apart_from_double(model: Engine, job: Job, edges: int) -> float:
    """Largest difference from float64 on the CPU, relative to the largest effect of the sample.

    Exact effects of 16 random edges on the two shortest prompts.
    """
    prompts = sorted(job.encoded, key=lambda p: len(p.prompt))[:PROBES]
    generator = np.random.Generator(np.random.PCG64(0))
    sample = sorted(generator.choice(edges, min(PROBED_EDGES, edges), replace=False).tolist())
    ours, double = (
        _effects(m, prompts, job.method, sample)
        for m in (model, to_device(model, "cpu", torch.float64))
    )
    return float(np.abs(ours - double).max() / max(np.abs(double).max(), 1e-30))


def _effects(
    model: Engine, prompts: Sequence[Encoded], method: Method, sample: list[int]
) -> np.ndarray:
    ablated = ablated_contributions(model, prompts, method.spec.granularity, method.spec.ablation)
    return batch_effects(model, prompts, method, ablated, edges=sample)["effects"]
