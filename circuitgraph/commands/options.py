"""Options that many commands share, and how their results are printed."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import FORMATS, Format, as_frame, copy_whole, to_text, write_frame
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import DEFAULT_FOLDER, expanded
from circuitgraph.commands.terminal import fitted, remarked, with_verdicts
from circuitgraph.commands.terminal import width as terminal_width
from circuitgraph.commands.typed import in_flags

if TYPE_CHECKING:
    import pandas as pd

    from circuitgraph.base.frames import Rows
    from circuitgraph.runs.catalogue import RunCatalogue
    from circuitgraph.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
VARIABLE = "CIRCUITGRAPH_WORKSPACE"


@dataclass(frozen=True)
class Settings:
    """The global options, wherever on the line they stood."""

    workspace: str = DEFAULT_FOLDER
    store: str | None = None
    as_json: bool = False
    quiet: bool = False
    debug: bool = False

    @property
    def folder(self) -> Path:
        """The folder of the workspace.

        Raises
        ------
        UsageError
            Its path is a file.
        """
        path = expanded(self.workspace)
        if path.exists() and not path.is_dir():
            raise UsageError(f"--workspace {path}: this is a file; name a folder")
        return path

    def open(self) -> Workspace:
        """The workspace these settings mean; raises as ``folder`` does."""
        from circuitgraph.workspace import Workspace

        return Workspace(self.folder, self.store, self.reporter)

    def catalogue(self) -> RunCatalogue:
        """The runs of the workspace, for commands that only list them; raises as ``folder``."""
        from circuitgraph.runs.catalogue import RunCatalogue

        return RunCatalogue.read(self.folder / "runs")

    @property
    def reporter(self) -> Reporter:
        """Where remarks go."""
        return Reporter(self.quiet, remarked)


def settings() -> Settings:
    """The settings of the running command."""
    context = click.get_current_context()
    return context.find_root().ensure_object(dict).get("settings", from_environment())


def from_environment() -> Settings:
    """The defaults: the environment chooses the workspace and nothing else.

    A store or an option that the environment sets would change results behind one's back.
    """
    return Settings(os.environ.get(VARIABLE) or DEFAULT_FOLDER)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = parameter.name or ""
    where = context.get_parameter_source(name)
    if value is None or where in (None, click.core.ParameterSource.DEFAULT):
        return
    shared = context.find_root().ensure_object(dict)
    shared["settings"] = replace(shared.get("settings", from_environment()), **{name: value})


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
            help=f"Where runs and their graph are kept [default: {DEFAULT_FOLDER}; "
            f"or set {VARIABLE}].",
            **shared,
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Output:
    """Where the rows of a command go, checked before it works for them.

    Attributes
    ----------
    format
        How they are written.
    path
        The file, or None for stdout.
    """

    format: Format
    path: Path | None = None

    @classmethod
    def of(cls, format_: str | None, path: Path | None, as_json: bool) -> Output:
        """What the options mean.

        Raises
        ------
        UsageError
            A format that stdout cannot take or that the file does not tell, or no folder to write
            to.
        """
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"-o {path}: there is no folder {path.parent}")
        if path is not None and path.is_dir():
            raise UsageError(f"-o {path}: this is a folder; name a file")
        ending = path.suffix[1:].lower() if path is not None else ""
        chosen = format_ or (ending if ending in FORMATS else "json" if as_json else "")
        if path is not None and not chosen:
            raise UsageError(f"-o {path}: say --format, or end the name in .csv, .json, .parquet")
        if path is None and chosen == "parquet":
            raise UsageError("parquet is binary: name a file with -o FILE")
        return cls(cast(Format, chosen or "table"), path)

    @property
    def for_reading(self) -> bool:
        """Whether somebody reads this in a terminal."""
        return self.path is None and self.format == "table"

    def show(self, frame: pd.DataFrame | Rows, kept: Path | None = None) -> None:
        """Print a table, or write it to the file; ``kept`` is where it lies as parquet already."""
        if self.path is None:
            text = to_text(frame, self.format, width=terminal_width())
            if self.for_reading:
                show_text(text)
            else:
                click.echo(text, nl=False, color=True)  # or click takes escape codes out of names
            return
        if kept is not None and self.format == "parquet":
            copy_whole(kept, self.path)
        else:
            write_frame(as_frame(frame), self.format, self.path)
        remark(f"{len(frame)} rows written to {self.path}")

    def view(
        self, frame: pd.DataFrame, text: Callable[[int], str], kept: Path | None = None
    ) -> None:
        """Print ``text(width)`` where somebody reads; else all rows, as :meth:`show` does."""
        if self.for_reading:
            show_text(text(terminal_width()))
        else:
            self.show(frame, kept)


def remark(*lines: str) -> None:
    """Print remarks on stderr unless quiet."""
    for line in lines:
        settings().reporter.remark(line)


def prose(lines: Iterable[str]) -> None:
    """Print sentences, one a line; broken to fit where somebody reads, whole in a pipe."""
    for line in lines:
        click.echo(fitted(in_flags(line), sys.stdout), color=True)


def show_text(table: str) -> None:
    """Print a table as text; on a terminal with the verdicts in colour."""
    # color=True: click would otherwise take escape codes out of names.
    click.echo(with_verdicts(table), nl=False, color=True)


def output_options(command: F) -> F:
    """--format and -o, handed on as ``output``."""

    @functools.wraps(command)
    def with_output(*arguments: Any, format_: str | None, path: Path | None, **rest: Any) -> Any:
        output = Output.of(format_, path, settings().as_json)
        return command(*arguments, output=output, **rest)

    wrapped = click.option(
        "--output", "-o", "path", type=click.Path(path_type=Path), help="Write to a file instead."
    )(with_output)
    return click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        help="How to write rows [default: a table to read, or what the file's ending says].",
    )(wrapped)  # type: ignore[return-value]


def show(frame: pd.DataFrame | Rows) -> None:
    """Print a table in the format of the global options."""
    Output.of(None, None, settings().as_json).show(frame)


def resource_options(command: F) -> F:
    """--memory and --device, of commands that measure stored models again."""

    def size(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
        return None if text is None else read_bytes(text)

    for option in (
        click.option(
            "--device",
            default="cpu",
            show_default=True,
            metavar="DEVICE",
            help="Where models are measured again: cpu, cuda, cuda:1 or mps.",
        ),
        click.option(
            "--memory",
            callback=size,
            metavar="SIZE",
            help="Most the process may hold, such as 4GB: speed, never results.",
        ),
    ):
        command = option(command)
    return command


def read_bytes(text: str) -> float:
    """``4GB``, ``4GiB``, ``500 MB`` or a plain number of bytes, as bytes.

    A step is 1000, with an i 1024.

    Raises
    ------
    UsageError
        Anything else.
    """
    found = re.fullmatch(
        r"\s*(\d+(?:\.\d+)?)\s*(?:([kMGT])(i?))?B?\s*", text, re.IGNORECASE | re.ASCII
    )
    if found is None:
        raise UsageError(f"--memory {text!r}: write it as 4GB, 4GiB or 500MB")
    step = 1024.0 if found[3] else 1000.0
    return float(found[1]) * step ** " KMGT".index((found[2] or " ").upper())


def read_seconds(text: str) -> float:
    """``90s``, ``10m``, ``1.5h`` or a plain number of seconds, as seconds.

    Raises
    ------
    UsageError
        Anything else, or no time at all.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text, re.IGNORECASE | re.ASCII)
    if found is None or float(found[1]) == 0:
        raise UsageError(f"--budget {text!r}: write it as 90s, 10m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2].lower()]


def key_values(pairs: tuple[str, ...]) -> Mapping[str, str]:
    """``k=v`` options as a mapping; values may hold anything, ``=`` included.

    Raises
    ------
    UsageError
        No ``=``, or no name before it.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"--param {pair!r}: write it as name=value")
        found[key] = value
    return found
