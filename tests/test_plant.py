"""Planted pairs: the named edges changed and no other, checked on the files themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from models import make_model
from safetensors.numpy import load_file
from shell import IPD, cli
from shell import rows as rows_of
from transformers import AutoModelForCausalLM

import circuitgraph
from circuitgraph import InputError, UsageError, Workspace, plant
from circuitgraph.base.components import effect_edges

LAYERS, HEADS, SIZE = 3, 4, 8
GROUPS = {"gpt2": 4}
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "seed_oss", "gpt2")
ALIKE = ("mistral", "gemma", "seed_oss")  # llama but for an option or two
REWRITES = [
    pytest.param(
        family, kind, marks=[pytest.mark.slow] if family in ALIKE and kind != "all" else []
    )
    for family in FAMILIES
    for kind in plant.KINDS
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {family: make_model(family, folder / family) for family in FAMILIES}


def stored(folder: Path) -> dict[str, np.ndarray]:
    return {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}


def logits(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        return model(tokens).logits


def virtual_weights(folder: Path) -> dict[tuple[str, str, str], np.ndarray]:
    """What every receiver reads of every sender, write times read, by names of split edges.

    Written from the names in the file alone; norms' gains are alike in A and B at drift 0.
    """
    w = stored(folder)
    family = "gpt2" if "transformer.wte.weight" in w else "llama"
    groups = GROUPS.get(family, 2)
    writes: dict[str, np.ndarray] = {}
    found: dict[tuple[str, str, str], np.ndarray] = {}

    def hear(target: str, name: str, read: np.ndarray) -> None:
        found.update({(s, target, name): write @ read for s, write in writes.items()})

    if family == "gpt2":
        writes["EMBED"] = np.vstack([w["transformer.wte.weight"], w["transformer.wpe.weight"]])
    else:
        writes["EMBED"] = w["model.embed_tokens.weight"]
    for layer in range(LAYERS):
        if family == "gpt2":
            at = f"transformer.h.{layer}"
            q, k, v = np.split(w[f"{at}.attn.c_attn.weight"], 3, axis=1)
            out, down = w[f"{at}.attn.c_proj.weight"], w[f"{at}.mlp.c_proj.weight"]
            up = w[f"{at}.mlp.c_fc.weight"]
        else:
            at = f"model.layers.{layer}"
            q, k, v, out = (w[f"{at}.self_attn.{n}_proj.weight"].T for n in "qkvo")
            gate, up, down = (w[f"{at}.mlp.{n}_proj.weight"].T for n in ("gate", "up", "down"))
            up = np.hstack([gate, up])
        for h, part in enumerate(np.split(q, HEADS, axis=1)):
            hear(f"L{layer}H{h}", "q", part)
        for name, matrix in (("k", k), ("v", v)):
            for g, part in enumerate(np.split(matrix, groups, axis=1)):
                hear(f"L{layer}KV{g}", name, part)
        writes.update({f"L{layer}H{h}": p for h, p in enumerate(np.split(out, HEADS))})
        hear(f"L{layer}_MLP", "in", up)
        writes[f"L{layer}_MLP"] = down
    hear("LOGITS", "in", w["lm_head.weight"].T)
    return found


def changed(pair: plant.Planted) -> set[tuple[str, str, str]]:
    a, b = virtual_weights(pair.folder_a), virtual_weights(pair.folder_b)
    assert set(a) == set(b)
    return {edge for edge, weight in a.items() if not np.array_equal(weight, b[edge])}


def rows(table: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(table[["source", "target", "input"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("side", ["read", "write"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.some(4)
def test_exactly_the_named_edges_change(
    bases: dict[str, Path], tmp_path: Path, family: str, side: Any
) -> None:
    pair = plant.plant(bases[family], tmp_path / "pair", seed=3, side=side)
    assert changed(pair) == rows(pair.split)
    groups = GROUPS.get(family, 2)
    joint = {tuple(edge) for edge in effect_edges(LAYERS, HEADS, groups, "head", "joint")}
    assert rows(pair.truth) <= joint
    heads = {
        head
        for _, target, name in rows(pair.split)
        for head in (
            [target]
            if name in ("q", "in")
            else [
                f"{target.split('KV')[0]}H{h}"
                for h in range(HEADS)
                if h // (HEADS // groups) == int(target.split("KV")[1])
            ]
        )
    }
    assert set(pair.truth["target"]) == heads
    if side == "read":
        assert pair.truth["change"].nunique() == 3
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "pair" / "truth.csv"), pair.truth)


def test_a_change_is_what_its_name_says(bases: dict[str, Path], tmp_path: Path) -> None:
    pair = plant.plant(bases["gpt2"], tmp_path / "pair", seed=1, k=9)
    a, b = (stored(folder) for folder in (pair.folder_a, pair.folder_b))
    width = 32
    moved = {name for name in a if not np.array_equal(a[name], b[name])}
    for name in moved:
        shared = [x.T if name == "lm_head.weight" else x for x in (a[name], b[name])]
        np.testing.assert_array_equal(shared[0][:width], shared[1][:width])
        before, after = (x[width:] for x in shared)
        touched = before != after
        flipped = touched & (after == -before)
        off, on = touched & (after == 0), touched & (before == 0)
        assert (touched == flipped | off | on).all()
    assert len(pair.truth) == 9
    assert pair.truth["change"].value_counts().tolist() == [3, 3, 3]


def test_one_seed_one_pair_and_another_seed_another(bases: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    pairs = [
        plant.plant(bases["llama"], tmp_path / str(i), seed=seed, drift=0.02)
        for i, seed in enumerate((1, 1, 2))
    ]
    assert torch.equal(torch.get_rng_state(), state)
    files = [(p.folder_b / "model.safetensors").read_bytes() for p in pairs]
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert rows(pairs[0].truth) != rows(pairs[2].truth)


def test_a_single_edge_can_be_named(bases: dict[str, Path], tmp_path: Path) -> None:
    pair = plant.plant(bases["gpt2"], tmp_path / "pair", k=1, only=[("L0H1", "L2_MLP")])
    assert rows(pair.truth) == {("L0H1", "L2_MLP", "in")}
    assert changed(pair) == {("L0H1", "L2_MLP", "in")}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.some(2)
def test_a_graft_stays_close_to_its_base(
    bases: dict[str, Path], tmp_path: Path, family: str
) -> None:
    """Without channels' reads it is the same but for the norms' scale, which varies."""
    tokens = torch.arange(4, 34)[None]
    base = logits(bases[family], tokens)
    for rho, density, bound in ((1e-4, 1.0, 1e-2), (0.5, 0.5, 1.0)):
        out = plant.graft(bases[family], tmp_path / str(rho), rho=rho, density=density)
        off = (logits(out, tokens) - base).pow(2).mean().sqrt() / base.std()
        assert off < bound


@pytest.mark.parametrize("size", [0.02, 0.1])
def test_drift_has_the_size_and_rank_asked(
    bases: dict[str, Path], tmp_path: Path, size: float
) -> None:
    for family in ("llama", "gpt2"):
        pair = plant.drift(bases[family], tmp_path / family, size=size, embeddings=True)
        assert pair.truth.empty
        a, b = stored(bases[family]), stored(pair.folder_b)
        for name in a:
            if a[name].ndim == 1:
                np.testing.assert_array_equal(a[name], b[name])
                continue
            parts = 3 if "c_attn" in name else 1  # q, k and v in one
            for before, after in zip(
                *(np.split(x, parts, axis=1) for x in (a[name], b[name])), strict=True
            ):
                change = after - before
                assert np.linalg.norm(change) / np.linalg.norm(before) == pytest.approx(size, 1e-4)
                sizes = np.linalg.svd(change, compute_uv=False)
                assert sizes[8:].max(initial=0) < 1e-4 * sizes[0] < sizes[7]


def test_linear_layers_can_drift_alone(bases: dict[str, Path], tmp_path: Path) -> None:
    pair = plant.plant(bases["gpt2"], tmp_path / "pair", k=0, drift=0.02, embeddings=False)
    assert pair.truth.empty
    a, b = (stored(folder) for folder in (pair.folder_a, pair.folder_b))
    kept = {name for name in a if np.array_equal(a[name], b[name]) and a[name].ndim == 2}
    assert kept == {"transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"}


def test_a_tied_model_stays_tied(tmp_path: Path) -> None:
    pair = plant.drift(IPD / "base", tmp_path / "drifted", size=0.1)
    assert "lm_head.weight" not in stored(pair.folder_b)
    tokens = torch.arange(4, 34)[None]
    assert not torch.allclose(logits(IPD / "base", tokens), logits(pair.folder_b, tokens))


@pytest.mark.parametrize(("family", "kind"), REWRITES)
@pytest.mark.some(6)
def test_a_rewrite_moves_the_weights_and_no_logit(
    bases: dict[str, Path], tmp_path: Path, family: str, kind: str
) -> None:
    if family == "qwen3" and kind in ("query", "all"):
        with pytest.raises(InputError, match="norms of queries"):
            plant.rewrite(bases[family], tmp_path / "same", kind=kind)
        assert not (tmp_path / "same").exists()
        return
    pair = plant.rewrite(bases[family], tmp_path / "same", kind=kind)
    a, b = stored(bases[family]), stored(pair.folder_b)
    moved = [n for n in a if np.abs(a[n] - b[n]).max() > 0.1 * a[n].std()]
    assert len(moved) >= LAYERS
    tokens = torch.arange(4, 34)[None]
    before, after = (logits(folder, tokens) for folder in (pair.folder_a, pair.folder_b))
    assert (before - after).abs().max() <= 1e-5 * before.abs().max()


@pytest.mark.thorough
def test_a_planted_pair_of_real_models_is_ingested(tmp_path: Path) -> None:
    prompts = circuitgraph.read_prompts(IPD / "prompts.jsonl")
    few = circuitgraph.PromptSet(prompts.prompts[::10], "some")
    pair = plant.plant(IPD / "base", tmp_path / "pair", prompts=few)
    workspace = Workspace(tmp_path / "workspace")
    for name, folder in (("a", pair.folder_a), ("b", pair.folder_b)):
        for run in workspace.ingest(folder, name=name, prompts=few):
            assert run.self_check["logits"] < 1e-3
    table = workspace.diff("a", "b", lens="effect").table
    assert rows(pair.truth) <= rows(table)
    assert table["delta"].abs().max() > 0


@pytest.mark.thorough
def test_consequential_plants_move_more(bases: dict[str, Path], tmp_path: Path) -> None:
    tokens = torch.arange(4, 34)[None]
    moves = np.empty((2, 6))
    for consequential in (False, True):
        for seed in range(6):
            out = tmp_path / f"{consequential}{seed}"
            strong: dict[str, Any] = {"rho": 1.0, "read": 2.0, "seed": seed, "k": 1}
            pair = plant.plant(bases["llama"], out, consequential=consequential, **strong)
            assert changed(pair) == rows(pair.split)
            a, b = (logits(folder, tokens) for folder in (pair.folder_a, pair.folder_b))
            moves[int(consequential), seed] = (a - b).abs().mean()
    assert np.median(moves[1]) > 1.5 * np.median(moves[0])


def test_what_cannot_be_done_is_said_before_anything_is_written(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    other = make_model("gemma2", tmp_path / "gemma2")
    out = tmp_path / "out"
    with pytest.raises(InputError, match="'gemma2' cannot be planted in"):
        plant.plant(other, out)
    for wrong, said in (
        ({"drift": 2.0}, "drift 2.0"),
        ({"side": "both"}, "read or write"),
        ({"k": 1, "only": [("L9H9", "LOGITS")]}, "only 0 can be made"),
        ({"k": 10_000}, "10000 plants"),
        ({"density": 2.0}, "density 2.0"),
    ):
        with pytest.raises(UsageError, match=said):
            plant.plant(bases["llama"], out, **wrong)
    with pytest.raises(UsageError, match="choose one of value"):
        plant.rewrite(bases["llama"], out, kind="nothing")
    assert not out.exists()
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(UsageError, match="something there already"):
        plant.plant(bases["llama"], out)


def test_the_command_line_says_the_same(bases: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "cli"
    told = rows_of("plant", bases["llama"], "-o", out, "--seed", 4, "--edges", 3, "--drift", 0.02)
    pair = plant.plant(bases["llama"], tmp_path / "python", seed=4, k=3, drift=0.02)
    assert told == pair.truth.to_dict("records")
    weights = "b/model.safetensors"
    assert (out / weights).read_bytes() == (tmp_path / "python" / weights).read_bytes()
    assert rows_of("plant", bases["gpt2"], "-o", tmp_path / "same", "--rewrite", "all") == []
    for more in (("--edges", 0), ("--drift", 0.1), ("--side", "write")):
        refused = cli("plant", bases["gpt2"], "-o", tmp_path / "x", "--rewrite", "all", *more)
        assert refused.code == 2
        assert "--rewrite" in refused.complaint
