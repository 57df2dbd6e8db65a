"""Exact effects: the engine against one hooked ``TransformerBridge`` forward an edge.

Both in one process, CPU time of one thread, the same random GPT-2, all prompts of equal
length in one batch. The naive side runs sampled edges, with its caches made beforehand;
their values must agree.

    python benchmarks/exact_effects.py [--layers 6 --heads 8 --width 256] [--first 4]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GPT2Config

from circuitgraph.components import effect_edges
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.estimators import edge_effects
from circuitgraph.engine.families import from_hf
from circuitgraph.tokens import Encoded
from circuitgraph.variants import load_tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))


def make_prompts(count: int, length: int, first: int, vocabulary: int) -> list[Encoded]:
    """Random prompts whose corrupt twins differ in one token, at position ``first``."""
    generator = torch.Generator().manual_seed(0)
    prompts = []
    for _ in range(count):
        clean = torch.randint(4, vocabulary, (length,), generator=generator).tolist()
        corrupt = [*clean[:first], (clean[first] + 7) % vocabulary, *clean[first + 1 :]]
        prompts.append(Encoded(tuple(clean), tuple(corrupt), (5,), (9,), None))
    return prompts


def make_hf(layers: int, heads: int, width: int, vocabulary: int) -> torch.nn.Module:
    """A random GPT-2 with weights widened threefold, so that effects are not tiny."""
    torch.manual_seed(0)
    sizes = {"n_layer": layers, "n_head": heads, "n_embd": width, "vocab_size": vocabulary}
    config = GPT2Config(n_positions=256, bos_token_id=1, eos_token_id=2, **sizes)
    hf = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if parameter.dim() > 1 and "wpe" not in name:
                parameter.mul_(3.0)
    return hf


def naive_seconds(hf: torch.nn.Module, prompts: list[Encoded], edges: list, ours: torch.Tensor):
    """CPU seconds an edge of hooked forwards, and the largest difference from ``ours``."""
    from models import make_tokenizer
    from oracle import batched_effects, make_bridge

    with tempfile.TemporaryDirectory() as folder:
        hf.save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
        bridge = make_bridge(hf, Path(folder), load_tokenizer(Path(folder)))
        seconds, values = batched_effects(bridge, prompts, edges)
    return seconds / len(edges), float((values - ours).abs().max())


def main() -> None:
    """Print edges, CPU seconds of both, their ratio and the largest difference as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("layers", 6), ("heads", 8), ("width", 256), ("vocabulary", 1000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in (("prompts", 8), ("length", 16), ("first", 4), ("sample", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    o = parser.parse_args()
    torch.set_num_threads(1)
    hf = make_hf(o.layers, o.heads, o.width, o.vocabulary)
    prompts = make_prompts(o.prompts, o.length, o.first, o.vocabulary)
    edges = effect_edges(o.layers, o.heads, o.heads, "head", "joint")
    model = from_hf(hf)
    begin = time.process_time()
    ours = edge_effects(model, make_batch(prompts)).effects
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    picked = torch.randperm(len(edges), generator=torch.Generator().manual_seed(1))[: o.sample]
    one, apart = naive_seconds(hf, prompts, [edges[i] for i in picked], ours[:, picked])
    record = {
        "edges": len(edges),
        "engine_cpu_seconds": round(seconds, 2),
        "engine_edges_per_second": round(len(edges) / seconds, 1),
        "naive_edges_per_second": round(1 / one, 1),
        "ratio": round(one * len(edges) / seconds, 1),
        "largest_effect": float(f"{ours.abs().max():.3g}"),
        "largest_difference": float(f"{apart:.3g}"),
        "engine_peak_gib": round(peak / 2**20, 2),
    }
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
