"""The command line: parse, one library call, print.

Data goes to stdout, progress and remarks to stderr. Exit codes: 0 done, 1 failed,
2 wrong use, 3 done but the evidence is insufficient for any claim, 4 store unreachable.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from circuitgraph.commands import catalogue, comparing, exporting, ingesting, looking
from circuitgraph.commands.options import global_options
from circuitgraph.errors import CircuitGraphError

# More threads than cores free make OpenMP spin; waiting threads should sleep instead.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CIRCUITGRAPH"},
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


for module in (ingesting, comparing, looking, catalogue, exporting):
    for command in module.COMMANDS:
        cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; errors become one line on stderr and an exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        result = cli.main(args=words, prog_name="circuitgraph", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted; the same command again goes on where this one stopped", 130)
    except click.ClickException as error:
        _show_trace(debug)
        error.show(sys.stderr)
        return error.exit_code
    except CircuitGraphError as error:
        _show_trace(debug)
        return _failed(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        _show_trace(debug)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _failed(f"unexpected {what} (--debug shows where; please report it)", 1)


def _failed(message: str, code: int) -> int:
    line = " ".join(message.split())
    click.echo(f"error: {line}", err=True)
    return code


def _show_trace(debug: bool) -> None:
    if debug:
        traceback.print_exc()


if __name__ == "__main__":
    main()
