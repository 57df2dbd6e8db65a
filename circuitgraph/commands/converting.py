"""The command convert: a quantised file as a float32 folder."""

from __future__ import annotations

from pathlib import Path

import click

from circuitgraph.commands.options import global_options, settings, show


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


COMMANDS = (convert,)
