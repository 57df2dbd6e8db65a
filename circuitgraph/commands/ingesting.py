"""Commands that put variants in: ingest, ingest-table, remove, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.commands.options import (
    global_options,
    read_bytes,
    read_seconds,
    settings,
    show,
)

EXISTING = click.Path(path_type=Path)


@click.command()
@click.argument("model")
@click.option("--adapter", type=EXISTING, help="LoRA adapter folder (peft, safetensors).")
@click.option("--name", required=True, help="What to call this variant.")
@click.option("--recipe", default="", help="Shared by variants trained alike with other seeds.")
@click.option("--prompts", type=EXISTING, required=True, help="Prompt file, JSONL or CSV.")
@click.option(
    "--edges", help="correlation, effect, or both with a comma [default: what the file allows]."
)
@click.option(
    "--estimator",
    type=click.Choice(["auto", "exact", "receiver-exact", "eap", "eap-ig"]),
    default="auto",
    show_default=True,
    help="How effects are measured. exact reruns what is downstream of every edge; "
    "receiver-exact reruns the receiver and linearises the rest; eap linearises both; eap-ig "
    "averages eap's gradients from corrupt to clean; auto is exact where that is affordable, "
    "else receiver-exact with a sample measured exactly, else eap (diff measures its claims "
    "exactly).",
)
@click.option(
    "--steps", type=click.IntRange(1), default=5, show_default=True, help="Gradients of eap-ig."
)
@click.option("--split-inputs", is_flag=True, help="Effects through q, k and v one by one.")
@click.option(
    "--granularity",
    type=click.Choice(["head", "layer"]),
    default="head",
    show_default=True,
    help="Single attention heads, or whole attention layers.",
)
@click.option(
    "--activity",
    type=click.Choice(["norm", "projection"]),
    default="norm",
    show_default=True,
    help="Correlate sizes of contributions, or their push towards the answer.",
)
@click.option(
    "--ablation",
    type=click.Choice(["corrupt", "mean", "zero"]),
    default="corrupt",
    show_default=True,
    help="What a sender's contribution is replaced by.",
)
@click.option("--chat-template", is_flag=True, help="Wrap each prompt as one user turn.")
@click.option(
    "--template-date",
    metavar="DAY",
    help="The day (YYYY-MM-DD) a template that tells the date is told; default: that of the "
    "first ingest of these prompts.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Prompts at once, at most: memory and speed, never results.",
)
@click.option("--memory", metavar="SIZE", help="Most the process may hold, such as 4GB.")
@click.option(
    "--budget",
    metavar="TIME",
    help="Most that effects may take (90s, 10m, 2h): says what fits, takes the best of it.",
)
@click.option(
    "--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, or mps (untested)."
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of weights and activations; effects need float32.",
)
@click.option("--tf32", is_flag=True, help="On CUDA: faster matrix products of 10-bit inputs.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Spread the work over Ray: local, local:WORKERS, auto, HOST:PORT or ray://HOST:PORT.",
)
@global_options
def ingest(
    model: str, edges: str | None, memory: str | None, budget: str | None, **options: Any
) -> None:
    """Measure one variant on a prompt set and keep its graph.

    MODEL is a Hugging Face folder. Interrupted, the same command goes on where it
    stopped; done, it finds what is there.

    \b
    Example:
      circuitgraph ingest ./base --adapter ./lora-seed0 --name tuned-0 \\
          --recipe tuned --prompts prompts.jsonl
    """
    kinds = None if edges is None else [kind.strip() for kind in edges.split(",")]
    options["memory"] = None if memory is None else read_bytes(memory)
    options["budget"] = None if budget is None else read_seconds(budget)
    runs = settings().open().ingest(model, edges=kinds, **options)
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


@click.command("ingest-table")
@click.argument("file", type=EXISTING)
@click.option("--name", required=True, help="What to call this variant.")
@click.option("--recipe", default="", help="Shared by variants trained alike with other seeds.")
@global_options
def ingest_table(file: Path, name: str, recipe: str) -> None:
    """Take an activation table of somebody else's: long or wide CSV or parquet, or JSON.

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
@click.argument("file", type=EXISTING)
@click.option("--name", required=True, help="What to call this variant.")
@click.option("--recipe", default="", help="Shared by variants trained alike with other seeds.")
@global_options
def import_circuit(file: Path, name: str, recipe: str) -> None:
    """Take a circuit of EAP-IG, MIB or CircuitKIT: JSON with scores and flags of edges.

    There are no prompts behind the scores, so two such circuits can be described side by
    side and nothing can be claimed. export --format mib writes the file again.

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
    settings().reporter.remark(f"{count} runs removed")


@click.command()
@click.option(
    "--out",
    type=EXISTING,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the page and its workspace.",
)
@global_options
def demo(out: Path) -> None:
    """Real trained models, ingested, compared and reported: a first result in minutes.

    \b
    Example:
      circuitgraph demo --out demo-output
    """
    from circuitgraph.demo import run_demo

    for line in run_demo(out, settings().reporter):
        click.echo(line)


COMMANDS = (demo, ingest, ingest_table, import_circuit, remove)
