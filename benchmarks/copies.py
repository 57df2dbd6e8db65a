"""A model against rounded copies of itself: what does each lens say of a change that is none?

A copy in bfloat16 or Q8_0 (blocks of 32 along a row, a scale in half precision each) behaves as
the model does: claims between the two are what rounding alone makes. Layers, IOI prompts.

    python benchmarks/copies.py MODEL [--copies bf16 q8] [--lens effect correlation wiring]
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from circuitgraph import Workspace, make_prompts
from circuitgraph.lenses.wiring.lens import Wiring

LENSES: dict[str, Any] = {
    "effect": "effect",
    "correlation": "correlation",
    "wiring": "wiring",
    "functional": Wiring(form="functional"),
}


def bf16(weight: torch.Tensor) -> torch.Tensor:
    """Rounded to bfloat16."""
    return weight.bfloat16().float()


def q8(weight: torch.Tensor) -> torch.Tensor:
    """Rounded as Q8_0 does matrices; vectors and odd rows stay."""
    if weight.dim() != 2 or weight.shape[-1] % 32:
        return weight
    blocks = weight.unflatten(-1, (-1, 32))
    scale = (blocks.abs().amax(-1, keepdim=True) / 127).half().float()
    return (scale * (blocks / scale.clamp_min(1e-30)).round().clamp(-127, 127)).flatten(-2)


COPIES = {"bf16": bf16, "q8": q8}


def rounded(model: Path, kind: str, folder: Path) -> Path:
    """A folder with the model's weights rounded, in float32."""
    hf = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.copy_(COPIES[kind](parameter))
    hf.save_pretrained(folder)
    for file in model.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


def said(workspace: Workspace, kind: str, lens: str) -> dict[str, Any]:
    """What one lens says of one copy."""
    begin = time.process_time()
    diff = workspace.diff("base", kind, lens=LENSES[lens], mechanism=False)
    changes = diff.table["delta"].abs()
    return {
        "copy": kind,
        "lens": lens,
        "edges": int(diff.summary["n_testable"]),
        "claims": len(diff.claims),
        "largest_change": float(changes.max()),
        "median_change": float(changes.median()),
        "margin": diff.margin,
        "evidence": diff.summary["evidence"],
        "cpu_s": round(time.process_time() - begin, 1),
    }


def main() -> None:
    """Print a line of JSON a copy and lens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--copies", nargs="*", choices=list(COPIES), default=list(COPIES))
    parser.add_argument("--lens", nargs="*", choices=list(LENSES), default=["effect", "wiring"])
    parser.add_argument("--prompts", type=int, default=30)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "w")
        prompts = make_prompts("ioi", given.model, n=given.prompts)
        kinds = ["correlation"] if "correlation" in given.lens else []
        for name in ("base", *given.copies):
            path = given.model
            if name != "base":
                path = rounded(given.model, name, Path(folder) / name)
            workspace.ingest(
                path, name=name, prompts=prompts, edges=["effect", *kinds], estimator="eap",
                granularity="layer",
            )  # fmt: skip
        for name in given.copies:
            for lens in given.lens:
                print(json.dumps(said(workspace, name, lens)), flush=True)


if __name__ == "__main__":
    main()
