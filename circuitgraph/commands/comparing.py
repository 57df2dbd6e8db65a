"""Commands that compare: diff, compare, explain, hubs, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from circuitgraph.commands.options import global_options, output_options, settings, show
from circuitgraph.diff.record import Diff
from circuitgraph.report.words import summary_lines

F = TypeVar("F", bound=Callable[..., Any])
INSUFFICIENT = 3


def diff_options(command: F) -> F:
    """The options of every comparison."""
    for option in (
        click.option("--seed", type=int, default=0, show_default=True, help="Of the yardstick."),
        click.option("--fdr", type=click.Choice(["bh", "by"]), default="bh", show_default=True),
        click.option("--rank", is_flag=True, help="Correlations of normal scores."),
        click.option(
            "--scale",
            type=click.Choice(["share", "logit"]),
            default="share",
            show_default=True,
            help="Effects as shares of the overall effect, or in the decision's units.",
        ),
        click.option(
            "--margin",
            type=float,
            help="Smallest change that matters [default: 0.1 of r; 0.01 of effect shares].",
        ),
        click.option(
            "--alpha", type=float, default=0.05, show_default=True, help="False discovery rate."
        ),
        click.option("--lens", type=click.Choice(["correlation", "effect"]), help="What changes."),
    ):
        command = option(command)
    return command


def scope_option(command: F) -> F:
    """--scope."""
    return click.option(
        "--scope",
        type=click.Choice(["checkpoint", "recipe"]),
        default="checkpoint",
        show_default=True,
        help="These two models differ, or this training does it (needs replicates).",
    )(command)


@click.command()
@click.argument("a")
@click.argument("b")
@scope_option
@click.option(
    "--null", multiple=True, metavar="A:B", help="A pair known not to differ; repeatable."
)
@click.option("--run", metavar="A_ID:B_ID", help="Choose among several runs.")
@diff_options
@output_options
@global_options
def diff(a: str, b: str, format_: str | None, output: Path | None, **options: Any) -> int:
    """Which edges differ between two variants, which do not, and when nobody can tell.

    At --scope recipe A and B name recipes, single variants, or several with commas.
    Exit code 3 means the evidence is insufficient for any claim.

    \b
    Example:
      circuitgraph diff base tuned --null base:control
      circuitgraph diff honest deceptive --scope recipe -o rewired.parquet
    """
    result = settings().open().diff(a, b, **options)
    show(result.table, format_, output)
    return _finish(result)


@click.command()
@click.argument("base")
@click.argument("variants", nargs=-1, required=True)
@diff_options
@output_options
@global_options
def compare(
    base: str, variants: tuple[str, ...], format_: str | None, output: Path | None, **options: Any
) -> int:
    """Many variants against one base: what all share, what one recipe alone does.

    \b
    Example:
      circuitgraph compare base tuned-0 tuned-1 other-0
    """
    result = settings().open().compare(base, variants, **options)
    show(result.table, format_, output)
    for found in result.diffs.values():
        settings().reporter.remark(summary_lines(found)[0])
    return INSUFFICIENT if all(d.insufficient for d in result.diffs.values()) else 0


@click.command()
@click.argument("source")
@click.argument("target")
@click.argument("a")
@click.argument("b")
@scope_option
@diff_options
@output_options
@global_options
def explain(
    source: str,
    target: str,
    a: str,
    b: str,
    format_: str | None,
    output: Path | None,
    **options: Any,
) -> None:
    """One edge in two variants: per scenario, per prompt, and in words.

    The words are printed; --format and -o give the values per prompt.

    \b
    Example:
      circuitgraph explain L0H2 L1H0 base tuned
    """
    found = settings().open().explain(source, target, a, b, **options)
    if format_ is None and output is None and not settings().as_json:
        click.echo(found.text)
        click.echo("")
        show(found.per_scenario, "table", None)
        return
    show(found.per_prompt, format_, output)


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@click.option("--kind", type=click.Choice(["correlation", "effect"]), help="Which edges.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the resamples.")
@click.option("--samples", type=click.IntRange(20), default=200, show_default=True)
@output_options
@global_options
def hubs(
    name: str, other: str | None, format_: str | None, output: Path | None, **options: Any
) -> int:
    """Components by signed strength, with the ranks that resampling allows.

    With OTHER, both variants side by side: a hub changed where rank intervals do not
    overlap. Exit code 3 means the evidence is insufficient for that.

    \b
    Example:
      circuitgraph hubs base tuned
    """
    table = settings().open().hubs(name, other, **options)
    show(table, format_, output)
    evidence = table.attrs.get("evidence", "ok")
    if evidence != "ok":
        settings().reporter.remark(
            f"evidence is {evidence}: n_effective {table.attrs['n_effective']}"
        )
    return INSUFFICIENT if other is not None and evidence == "insufficient" else 0


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="HTML file.")
@scope_option
@click.option(
    "--null", multiple=True, metavar="A:B", help="A pair known not to differ; repeatable."
)
@diff_options
@global_options
def report(a: str, b: str, output: Path, **options: Any) -> int:
    """A self-contained HTML page: what was rewired, what was only noise.

    \b
    Example:
      circuitgraph report base tuned -o report.html
    """
    result = settings().open().report(a, b, output, **options)
    return _finish(result)


def _finish(result: Diff) -> int:
    for line in summary_lines(result):
        settings().reporter.remark(line)
    return INSUFFICIENT if result.insufficient else 0


COMMANDS = (diff, compare, explain, hubs, report)
