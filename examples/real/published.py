"""Two published sentences about fine-tuning, tested on SmolLM2 beside nulls, seeds and halves.

"Edges change more than nodes" (Wang et al. 2025) on sums, and "the same circuit, with better
parts" (Prakash et al. 2024) on entity tracking. Tables go into a folder as CSV; docs/published.md
says what they show. Stopped, it goes on where it was.

    python examples/real/published.py OUT TABLES [MODEL]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from fetch import fetch
from teach import teach

from circuitgraph import PromptSet, Workspace, load_variant, make_prompts
from circuitgraph.base.progress import Reporter

SEEDS = range(3)
KINDS = {"sums": ("sums", "right"), "entity": ("entity", "right"), "own": ("sums", "own"),
         "shuffled": ("sums", "shuffled")}  # fmt: skip
TASKS = {"sums": ("sums", "own", "shuffled"), "entity": ("entity", "sums")}
"""What is compared with the base on the prompts of each task."""
SIZES = (0.01, 0.02, 0.05, 0.1)
CIRCUITS = (0.02, 0.1)
"""Sizes of circuits that are run."""
TRAINED, ASKED = 300, 30


def main(out: Path, tables: Path, model: Path | None = None) -> None:
    """Train, ingest, compare, write the tables."""
    model = model or fetch(out / "models")
    tables.mkdir(parents=True, exist_ok=True)
    drawn = {task: make_prompts(task, model, n=TRAINED) for task in TASKS}
    adapters = _adapters(model, drawn, out / "adapters")
    for task, kinds in TASKS.items():
        workspace = Workspace(out / task, reporter=Reporter(quiet=False))
        prompts = _part(drawn[task], slice(ASKED))
        _ingest(workspace, model, prompts, adapters, kinds)
        write = tables / task
        _right(workspace, model, prompts, adapters, kinds).to_csv(f"{write}-right.csv", index=False)
        pairs = pd.DataFrame(_alike(workspace, kinds)).round(4)
        pairs.to_csv(f"{write}-alike.csv", index=False)
        claims = pd.DataFrame(_claims(workspace, kinds)).round(4)
        claims.to_csv(f"{write}-claims.csv", index=False)
        if task == "entity":
            same = _same(workspace, task).round(4)
            same.to_csv(f"{write}-same.csv", index=False)
            _better(workspace, task).round(4).to_csv(f"{write}-better.csv", index=False)


def _adapters(model: Path, drawn: Mapping[str, PromptSet], folder: Path) -> dict[str, Path]:
    found = {}
    for seed in SEEDS:
        for kind, (task, answers) in KINDS.items():
            name = f"{kind}-{seed}"
            seen = _part(drawn[task], slice(ASKED, None))
            found[name] = teach(model, seen, folder / name, answers, seed)
            print(name, file=sys.stderr)
    return found


def _part(drawn: PromptSet, which: slice) -> PromptSet:
    """The first prompts are asked; no adapter is trained on them."""
    return PromptSet(drawn.prompts[which], drawn.source)


def _ingest(
    workspace: Workspace, model: Path, prompts: PromptSet, adapters: dict[str, Path],
    kinds: Sequence[str],
) -> None:  # fmt: skip
    variants: dict[str, Path | None] = {"base": None}
    variants |= {name: a for name, a in adapters.items() if name.rsplit("-", 1)[0] in kinds}
    for name, adapter in variants.items():
        workspace.ingest(
            model, adapter=adapter, name=name, recipe=name.rsplit("-", 1)[0], prompts=prompts,
            edges="effect", granularity="layer", estimator="eap", load=False,
        )  # fmt: skip


def _right(
    workspace: Workspace, model: Path, prompts: PromptSet, adapters: dict[str, Path],
    kinds: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    """Share of answers that are the likeliest tokens, and the mean decision, by variant."""
    import torch

    rows = []
    for name in workspace:
        loaded = load_variant(model, adapter=adapters.get(name))
        right = []
        for prompt in prompts:
            ids = loaded.tokenizer(f"{prompt.prompt}{prompt.answer}", return_tensors="pt").input_ids
            begin = len(loaded.tokenizer(prompt.prompt)["input_ids"])
            with torch.no_grad():
                best = loaded.hf(ids).logits[0, begin - 1 : -1].argmax(-1)
            right.append(bool((best == ids[0, begin:]).all()))
        decisions = workspace.catalogue().one(name, "effect").arrays["decisions"]
        rows.append({"variant": name, "right": np.mean(right), "decision": decisions.mean()})
    return pd.DataFrame(rows).round(4)


def _circuit(table: pd.DataFrame, share: float) -> set[tuple[str, str]]:
    count = round(share * len(table))
    best = table["weight"].abs().nlargest(count).index
    return {*zip(table.loc[best, "source"], table.loc[best, "target"], strict=True)}


def _nodes(edges: set[tuple[str, str]]) -> set[str]:
    return {end for edge in edges for end in edge}


def _jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b)


def _alike(workspace: Workspace, kinds: Sequence[str]) -> Iterator[dict[str, object]]:
    """Jaccard of the edges and of the nodes of two circuits, by what makes the two differ.

    ``nodes_redrawn``: the nodes that would be shared if as many edges as changed had been drawn
    at random from all others (mean of 200 draws).
    """
    tables = {name: workspace.edges(name, "effect") for name in workspace}
    pairs = [("base", f"{kind}-{seed}", f"base → {kind}") for kind in kinds for seed in SEEDS]
    for kind in kinds:
        pairs += [
            (f"{kind}-{a}", f"{kind}-{b}", f"seeds of {kind}") for a, b in combinations(SEEDS, 2)
        ]
    tables["half a"], tables["half b"] = _halves(workspace)
    pairs.append(("half a", "half b", "halves of the prompts, base"))
    rows = [
        {"what": what, "share": share} | _measured(tables[a], tables[b], share)
        for a, b, what in pairs
        for share in SIZES
    ]
    means = pd.DataFrame(rows).groupby(["what", "share"], sort=False).mean().reset_index()
    yield from means.to_dict("records")


def _halves(workspace: Workspace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The base's mean aligned effects on every second prompt, and on the others."""
    run = workspace.catalogue().one("base", "effect")
    table = workspace.edges("base", "effect")
    signs = np.array([prompt.direction or 1 for prompt in run.prompts])[:, None]
    return tuple(table.assign(weight=(signs * run.effects)[start::2].mean(0)) for start in (0, 1))  # type: ignore[return-value]


