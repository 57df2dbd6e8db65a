"""The command line: parse, one library call, print.

Data goes to stdout, progress and remarks to stderr. Exit codes: 0 done, 1 failed,
2 wrong use, 3 done but the evidence is insufficient for any claim, 4 store unreachable.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections import UserDict
from collections.abc import Iterator, Sequence
from importlib import import_module

import click

from circuitgraph.base.errors import CircuitGraphError, short
from circuitgraph.commands import SECTIONS
from circuitgraph.commands.options import Settings, global_options
from circuitgraph.commands.terminal import fitted, painted
from circuitgraph.commands.typed import in_flags

# More threads than cores free make OpenMP spin; waiting threads should sleep instead.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

LONGEST = 1000
"""Characters of an error's line."""


PLACES = {name: place for section in SECTIONS.values() for name, place in section.items()}


class Commands(UserDict[str, click.Command]):
    """Commands by name, imported on demand.

    Tables, engines and stores take seconds to import, help and most commands need none.
    """

    def __getitem__(self, name: str) -> click.Command:
        module, line = PLACES[name]
        commands = import_module(f"circuitgraph.commands.{module}").COMMANDS
        command: click.Command = next(each for each in commands if each.name == name)
        command.short_help = line
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __contains__(self, name: object) -> bool:
        return name in PLACES


class Sections(click.Group):
    """The main command, with commands in sections."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return list(PLACES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list per section, from ``SECTIONS``."""
        widest = max(map(len, PLACES))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                rows = [(name.ljust(widest), line) for name, (_, line) in section.items()]
                formatter.write_dl(rows)


@click.group(
    cls=Sections,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: circuitgraph demo",
)
@click.version_option(package_name="circuitgraph", message="circuitgraph %(version)s")
@global_options
def cli() -> None:
    """What did fine-tuning rewire?

    Turns a base model and its fine-tuned variants into graphs of components, keeps them
    in a graph database, and says which differences are real, which are noise, and when
    it cannot tell.

    \b
    Example:
      circuitgraph ingest ./base --name base --prompts prompts.jsonl
      circuitgraph ingest ./base --adapter ./lora --name tuned --prompts prompts.jsonl
      circuitgraph diff base tuned
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # names may hold anything, wherever this runs
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; errors become one line on stderr and an exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    shared: dict[str, Settings] = {}
    try:
        result = cli.main(words, prog_name="circuitgraph", standalone_mode=False, obj=shared)
        return result if isinstance(result, int) else 0
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted; the same command again goes on where this one stopped", 130)
    except SystemExit:
        return 0  # click's way to stop: completion is done, or nobody reads on
    except Exception as error:
        if shared.get("settings", Settings()).debug:
            traceback.print_exc()
        return _failed(*_told(error))


def _told(error: Exception) -> tuple[str, int]:
    """Message and exit code of an error."""
    if isinstance(error, CircuitGraphError):
        return in_flags(str(error)), error.exit_code
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "circuitgraph"
        return f"{error.format_message().rstrip('.')}; {path} --help shows how", error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        where, why = short(str(error.filename), 200), error.strerror.lower()
        return f"{where}: {why}; mend that, or name another file or folder", 1
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return "the output: no space left where it is written to; free some, or use -o FILE", 1
    what = f"unexpected {type(error).__name__}: {error}"
    return f"{what} (--debug shows where; please report it)", 1


def _failed(message: str, code: int) -> int:
    line = fitted(f"error: {short(' '.join(message.split()), LONGEST)}", sys.stderr)
    label = painted("error:", sys.stderr, fg="red", bold=True)
    click.echo(line.replace("error:", label, 1), err=True)
    return code


if __name__ == "__main__":
    main()
