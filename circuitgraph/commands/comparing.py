"""Commands that compare: diff, compare, explain, hubs, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from circuitgraph.base.errors import ConditionMet
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    resource_options,
    settings,
    terminal_width,
)
from circuitgraph.commands.views import (
    change_hubs_view,
    compare_view,
    diff_view,
    hubs_view,
    scenarios_view,
)
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.registry import lens_names
from circuitgraph.report.words import headline, summary_lines

if TYPE_CHECKING:
    from circuitgraph.workspace.diffs import Of

F = TypeVar("F", bound=Callable[..., Any])
INSUFFICIENT = 3


def diff_options(command: F) -> F:
    """The options of every comparison."""
    for option in (
        click.option(
            "--seed",
            type=int,
            default=0,
            show_default=True,
            help="Seed of the bootstrap samples; wiring: of the random updates.",
        ),
        click.option(
            "--shared-basis",
            is_flag=True,
            help="Wiring lens: compare weights of models that are not adapters of one base nor "
            "look alike, on your word that their directions mean the same.",
        ),
        click.option(
            "--form",
            type=click.Choice(["weights", "functional"]),
            default="weights",
            show_default=True,
            help="Wiring lens: how weights act on common signals, or what receivers put out "
            "(blind to rewrites that keep the function).",
        ),
        click.option(
            "--fdr",
            type=click.Choice(["bh", "by"]),
            default="bh",
            show_default=True,
            help="Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence.",
        ),
        click.option(
            "--rank", is_flag=True, help="Correlation lens: normal scores of ranks, not values."
        ),
        click.option(
            "--scale",
            type=click.Choice(["share", "logit"]),
            default="share",
            show_default=True,
            help="Effect lens: shares of the norm of all edge effects, or log-odds.",
        ),
        click.option(
            "--margin",
            type=float,
            help="Smallest change that matters [default: 0.1 of r, 0.01 of effect shares, 0.02 "
            "of channels].",
        ),
        click.option(
            "--alpha", type=float, default=0.05, show_default=True, help="False discovery rate."
        ),
        click.option(
            "--lens",
            type=click.Choice(lens_names()),
            help="Which edges [default: effect where both have them, else correlation]; wiring "
            "compares the connections themselves and loads both models again.",
        ),
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
        help="Say that these two models differ, or that their training does it (needs three "
        "variants or more a side).",
    )(command)


def mechanism_option(command: F) -> F:
    """--no-mechanism."""
    return click.option(
        "--no-mechanism",
        "mechanism",
        flag_value=False,
        default=True,
        type=bool,
        help="Effect lens: leave unsaid why claimed effects changed (about a second a claim).",
    )(command)


def null_option(command: F) -> F:
    """--null."""
    return click.option(
        "--null",
        multiple=True,
        metavar="A:B|random[:K]",
        help="A pair known not to differ, or A moved K times (4) at random as far as B is from "
        "it: counts what the same test claims there; repeatable. Pairs stay with the diff; none "
        "drops those given before.",
    )(command)


@click.command()
@click.argument("a")
@click.argument("b")
@scope_option
@null_option
@mechanism_option
@click.option("--run", metavar="A_ID:B_ID", help="Choose among several runs by their ids.")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(["claims", "insufficient"]),
    help="Exit with 1 where any edge is claimed, or where nobody can tell; repeatable.",
)
@diff_options
@resource_options
@output_options
@global_options
def diff(a: str, b: str, output: Output, fail_on: tuple[str, ...], **options: Any) -> int:
    """Which edges differ between two variants, which do not, and when nobody can tell.

    At --scope recipe A and B name recipes, single variants, or several with commas.
    Exit code 3 means the evidence is insufficient for any claim; with --fail-on, 1 that what
    it names was found.

    \b
    Example:
      circuitgraph diff base tuned --null base:control
      circuitgraph diff base tuned --null random:8 --fail-on claims
      circuitgraph diff base tuned --lens wiring
      circuitgraph diff honest deceptive --scope recipe -o rewired.parquet
    """
    workspace = settings().open()
    result = workspace.diff(a, b, **options)
    if output.for_reading:
        click.echo(diff_view(result, terminal_width()), nl=False)
    else:
        output.show(result.table, workspace.diff_path(result))
    code = _finish(result)
    findings = {"claims": result.summary["n_claims"] > 0, "insufficient": result.insufficient}
    if found := [name for name in fail_on if findings[name]]:
        raise ConditionMet(f"``fail_on``: {', '.join(found)}")
    return code


@click.command()
@click.argument("base")
@click.argument("variants", nargs=-1, required=True)
@diff_options
@resource_options
@output_options
@global_options
def compare(base: str, variants: tuple[str, ...], output: Output, **options: Any) -> int:
    """Many variants against one base: what they share, what one of them alone does.

    shared: claimed in several, the change of one sign; opposite: of both signs; only in X:
    claimed there alone, and specific where its difference from every other variant passes
    the same test beyond the margin.

    \b
    Example:
      circuitgraph compare base tuned-0 tuned-1 other-0
    """
    result = settings().open().compare(base, variants, **options)
    if output.for_reading:
        click.echo(compare_view(result, terminal_width()), nl=False)
    else:
        output.show(result.table)
    for line in [*map(headline, result.diffs.values()), *result.remarks]:
        settings().reporter.remark(line)
    return INSUFFICIENT if all(d.insufficient for d in result.diffs.values()) else 0


@click.command()
@click.argument("source")
@click.argument("target")
@click.argument("a")
@click.argument("b")
@scope_option
@mechanism_option
@diff_options
@resource_options
@output_options
@global_options
def explain(source: str, target: str, a: str, b: str, output: Output, **options: Any) -> None:
    """One edge in two variants: in words, per scenario, and prompt by prompt.

    Printed are the words and the means per scenario; --format csv or json and -o give
    the values per prompt.

    \b
    Example:
      circuitgraph explain L0H2 L1H0 base tuned
    """
    found = settings().open().explain(source, target, a, b, **options)
    if not output.for_reading:
        output.show(found.per_prompt)
        return
    prose([*found.text.split("\n"), ""])
    click.echo(scenarios_view(found, terminal_width()), nl=False)


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@click.option(
    "--kind",
    type=click.Choice(lens_names()),
    help="Which edges [default: effect where there are such, else correlation]; wiring with "
    "--of change only.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap samples."
)
@click.option(
    "--samples",
    type=click.IntRange(20),
    default=200,
    show_default=True,
    help="Bootstrap samples of the prompts behind each interval.",
)
@click.option(
    "--of",
    type=click.Choice(["strength", "change"]),
    default="strength",
    show_default=True,
    help="Hubs by strength, or (of two variants) by how many of their edges changed.",
)
@click.option(
    "--direction",
    type=click.Choice(["both", "out", "in"]),
    help="--of change: count changed edges out of a component, into it, or both [default: both].",
)
@output_options
@global_options
def hubs(name: str, other: str | None, output: Output, of: Of, **options: Any) -> int:
    """Components by signed strength, with the ranks that resampling allows.

    With OTHER, both variants side by side: a hub changed where the rank intervals do not
    overlap and its share of all strength changed too. --of change asks at which components
    more edges differ than chance puts there (difference degree test). Exit code 3 means
    the evidence is insufficient for that.

    \b
    Example:
      circuitgraph hubs base
      circuitgraph hubs base tuned
      circuitgraph hubs base tuned --of change
    """
    direction = options.pop("direction")
    if of == "strength" and direction:
        raise click.UsageError("--direction applies to --of change only; leave it out")
    if of == "change":
        options["direction"] = direction or "both"
    table = settings().open().hubs(name, other, of=of, **options)
    if output.for_reading:
        view = change_hubs_view if of == "change" else hubs_view
        click.echo(view(table, terminal_width()), nl=False)
    else:
        output.show(table)
    evidence = table.attrs["evidence"]
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
@null_option
@mechanism_option
@diff_options
@resource_options
@global_options
def report(a: str, b: str, output: Path, **options: Any) -> int:
    """A self-contained HTML page: what was rewired, what was only noise.

    Exit code 3 means the evidence is insufficient for any claim; the page says so.

    \b
    Example:
      circuitgraph report base tuned -o report.html
    """
    result = settings().open().report(a, b, output, **options)
    settings().reporter.remark(f"page written to {output}")
    return _finish(result)


def _finish(result: Diff) -> int:
    for line in summary_lines(result):
        settings().reporter.remark(line)
    return INSUFFICIENT if result.insufficient else 0


COMMANDS = (diff, compare, explain, hubs, report)
