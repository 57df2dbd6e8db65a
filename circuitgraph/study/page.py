"""The study's page: every number on it stands in one of the tables beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from circuitgraph.base.progress import human_seconds
from circuitgraph.games.payoffs import STATES
from circuitgraph.games.rewards import NULLS
from circuitgraph.study.answers import answers
from circuitgraph.study.design import Design
from circuitgraph.study.levels import shown
from circuitgraph.study.statements import verdicts
from circuitgraph.study.tables import Tables

GRADES = (
    "Grades: **firm**: evidence ok, no claim on null pairs, exact numbers, recipes learnt in three "
    "of four seeds; **moderate**: one of these is missing, and null pairs claim at most a tenth as "
    "many edges; **weak**: they claim more or were not run, or fewer than ten random choices stand "
    "beside; **none**: insufficient, not run, or nothing can be told."
)


def page(
    design: Design, tables: Tables, told: Mapping[str, str], costs: Mapping[str, float],
    missing: Sequence[str], notes: str = "",
) -> str:  # fmt: skip
    """The page in Markdown.

    Parameters
    ----------
    design
        What was run.
    tables
        All results.
    told
        What the reader must know of the model and prompts, by name.
    costs
        CPU seconds by step.
    missing
        What was not run.
    notes
        A part written by hand, in Markdown, which stands first.
    """
    parts = [
        "# What moral fine-tuning rewired", _head(design, told), notes.strip(),
        "## Answers",
        *_answers(tables), GRADES, "## Published statements", _statements(tables),
        "## What the variants decide", _behaviour(tables), "## Comparisons", *_compared(tables),
        "## Component by component", _components(tables), "## Level by level", _levels(tables),
        "## Parts trained alone", _parts(tables), *_more(tables),
        "## Costs", _costs(costs, design.device), "## Not run", _missing(missing),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(frame: pd.DataFrame) -> str:
    """A table, numbers short."""
    if frame.empty:
        return "Not run."
    head = "| " + " | ".join(map(str, frame.columns)) + " |"
    lines = [head, "|" + " --- |" * len(frame.columns)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def _under(lead: str, frame: pd.DataFrame) -> str:
    """A table under a paragraph; ``Not run.`` without rows."""
    return markdown(frame) if frame.empty else f"{lead}\n\n{markdown(frame)}"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value == int(value) and abs(value) >= 2 else f"{value:.3g}"
    return str(value).replace("|", "\\|")


def _head(design: Design, told: Mapping[str, str]) -> str:
    facts = " ".join(f"{name}: {value}." for name, value in told.items())
    return (
        f"Written by `circuitgraph study`; numbers are those of the CSV files in `study/`. {facts} "
        f"Four recipes and two nulls, {design.seeds} seeds each (docs/lab.md). An effect is the "
        "change of the decision C against D when one component reads another's output from the "
        "run in which the other player's last move was the opposite; a share is of the norm of "
        "all effects of a variant. So what is compared is how variants use that move."
    )


def _answers(tables: Tables) -> Iterator[str]:
    for answer in answers(tables):
        yield f"### {answer.name}: {answer.question}"
        yield answer.words
        yield f"Evidence: **{answer.grade}**."


def _statements(tables: Tables) -> str:
    lead = "Said of Gemma-2-2b; held against this model, whose variants are others."
    return _under(lead, pd.DataFrame(verdicts(tables)))


def _behaviour(tables: Tables) -> str:
    rows = tables["behaviour"]
    if rows.empty:
        return "Not run."
    whole = rows[rows["part"] == "whole"]
    found = []
    for recipe, own in whole.groupby("recipe", sort=False):
        seeds = own.drop_duplicates("seed")
        row = {"recipe": recipe, "seeds": len(seeds)}
        row["learnt"] = "null" if recipe in NULLS else str(int((seeds["learnt"] == "yes").sum()))
        row["as asked"] = "" if recipe in NULLS else str(_as_asked(own))
        for state in STATES:
            p = own.loc[own["state"] == state, "p"]
            row[state] = f"{p.mean():.3f} ({p.min():.3f} to {p.max():.3f})"
        row["legal"] = float(own["legal"].min())
        row["CPU s a seed"] = float(seeds["cpu_seconds"].mean())
        found.append(row)
    base = whole.groupby("state")["base"].mean()
    told = ", ".join(f"{state} {base[state]:.3f}" for state in STATES if state in base)
    return (
        "P(cooperate) on wordings held out of training, by own and other's last move: mean over "
        f"seeds, with the lowest and highest seed. The base: {told}. *Learnt*: every state's mean "
        "within 0.1 of a target that is a decision and 0.2 of one that is not, 90% legal answers, "
        "and nearer to the target than the base; *as asked*: the move asked for is the likelier "
        "one in every state that asks for one.\n\n" + markdown(pd.DataFrame(found))
    )


def _as_asked(own: pd.DataFrame) -> int:
    """Seeds that prefer the target move in every state that has one."""
    decided = own[(own["target"] - 0.5).abs() > 0.25]
    right = (decided["p"] > 0.5) == (decided["target"] > 0.5)
    return int(right.groupby(decided["seed"]).all().sum())


def _compared(tables: Tables) -> Iterator[str]:
    rows = tables["comparisons"]
    if rows.empty:
        yield "Not run."
        return
    shown = [
        "role",
        "a",
        "b",
        "numbers",
        "testable",
        "claims",
        "lost",
        "gained",
        "sign_flip",
        "rewired",
    ]
    more = {"effect": ["unchanged", "alike"], "correlation": ["bare_cut"], "wiring": []}
    for keys, own in rows.groupby(["granularity", "lens", "scope"], sort=False):
        where, lens, scope = map(str, keys)
        counted = sorted(set(own["evidence"]))
        yield f"{lens}, {where}, scope {scope}; evidence {', '.join(counted)}:"
        yield markdown(
            own[[*shown, *more[lens], "least_alone", "most_alone"]].dropna(axis=1, how="all")
        )


def _components(tables: Tables) -> str:
    return _under(
        "Direct contributions of components (attention and MLP of every layer) to the decision, in "
        "logits. *alike* is Pearson's r over components, which published work calls how similar "
        "two models are; *largest* is the component that changed most, in either case beside "
        "nulls and two seeds of one recipe.",
        tables["components"],
    )


def _levels(tables: Tables) -> str:
    rows = tables["levels"]
    return _under(
        "How alike two variants are by weights, attention, behaviour and interactions, beside the "
        "pair of nulls and the two seeds of one recipe that are least alike (docs/components.md). "
        "What is 99.9% alike says nothing by itself: *verdict* says whether nulls are as far "
        "apart. `levels.csv` has 1 − alike.",
        rows if rows.empty else shown(rows),
    )


def _parts(tables: Tables) -> str:
    return markdown(tables["parts"].drop(columns=["cpu_seconds"], errors="ignore"))


def _more(tables: Tables) -> Iterator[str]:
    titles = {
        "claims": "Largest claims",
        "hubs": "Hubs of change",
        "mechanism": "Why effects changed",
        "patches": "Components of one variant in another's run",
        "fates": "What became of the strategic variants' edges",
    }
    for name, title in titles.items():
        yield f"## {title}"
        yield markdown(tables[name])


def _costs(costs: Mapping[str, float], device: str) -> str:
    if not costs:
        return "Not kept."
    rows = [{"step": name, "CPU s": f"{spent:.0f}"} for name, spent in costs.items()]
    total = human_seconds(sum(costs.values()))
    where = "One thread" if device == "cpu" else f"Models on {device}; of the host's processors"
    return f"{where}; {total} of processor time in all.\n\n{markdown(pd.DataFrame(rows))}"


def _missing(missing: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in missing) or "Nothing that was planned."
