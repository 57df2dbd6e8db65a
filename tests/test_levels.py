"""Levels of two variants: against the library's own models, and by hand."""

from __future__ import annotations

import re
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from models import make_adapter, make_model
from shell import done, jsonl
from test_nodes import PAIRS
from test_terminal import Terminal

from circuitgraph import UsageError, Workspace, load_variant
from circuitgraph.cli import run
from circuitgraph.levels.estimates import cosine_of_edges, one_minus
from circuitgraph.levels.record import (
    FOLDER,
    FURTHER,
    PAIR_COLUMNS,
    UNTOLD,
    WITHIN,
    Levels,
    percent,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Workspace]:
    """A base, two adapters of one recipe, and one that changes nothing."""
    root = tmp_path_factory.mktemp("levels")
    base = make_model("llama", root / "base")
    prompts = jsonl(root / "prompts.jsonl", PAIRS)
    workspace = Workspace(root / "w")
    make_adapter(base, root / "tuned", scale=0.05)
    make_adapter(base, root / "other", seed=5)
    make_adapter(base, root / "silent", scale=0.0)
    for name, recipe in (("base", ""), ("tuned", "t"), ("other", "t"), ("silent", "")):
        workspace.ingest(
            base, adapter=None if name == "base" else root / name, name=name, recipe=recipe,
            prompts=prompts, load=False,
        )  # fmt: skip
    return base, root, workspace


def row(found: Levels, measure: str) -> pd.Series:
    return found.table.set_index("measure").loc[measure]


def test_nothing_is_measured_where_only_what_is_kept_is_asked_for(made) -> None:
    _, _, workspace = made
    found = workspace.levels("base", "tuned", seeds=(), measure=False)
    kept = found.table.set_index("measure")["reason"]
    assert set(kept[kept != ""]) == {"not measured yet"}
    assert list(kept[kept == ""].index) == ["same P(answer)", "same answer"]


def test_work_on_levels_is_counted_on_a_terminal(made) -> None:
    _, _, workspace = made
    both = Terminal()
    with redirect_stderr(both):
        words = ("levels", "base", "tuned", "--lens", "effect", "--lens", "correlation")
        code = run([*words, "--null", "base:other", "--no-measure", "-w", str(workspace.path)])
    assert code == 0
    assert re.search(r"levels: +0%.*0/9 ", both.getvalue())  # three pairs, three steps each


@torch.no_grad()
def test_every_level_is_what_the_library_says(made) -> None:
    base, root, workspace = made
    found = workspace.levels("base", "tuned", null=("base", "silent"), lens="effect")
    loaded = load_variant(base)
    models = loaded.hf, load_variant(base, root / "tuned").merged()
    flat = [  # all matrices; gains of norms are none
        torch.cat([p.double().flatten() for p in hf.parameters() if p.dim() > 1]) for hf in models
    ]
    want = torch.nn.functional.cosine_similarity(*flat, dim=0)
    assert row(found, "cosine of all weights")["alike"] == pytest.approx(float(want), abs=1e-9)
    apart: dict[str, list[float]] = {}
    moved: dict[str, list[float]] = {}
    for prompt in PAIRS:
        ids = [1, *loaded.tokenizer(prompt["prompt"], add_special_tokens=False)["input_ids"]]
        outs = [hf(torch.tensor([ids]), output_attentions=True) for hf in models]
        looks = [torch.stack(out.attentions)[:, 0, :, -1] for out in outs]
        p = [torch.sigmoid(out.logits[0, -1, 8] - out.logits[0, -1, 19]) for out in outs]
        apart.setdefault(prompt["scenario"], []).append(
            float((looks[0] - looks[1]).abs().sum(-1).mean() / 2)
        )
        moved.setdefault(prompt["scenario"], []).append(float((p[0] - p[1]).abs()))
    for measure, by in (("same tokens looked at", apart), ("same P(answer)", moved)):
        want = 1 - np.mean([np.mean(own) for own in by.values()])
        assert row(found, measure)["alike"] == pytest.approx(want, abs=1e-5)
    effect = row(found, "effect")
    assert effect["low"] <= effect["alike"] <= effect["high"] <= 1
    silent = found.pairs[found.pairs["role"] == "null"]
    assert (silent["alike"] == 1).all()
    assert effect["null_least"] == effect["null_most"] == 1
    assert row(found, "cosine of all weights")["verdict"] == FURTHER


def test_levels_are_kept_told_on_the_page_and_gone_with_a_variant(made, tmp_path) -> None:
    _, _, workspace = made
    again = workspace.levels("base", "tuned", seeds=(), lens="effect", measure=False)
    assert not again.table["reason"].any()
    told = done("-w", workspace.path, "levels", "base", "tuned", "--lens", "effect", "--no-measure")
    assert told.out.splitlines()[1].startswith("weights (cosine of all weights): ")
    workspace.diff("base", "tuned", lens="effect", mechanism=False).report(tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text("utf-8")
    first, second = (page.index(text) for text in ('<table id="levels">', "effect lens"))
    assert 0 < first < second
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page[first : page.index("</table>", first)])
    rows = [cells[i : i + 8] for i in range(0, len(cells), 8)]
    weights = again.table.iloc[0]
    assert rows[0][:3] == ["weights", "cosine of all weights", percent(weights["alike"])]
    assert [row[0] for row in rows] == again.table["level"].tolist()
    assert all(row[2] for row in rows)
    files = list((workspace.path / FOLDER).glob("*.json"))
    copy = Workspace(tmp_path / "w")
    assert len(files) == 1
    with pytest.raises(UsageError, match="no variant 'nobody'"):
        copy.levels("nobody", "tuned")


