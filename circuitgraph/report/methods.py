"""What a paper needs of a diff: how it was made, what was not checked, how to cite the tool."""

from __future__ import annotations

from importlib.metadata import version

from circuitgraph.base.errors import short
from circuitgraph.diff.record import Diff
from circuitgraph.runs.record import Run

_LENS = {
    "effect": (
        "Edges are effects on the decision (log-probability of the answer minus that of the wrong "
        "answer) when the receiver alone reads the sender's contribution from the corrupt prompt"
    ),
    "correlation": (
        "Edges are correlations of two components' activity over prompts of the same scenario"
    ),
    "wiring": (
        "Edges are what a receiver's weights read of a sender, given the same signal in both models"
    ),
}
_TEST = {
    "checkpoint": (
        "Changes were tested prompt by prompt, scenarios weighing alike, against the hypothesis "
        "that they do not exceed a margin of {margin:.3g}"
    ),
    "recipe": (
        "Changes were tested over replicates with moderated variances (Smyth 2004) and "
        "Welch-Satterthwaite degrees of freedom, against a margin of {margin:.3g}"
    ),
}
_NOT_CHECKED = {
    "effect": (
        "that the corrupt prompts differ from the clean ones in what is meant, and in nothing else",
        "that the effect of one edge alone says what it does together with others (see blocks)",
    ),
    "correlation": (
        "that components which vary together are connected: a common input suffices",
        "that the relation is linear, unless normal scores were asked for",
    ),
    "wiring": (
        "that signals of these prompts are those that matter elsewhere",
        "that norms, which are held fixed, play no part in the change",
    ),
}
_ALWAYS = (
    "that the prompts stand for the population a reader thinks of: claims are about prompts like "
    "these",
    "that prompts of one scenario are independent of each other once the scenario is taken out",
)


def methods(diff: Diff) -> str:
    """A paragraph for the methods section of a paper, with every setting."""
    told = diff.summary
    lens = _LENS.get(diff.lens, f"Edges are those of the lens {diff.lens}")
    test = _TEST.get(diff.scope, "Changes were tested against a margin of {margin:.3g}")
    own = ", ".join(f"{name} {value}" for name, value in sorted(diff.own.items()) if value)
    fdr = {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}[diff.fdr]
    sentences = [
        f"{short(diff.a)} and {short(diff.b)} were compared with circuitgraph "
        f"{version('circuitgraph')} ({diff.lens} lens{f', {own}' if own else ''}, {diff.scope} "
        f"scope)",
        lens,
        _measured(diff.runs_a[0]),
        f"There were {told['n']} distinct prompts in {told['n_scenarios']} scenarios (n effective "
        f"{told['n_effective']}, evidence {told['evidence']})",
        test.format(margin=diff.margin) + f" ({told['units']['delta']})",
        f"{told['n_testable']} of {told['n_edges']} edges could be tested; {fdr} at "
        f"{diff.alpha:.3g} left {told['n_claims']} claims",
        *_variants(diff),
        f"Seed {diff.seed}; diff {diff.id[:16]}",
    ]
    return ". ".join(sentences) + "."


def _measured(run: Run) -> str:
    method = run.method
    how = [f"{method.granularity} granularity", f"{method.inputs} inputs"]
    if run.kind == "effect":
        how += [f"estimator {method.estimator}", f"ablation {method.ablation}"]
    else:
        how += [f"activity {method.activity}"]
    return f"They were measured at {', '.join(how)}"


def _variants(diff: Diff) -> list[str]:
    sides = ((diff.a, diff.runs_a), (diff.b, diff.runs_b))
    return [
        f"{short(name)}: {len(runs)} variants ({', '.join(short(r.variant.name) for r in runs)})"
        for name, runs in sides
        if len(runs) > 1
    ]


def not_checked(diff: Diff) -> tuple[str, ...]:
    """Assumptions that the numbers rest on and that no part of the tool tested."""
    return (*_NOT_CHECKED.get(diff.lens, ()), *_ALWAYS)


def bibtex() -> str:
    """An entry that cites the tool in the version that was used."""
    return (
        "@software{circuitgraph,\n"
        "  title = {circuitgraph: what fine-tuning rewires, as graphs},\n"
        f"  version = {{{version('circuitgraph')}}},\n"
        "  year = {2026},\n"
        "  license = {Apache-2.0}\n"
        "}"
    )