def _measured(a: pd.DataFrame, b: pd.DataFrame, share: float) -> dict[str, float]:
    one, other = _circuit(a, share), _circuit(b, share)
    every = [*zip(a["source"], a["target"], strict=True)]
    outside = [edge for edge in every if edge not in one]
    kept = [edge for edge in one if edge in other]
    draw = np.random.default_rng(0)
    redrawn = []
    for _ in range(200):
        new = [outside[i] for i in draw.choice(len(outside), len(one) - len(kept), replace=False)]
        redrawn.append(_jaccard(_nodes(one), _nodes({*kept, *new})))
    return {
        "edges": _jaccard(one, other),
        "nodes": _jaccard(_nodes(one), _nodes(other)),
        "nodes_redrawn": float(np.mean(redrawn)),
    }


def _claims(workspace: Workspace, kinds: Sequence[str]) -> Iterator[dict[str, object]]:
    """What the tests claim of three seeds against the base, of edges and of components."""
    for kind in kinds:
        found = workspace.diff("base", kind, lens="effect", scope="recipe", mechanism=False)
        yield {"recipe": kind, "what": "edges", "claims": len(found.claims),
               "testable": found.summary["n_testable"]}  # fmt: skip
        for measure in ("activity", "attribution"):
            nodes = workspace.nodes("base", kind, measure=measure, scope="recipe")
            table = nodes.table
            tested = table[table["verdict"] != "not_testable"]
            claimed = tested[~tested["verdict"].isin(["unchanged", "not_detected"])]
            yield {"recipe": kind, "what": measure, "claims": len(claimed), "testable": len(tested)}


def _same(workspace: Workspace, kind: str) -> pd.DataFrame:
    """Overlap with the base's circuit, and what that circuit recovers in each variant."""
    rows = []
    for name in ("base", *(f"{kind}-{seed}" for seed in SEEDS)):
        own = workspace.faithfulness(name, sizes=CIRCUITS, random=0).table
        of_base = workspace.faithfulness(name, of="base", sizes=CIRCUITS, random=1).table
        row = own[["share", "edges"]].assign(
            variant=name, own=own["faithfulness"], base_circuit=of_base["faithfulness"],
            low=of_base["low"], high=of_base["high"], random=of_base["random"],
        )  # fmt: skip
        if name != "base":
            shared = workspace.overlap("base", name, sizes=CIRCUITS)
            told = ("shared", "expected", "p_within")
            row = row.assign(**{key: shared[key].to_numpy() for key in told})
        rows.append(row)
    return pd.concat(rows)


def _better(workspace: Workspace, kind: str) -> pd.DataFrame:
    """Cross-model patching: what each part of a variant brings to the base (CMAP)."""
    circuit = _nodes(_circuit(workspace.edges("base", "effect"), 0.02))
    table = workspace.patch(f"{kind}-0", "base").components
    table = table[table["variant"] == "base"]
    return table.assign(in_base_circuit=table["component"].isin(circuit))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
