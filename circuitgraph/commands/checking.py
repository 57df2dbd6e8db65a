"""Commands about model folders: check what changed, convert quantised files, plant changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import to_text
from circuitgraph.commands.hints import hint
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    remark,
    settings,
    show,
    terminal_width,
)
from circuitgraph.commands.typed import PATH

if TYPE_CHECKING:
    import pandas as pd

    from circuitgraph.updates.record import Check


@click.command()
@click.argument("base")
@click.argument("model", metavar="ADAPTER_OR_MODEL")
@click.option(
    "--adapter",
    type=PATH,
    help="The adapter that was merged into a whole model, to measure what is left of it.",
)
@click.option(
    "--prompts",
    type=PATH,
    help="Prompt file: do decisions change more than by random updates of equal spectrum?",
)
@click.option("--chat-template", is_flag=True, help="Wrap each prompt as one user turn.")
@click.option(
    "--draws",
    type=click.IntRange(0),
    default=7,
    show_default=True,
    help="Random updates to compare decisions with; a claim at 5% needs 19.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random updates.")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="FINDING",
    help="Exit with 1 on erased, changed, unmoved, lost-in-bf16, lost-in-fp16, lost-in-nf4 or "
    "lost-in-q4_0; repeatable.",
)
@output_options
@global_options
def check(
    base: str,
    model: str,
    adapter: Path | None,
    prompts: Path | None,
    chat_template: bool,
    draws: int,
    seed: int,
    fail_on: tuple[str, ...],
    output: Output,
) -> int:
    """What a fine-tune changes in its base, where, and what rounding leaves of it when merged.

    The first line is the verdict: alive, nearly erased, erased, identical or wrong base. Exit
    code 0: alive; 3: nothing or nearly nothing of the change is left; 1: another base, or a
    condition of --fail-on. A table gives the change of each kind of module; --format csv or
    -o of each tensor.

    \b
    Example:
      circuitgraph check ./base ./lora
      circuitgraph check ./base ./merged --adapter ./lora
      circuitgraph check ./base ./lora --prompts prompts.jsonl --fail-on erased --fail-on unmoved
    """
    from circuitgraph.updates.entry import check as checked
    from circuitgraph.updates.entry import is_adapter
    from circuitgraph.updates.record import met, require_conditions, require_none
    from circuitgraph.updates.words import lines

    require_conditions(fail_on, prompts=prompts is not None, adapter=is_adapter(model))
    found = checked(
        base, model, adapter=adapter, prompts=prompts, chat_template=chat_template, draws=draws,
        seed=seed, reporter=settings().reporter,
    )  # fmt: skip
    told = lines(found)
    if output.for_reading:
        prose(told[:1])
        if found.touched:
            click.echo(modules_view(found, terminal_width()), nl=False)
        prose(told[1:])
    elif output.path is None and output.format == "json":
        click.echo(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    else:
        output.show(found.table)
        remark(*told)
    require_none(met(found, fail_on))
    if found.verdict.word == "alive":
        start = [base, "--adapter", model] if is_adapter(model) else [model]
        hint("ingest", *start, "--name", "tuned", "--prompts", prompts or "prompts.jsonl")
    return found.verdict.exit_code


_HEADS = {"left_adapter": "left", "left_estimate": "left (estimate)"}


def modules_view(found: Check, width: int) -> str:
    """One row a kind of module: how much of it changed, and what is left by format."""
    import pandas as pd

    table = found.table.assign(order=range(len(found.touched)))
    rows = [_kind(module, group) for module, group in table.groupby("module", sort=False)]
    return to_text(pd.DataFrame(rows), "table", width=width)


def _kind(module: object, group: pd.DataFrame) -> dict[str, object]:
    from circuitgraph.updates.words import number, percent, ranges

    squares = group["update"] ** 2
    total = float(squares.sum())
    layers = sorted({int(layer) for layer in group["layer"].dropna()})
    row: dict[str, object] = {
        "module": module,
        "tensors": len(group),
        "layers": ranges(layers),
        "values": percent(float(group["moved"].sum() / group["values"].sum())),
        "change": number((total / float((group["weight"] ** 2).sum())) ** 0.5),
        "rank": f"{group['rank'].median():.1f}",
    }
    for column in (str(name) for name in group if str(name).startswith("left_")):
        known = group[column].notna()
        weight = float(squares[known].sum())
        share = float((group[column] * squares)[known].sum()) / weight if weight else float("nan")
        if column != "left_fp32":  # which the first line tells
            row[_HEADS.get(column, column.removeprefix("left_"))] = percent(share)
    return row


@click.command()
@click.argument("gguf", type=PATH)
@click.option(
    "--output",
    "-o",
    "folder",
    type=PATH,
    required=True,
    help="New folder for the model, its tokenizer and its chat template.",
)
@global_options
def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file as a float32 model folder, which adapters can be trained on.

    Not needed to measure it: ingest takes a .gguf file as it is.

    \b
    Example:
      circuitgraph convert SmolLM2-135M-Instruct.Q4_1.gguf -o smollm2
    """
    from circuitgraph.models.gguf import convert_gguf

    origin = convert_gguf(gguf, folder, settings().reporter)
    show([{"folder": str(folder)} | vars(origin)])


@click.command()
@click.argument("model", type=PATH)
@click.option(
    "--output",
    "-o",
    "out",
    type=PATH,
    required=True,
    help="New folder for the models (a and b) and the truth.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all random numbers.")
@click.option(
    "--edges",
    "k",
    metavar="K",
    type=click.IntRange(0),
    help="Plants, in turn off, on and flipped [default: 6 reads, or 2 written channels].",
)
@click.option(
    "--drift",
    metavar="S",
    type=float,
    default=0.0,
    show_default=True,
    help="Size of the random update on every matrix of B, as a share: .02 or .1 are realistic.",
)
@click.option(
    "--side",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="Change what a receiver reads, or what a sender writes to all its receivers.",
)
@click.option("--consequential", is_flag=True, help="Only plants with large effects.")
@click.option(
    "--prompts",
    type=PATH,
    help="Prompt file on which scales are measured [default: random tokens].",
)
@click.option(
    "--rewrite",
    "kind",
    type=click.Choice(["value", "query", "neurons", "heads", "all"]),
    help="No plants: other weights that compute the same function.",
)
@global_options
def plant(model: Path, out: Path, seed: int, kind: str | None, **options: Any) -> None:
    """Write a pair of models with known changed edges, as ground truth for any measure.

    In a widened copy of MODEL (a) every component writes a private channel that later
    components may read; in b some are no longer read, newly read, or read with the other
    sign, and every matrix gets a random update (--drift). truth.csv lists these edges. No
    plants (--edges 0) or a rewrite give a null pair.

    \b
    Example:
      circuitgraph plant ./base -o planted --edges 6 --drift 0.02 --prompts prompts.jsonl
      circuitgraph plant ./base -o same --rewrite query
    """
    unused = [name for name, value in options.items() if value not in (None, False, 0.0, "read")]
    if kind is not None and (unused or options["k"] is not None):
        raise UsageError("--rewrite: makes no plants and no drift; leave the other options out")
    from circuitgraph.plant import plant as make
    from circuitgraph.plant import rewrite

    if kind is not None:
        pair = rewrite(model, out, kind=kind, seed=seed)
    else:
        pair = make(model, out, seed=seed, **options)
    show(pair.truth)
    remark(f"A: {pair.folder_a}  B: {pair.folder_b}")


COMMANDS = (check, convert, plant)
