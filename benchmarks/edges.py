"""Effects of edges: every estimator beside its peers, in one process and one run.

CPU time of one thread; ratios are to be compared, not seconds. Peers: one hooked forward of
the library's ``TransformerBridge`` an edge (caches made before the clock), the library's own
edge attribution, and the rate of a bare matrix product. Values must agree with the peers'.

    python benchmarks/edges.py exact       # 6 layers × 8 heads, d 256; and the whole command
    python benchmarks/edges.py gpt2-small  # GPT-2-small shape, sampled senders; matrix rate
    python benchmarks/edges.py eap         # against the library's edge attribution
    python benchmarks/edges.py ranks       # estimators against exact on trained variants
    python benchmarks/edges.py memory      # announced and measured, GPT-2-small shape
    python benchmarks/edges.py gemma       # Gemma-2-2b shape through eap, 2 prompts
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config

from circuitgraph.base.components import effect_edges
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import ESTIMATORS, EffectSpec
from circuitgraph.models.variants import load_tokenizer, load_variant
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.tokens import Encoded, encode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
IPD = ROOT / "examples" / "ipd"
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def make_prompts(count: int, length: int, vocabulary: int, first: int = 4) -> list[Encoded]:
    """Random prompts whose corrupt twins differ in one token, at position ``first``."""
    generator = torch.Generator().manual_seed(0)
    prompts = []
    for _ in range(count):
        clean = torch.randint(4, vocabulary, (length,), generator=generator).tolist()
        corrupt = [*clean[:first], (clean[first] + 7) % vocabulary, *clean[first + 1 :]]
        prompts.append(Encoded(tuple(clean), tuple(corrupt), (5,), (9,), None))
    return prompts


def make_gpt2(layers: int, heads: int, width: int, vocabulary: int) -> Any:
    """A random GPT-2 with weights widened threefold, so that effects are not tiny."""
    torch.manual_seed(0)
    sizes = {"n_layer": layers, "n_head": heads, "n_embd": width, "vocab_size": vocabulary}
    config = GPT2Config(n_positions=256, **sizes, **IDS)
    hf = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if parameter.dim() > 1 and "wpe" not in name:
                parameter.mul_(3.0)
    return hf


def make_bridge_of(hf: Any, folder: Path) -> Any:
    """The library's bridge over a model; the tokenizer is never asked."""
    from models import make_tokenizer
    from oracle import make_bridge

    hf.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return make_bridge(copy.deepcopy(hf), folder, load_tokenizer(folder))  # it takes models apart


def timed(action: Any) -> tuple[float, Any]:
    """CPU seconds of an action, and what it gave."""
    begin = time.process_time()
    value = action()
    return time.process_time() - begin, value


def exact() -> dict[str, Any]:
    """Exact effects, engine and whole command, against one hooked forward an edge."""
    from oracle import batched_effects

    hf, prompts = make_gpt2(6, 8, 256, 1000), make_prompts(8, 16, 1000)
    edges = effect_edges(6, 8, 8, "head", "split")
    model, batch = from_hf(hf), make_batch(prompts)
    engine, ours = timed(lambda: model.edge_effects(batch, EffectSpec("head", "split")).effects)
    picked = torch.randperm(len(edges), generator=torch.Generator().manual_seed(1))[:60]
    with tempfile.TemporaryDirectory() as folder:
        bridge = make_bridge_of(hf, Path(folder))
        naive, theirs = batched_effects(bridge, prompts, [edges[i] for i in picked])
    one = naive / len(picked)
    return {
        "edges": len(edges),
        "naive_edges_per_second": round(1 / one, 1),
        "engine_edges_per_second": round(len(edges) / engine, 1),
        "engine_ratio": round(one * len(edges) / engine, 1),
        **_of_whole_command(one * len(edges), hf),
        "largest_difference": _relative(ours[:, picked], theirs),
    }


