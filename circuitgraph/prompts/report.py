"""``prompts check`` without a model: how many prompts count, and their power."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from circuitgraph.base.components import EdgeKind
from circuitgraph.base.errors import quoted
from circuitgraph.prompts.pairs import counted, exchanged_in_words, observed
from circuitgraph.prompts.record import Prompt, PromptSet
from circuitgraph.stats.evidence import THRESHOLDS, evidence
from circuitgraph.stats.power import visible_on_typical_edge

SIGN_FLIP_PROMPTS = 100
ACROSS_SCENARIOS = 20

_SHOWN_LINES = 5
_SHOWN_SCENARIOS = 8


@dataclass(frozen=True)
class LensReport:
    """Power of the prompts for one lens.

    Attributes
    ----------
    n, n_scenarios, n_effective : int
        Distinct prompts, their scenarios, and the difference of the two.
    duplicates : int
    evidence : {"ok", "low", "insufficient"}
    detectable : float, optional
        Smallest change between two models that is claimed four times in five on a typical edge
        (see :func:`circuitgraph.stats.power.visible_on_typical_edge`): of r, or of the share of
        the norm of all edge effects.
    sign_floor : float
        Smallest p a sign test over scenarios can reach.
    """

    lens: EdgeKind
    n: int
    n_scenarios: int
    n_effective: int
    duplicates: int
    evidence: str
    detectable: float | None
    sign_floor: float

    @property
    def counts(self) -> str:
        """``120 distinct prompts − 5 scenarios = 115 effective``."""
        parts = f"{self.n} distinct prompts − {_plural(self.n_scenarios, 'scenario')}"
        return f"{parts} = {self.n_effective} effective"

    @property
    def shows(self) -> str:
        """What can be found, in words."""
        insufficient, low = THRESHOLDS[self.lens]
        if self.evidence == "insufficient":
            return f"insufficient: no claim is possible below {insufficient}; add prompts"
        change = {
            "correlation": f"a change of r by {self.detectable:.2f}",
            "effect": f"a change by {self.detectable:.3f} of the norm of all edge effects",
        }[self.lens]
        found = f"{change} is claimed 4 times in 5 on an edge as noisy as plan assumes"
        return f"low ({low} advised): {found}" if self.evidence == "low" else found

    @property
    def scope(self) -> str:
        """Whether claims extend beyond these scenarios."""
        if self.n_scenarios >= ACROSS_SCENARIOS:
            return f"{self.n_scenarios} scenarios can also stand for other scenarios like these"
        return (
            f"claims hold for these scenarios only; others need {ACROSS_SCENARIOS} of them (a sign "
            f"test over {self.n_scenarios} cannot fall below p = {self.sign_floor:.2g})"
        )


@dataclass(frozen=True)
class PromptReport:
    """Report on a prompt file without a model.

    Attributes
    ----------
    rows : int
        Prompts, duplicates included.
    scenarios, templates : mapping
        Number of prompts of each, by name.
    directions : {"given", "from totals", ""}
        "" without corrupt twins.
    marked : int
        Prompts whose differing words are marked (``span``, ``corrupt_span``).
    lenses : one report for each lens the file can serve
    findings : sentences
    """

    source: str
    rows: int
    scenarios: Mapping[str, int]
    templates: Mapping[str, int]
    directions: str
    marked: int
    lenses: tuple[LensReport, ...]
    findings: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report in words, a line each."""
        lines = [f"{self.source}: {self.rows} prompts in {_listed(self.scenarios)}"]
        if self.templates:
            lines.append(_plural(len(self.templates), "template"))
        if self.directions:
            lines.append(f"directions: {self.directions}")
        if self.marked:
            lines.append(f"differing words marked: {self.marked} of {self.rows} pairs")
        lines += [f"{lens.lens}: {lens.counts}; {lens.shows}" for lens in self.lenses]
        lines.append(f"scope: {self.lenses[0].scope}")
        return lines + [f"note: {finding}" for finding in self.findings]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        record = asdict(self)
        record["lenses"] = list(record["lenses"])
        record["findings"] = list(self.findings)
        return record


def check_text(prompts: PromptSet) -> PromptReport:
    """Report on a prompt file without a model or a tokenizer.

    Raises
    ------
    InputError
        Equal prompts that contradict each other (see :meth:`PromptSet.distinct`).
    """
    kinds = get_args(EdgeKind) if prompts.has_pairs else ("correlation",)
    lenses = tuple(_lens(prompts, kind) for kind in kinds)
    templates = Counter(p.template for p in prompts if p.template is not None)
    return PromptReport(
        source=prompts.source,
        rows=len(prompts),
        scenarios=prompts.scenarios,
        templates=dict(sorted(templates.items())),
        directions=_directions(prompts),
        marked=sum(p.span is not None for p in prompts),
        lenses=lenses,
        findings=tuple(_findings(prompts, lenses)),
    )


