"""The demo: ingest 26 real models, compare them, and write a page."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.errors import InputError, UsageError, first_line
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.record import Diff
from circuitgraph.levels.record import Levels, percent
from circuitgraph.report.page import Section, write_page
from circuitgraph.workspace import Workspace

BASE = "base"


def example_folder() -> Path:
    """The example's models and prompts: in an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "examples" / "ipd"
    return inside if inside.is_dir() else package.parent / "examples" / "ipd"


@dataclass(frozen=True)
class Story:
    """Results of the demo.

    Attributes
    ----------
    recipes
        Deontological against utilitarian training, four seeds each.
    naive
        The same two seeds through the correlation lens, for the bare cut.
    seeds
        Two seeds of one recipe.
    null
        The base and its fine-tune on its own answers.
    only_l2
        The base and a variant whose layer-2 MLP alone was trained.
    hubs
        Ranks of every component in the two variants.
    levels
        The two variants level by level, beside a null pair and two seeds.
    """

    recipes: Diff
    naive: Diff
    seeds: Diff
    null: Diff
    only_l2: Diff
    hubs: pd.DataFrame
    levels: Levels


def copy_examples(folder: Path) -> None:
    """Copy the example's models and prompts, to try commands on.

    Raises
    ------
    UsageError
        Something of that name is there already.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder}: this is there already; name a new folder")
    try:
        shutil.copytree(_found(example_folder()), folder)
    except shutil.Error as error:
        raise InputError(f"{folder}: cannot be written ({first_line(error)})") from error


def _found(examples: Path) -> Path:
    if not (examples / "prompts.jsonl").is_file():
        raise InputError(
            f"{examples}: the demo's models are not there; install the wheel, or run make demo "
            "in a checkout"
        )
    return examples


def run_demo(out: Path, reporter: Reporter, examples: Path | None = None) -> list[str]:
    """Ingest the example's variants, compare, write ``index.html``; six lines to print.

    Parameters
    ----------
    out
        A folder; ``out/workspace`` holds runs and graph, and a second demo finds them there.
    reporter
        Where remarks and progress go.
    examples
        A folder with ``base``, ``variants/*`` and ``prompts.jsonl`` [default: those that come
        with circuitgraph].

    Raises
    ------
    InputError
        The examples are not there.
    """
    examples = _found(examples or example_folder())
    workspace = Workspace(out / "workspace", reporter=reporter)
    ingest_examples(workspace, reporter, examples)
    story = tell(workspace)
    page = out / "index.html"
    heading = "What did moral fine-tuning rewire?"
    write_page(heading, _lead(story), _sections(story), page, story.levels)
    return last_lines(story, workspace, page)


def ingest_examples(workspace: Workspace, reporter: Reporter, examples: Path) -> None:
    """The base and its variants; seeds of one recipe share its name."""
    variants = sorted(p for p in (examples / "variants").iterdir() if p.is_dir())
    todo = [(BASE, None), *((p.name, p) for p in variants)]
    for number, (name, adapter) in enumerate(todo, start=1):
        reporter.remark(f"[{number}/{len(todo)}] {name}")
        workspace.ingest(
            examples / "base",
            name=name,
            prompts=examples / "prompts.jsonl",
            adapter=adapter,
            recipe="" if adapter is None else re.sub(r"-seed\d+$", "", name),
            load=False,  # one load of all is faster than 26
        )


def tell(workspace: Workspace) -> Story:
    """The demo's comparisons."""
    null = [(BASE, "null-self-sft")]
    a, b = "deontological", "utilitarian"
    recipe_nulls = [("null-self-sft", "null-random-reward"), (BASE, "null-self-sft")]
    return Story(
        recipes=workspace.diff(a, b, scope="recipe", null=recipe_nulls),
        naive=workspace.diff(a, b, lens="correlation", null=null),
        seeds=workspace.diff(a, f"{a}-seed1"),
        null=workspace.diff(BASE, "null-self-sft"),
        only_l2=workspace.diff(BASE, "hybrid-l2-mlp-only", null=null),
        hubs=workspace.hubs(a, b, kind="effect"),
        levels=workspace.levels(a, b, null=null, seeds=(a, f"{a}-seed1"), lens="effect"),
    )


def _lead(story: Story) -> list[str]:
    return [_rewired(story), _noise(story), _hub(story), _levels(story)]


def _sections(story: Story) -> list[Section]:
    return [
        Section(
            "Two recipes",
            "Deontological against utilitarian training, four seeds a side: what remains is due "
            "to the recipe, not to the luck of one training run.",
            story.recipes,
        ),
        Section(
            "Two seeds of one recipe",
            "The same training with another seed: real differences between two models, and no "
            "evidence about the recipe.",
            story.seeds,
        ),
        Section(
            "A fine-tune that teaches nothing",
            "The base against itself after training on its own answers: whatever is claimed "
            "here is noise.",
            story.null,
        ),
        Section(
            "One trained MLP",
            "Only the MLP of layer 2 was trained. Effects change on edges whose weights are the "
            "same to the bit: an effect can change upstream or downstream of an edge.",
            story.only_l2,
        ),
        Section(
            "The published practice",
            "Correlations of activity over prompts; without a test, |Δr| above 0.3 counts as "
            "rewired.",
            story.naive,
        ),
    ]


def _rewired(story: Story) -> str:
    recipes = story.recipes
    if recipes.insufficient:
        return "rewired: cannot tell; a recipe needs three variants or more a side"
    if recipes.claims.empty:
        return "rewired: no edge differs between the recipes beyond their seeds"
    top = _strongest(recipes)
    return (
        f"rewired: {len(recipes.claims)} of {recipes.summary['n_testable']} edges differ between "
        f"deontological and utilitarian training beyond the variation of their seeds; strongest "
        f"{top['source']} → {top['target']}, {top['weight_a']:+.2f} to {top['weight_b']:+.2f} of "
        f"the norm of all edge effects"
    )


def _noise(story: Story) -> str:
    seeds, naive = story.seeds.summary, story.naive.summary
    first, count = next(iter(naive["naive"].items()))
    return (
        f"noise: two seeds of one recipe differ on {seeds['n_claims']} edges, which says nothing "
        f"about the recipe; a fine-tune that teaches nothing, on {story.null.summary['n_claims']}; "
        f"a bare |Δr| ≥ {first} would report {count} correlations, {naive['n_claims']} pass a test"
    )


def _hub(story: Story) -> str:
    hubs = story.hubs
    top = hubs.sort_values("rank_b").iloc[0]
    low, high = int(top["rank_low_b"]), int(top["rank_high_b"])
    ranks = f"{low}" if low == high else f"{low} to {high}"
    moved = hubs[hubs["changed"]]["component"].astype(str).tolist()
    more = f" and {len(moved) - 4} more" if len(moved) > 4 else ""
    changed = "against deontological no rank changed for sure"
    if moved:
        changed = f"against deontological the rank changed of {', '.join(moved[:4])}{more}"
    return f"hub: {top['component']} in utilitarian (rank {ranks} of {len(hubs)}); {changed}"


def _levels(story: Story) -> str:
    """One number a level; in brackets that of the base and its fine-tune on its own answers."""
    table = story.levels.table.drop_duplicates("level")
    told = [
        f"{row['level']} {percent(row['alike'])} ({percent(row['null_least'])})"
        for row in table.to_dict("records")
    ]
    return f"levels: utilitarian is like deontological by {', '.join(told)}: in brackets, the null"


def last_lines(story: Story, workspace: Workspace, page: Path) -> list[str]:
    """Summary: claims, noise, hub, similarity level by level, page, next command."""
    top = _strongest(story.recipes)
    return [
        *_lead(story),
        f"page: {page}",
        f"next: {_command()} -w {shlex.quote(str(workspace.path))} explain {top['source']} "
        f"{top['target']} deontological utilitarian --scope recipe",
    ]


def _strongest(diff: Diff) -> dict[Hashable, Any]:
    table = diff.table if diff.claims.empty else diff.claims
    row = int(table["delta"].abs().to_numpy().argmax())
    return table.iloc[row].to_dict()


def _command() -> str:
    """The command to run circuitgraph here (``make demo`` does not put it on the path)."""
    if shutil.which("circuitgraph"):
        return "circuitgraph"
    script = Path(sys.argv[0])
    return shlex.quote(str(script)) if script.stem == "circuitgraph" else "circuitgraph"
