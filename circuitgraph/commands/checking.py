"""Commands about model folders: check what a fine-tune changes, convert a quantised file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pandas as pd

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

if TYPE_CHECKING:
    from circuitgraph.updates.record import Check


@click.command()
@click.argument("base")
@click.argument("model", metavar="ADAPTER_OR_MODEL")
@click.option(
    "--adapter",
    type=click.Path(path_type=Path),
    help="The adapter that was merged into a whole model, to measure what is left of it.",
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
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
@click.argument("gguf", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    "folder",
    type=click.Path(path_type=Path),
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


COMMANDS = (check, convert)
