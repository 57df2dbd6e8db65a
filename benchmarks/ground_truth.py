"""Which measures find edges that truly changed: every lens and estimator on planted pairs.

A widened copy of the base in examples/ipd, six of some 200 reads switched off, on or
flipped, and random drift of every matrix (``circuitgraph.plant``). Measured over the edges
that a measure gives a number for, and averaged over pairs:

    auroc      of ranking changed above unchanged edges (within: into one receiver)
    ap         average precision, the area under the precision-recall curve
    p@k        precision among as many edges as changed
    fdr        mean share of false ones among the claims (0 where there are none)
    recall     share of the changed edges claimed

and beside them a control that knows which components changed and nothing of edges, and the
published practice, |Δr| > 0.3 over 15 prompts. Nulls: drift alone, rewrites that keep the
function, and a model against itself; told are the pairs with any claim.

    python benchmarks/ground_truth.py --seeds 5
    python benchmarks/ground_truth.py --quick
    python benchmarks/ground_truth.py --side write --seeds 3
    python benchmarks/ground_truth.py --consequential --seeds 3
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rankings import auroc, average_precision, precision_at, within

from circuitgraph import CircuitGraphError, PromptSet, Workspace, plant, read_prompts
from circuitgraph.diff import CLAIMS
from circuitgraph.plant.folders import read
from circuitgraph.plant.layout import joint_edges, outputs, readers_of, senders_to, views

IPD = Path(__file__).resolve().parent.parent / "examples" / "ipd"
DRIFTS = (0.0, 0.02, 0.1)
FORMS = ("weights", "functional")
ESTIMATORS = ("exact", "receiver-exact", "eap", "eap-ig")
EDGE = ["source", "target"]
FEW, CUT = 15, 0.3
STEP = 4
"""Effects and wiring are measured on every fourth prompt, correlations on all."""


@dataclass(frozen=True)
class Answer:
    """What one measure says of one pair.

    Attributes:
        method: its name.
        scores: one row an edge: source, target, score.
        claims: edges claimed, (source, target); None where the measure makes none.
    """

    method: str
    scores: pd.DataFrame
    claims: set[tuple[str, str]] | None


class Study:
    """One workspace, and what was put into it."""

    def __init__(
        self, folder: Path, prompts: PromptSet, forms: list[str], estimators: list[str]
    ) -> None:
        self.workspace = Workspace(folder / "workspace")
        self.prompts = prompts
        self.pairs = PromptSet(prompts.prompts[::STEP], "a quarter")
        self.few = PromptSet(tuple(_few(prompts)), "a few prompts")
        self.forms, self.estimators = forms, estimators
        self.runs: dict[tuple[str, str], str] = {}

    def take(self, name: str, folder: Path, *, null: bool = False) -> None:
        """Measure one model in every way; nulls by exact effects alone."""
        for estimator in self.estimators[:1] if null else self.estimators:
            options: dict[str, Any] = {"edges": ["effect"], "estimator": estimator, "load": False}
            (run,) = self.workspace.ingest(folder, name=name, prompts=self.pairs, **options)
            self.runs[name, estimator] = run.id
        asked = {"pairs": self.pairs, "many": self.prompts, "few": self.few}
        for kind, prompts in asked.items():
            options = {"edges": ["correlation"], "load": False}
            (run,) = self.workspace.ingest(folder, name=name, prompts=prompts, **options)
            self.runs[name, kind] = run.id

    def answers(self, a: str, b: str) -> Iterator[Answer]:
        """Every measure's answer about two models."""
        for form in self.forms:
            found = self._diff(f"wiring, {form}", a, b, "pairs", lens="wiring", form=form)
            yield found
            if len(found.scores):
                yield replace(found, method=f"{found.method}, by p", scores=_by_p(found.scores))
        for estimator in self.estimators:
            if (b, estimator) not in self.runs:
                continue
            yield self._diff(f"effect, {estimator}", a, b, estimator, lens="effect")
        many = f"correlation, {len(self.prompts)} prompts"
        yield self._diff(many, a, b, "many", lens="correlation")
        yield self._published(a, b)

    def _pair(self, a: str, b: str, key: str) -> str:
        return f"{self.runs[a, key]}:{self.runs[b, key]}"

    def _diff(self, method: str, a: str, b: str, key: str, **options: Any) -> Answer:
        try:
            table = self.workspace.diff(a, b, run=self._pair(a, b, key), **options).table
        except CircuitGraphError:  # no shared basis: nothing is said, so nothing is claimed
            return Answer(f"{method} (refused)", pd.DataFrame(columns=[*EDGE, "score"]), set())
        claimed = table[table["verdict"].isin(CLAIMS)]
        scores = table[EDGE].astype(str).assign(score=table["delta"].abs(), p=table["p"])
        return Answer(method, scores.dropna(subset=["score"]), _edges(claimed))

    def _published(self, a: str, b: str) -> Answer:
        diff = self.workspace.diff(a, b, run=self._pair(a, b, "few"), lens="correlation")
        pooled = [_pooled(run) for run in (diff.runs_a[0], diff.runs_b[0])]
        score = (pooled[1] - pooled[0]).abs().rename("score").dropna().reset_index()
        claims = _edges(score[score["score"] > CUT])
        return Answer(f"|Δr| > {CUT} on {FEW} prompts", score, claims)


