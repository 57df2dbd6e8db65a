"""Commands that compare: diff, compare, explain, hubs, report."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from circuitgraph.base.errors import ConditionMet
from circuitgraph.base.textfiles import expanded
from circuitgraph.commands.hints import after_diff
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    remark,
    resource_options,
    settings,
)
from circuitgraph.commands.terminal import painted
from circuitgraph.commands.typed import SEVERAL, options_of
from circuitgraph.commands.views import (
    change_hubs_view,
    compare_view,
    diff_view,
    hubs_view,
    scenarios_view,
)
from circuitgraph.lenses.registry import lens_names
from circuitgraph.report.files import page_name, require_own
from circuitgraph.report.words import headline, summary_lines
from circuitgraph.workspace import Workspace

if TYPE_CHECKING:
    from circuitgraph.workspace.diffs import Of

F = TypeVar("F", bound=Callable[..., Any])
INSUFFICIENT = 3


LENS = click.Choice(lens_names())
scope_option = options_of(Workspace.diff, "scope")
mechanism_option = options_of(
    Workspace.diff, "mechanism", mechanism={"flags": ("--mechanism/--no-mechanism",)}
)
null_option = options_of(
    Workspace.diff,
    "null",
    null=SEVERAL | {"metavar": "A:B|random[:K]", "default": ()},
)
diff_options = options_of(
    Workspace.diff,
    *("lens", "alpha", "margin", "scale", "rank", "fdr", "form", "shared_basis", "seed"),
    lens={"type": LENS},
)


@click.command()
@click.argument("a")
@click.argument("b")
@scope_option
@null_option
@mechanism_option
@options_of(Workspace.diff, "run", run={"metavar": "A_ID:B_ID"})
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(["claims", "insufficient"]),
    help="Exit with 1 on any claim, or on insufficient evidence; repeatable.",
)
@diff_options
@resource_options
@output_options
@global_options
def diff(a: str, b: str, output: Output, fail_on: tuple[str, ...], **options: Any) -> int:
    """Which edges differ between two variants, and whether the evidence suffices to tell.

    At --scope recipe A and B are recipes, single variants, or several with commas. Exit code
    3: the evidence is insufficient for any claim; 1: a condition of --fail-on is met.

    \b
    Example:
      circuitgraph diff base tuned --null base:control
      circuitgraph diff base tuned --null random:8 --fail-on claims
      circuitgraph diff base tuned --lens wiring
      circuitgraph diff honest deceptive --scope recipe -o rewired.parquet
    """
    workspace = settings().open()
    result = workspace.diff(a, b, **options)
    first, *others = summary_lines(result)
    remark(painted(first, sys.stderr, bold=True))
    output.view(result.table, partial(diff_view, result), workspace.diff_path(result))
    remark(*others)
    after_diff(result, options["lens"])
    findings = {"claims": result.summary["n_claims"] > 0, "insufficient": result.insufficient}
    if found := [name for name in fail_on if findings[name]]:
        raise ConditionMet(f"``fail_on``: {', '.join(found)}")
    return INSUFFICIENT if result.insufficient else 0


@click.command()
@click.argument("base")
@click.argument("variants", nargs=-1, required=True)
@diff_options
@resource_options
@output_options
@global_options
def compare(base: str, variants: tuple[str, ...], output: Output, **options: Any) -> int:
    """Many variants against one base: which changes they share, and which only one has.

    shared: claimed in several with one sign; opposite: with both signs; only in X: claimed
    for X alone, and specific if its difference from every other variant passes the same
    test beyond the margin.

    \b
    Example:
      circuitgraph compare base tuned-0 tuned-1 other-0
    """
    result = settings().open().compare(base, variants, **options)
    output.view(result.table, partial(compare_view, result))
    remark(*map(headline, result.diffs.values()), *result.remarks)
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
    """One edge in two variants: in words, per scenario, and per prompt.

    Prints the words and the means per scenario; --format csv or json and -o give the
    values per prompt.

    \b
    Example:
      circuitgraph explain L0H2 L1H0 base tuned
    """
    found = settings().open().explain(source, target, a, b, **options)
    if output.for_reading:
        prose([*found.text.split("\n"), ""])
    output.view(found.per_prompt, partial(scenarios_view, found))


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@options_of(
    Workspace.hubs,
    *("kind", "seed", "samples", "of", "direction"),
    kind={"type": LENS, "flags": ("--kind", "--lens")},
    samples={"type": click.IntRange(20)},
    direction={"default": None},
)
@output_options
@global_options
def hubs(name: str, other: str | None, output: Output, of: Of, **options: Any) -> int:
    """Components by signed strength, with bootstrap intervals of their ranks.

    With OTHER, both variants side by side: a hub changed where the rank intervals do not
    overlap and its share of all strength changed too. --of change lists components at which
    more edges differ than by chance (difference degree test). Exit code 3: the evidence is
    insufficient for that.

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
    output.view(table, partial(change_hubs_view if of == "change" else hubs_view, table))
    estimator = table.attrs.get("estimator", "")
    if estimator not in ("", "exact", "imported"):
        remark(
            f"strengths are sums of estimates ({estimator}); exact effects, which a diff measures "
            "of its claims and the strongest edges, are left out, so that all edges are alike"
        )
    evidence = table.attrs["evidence"]
    if evidence != "ok":
        remark(f"evidence is {evidence}: n_effective {table.attrs['n_effective']}")
    return INSUFFICIENT if other is not None and evidence == "insufficient" else 0


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="HTML file [default: report-A-vs-B.html here, with lens and scope where these are given].",
)
@click.option("--open", "browser", is_flag=True, help="Open the page in the browser.")
@scope_option
@null_option
@mechanism_option
@diff_options
@resource_options
@global_options
def report(a: str, b: str, output: Path | None, browser: bool, **options: Any) -> int:
    """A self-contained HTML page about a diff: its claims, and the controls for noise.

    Without -o an earlier page of that name is replaced, any other file never. Exit code 3: the
    evidence is insufficient for any claim; the page says so.

    \b
    Example:
      circuitgraph report base tuned --open
      circuitgraph report base tuned -o report.html
    """
    page = _own_name(a, b, options) if output is None else output
    result = settings().open().report(a, b, page, **options)
    remark(f"page written to {page}")
    if browser and not webbrowser.open(expanded(page).absolute().as_uri()):
        remark("there is no browser to open it in")
    remark(*summary_lines(result))
    return INSUFFICIENT if result.insufficient else 0


def _own_name(a: str, b: str, options: Mapping[str, Any]) -> Path:
    """A free name in this folder, or that of an earlier page of the same question."""
    scope = options["scope"] if options["scope"] != "checkpoint" else None
    page = Path(page_name(a, b, *filter(None, (options["lens"], scope))))
    require_own(page)
    return page


COMMANDS = (diff, compare, explain, hubs, report)