def test_seeds_are_found_and_updates_held_together(made) -> None:
    base, root, workspace = made
    found = workspace.levels("tuned", "silent", lens="effect")
    seeds = found.pairs[found.pairs["role"] == "seeds"].set_index("measure")
    assert set(zip(seeds["a"], seeds["b"], strict=True)) == {("tuned", "other")}
    plain = load_variant(base).hf.state_dict()
    moves = []
    for name in ("tuned", "other"):
        state = load_variant(base, root / name).merged().state_dict()
        moves.append(torch.cat([(state[n] - plain[n]).double().flatten() for n in plain]))
    want = float(torch.nn.functional.cosine_similarity(*moves, dim=0))
    assert seeds.loc["cosine of the updates", "alike"] == pytest.approx(want, abs=1e-5)
    assert "cosine of the updates" not in set(found.table["measure"])  # one changes nothing


@pytest.mark.slow
def test_a_random_update_is_a_null(made) -> None:
    _, _, workspace = made
    found = workspace.levels("base", "tuned", null="random:2", seeds=(), lens="effect")
    effect = row(found, "effect")
    assert effect["nulls"] == 2
    assert effect["null_least"] < 1
    assert row(found, "cosine of all weights")["nulls"] == 0  # as large by construction
    nulls = ("random:1", "random:2")  # the first draw is the same one
    kept = workspace.levels("base", "tuned", null=nulls, lens="effect", measure=False)
    assert row(kept, "effect")["nulls"] == 2
    assert row(kept, "effect")["null_least"] == effect["null_least"]


def test_one_minus_a_mean_over_scenarios() -> None:
    found = one_minus(np.array([0.1, 0.3, 0.5, 0.5, 0.5]), np.array([0, 0, 1, 1, 1]))
    assert found.alike == pytest.approx(1 - (0.2 + 0.5) / 2)
    assert found.low < found.alike < found.high
    single = one_minus(np.array([0.25, 0.75]), np.array([0, 1]))
    assert single.alike == 0.5
    assert np.isnan(single.low)


def test_the_cosine_of_equal_edges_is_one_and_noise_does_not_lower_it() -> None:
    rng = np.random.default_rng(0)
    scenarios = np.repeat([0, 1], 20)
    a = rng.normal(size=60)
    same = cosine_of_edges(a, a, np.zeros((40, 60)), scenarios)
    assert same == (1.0, 1.0, 1.0)
    inside = 0
    for seed in range(40):  # edges that differ in nothing but what each prompt says of them
        changes = np.random.default_rng(seed).normal(size=(40, 60))
        found = cosine_of_edges(a, a + changes.mean(0), changes, scenarios, seed)
        inside += found.low <= 1.0 <= found.high + 1e-3
        assert found.alike > 0.98
    assert inside >= 36


def test_verdicts_hold_the_interval_against_the_nulls() -> None:
    def levels(alike: float, low: float, high: float) -> str:
        rows = [
            {"role": role, "level": "x", "measure": "m", "alike": x, "low": y, "high": z}
            for role, x, y, z in (
                ("pair", alike, low, high), ("null", 0.9, 0.88, 0.92), ("null", 0.95, 0.94, 0.96),
            )
        ]  # fmt: skip
        return Levels(pd.DataFrame(rows, columns=list(PAIR_COLUMNS))).table["verdict"].iloc[0]

    assert levels(0.8, 0.75, 0.87) == FURTHER
    assert levels(0.89, 0.85, 0.9) == UNTOLD
    assert levels(0.91, 0.85, 0.95) == WITHIN


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100%"), (0.5, "50.0%"), (0.999999, "99.99990%"), (0.9998, "99.980%"), (-0.1, "-10.0%")],
)
def test_shares_have_the_digits_that_part_them_from_one(share: float, text: str) -> None:
    assert percent(share) == text


def test_two_tables_need_no_random_update(tmp_path: Path) -> None:
    """Levels of tables are those of their correlations; what has no weights is said in the rows."""
    workspace = Workspace(tmp_path / "w")
    rng = np.random.default_rng(0)
    for name in "ab":
        file = tmp_path / f"{name}.csv"
        values = pd.DataFrame(rng.normal(size=(30, 3)), columns=["L0H0", "L0H1", "L0_MLP"])
        values.insert(0, "scenario", [f"s{i % 5}" for i in range(30)])
        values.insert(0, "prompt_id", range(30))
        values.to_csv(file, index=False)
        workspace.ingest_table(file, name=name)
    table = workspace.levels("a", "b").table.set_index("measure")
    assert np.isfinite(table.loc["correlation", "alike"])
    assert "is a table" in table.loc["cosine of all weights", "reason"]
