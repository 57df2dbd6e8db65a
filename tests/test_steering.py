"""Steering: decisions are those of plain hooks that add the same vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shell import rows
from test_nodes import PAIRS
from test_transplant import decided, study

from circuitgraph import UsageError, load_variant

__all__ = ["study"]  # a fixture, found here by name


@torch.no_grad()
def outputs(hf, tokenizer, module) -> tuple[torch.Tensor, list]:
    """Mean over scenarios of a module's output at the last token, and all of them."""
    kept: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda m, x, y: kept.append(y[0, -1]))
    by: dict[str, list[torch.Tensor]] = {}
    for row in PAIRS:
        hf(torch.tensor([[1, *tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]]]))
        by.setdefault(row["scenario"], []).append(kept[-1])
    hook.remove()
    return torch.stack([torch.stack(own).mean(0) for own in by.values()]).mean(0), kept


@pytest.mark.parametrize("positions", ["all", "last"])
def test_decisions_are_those_of_plain_hooks(study, positions):
    base, root, workspace = study
    found = workspace.steer(
        "base", "every", into="base", at="L1_MLP", strength=[1.5], positions=positions
    )
    loaded = load_variant(base)
    hf, tokenizer = loaded.hf, loaded.tokenizer
    module = hf.model.layers[1].mlp
    mean_a, all_a = outputs(hf, tokenizer, module)
    tuned = load_variant(base, root / "every").merged()
    mean_b, _ = outputs(tuned, tokenizer, tuned.model.layers[1].mlp)
    size = np.mean(  # scenarios have equal numbers here
        [float(own.norm()) for own in all_a]
    )
    vector = (mean_b - mean_a) / (mean_b - mean_a).norm() * size * 1.5

    def add(m, x, y):
        if positions == "all":
            return y + vector
        y = y.clone()
        y[:, -1] += vector
        return y

    before = decided(hf, tokenizer)
    hook = module.register_forward_hook(add)
    after = decided(hf, tokenizer)
    hook.remove()
    assert found.table["effect"].iloc[0] == pytest.approx(after - before, abs=1e-4)


def test_random_directions_are_as_likely_as_any(study):
    """A p-value is a rank among 20 and itself; no strength moves nothing."""
    _, _, workspace = study
    found = workspace.steer("base", "every", into="base", at="L0_MLP,L1H2", strength="-1:1:3")
    assert list(found.table["strength"]) == [-1, 0, 1]
    assert found.table["effect"].iloc[1] == 0
    assert found.table["p"].iloc[1] == 1
    assert ((found.table["p"] * 21) % 1 < 1e-9).all() or np.allclose(found.table["p"] * 21 % 1, 0)
    assert list(found.washout["layer"]) == [0, 1, 2]


def test_both_directions_are_held_together_and_beside_patches(study):
    _, _, workspace = study
    workspace.patch("every", "base")
    found = workspace.steer("base", "every", into="base", at="L1_MLP", strength=[-1, 1, 0, 1, 2])
    table = found.table.set_index("strength")
    assert list(table.index) == [-1, 1, 0, 2]
    want = table.loc[1, "effect"] + table.loc[-1, "effect"]
    assert table.loc[1, "asymmetry"] == table.loc[-1, "asymmetry"] == pytest.approx(want)
    assert table.loc[1, "asymmetry_low"] < want < table.loc[1, "asymmetry_high"]
    assert table.loc[[0, 2], "asymmetry"].isna().all()
    assert found.summary["tried"] == 4 * 12
    assert found.summary["interventions"] == 3 * 12  # strength 0 is none
    moved = workspace.query("steering-and-patching", way="", least=0.0)
    assert list(moved["component"]) == ["L1_MLP"]
    assert moved["steered"].iloc[0] == pytest.approx(found.moved["effect"].iloc[0])
    assert abs(found.moved["effect"].iloc[0]) <= np.abs(table.loc[1, ["low", "high"]]).max() + 1


def test_what_is_added_at_a_layer_is_all_there_right_behind_it(study):
    _, _, workspace = study
    found = workspace.steer("base", "every", into="base", at="L2_MLP", strength=1.0)
    assert found.washout["share"].iloc[0] == pytest.approx(1, abs=1e-4)
    assert found.washout["random_low"].iloc[0] == pytest.approx(1, abs=1e-4)


def test_what_cannot_be_steered_is_refused(study):
    _, _, workspace = study
    with pytest.raises(UsageError, match="write the same at L0_MLP"):
        workspace.steer("base", "only", into="base", at="L0_MLP")
    with pytest.raises(UsageError, match="no component of these models that writes"):
        workspace.steer("base", "every", into="base", at="EMBED")
    with pytest.raises(UsageError, match="write FROM:TO:N"):
        workspace.steer("base", "every", into="base", at="L0_MLP", strength="1:2")
    got = rows(
        "-w", workspace.path, "steer", "base", "every", "--into", "only", "--at", "L1_MLP",
        "--strength", "1",
    )  # fmt: skip
    assert got[0]["n"] == 12
