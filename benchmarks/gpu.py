"""Effects on a GPU beside the CPU of the same machine: seconds, memory, and how far they differ.

Random models of real sizes (weights widened so that effects are not tiny), prompts of 24 tokens
whose corrupt twins differ in one. Prints JSON; where there is no CUDA device it says so.

    python benchmarks/gpu.py smollm2   # 30 layers × 9 heads, d 576: eap by head, exact by layer
    python benchmarks/gpu.py gemma2    # Gemma-2-2b's shape: eap by head, exact of sampled edges
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from edges import make_prompts
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig

from circuitgraph.base.components import effect_edges
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.model import to_device
from circuitgraph.ingest.estimate import matrix_rate, operations
from circuitgraph.ingest.shape import Shape
from circuitgraph.runs.record import Method

SHAPES = {
    "smollm2": (
        LlamaConfig(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
            num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048,
        ),
        16,
    ),
    "gemma2": (
        Gemma2Config(
            vocab_size=32768, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26,
            num_attention_heads=8, num_key_value_heads=4, head_dim=256,
        ),
        4,
    ),
}  # fmt: skip
SAMPLED = 64


def random_model(config: Any) -> Any:
    """A random model of transformers, its matrices widened threefold."""
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(3.0)
    return hf.eval()


def timed(model: Any, batch: Any, spec: EffectSpec) -> tuple[torch.Tensor, float]:
    """Effects, and the seconds of the second of two runs."""
    for _ in range(2):
        begin = time.perf_counter()
        found = model.edge_effects(batch, spec).effects.cpu()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
    return found, seconds


def rate(model: Any, prompts: Any, spec: EffectSpec) -> float:
    """10^12 operations that the effects take."""
    method = Method("effect", granularity=spec.granularity, estimator=spec.estimator)
    return operations(Shape.of_engine(model), method, prompts) / 1e12


def beside(name: str) -> list[dict[str, Any]]:
    """CPU and GPU on the same prompts, by estimator."""
    config, number = SHAPES[name]
    cpu = from_hf(random_model(config))
    gpu = to_device(cpu, "cuda")
    prompts = make_prompts(number, 24, 1000, first=6)
    here, there = make_batch(prompts), to_device(make_batch(prompts), "cuda")
    sizes = (cpu.layers, cpu.heads, cpu.kv_heads)
    some = np.random.default_rng(0).choice(len(effect_edges(*sizes, "head", "joint")), SAMPLED)
    tried = {
        "eap by head": EffectSpec(estimator="eap"),
        "receiver-exact by layer": EffectSpec("layer", estimator="receiver-exact"),
        "exact by layer": EffectSpec("layer"),
        f"exact of {SAMPLED} edges by head": EffectSpec(edges=sorted(set(some.tolist()))),
    }
    rows = []
    for what, spec in tried.items():
        if name == "gemma2" and what in ("exact by layer", "receiver-exact by layer"):
            continue
        torch.cuda.reset_peak_memory_stats()
        ours, seconds = timed(gpu, there, spec)
        want, slow = timed(cpu, here, spec)
        rows.append(
            {
                "what": what,
                "prompts": number,
                "edges": int(want.shape[1]),
                "gpu_seconds": round(seconds, 3),
                "cpu_seconds": round(slow, 3),
                "gpu_tflops": None if spec.edges else round(rate(cpu, prompts, spec) / seconds, 1),
                "cpu_threads": torch.get_num_threads(),
                "largest_difference": float((ours - want).abs().max() / want.abs().max()),
                "gpu_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Run one shape."""
    if not torch.cuda.is_available():
        print("no CUDA device: not run")
        return
    beside(sys.argv[1] if len(sys.argv) > 1 else "smollm2")
    print(torch.cuda.get_device_name(), f"{matrix_rate('cuda') / 1e12:.0f} TFLOP/s of a product")


if __name__ == "__main__":
    main()
