"""Two copies of one model that look rewired: adapters merged into 4-bit weights, and lost there.

``make lost-adapter`` runs it: two adapters are trained, merged into weights that lie on a 4-bit
grid, and rounded to that grid again; the copies are compared by |Δr| and by this tool. What it
found is written to a page. Stopped, it goes on where it was.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from circuitgraph import PromptSet, Workspace, check
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.record import Diff
from circuitgraph.games.rewards import recipe_named
from circuitgraph.models.tasks import make_game_prompts
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.written import write_prompts
from circuitgraph.training.request import TrainRequest
from circuitgraph.training.train import train_all
from circuitgraph.updates.rounding import rounded

RECIPES = ("strategic", "deontological")
WAYS = (("4-bit merge", "bfloat16"), ("4-bit merge", "float32"), ("float32 merge", "float32"))
"""How adapters were merged, and what activations were kept as."""
FEW = 3
"""Wordings of the small prompt set, five prompts each: as many rows as the published study had."""


def main(out: Path, page: Path, base: Path, adapters: Path | None = None) -> None:
    """Make the copies in a folder, compare them, write the page."""
    reporter = Reporter(quiet=False)
    out.mkdir(parents=True, exist_ok=True)
    prompts = _prompts(base, out)
    adapters = adapters or _trained(base, prompts, out, reporter)
    four = _copy(base, out / "base-4bit")
    folders = {r: adapters / f"{r}-0" for r in RECIPES}
    copies = {r: _copy(four, out / f"{r}-4bit", folder) for r, folder in folders.items()}
    checks = {r: check(four, copies[r], adapter=folders[r]) for r in RECIPES}
    rows = list(_rows(base, four, folders, copies, prompts, out, reporter))
    page.write_text(_page(rows, {r: c.verdict for r, c in checks.items()}), "utf-8")
    print(f"page: {page}")


def _prompts(base: Path, out: Path) -> Path:
    file = out / "prompts.jsonl"
    if not file.is_file():
        write_prompts(make_game_prompts("ipd", base, chat=True), file)
    return file


def _trained(base: Path, prompts: Path, out: Path, reporter: Reporter) -> Path:
    folder = out / "adapters"
    asked = [(folder, TrainRequest(recipe_named(r), seeds=1, groups=1)) for r in RECIPES]
    train_all(base, prompts, asked, reporter)
    return folder


@torch.no_grad()
def _copy(base: Path, folder: Path, adapter: Path | None = None) -> Path:
    """A model with every matrix of its blocks on the 4-bit grid, an adapter merged before."""
    if folder.is_dir():
        return folder
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    hf: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        hf = PeftModel.from_pretrained(hf, adapter).merge_and_unload()
    for name, module in hf.named_modules():
        if isinstance(module, torch.nn.Linear) and ".layers." in name:
            module.weight.copy_(rounded(module.weight, "nf4"))
    partial = folder.with_suffix(".partial")
    hf.save_pretrained(partial)
    for file in base.glob("*token*"):
        shutil.copy(file, partial)
    for file in base.glob("*.jinja"):
        shutil.copy(file, partial)
    partial.rename(folder)
    return folder


def _rows(
    base: Path,
    four: Path,
    folders: dict[str, Path],
    copies: dict[str, Path],
    prompts: Path,
    out: Path,
    reporter: Reporter,
) -> Iterator[dict[str, Any]]:
    """A row a way of loading and a number of prompts."""
    whole = read_prompts(prompts)
    wordings = list(dict.fromkeys(p.template for p in whole))
    few = PromptSet(tuple(p for p in whole if p.template in wordings[:FEW]), whole.source)
    many = PromptSet(tuple(p for p in whole if p.template in wordings[: 2 * FEW]), whole.source)
    for asked in (few, many):
        for way, dtype in WAYS:
            place = out / f"{way.replace(' ', '-')}-{dtype}-{len(asked.prompts)}"
            workspace = Workspace(place, reporter=reporter)
            for recipe in RECIPES:
                lost = way == "4-bit merge"
                workspace.ingest(
                    copies[recipe] if lost else base,
                    adapter=None if lost else folders[recipe],
                    name=recipe, prompts=asked, edges="correlation", granularity="layer",
                    dtype=dtype, load=False,
                )  # fmt: skip
            diff = workspace.diff(*RECIPES, lens="correlation")
            yield _row(f"{way}, {dtype}", diff)


def _row(way: str, diff: Diff) -> dict[str, Any]:
    told = diff.summary
    return {
        "loaded by": way, "prompts": told["n"], "pairs": told["n_edges"],
        "Δr of 0.3 or more": told["naive"]["0.3"],
        "of A against itself": told["yardstick"]["self"]["0.3"],
        "claims": told["n_claims"], "evidence": told["evidence"],
    }  # fmt: skip


def _page(rows: list[dict[str, Any]], verdicts: dict[str, Any]) -> str:
    head = "| " + " | ".join(rows[0]) + " |"
    table = "\n".join(
        [head, "|" + " --- |" * len(rows[0])]
        + ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    )
    said = "\n".join(f"- `{recipe}`: {v.word}: {v.sentence}" for recipe, v in verdicts.items())
    return TEXT.format(table=table, said=said)


TEXT = """# The lost adapter

Written by `make lost-adapter`. The published study whose question this tool began with loaded
a base that had been saved after 4-bit quantisation, and merged each adapter into it. A base that
lies on the grid is rounded back to where it was, unless an update is as large as half a step:
what was compared under two names was one model, up to rounding.

Here the same is done on purpose. SmolLM2-135M-Instruct is rounded to NF4; a strategic and a
deontological adapter (docs/lab.md), whose variants decide differently where the other cooperated,
are merged into it and rounded again. `circuitgraph check BASE COPY --adapter ADAPTER` says:

{said}

The two copies are then compared as the study did: activity (norms) of attention layers and MLPs,
correlated over a few prompts; a pair counts as rewired where r changes by 0.3 or more.
"Of A against itself" is that count for two bootstrap samples of one model's prompts, in the median.

{table}
"""


if __name__ == "__main__":
    words = [Path(word) for word in sys.argv[1:]]
    main(*words)
