"""Transplanted weights: decisions are those of a model that plain code put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from models import make_adapter, make_model
from shell import jsonl, rows
from test_nodes import PAIRS

from circuitgraph import UsageError, Workspace, load_variant


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, Path, Workspace]:
    root = tmp_path_factory.mktemp("transplant")
    base = make_model("llama", root / "base")
    prompts = jsonl(root / "prompts.jsonl", PAIRS)
    workspace = Workspace(root / "w")
    every = make_adapter(base, root / "every")
    only = make_adapter(base, root / "only", target_modules=r".*\.1\.mlp\.(up|down)_proj")
    for name, folder in (("base", None), ("every", every), ("only", only)):
        workspace.ingest(base, adapter=folder, name=name, prompts=prompts, load=False)
    return base, root, workspace


@torch.no_grad()
def decided(hf, tokenizer) -> np.ndarray:
    """Mean over scenarios of the decision, from the library's log-probabilities."""
    by: dict[str, list[float]] = {}
    for row in PAIRS:
        ids = [1, *tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]]
        logits = hf(torch.tensor([ids])).logits[0, -1]
        by.setdefault(row["scenario"], []).append(float(logits[8] - logits[19]))
    return np.mean([np.mean(own) for own in by.values()])


def mixed(base: Path, adapter: Path, pattern: str) -> np.ndarray:
    """The base with the tuned weights whose names hold a pattern, by the library alone."""
    tuned = load_variant(base, adapter).merged().state_dict()
    loaded = load_variant(base)
    state = loaded.hf.state_dict()
    loaded.hf.load_state_dict({n: tuned[n] if pattern in n else t for n, t in state.items()})
    return decided(loaded.hf, loaded.tokenizer)


def test_decisions_are_those_of_weights_put_together_by_hand(study):
    base, root, workspace = study
    table = workspace.transplant("every", "base", each=True).table.set_index("component")
    for name, pattern in (("L1_MLP", ".1.mlp"), ("L2_ATTN", ".2.self_attn")):
        want = mixed(base, root / "every", pattern)
        assert table.loc[name, "decision"] == pytest.approx(want, abs=1e-4)


def test_all_parts_together_are_the_whole_gap(study):
    _, _, workspace = study
    whole = [f"L{k}_{part}" for k in range(3) for part in ("ATTN", "MLP")]
    found = workspace.transplant("every", "base", components=",".join(["EMBED", *whole, "LOGITS"]))
    assert found.table["share"].iloc[0] == pytest.approx(1, abs=1e-5)
    assert found.table["back_share"].iloc[0] == pytest.approx(1, abs=1e-5)
    [layers] = workspace.transplant("every", "base", layers="0-2").table["share"]
    assert layers == pytest.approx(1, abs=1e-5)  # ends are not trained


def test_an_mlp_trained_alone_is_all_of_the_gap_and_the_rest_nothing(study):
    _, _, workspace = study
    table = workspace.transplant("only", "base").table.set_index("component")
    assert table.loc["L1_MLP", "share"] == pytest.approx(1, abs=1e-5)
    assert (table.drop("L1_MLP")["share"] == 0).all()
    assert (table.drop("L1_MLP")["flips"] == 0).all()


def test_heads_and_groups_make_up_attention(study):
    """Adapters touch no norm: q and out by head, k and v by group are all of a layer."""
    _, _, workspace = study
    parts = ",".join([*(f"L1H{h}" for h in range(4)), "L1KV0", "L1KV1"])
    a, b = workspace.transplant("every", "base", components=[parts, "L1_ATTN"]).table["decision"]
    assert a == pytest.approx(b, abs=1e-6)


def test_non_additivity_is_what_a_pair_does_beyond_the_sum_of_both(study):
    _, _, workspace = study
    sets = ["L1_MLP", "L2_ATTN", "L0_ATTN,L0_MLP"]
    found = workspace.transplant("every", "base", components=sets, pairs=True)
    alone = found.table.set_index("component")["share"]
    assert len(found.pairs) == 3
    row = found.pairs.iloc[0]
    [both] = workspace.transplant("every", "base", components="L2_ATTN,L1_MLP").table["share"]
    assert row["both"] == pytest.approx(both, abs=1e-9)
    assert row["sum"] == pytest.approx(alone["L1_MLP"] + alone["L2_ATTN"], abs=1e-9)
    assert row["interaction"] == pytest.approx(row["both"] - row["sum"], abs=1e-9)
    assert row["interaction_low"] < row["interaction"] < row["interaction_high"]
    for wrong in (["L1_MLP", "L1_MLP,L2_ATTN"], ["L1_MLP"]):
        with pytest.raises(UsageError, match="share none|two sets or more"):
            workspace.transplant("every", "base", components=wrong, pairs=True)


def test_what_nothing_was_trained_in_adds_nothing_and_copies_are_not_counted(study):
    """Both ways carry the whole gap: no asymmetry, no interaction; 12 prompts, two ways."""
    _, _, workspace = study
    sets = ["L1_MLP", "L0_MLP", "L1_MLP"]
    found = workspace.transplant("only", "base", components=sets, pairs=True)
    assert list(found.table["component"]) == ["L1_MLP", "L0_MLP"]
    assert (found.table[["asymmetry", "asymmetry_p"]] == [0.0, 1.0]).all(axis=None)
    assert found.pairs[["interaction", "interaction_p"]].values.tolist() == [[0.0, 1.0]]
    assert found.summary["tried"] == 2 * 3 * 12
    assert found.summary["interventions"] == 2 * 12  # L1_MLP; with a copy beside it, no other
    assert "1 of the sets repeat another" in found.summary["remarks"][0]
    told = workspace.query("transfers", method="transplant", source_variant="only")
    assert {"L1_MLP", "L0_MLP"} <= set(told["component"])
    table = found.moved.set_index(["source_variant", "component"])
    want = table.loc[("only", "L1_MLP"), "effect"]
    assert told["effect"].max() == pytest.approx(want)


def test_the_command_and_what_it_refuses(study):
    _, _, workspace = study
    got = rows("-w", workspace.path, "transplant", "only", "base", "--components", "L1_MLP")
    assert list(got[0])[:7] == ["component", "decision", "share", "low", "high", "flips", "n"]
    for wrong in ({"components": "L9_MLP"}, {"components": "MLP"}, {"layers": "2-9"}):
        with pytest.raises(UsageError, match="no part of these models|the layers are 0-2"):
            workspace.transplant("only", "base", **wrong)