def _by_p(scores: pd.DataFrame) -> pd.DataFrame:
    """The same edges ranked by how surely they changed."""
    return scores.assign(score=-scores["p"]).dropna()


def _few(prompts: PromptSet) -> Iterator[Any]:
    """The published number of prompts, as many of every scenario."""
    each = FEW // len(prompts.scenarios)
    for scenario in prompts.scenarios:
        yield from [p for p in prompts if p.scenario == scenario][:each]


def _pooled(run: Any) -> pd.Series:
    """Pearson's r over all prompts of a run, by source and target."""
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(run.activity, rowvar=False)
    rows = [
        (s, t, r[i, j])
        for j, t in enumerate(run.components)
        for i, s in enumerate(run.components[:j])
    ]
    return pd.DataFrame(rows, columns=[*EDGE, "r"]).set_index(EDGE)["r"]


def _edges(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(table[EDGE].astype(str).itertuples(index=False, name=None))


def control(pair: plant.Planted) -> Answer:
    """Which components changed: the relative change of the receiver's reading weights, plus
    that of the sender's writing weights; nothing of what one reads of the other."""
    a, b = (read(folder).model for folder in (pair.folder_a, pair.folder_b))
    wrote = {s: _relative(outputs(a, s), outputs(b, s)) for s in senders_to(a, readers_of(a)[-1])}
    rows = []
    for reader in readers_of(a):
        change = _relative(*(views(m, reader, slice(0, a.width)) for m in (a, b)))
        for sender in senders_to(a, reader):
            rows += [(*e[:2], change + wrote[sender]) for e in joint_edges(a, sender, reader)]
    return Answer(
        "components changed (control)", pd.DataFrame(rows, columns=[*EDGE, "score"]), None
    )


def _relative(before: list, after: list) -> float:
    change = sum(float((y - x).pow(2).sum()) for x, y in zip(before, after, strict=True))
    return (change / sum(float(x.pow(2).sum()) for x in before)) ** 0.5


def judged(answer: Answer, truth: set[tuple[str, str]]) -> dict[str, Any]:
    """One answer held against the truth."""
    score = answer.scores["score"].to_numpy(float)
    edges = list(answer.scores[EDGE].itertuples(index=False, name=None))
    is_true = np.array([edge in truth for edge in edges], bool)
    receiver = np.array([target for _, target in edges], str)
    row = {
        "method": answer.method,
        "edges": len(edges),
        "auroc": auroc(score, is_true),
        "within": within(score, is_true, receiver) if len(edges) else float("nan"),
        "ap": average_precision(score, is_true),
        "p@k": precision_at(score, is_true, int(is_true.sum())),
    }
    if answer.claims is None:
        return row
    right = len(answer.claims & truth)
    wrong = len(answer.claims) - right
    told = {"claims": len(answer.claims), "fdr": wrong / max(1, len(answer.claims))}
    return {**row, **told, "recall": right / len(truth) if truth else float("nan")}


def planted_rows(study: Study, folder: Path, seed: int, arguments: Any) -> Iterator[dict[str, Any]]:
    """Plants at every drift, and the nulls, of one seed."""
    options = {"prompts": study.prompts, "seed": seed, "embeddings": arguments.embeddings}
    shape = {"side": arguments.side, "consequential": arguments.consequential}
    for drift in DRIFTS:
        pair = plant.plant(IPD / "base", folder / f"p{drift}", drift=drift, **shape, **options)
        names = [f"{seed}-{side}-{drift}" for side in "ab"]
        for name, model in zip(names, (pair.folder_a, pair.folder_b), strict=True):
            study.take(name, model)
        truth = _edges(pair.truth)
        answers = [*study.answers(*names), control(pair)]
        yield from ({"pair": f"drift {drift}", "seed": seed, **judged(a, truth)} for a in answers)
    for kind, model in nulls(pair.folder_a, folder, seed, arguments.embeddings):
        study.take(f"{seed}-{kind}", model, null=True)
        for answer in study.answers(names[0], f"{seed}-{kind}"):
            yield {"pair": kind, "seed": seed, **judged(answer, set())}


def nulls(model: Path, folder: Path, seed: int, embeddings: bool) -> Iterator[tuple[str, Path]]:
    """Other weights, and no edge rewired."""
    yield "self", model
    for size in DRIFTS[1:]:
        out, drifts = folder / f"d{size}", {"size": size, "embeddings": embeddings}
        yield f"drift {size} alone", plant.drift(model, out, seed=seed, **drifts).folder_b
    for kind in ("all", "heads"):
        yield f"rewrite {kind}", plant.rewrite(model, folder / kind, kind=kind, seed=seed).folder_b


def main(words: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="graft seeds [3]")
    parser.add_argument("--first", type=int, default=0, help="the first of them [0]")
    parser.add_argument("--side", choices=["read", "write"], default="read")
    parser.add_argument("--consequential", action="store_true")
    parser.add_argument(
        "--embeddings", action="store_true", help="drift of embeddings too, which LoRA leaves alone"
    )
    parser.add_argument("--forms", default=",".join(FORMS), help="of the wiring lens [both]")
    parser.add_argument("--estimators", default=",".join(ESTIMATORS), help="of effects [all]")
    parser.add_argument("--quick", action="store_true", help="one seed, exact effects only")
    parser.add_argument("--csv", type=Path, help="also write every pair's row here")
    arguments = parser.parse_args(words)
    prompts = read_prompts(IPD / "prompts.jsonl")
    if arguments.quick:
        arguments.seeds, arguments.estimators = 1, "exact"
    forms, estimators = (
        [word for word in text.split(",") if word]
        for text in (arguments.forms, arguments.estimators)
    )
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        with tempfile.TemporaryDirectory() as place:
            study = Study(Path(place), prompts, forms, estimators)
            for row in planted_rows(study, Path(place), seed, arguments):
                rows.append(row)
                if arguments.csv:
                    pd.DataFrame(rows).to_csv(arguments.csv, index=False)
    print(board(pd.DataFrame(rows)))
    return 0


def board(rows: pd.DataFrame) -> str:
    """The scoreboard: plants with their ranks, nulls with their false claims."""
    rows = rows.assign(any=rows["claims"] > 0)
    null = rows["auroc"].isna() & rows.groupby("pair")["auroc"].transform(lambda x: x.isna().all())
    plants, others = rows[~null], rows[null]
    means = plants.groupby(["pair", "method"], sort=False)
    columns = ["edges", "auroc", "within", "ap", "p@k", "claims", "fdr", "recall"]
    shown = means[columns].mean().assign(pairs=means.size())
    false = others.groupby(["pair", "method"], sort=False)
    counts = pd.DataFrame(
        {
            "pairs": false.size(),
            "with a claim": false["any"].sum(),
            "claims": false["claims"].mean(),
        }
    )
    texts = [
        frame.reset_index().to_string(index=False, float_format="%.3f") for frame in (shown, counts)
    ]
    return "\n\n".join(texts)


if __name__ == "__main__":
    sys.exit(main())