def _lens(prompts: PromptSet, kind: EdgeKind) -> LensReport:
    kept, duplicates = counted(prompts, kind)
    scenarios = len(kept.scenarios)
    effective = len(kept) - scenarios
    grade = evidence(kind, effective)
    visible = visible_on_typical_edge(kind, len(kept), scenarios)
    return LensReport(
        lens=kind,
        n=len(kept),
        n_scenarios=scenarios,
        n_effective=effective,
        duplicates=duplicates,
        evidence=grade,
        detectable=None if grade == "insufficient" else round(visible, 4),
        sign_floor=min(1.0, 2.0 ** (1 - scenarios)),
    )


def _directions(prompts: PromptSet) -> str:
    if not prompts.has_pairs:
        return ""
    given = sum(p.direction is not None for p in prompts)
    return "given" if given == len(prompts) else "from totals"


def _findings(prompts: PromptSet, lenses: tuple[LensReport, ...]) -> list[str]:
    found = [prompts.misspelt] if prompts.misspelt else []
    others = [name for name, meant in prompts.unread if not meant]
    if others:
        found.append(f"columns not read: {', '.join(map(repr, others))[:300]}")
    found += [
        f"{lens.duplicates} of {len(prompts)} prompts repeat an earlier one; for the "
        f"{lens.lens} lens they are dropped"
        for lens in lenses
        if lens.duplicates
    ]
    sizes = prompts.distinct("correlation")[0].scenarios
    singles = [name for name, size in sizes.items() if size == 1]
    if singles:
        found.append(
            f"{len(singles)} of {_plural(len(sizes), 'scenario')} have one distinct prompt "
            f"({quoted(singles[0])}) and add nothing within scenarios; add paraphrases or merge "
            "them"
        )
    if lenses[0].evidence != "insufficient" and lenses[0].n_effective < SIGN_FLIP_PROMPTS:
        found.append(f"sign flips of correlations want about {SIGN_FLIP_PROMPTS} effective prompts")
    return found + _pair_findings(prompts)


def _pair_findings(prompts: PromptSet) -> list[str]:
    found = _both_ways(prompts)
    if not prompts.has_answers:
        found.append(f"no {prompts.lacking}: effects cannot be measured")
    if prompts.has_answers and not prompts.has_pairs:
        found.append(
            'no corrupt: effects can only be measured with ``ablation="mean"`` or '
            '``ablation="zero"``'
        )
    blank = [p for p in prompts if p.answer is not None and p.prompt[-1] in " \t"]
    if blank:
        found.append(
            f"prompt ends in a blank on {_lines(blank)}: most tokenizers join it with the word "
            "after it; end the prompt before the blank and begin the answers with it"
        )
    same = [p for p in prompts if p.corrupt == p.prompt]
    if same:
        found.append(f"corrupt equals prompt on {_lines(same)}: every effect there is 0")
    bare = [p for p in prompts if prompts.has_pairs and p.direction is None]
    if bare:
        found.append(
            f"no direction on {_lines(bare)}: the sign of each scenario's total in the base (else "
            "in the first run), kept with the prompts, will stand in for it; without, means cancel"
        )
    return found


def _both_ways(prompts: PromptSet) -> list[str]:
    if not prompts.has_pairs:
        return []
    kept = prompts.distinct("effect")[0]
    own = observed(kept)
    lost = set(kept.scenarios) - set(own.scenarios)
    return exchanged_in_words(len(kept) - len(own), lost)


def _listed(scenarios: Mapping[str, int]) -> str:
    first = [f"{quoted(name)} {size}" for name, size in list(scenarios.items())[:_SHOWN_SCENARIOS]]
    more = ["…"] if len(scenarios) > _SHOWN_SCENARIOS else []
    return f"{_plural(len(scenarios), 'scenario')}: {', '.join(first + more)}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _lines(prompts: list[Prompt]) -> str:
    numbers = ", ".join(str(p.line) for p in prompts[:_SHOWN_LINES])
    more = f" and {len(prompts) - _SHOWN_LINES} more" if len(prompts) > _SHOWN_LINES else ""
    return f"{'line' if len(prompts) == 1 else 'lines'} {numbers}{more}"