def _of_whole_command(naive: float, hf: Any) -> dict[str, float]:
    """Ratios of the whole ``circuitgraph ingest``: in this process, and as one of its own.

    The second pays for starting Python and importing torch and transformers, as often as one
    ingests.
    """
    from circuitgraph.cli import run

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_inputs(hf, folder, 1000, 8)
        words = ["--estimator", "exact", "--split-inputs"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _ingest(folder, *words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        _forget(folder)
        with contextlib.redirect_stdout(io.StringIO()):
            here, code = timed(lambda: run(["-q", *_command(folder), *words]))
    assert code == 0
    alone = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "ingest_ratio": round(naive / here, 1),
        "ingest_ratio_with_start": round(naive / alone, 1),
        "ingest_seconds": round(here, 1),
        "ingest_seconds_with_start": round(alone, 1),
    }


def _write_inputs(hf: Any, folder: Path, vocabulary: int, count: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}
    words |= {f"w{i}": i for i in range(4, vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "unk", "pad")}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    hf.save_pretrained(folder / "model")
    fast.save_pretrained(folder / "model")
    with open(folder / "prompts.jsonl", "w", encoding="utf-8") as file:
        for i, prompt in enumerate(make_prompts(count, 15, vocabulary, 3)):
            sides = (" ".join(f"w{t}" for t in side) for side in (prompt.prompt, prompt.corrupt))
            row = dict(zip(("prompt", "corrupt"), sides, strict=True))
            row |= {"answer": "w5", "wrong_answer": "w9", "scenario": f"s{i % 4}"}
            file.write(json.dumps(row) + "\n")


def _ingest(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "circuitgraph.cli", *_command(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def _command(folder: Path) -> list[str]:
    command = ["-w", str(folder / "w"), "ingest", str(folder / "model"), "--name", "m"]
    return [*command, "--prompts", str(folder / "prompts.jsonl"), "--edges", "effect"]


def gpt2_small() -> dict[str, Any]:
    """One random sender a layer and all its receivers; operations as torch counts them."""
    from oracle import batched_effects

    hf, prompts = make_gpt2(12, 12, 768, 50257), make_prompts(8, 16, 50257)
    edges = effect_edges(12, 12, 12, "head", "split")
    generator = np.random.default_rng(0)
    names = ["EMBED", *(f"L{layer}H{generator.integers(12)}" for layer in range(11))]
    picked = [i for i, edge in enumerate(edges) if edge.source in names]
    model, batch = from_hf(hf), make_batch(prompts)
    seconds, ours = timed(
        lambda: model.edge_effects(batch, EffectSpec("head", "split", edges=picked)).effects
    )
    with FlopCounterMode(display=False) as counter:
        model.edge_effects(batch, EffectSpec("head", "split", edges=picked))
    useful = counter.get_total_flops()
    few = [picked[i] for i in generator.choice(len(picked), 8, replace=False)]
    with tempfile.TemporaryDirectory() as folder:
        bridge = make_bridge_of(hf, Path(folder))
        naive, theirs = batched_effects(bridge, prompts, [edges[i] for i in few])
    place = [picked.index(i) for i in few]
    return {
        "edges": len(edges),
        "edges_timed": len(picked),
        "ratio": round(naive / len(few) * len(picked) / seconds, 1),
        "share_of_matrix_rate": round(useful / seconds / _matrix_rate(1536, 768), 2),
        "largest_difference": float(
            f"{(ours[:, place] - theirs).abs().max() / ours.abs().max():.2g}"
        ),
    }


def _matrix_rate(rows: int, width: int) -> float:
    a, b = torch.randn(rows, width), torch.randn(width, 4 * width)
    best = min(timed(lambda: [a @ b for _ in range(8)])[0] for _ in range(3))
    return 8 * 2.0 * rows * width * 4 * width / best


def eap() -> dict[str, Any]:
    """EAP against the library's edge attribution, which reads one prompt at a time."""
    from oracle import library_eap

    hf, prompts = make_gpt2(6, 8, 256, 1000), make_prompts(8, 16, 1000)
    edges = effect_edges(6, 8, 8, "head", "split")
    model, batch = from_hf(hf), make_batch(prompts)
    found = model.edge_effects(batch, EffectSpec("head", "split", estimator="eap"))  # and warm
    ours, _ = timed(
        lambda: [
            model.edge_effects(batch, EffectSpec("head", "split", estimator="eap"))
            for _ in range(5)
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        bridge = make_bridge_of(hf, Path(folder))
        theirs, scores = timed(lambda: library_eap(bridge, prompts))
    want = torch.tensor([scores[edge] for edge in edges])
    return {
        "edges": len(edges),
        "edges_per_second": round(5 * len(edges) / ours),
        "ratio": round(5 * theirs / ours, 1),
        "largest_difference": _relative(found.effects.mean(0), want),
    }


def ranks() -> dict[str, Any]:
    """Spearman and Pearson of each estimator with exact, and its time, on trained variants."""
    table: dict[str, Any] = {}
    for name in ("base", "deontological", "utilitarian", "hybrid", "strategic"):
        loaded = load_variant(IPD / "base", None if name == "base" else IPD / "variants" / name)
        encoded = encode(read_prompts(IPD / "prompts.jsonl"), loaded.tokenizer).prompts
        rows = list({(p.prompt, p.corrupt): p for p in encoded}.values())
        model = from_hf(loaded.merged())
        for inputs in ("joint", "split"):
            found = {e: timed(partial(_whole, model, rows, inputs, e)) for e in ESTIMATORS}
            exact_seconds, exact_effects = found.pop("exact")
            for estimator, (seconds, effects) in found.items():
                table[f"{name} {inputs} {estimator}"] = {
                    **_agreement(exact_effects, effects),
                    "time_to_exact": round(seconds / exact_seconds, 2),
                }
    return table


def _whole(model: Any, rows: list[Encoded], inputs: Any, estimator: Any) -> np.ndarray:
    batches = (make_batch(rows[i : i + 16]) for i in range(0, len(rows), 16))
    parts = [
        model.edge_effects(b, EffectSpec("head", inputs, estimator=estimator)).effects
        for b in batches
    ]
    return torch.cat(parts).double().numpy()


def _agreement(exact_effects: np.ndarray, effects: np.ndarray) -> dict[str, float]:
    a, b = exact_effects.mean(0), effects.mean(0)
    size = np.abs(exact_effects).mean(0), np.abs(effects).mean(0)
    return {
        "spearman_of_means": round(float(spearmanr(a, b).statistic), 3),
        "spearman_of_sizes": round(float(spearmanr(*size).statistic), 3),
        "spearman_per_prompt": round(
            float(spearmanr(exact_effects.ravel(), effects.ravel()).statistic), 3
        ),
        "pearson_of_means": round(float(pearsonr(a, b).statistic), 3),
    }


def memory() -> dict[str, Any]:
    """Peak of the whole process against what it announced, 64 prompts."""
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_inputs(make_gpt2(12, 12, 768, 50257), folder, 50257, 64)
        for options in (["eap"], ["eap", "--memory", "1.8GB"], ["receiver-exact"]):
            said, peak = _ingest_peak(folder, "--estimator", *options)
            announced = re.search(r"memory: ([\d.]+) GB at most", said)
            assert announced is not None
            table[" ".join(options)] = {
                "announced_gb": float(announced[1]),
                "peak_gb": round(peak / 1e9, 2),
            }
            _forget(folder)
    return table


def _ingest_peak(folder: Path, *options: str) -> tuple[str, float]:
    """What an ingest said, and the most bytes it held."""
    command = [sys.executable, "-m", "circuitgraph.cli", *_command(folder), *options]
    with open(folder / "said", "w+", encoding="utf-8") as said:
        child = subprocess.Popen(command, stderr=said, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        said.seek(0)
        return said.read(), usage.ru_maxrss * 1024.0


def _forget(folder: Path) -> None:
    """Forget the run, so that the next one is measured and not found."""
    subprocess.run(
        [sys.executable, "-m", "circuitgraph.cli", "-w", str(folder / "w"), "remove", "m"],
        capture_output=True,
        check=True,
    )


def gemma() -> dict[str, Any]:
    """A model of Gemma-2-2b's shape, small vocabulary, 2 prompts of 64 tokens through EAP."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=1000,
        hidden_size=2304,
        intermediate_size=9216,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256,
        **IDS,
    )
    hf = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model, batch = from_hf(hf), make_batch(make_prompts(2, 64, 1000))
    seconds, found = timed(
        lambda: model.edge_effects(batch, EffectSpec("head", "split", estimator="eap"))
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    finite = bool(found.effects.isfinite().all())
    edges = found.effects.shape[1]
    return {
        "edges": edges,
        "cpu_seconds": round(seconds, 1),
        "peak_gb": round(peak, 1),
        "finite": finite,
    }


def _relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference as a share of the largest value."""
    return float(f"{(ours - theirs).abs().max() / theirs.abs().max():.2g}")


PARTS = {
    "exact": exact,
    "gpt2-small": gpt2_small,
    "eap": eap,
    "ranks": ranks,
    "memory": memory,
    "gemma": gemma,
}


def main() -> None:
    """Print each part asked for as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    torch.set_num_threads(1)
    for part in parser.parse_args().parts:
        sys.stdout.write(json.dumps({part: PARTS[part]()}, indent=1) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
