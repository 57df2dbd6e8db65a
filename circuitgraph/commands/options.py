"""Options that many commands share, and how their results are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import pandas as pd

from circuitgraph.errors import UsageError
from circuitgraph.frames import FORMATS, Format, to_text, write_frame
from circuitgraph.progress import Reporter
from circuitgraph.workspace import DEFAULT_FOLDER, Workspace

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """The global options, wherever on the line they stood."""

    workspace: str = DEFAULT_FOLDER
    store: str | None = None
    as_json: bool = False
    quiet: bool = False
    debug: bool = False

    def open(self) -> Workspace:
        """The workspace these settings mean."""
        return Workspace(self.workspace, self.store, self.reporter)

    @property
    def reporter(self) -> Reporter:
        """Where remarks go."""
        return Reporter(self.quiet)


def settings() -> Settings:
    """The settings of the running command."""
    context = click.get_current_context()
    return context.find_root().ensure_object(dict).get("settings", Settings())


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = parameter.name or ""
    where = context.get_parameter_source(name)
    if value is None or where in (None, click.core.ParameterSource.DEFAULT):
        return
    shared = context.find_root().ensure_object(dict)
    shared["settings"] = replace(shared.get("settings", Settings()), **{name: value})


def global_options(command: F) -> F:
    """--workspace, --store, --json, --quiet, --debug: before or after the command's name."""
    shared: dict[str, Any] = {"expose_value": False, "callback": _remember, "is_eager": True}
    flags: dict[str, Any] = {**shared, "is_flag": True}
    for option in (
        click.option("--debug", help="Show where an error came from.", **flags),
        click.option("--quiet", "-q", help="No progress, no remarks.", **flags),
        click.option("--json", "as_json", help="Print rows as JSON.", **flags),
        click.option("--store", metavar="URI", help="Graph store [default: embedded].", **shared),
        click.option(
            "--workspace",
            "-w",
            metavar="DIR",
            help=f"Where runs and their graph are kept [default: {DEFAULT_FOLDER}].",
            **shared,
        ),
    ):
        command = option(command)
    return command


def output_options(command: F) -> F:
    """--format and -o."""
    command = click.option(
        "--output", "-o", type=click.Path(path_type=Path), help="Write to a file instead."
    )(command)
    return click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        help="How to print rows [default: table, or what the file's ending says].",
    )(command)


def show(frame: pd.DataFrame, format_: str | None, output: Path | None) -> None:
    """Print a table, or write it to a file."""
    chosen = cast(Format, format_ or _implied(output))
    if output is not None:
        write_frame(frame, chosen, output)
        settings().reporter.remark(f"{len(frame)} rows written to {output}")
        return
    click.echo(to_text(frame, chosen), nl=False)


def _implied(output: Path | None) -> str:
    if output is not None and output.suffix[1:] in FORMATS:
        return output.suffix[1:]
    if output is not None and not settings().as_json:
        raise UsageError(f"{output}: say --format, or end the name in .csv, .json or .parquet")
    return "json" if settings().as_json else "table"


def key_values(pairs: tuple[str, ...]) -> Mapping[str, str]:
    """``k=v`` options as a mapping; values may hold anything, ``=`` included.

    Raises:
        UsageError: no ``=``, or no name before it.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"--param {pair!r}: write it as name=value")
        found[key] = value
    return found
