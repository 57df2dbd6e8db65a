"""False claims by measures of components: new null adapters, held against every wording there is.

Adapters of the base of examples/ipd are trained on its own answers and on random rewards, and
measured on all prompts that the sentences of the example's prompts can be put together to. A claim
from a sample of these prompts is true where the change over all of them is beyond the margin.

    python benchmarks/null_components.py examples/ipd OUT
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from circuitgraph import Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.games.rewards import recipe_named
from circuitgraph.nodes.compare import CLAIMS, Sides, compare
from circuitgraph.nodes.entry import MeasureInputs
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.record import Measure, NodeValues
from circuitgraph.nodes.values import values_of
from circuitgraph.runs.record import Run
from circuitgraph.stats.scenarios import balanced_mean, recode
from circuitgraph.training.request import TrainRequest
from circuitgraph.training.train import train

SEEDS, GROUP = {"self": 6, "random": 12}, 3
WORDINGS, DRAWS = 24, 100
PARTS = r"(Both action1 :|Points for|The points|In the last round|Last time|Before this|Pick|What)"
"""Where payoffs, history and question of a prompt begin; the opening stands before."""

Values = dict[str, NodeValues]
"""By variant, of one measure."""


# --- every wording --------------------------------------------------------------------------


def _parts(text: str) -> list[str]:
    """Opening, payoffs, history, question."""
    opening, *rest = re.split(PARTS, text)
    return [opening, *map("".join, zip(rest[::2], rest[1::2], strict=True))]


def all_wordings(file: Path, out: Path) -> Path:
    """Prompts in every wording; no pair stands in both orders (half of each state's wordings)."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    made = []
    for scenario in sorted({row["scenario"] for row in rows}):
        own = [row for row in rows if row["scenario"] == scenario]
        split = [(_parts(row["prompt"]), _parts(row["corrupt"])) for row in own]
        first, second = {p[0] for p, _ in split}, {p[3] for p, _ in split}
        payoffs, told = {p[1] for p, _ in split}, {(p[2], c[2]) for p, c in split}
        every = [
            found for found in product(sorted(first), sorted(payoffs), sorted(told), sorted(second))
            if _order(found[0]) == _order(found[3])
        ]  # fmt: skip
        for number, (opening, points, (history, other), question) in enumerate(every):
            if number % 2 == (scenario[1] == "D"):
                text = [f"{opening}{points}{h}{question}" for h in (history, other)]
                spans = [list(m.span()) for m in re.finditer(r"action[12]", text[0])]
                made.append(own[0] | {
                    "id": f"{scenario}-{number}", "prompt": text[0], "corrupt": text[1],
                    "spans": {"actions": spans}, "other": scenario[1],
                    "wording": str(number // 2 % WORDINGS),
                })  # fmt: skip
    out.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return out


def _order(text: str) -> str:
    return "".join(re.findall(r"action([12])", text))


# --- values ---------------------------------------------------------------------------------


def ingested(examples: Path, out: Path, reporter: Reporter) -> tuple[dict[str, Run], Path]:
    """Runs of the base and of new nulls on every wording, kept in a workspace."""
    out.mkdir(parents=True, exist_ok=True)
    prompts = all_wordings(examples / "prompts.jsonl", out / "prompts.jsonl")
    workspace = Workspace(out / "workspace", reporter=reporter)
    adapters: dict[str, Path | None] = {"base": None}
    for name, seeds in SEEDS.items():
        request = TrainRequest(recipe=recipe_named(name), seeds=seeds)
        done = train(examples / "base", examples / "prompts.jsonl", out, request, reporter)
        adapters |= {one.folder.name: one.folder for one in done}
    for name, folder in adapters.items():
        workspace.ingest(
            examples / "base", adapter=folder, name=name, prompts=prompts, edges="effect",
            estimator="eap", load=False,
        )  # fmt: skip
    return {name: workspace[name].newest("effect") for name in adapters}, prompts


def _claims(
    measure: Measure,
    values: Values,
    a: list[str],
    b: list[str],
    rows: np.ndarray,
    codes: np.ndarray,
) -> tuple[pd.DataFrame, float]:
    """The table of a comparison on some prompts, and its margin."""
    sides, scope = [], "recipe" if len(a) > 1 else "checkpoint"
    for names in (a, b):
        observed = [values[name].observed(codes) for name in names]
        grouped = values[names[0]].groups is not None
        scenarios = observed[0][1] if grouped else codes[rows]
        sides.append(tuple(np.float64(x if grouped else x[rows]) for x, _ in observed))
    nodes = values[a[0]].nodes
    table, summary = compare(measure, Sides(nodes, sides[0], sides[1], scenarios), scope)
    return table[table["verdict"].isin(CLAIMS)], summary["margin"]


def _sample(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many prompts a scenario as the example has, drawn with replacement from all."""
    return np.concatenate(
        [rng.choice(np.flatnonzero(codes == s), WORDINGS) for s in range(codes.max() + 1)]
    )


# --- tables ---------------------------------------------------------------------------------


def checkpoint(measure: Measure, values: Values, codes: np.ndarray) -> Iterator[dict]:
    """Base against each null: claims from samples of prompts, and the false ones among them."""
    everything = np.arange(len(codes))
    for recipe, seeds in SEEDS.items():
        rng, tally = np.random.default_rng(0), []
        for name in (f"{recipe}-{seed}" for seed in range(seeds)):
            a, b = (np.float64(values[n].values) for n in ("base", name))
            change = np.abs(balanced_mean(b - a, codes))
            _, margin = _claims(measure, values, ["base"], [name], everything, codes)
            for _ in range(DRAWS):
                rows = _sample(codes, rng)
                found, _ = _claims(measure, values, ["base"], [name], rows, codes)
                false = int((change[found.index] <= margin).sum())
                tally.append((name, bool((change > margin).any()), len(found), false))
        every = pd.DataFrame(tally, columns=["name", "true", "claims", "false"])
        yield {
            "scope": "checkpoint", "measure": measure.name, "recipe": recipe,
            "changed": int(every.groupby("name")["true"].first().sum()),
            "comparisons": len(every), "with a claim": (every["claims"] > 0).mean(),
            "with a false one": (every["false"] > 0).mean(), "claims": every["claims"].sum(),
            "false": every["false"].sum(),
        }  # fmt: skip


def recipe(measure: Measure, values: Values, codes: np.ndarray) -> Iterator[dict]:
    """Three seeds against three others of one null recipe: of these no claim can be true."""
    for name, seeds in SEEDS.items():
        rng, claims = np.random.default_rng(0), []
        for _ in range(DRAWS):
            drawn = [f"{name}-{i}" for i in rng.permutation(seeds)[: 2 * GROUP]]
            rows = _sample(codes, rng)
            found, _ = _claims(measure, values, drawn[:GROUP], drawn[GROUP:], rows, codes)
            claims.append(len(found))
        share = np.mean(np.array(claims) > 0)
        yield {
            "scope": "recipe", "measure": measure.name, "recipe": name, "changed": 0,
            "comparisons": DRAWS, "with a claim": share, "with a false one": share,
            "claims": sum(claims), "false": sum(claims),
        }  # fmt: skip


def main(examples: Path, out: Path) -> None:
    """Measure what is not kept, and print a table a measure."""
    reporter = Reporter()
    runs, prompts = ingested(examples, out, reporter)
    codes = recode(runs["base"].scenarios)
    print(f"{len(codes)} prompts in {codes.max() + 1} scenarios")
    given = MeasureInputs("other", "wording", prompts)
    for measure in MEASURES.values():
        values = {
            name: values_of(run, measure, reporter, given.extra(measure, run))
            for name, run in runs.items()
        }
        rows = [*recipe(measure, values, codes)]
        if values["base"].groups is None:  # one probe predicts many prompts: no sample of them
            rows += checkpoint(measure, values, codes)
        print(pd.DataFrame(rows).to_string(index=False), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
