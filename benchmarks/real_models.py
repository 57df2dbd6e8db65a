"""Pretrained models: estimators of effects beside each other, and beside a peer, in one run.

CPU time of one thread; ratios are to be compared, not seconds. A model is a folder or GGUF file,
SmolLM2-135M-Instruct from the package index where none is given.

    python benchmarks/real_models.py circuits [MODEL]  # CPR and CMD by estimator and task, layers
    python benchmarks/real_models.py peer [MODEL]      # eap beside TransformerLens' own, heads
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr

from circuitgraph import PromptSet, Workspace, load_variant, make_prompts
from circuitgraph.base.components import effect_edges
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import ESTIMATORS, EffectSpec
from circuitgraph.prompts.tokens import encode

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "examples" / "real")]
TASKS = ("ioi", "agreement", "greater-than")
SIZES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def circuits(model: Path, number: int, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """What the circuits found by every estimator recover of the decision, at layer granularity."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks:
            workspace = Workspace(Path(folder) / task)
            prompts = make_prompts(task, model, n=number)
            found: dict[str, Any] = {}
            for estimator in ESTIMATORS:
                begin = time.process_time()
                [run] = workspace.ingest(
                    model, name="m", prompts=prompts, edges="effect", granularity="layer",
                    estimator=estimator, load=False,
                )  # fmt: skip
                seconds = time.process_time() - begin
                means = abs(run.effects).mean(0)
                found.setdefault("exact", means)
                told = workspace.faithfulness("m", run=run.id, sizes=SIZES, random=3).summary
                rows.append(
                    {"task": task, "estimator": estimator, "seconds": round(seconds, 1)}
                    | {"rank": round(float(spearmanr(found["exact"], means).statistic), 3)}
                    | {k: round(told[k], 3) for k in ("cpr", "cmd", "random_cpr", "random_cmd")}
                )
                print(rows[-1], file=sys.stderr)
    return rows


def peer(model: Path, number: int) -> dict[str, Any]:
    """EAP of every split edge beside TransformerLens' edge attribution.

    The library refuses grouped keys: every query head gets its own copy of its key and value
    head, which is the same function, and our scores of a group are compared with the sum over
    its copies.
    """
    from oracle import library_eap, make_bridge

    loaded = load_variant(model)
    prompts = _alike(make_prompts("ioi", model, n=200), loaded.tokenizer, number)
    begin = time.process_time()
    ours = from_hf(loaded.hf)
    spec = EffectSpec("head", "split", estimator="eap")
    effects = ours.edge_effects(make_batch(prompts), spec).effects.mean(0)
    own = time.process_time() - begin
    apart = expanded(loaded.hf)
    with tempfile.TemporaryDirectory() as folder:
        apart.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        begin = time.process_time()
        scores = library_eap(make_bridge(apart, folder, loaded.tokenizer), prompts)
        theirs = time.process_time() - begin
    edges = effect_edges(ours.layers, ours.heads, ours.kv_heads, "head", "split")
    want = torch.zeros(len(edges))
    place = {edge: i for i, edge in enumerate(edges)}
    for edge, score in scores.items():
        want[place[_grouped(edge, ours.group)]] += score
    return {
        "prompts": len(prompts),
        "edges": len(edges),
        "spearman": float(spearmanr(effects, want).statistic),
        "largest_difference": float((effects - want).abs().max() / want.abs().max()),
        "seconds": round(own, 1),
        "seconds_of_library": round(theirs, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def _alike(prompts: PromptSet, tokenizer: Any, number: int) -> list[Any]:
    """Prompts of the commonest length: the library takes them one length at a time."""
    rows = encode(prompts, tokenizer).prompts
    lengths = [len(row.prompt) for row in rows]
    common = max(set(lengths), key=lengths.count)
    return [row for row in rows if len(row.prompt) == common][:number]


def expanded(hf: Any) -> Any:
    """The same function with as many key and value heads as query heads."""
    config = copy.deepcopy(hf.config)
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    config.num_key_value_heads = heads
    apart = type(hf)(config).eval()
    state = {}
    for name, tensor in hf.state_dict().items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            by_head = tensor.unflatten(0, (groups, -1)).repeat_interleave(heads // groups, 0)
            state[name] = by_head.flatten(0, 1)
        else:
            state[name] = tensor
    apart.load_state_dict(state)
    return apart


def _grouped(edge: Any, group: int) -> Any:
    if edge.input not in ("k", "v"):
        return edge
    layer, head = edge.target.split("KV")
    return edge._replace(target=f"{layer}KV{int(head) // group}")


def main() -> None:
    """Print one benchmark as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["circuits", "peer"])
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--prompts", type=int, default=None)
    parser.add_argument("--task", nargs="*", choices=TASKS, default=TASKS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.model is None:
        from fetch import fetch

        chosen.model = fetch(Path.home() / ".cache" / "circuitgraph-tests" / "models")
    number = chosen.prompts or (20 if chosen.which == "circuits" else 4)
    if chosen.which == "circuits":
        made = circuits(chosen.model, number, chosen.task)
    else:
        made = peer(chosen.model, number)
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
