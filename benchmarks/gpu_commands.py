"""Whole commands on a GPU beside the CPU of the same machine: train, ingest, diff by each lens.

Every command runs in this process, so that importing is left out and loading is not. A row has
its seconds, processor seconds and the most memory of the GPU; at the end effects stored by both
devices are held against each other (``tests/test_cuda.py`` compares claims). ``gemma2`` makes a
random model of Gemma-2-2b's shape first (10 GB on disk), with the tokenizer of MODEL, and leaves
out what takes a CPU minutes.

    python benchmarks/gpu_commands.py MODEL examples/smollm2/prompts.jsonl OUT
    python benchmarks/gpu_commands.py MODEL examples/smollm2/prompts.jsonl OUT gemma2
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from gpu import SHAPES, random_model
from transformers import AutoTokenizer

from circuitgraph import Workspace
from circuitgraph.cli import run

PROMPTS = 20


def timed(device: str, *words: object) -> None:
    """Run one command and print what it took."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began, spent = time.perf_counter(), time.process_time()
    with redirect_stdout(io.StringIO()):
        code = run(["--quiet", *map(str, words)])
    row = {
        "command": " ".join(map(str, words[:1])), "options": " ".join(map(str, words[-4:])),
        "device": device, "code": code, "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - spent, 1),
        "gpu_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if "cuda" in device else None,
    }  # fmt: skip
    print(json.dumps(row), flush=True)


def random_gemma(tokenizer: Path, out: Path) -> Path:
    """A folder with a random model of Gemma-2-2b's shape."""
    if (out / "config.json").is_file():
        return out
    words = AutoTokenizer.from_pretrained(tokenizer)
    config = SHAPES["gemma2"][0]
    config.vocab_size = len(words)
    random_model(config).save_pretrained(out)
    words.save_pretrained(out)
    return out


def commands(model: Path, games: Path, out: Path, device: str, large: bool) -> Path:
    """Train an adapter, measure base and adapter, compare them; the workspace."""
    adapters, place = out / f"adapters-{device}", out / f"workspace-{device}"
    flags = ("--device", device)
    timed(device, "train", model, "--recipe", "utilitarian", "--prompts", games, "-o", adapters,
          "--seeds", 1, "--steps", 10 if large else 20, "--rank", 3, *flags)  # fmt: skip
    tuned = ("--adapter", out / "adapters-cuda" / "utilitarian-0")
    for granularity, estimator in (("head", "eap"), ("layer", "exact")):
        if large and estimator == "exact" and device == "cpu":
            continue
        for name, adapter in (("base", ()), ("tuned", tuned)):
            timed(device, "ingest", model, *adapter, "--name", name, "-w", f"{place}-{granularity}",
                  "--prompts", out / "ioi.jsonl", "--edges", "effect",
                  "--granularity", granularity, "--estimator", estimator, *flags)  # fmt: skip
    if large and device == "cpu":
        return place
    sides = ("diff", "base", "tuned", "-w", f"{place}-layer")
    timed(device, *sides, "--lens", "effect", *flags)
    timed(device, *sides, "--lens", "wiring", *flags)
    timed(device, "diff", "base", "tuned", "-w", f"{place}-head", "--lens", "wiring", *flags)
    if not large:
        timed(device, *sides, "--lens", "wiring", "--form", "functional", *flags)
        timed(device, "patch", "base", "tuned", "-w", f"{place}-layer", *flags)
        timed(device, "faithfulness", "tuned", "-w", f"{place}-layer", *flags)
    return place


def compared(places: Sequence[Path]) -> None:
    """Print how far the effects of both devices are apart; of runs that only one has, nothing."""
    for granularity in ("head", "layer"):
        here, there = (Workspace(Path(f"{place}-{granularity}")).catalogue() for place in places)
        for a, b in zip(here.runs, there.runs, strict=False):
            x, y = a.effects.astype(float), b.effects.astype(float)
            apart = np.abs(x - y).max() / np.abs(y).max()
            print(json.dumps({"run": a.variant.name, "of": granularity, "apart": float(apart)}))


def main() -> None:
    """Run one model on the GPU, then on the CPU."""
    if not torch.cuda.is_available():
        print("no CUDA device: not run")
        return
    model, games, out = map(Path, sys.argv[1:4])
    large = sys.argv[4:] == ["gemma2"]
    out.mkdir(parents=True, exist_ok=True)
    print(torch.cuda.get_device_name(), torch.get_num_threads(), "threads", flush=True)
    if large:
        model = random_gemma(model, out / "gemma2")
    timed(
        "cpu", "prompts", "make", "ioi", "--model", model, "--n", PROMPTS, "-o", out / "ioi.jsonl"
    )
    places = [commands(model, games, out, device, large) for device in ("cuda", "cpu")]
    compared(places)


if __name__ == "__main__":
    main()
