"""Commands that add and remove variants: ingest, ingest-table, import-circuit, remove, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.commands.hints import after_ingest
from circuitgraph.commands.options import (
    global_options,
    read_bytes,
    read_seconds,
    remark,
    settings,
    show,
)
from circuitgraph.commands.typed import PATH, options_of
from circuitgraph.workspace import Workspace

into_variant = options_of(Workspace.ingest, "name", "recipe", name={"required": True})


@click.command()
@click.argument("model")
@options_of(
    Workspace.ingest,
    *("adapter", "name", "recipe", "prompts", "edges", "estimator", "steps", "split_inputs"),
    *("granularity", "activity", "ablation", "chat_template", "template_date", "batch_size"),
    *("memory", "budget", "device", "dtype", "tf32", "ray"),
    name={"required": True},
    prompts={"required": True, "type": PATH},
    edges={"flags": ("--edges", "--kind")},
    steps={"type": click.IntRange(1)},
    template_date={"metavar": "DAY"},
    batch_size={"type": click.IntRange(1)},
    memory={"metavar": "SIZE", "type": str},
    budget={"metavar": "TIME", "type": str},
    ray={"metavar": "ADDRESS"},
)
@global_options
def ingest(model: str, memory: str | None, budget: str | None, **options: Any) -> None:
    """Measure one variant on a prompt set and keep its graph.

    MODEL is a Hugging Face folder or GGUF file. After an interruption, the same command
    continues where it stopped.

    \b
    Example:
      circuitgraph ingest ./base --adapter ./lora-seed0 --name tuned-0 \\
          --recipe tuned --prompts prompts.jsonl
    """
    options["memory"] = None if memory is None else read_bytes(memory)
    options["budget"] = None if budget is None else read_seconds(budget)
    runs = settings().open().ingest(model, **options)
    rows = [
        {
            "run": run.id,
            "variant": run.variant.name,
            "kind": run.kind,
            "prompts": run.n_observations,
            "scenarios": run.n_scenarios,
            "duplicates": run.duplicates,
            "columns": len(run.components) or len(run.edges),
        }
        for run in runs
    ]
    show(rows)
    after_ingest(runs, model, options["adapter"], options["prompts"])


@click.command("ingest-table")
@click.argument("file", type=PATH)
@into_variant
@global_options
def ingest_table(file: Path, name: str, recipe: str) -> None:
    """Read an activation table from elsewhere: long or wide CSV or parquet, or JSON.

    \b
    Example:
      circuitgraph ingest-table activations.csv --name theirs
    """
    run = settings().open().ingest_table(file, name=name, recipe=recipe)
    row = {
        "run": run.id,
        "variant": name,
        "kind": run.kind,
        "prompts": run.n,
        "scenarios": run.n_scenarios,
        "columns": len(run.components),
    }
    show([row])


@click.command("import-circuit")
@click.argument("file", type=PATH)
@into_variant
@global_options
def import_circuit(file: Path, name: str, recipe: str) -> None:
    """Read a circuit of EAP-IG, MIB or CircuitKIT: JSON with scores and flags of edges.

    There are no prompts behind the scores, so two such circuits can be compared side by
    side, but without claims. export --format mib writes the file again.

    \b
    Example:
      circuitgraph import-circuit ioi-eap-ig.json --name theirs
    """
    from circuitgraph.runs.circuit_file import circuit_of

    run = settings().open().import_circuit(file, name=name, recipe=recipe)
    circuit = circuit_of(run)
    row = {
        "run": run.id,
        "variant": name,
        "kind": run.kind,
        "nodes": 0 if circuit is None else len(circuit.content["nodes"]),
        "edges": len(run.edges),
        "in_graph": 0 if circuit is None else int(circuit.in_graph.sum()),
    }
    show([row])


@click.command()
@click.argument("name")
@global_options
def remove(name: str) -> None:
    """Remove a variant, its runs and their diffs, and free its name.

    \b
    Example:
      circuitgraph remove tuned-0
    """
    count = settings().open().remove(name)
    remark(f"{count} runs removed")


@click.command()
@click.option(
    "--out",
    type=PATH,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the page and its workspace.",
)
@click.option("--examples", type=PATH, help="Only copy the demo's models and prompts there.")
@global_options
def demo(out: Path, examples: Path | None) -> None:
    """Ingest, compare and report real trained models: a first result in minutes.

    \b
    Example:
      circuitgraph demo --out demo-output
      circuitgraph demo --examples ipd
    """
    from circuitgraph.demo import copy_examples, run_demo

    if examples is not None:
        copy_examples(examples)
        remark(f"models and prompts copied to {examples}")
        return
    for line in run_demo(out, settings().reporter):
        click.echo(line)


COMMANDS = (demo, ingest, ingest_table, import_circuit, remove)
