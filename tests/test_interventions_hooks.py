"""Steering, transplants and levels of families without a reader, against the plain library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import make_adapter, make_model, make_tokenizer
from shell import jsonl
from test_nodes_hooks import PAIRS, PLACES, apart, hooked, ids

from circuitgraph import UsageError, Workspace, load_variant
from circuitgraph.base.errors import InputError
from circuitgraph.engine.bridge.boot import boot
from circuitgraph.interventions.transplant.hooked import with_weights

PARTS = {
    "gptj": {
        "EMBED": ("wte",), "LOGITS": ("ln_f", "lm_head"), "L1_ATTN": ("h.1.attn",),
        "L1_MLP": ("h.1.mlp",), "L0_ATTN,L0_MLP": ("h.0.",),
    },
    "opt": {
        "EMBED": ("embed_",), "LOGITS": ("decoder.final_layer_norm", "lm_head"),
        "L1_ATTN": ("layers.1.self_attn",), "L1_MLP": ("layers.1.f",),
        "L0_ATTN,L0_MLP": ("layers.0",),
    },
    "gpt_neo": {
        "EMBED": ("wte", "wpe"), "LOGITS": ("ln_f", "lm_head"),
        "L1_ATTN": ("h.1.attn", "h.1.ln_1"), "L1_MLP": ("h.1.mlp", "h.1.ln_2"),
        "L0_ATTN,L0_MLP": ("h.0.",),
    },
}  # fmt: skip
"""How the names of a component's weights begin, behind the model's own prefix."""
SHARED = ("gptj",)
"""Attention and MLP of a block read by one norm."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in PARTS]
)
def study(request, tmp_path_factory) -> tuple[str, Path, Workspace]:
    """``base``, an adapter of it (``every``), and a model that differs everywhere (``full``)."""
    root = tmp_path_factory.mktemp(request.param)
    base, prompts = make_model(request.param, root / "base"), jsonl(root / "p.jsonl", PAIRS)
    make_adapter(base, root / "every")
    hf = load_variant(base).hf
    for parameter in hf.parameters():
        parameter.data += 0.1 * parameter.std() * torch.randn_like(parameter)
    hf.save_pretrained(root / "full")
    make_tokenizer().save_pretrained(root / "full")
    workspace = Workspace(root / "w")
    for name, model, adapter in (
        ("base", base, None), ("every", base, root / "every"), ("full", root / "full", None),
    ):  # fmt: skip
        workspace.ingest(
            model, adapter=adapter, name=name, prompts=prompts, granularity="layer",
            edges="effect", load=False,
        )  # fmt: skip
    return request.param, root, workspace


@torch.no_grad()
def test_an_mlp_of_one_model_stands_in_another_for_a_while(tmp_path):
    """The fast one of these tests: GPT-J, whose attention and MLP read by one norm."""
    folders = [make_model("gptj", tmp_path / str(seed), seed) for seed in (0, 1)]
    tokens = torch.tensor([[1, 5, 9, 22, 7, 30]])
    first, second = (load_variant(folder).hf for folder in folders)
    before = first(tokens).logits
    loaded = [load_variant(folder) for folder in folders]
    a, b = (boot(x.hf, x.tokenizer, "gptj", tokens) for x in loaded)
    given = second.state_dict()
    for name, parameter in first.named_parameters():
        if ".h.1." in name:
            parameter.copy_(given[name])
    with with_weights(a, b, ["L1_ATTN", "L1_MLP"]) as model:
        assert torch.allclose(model.logits(tokens), first(tokens).logits, atol=1e-4)
    assert torch.allclose(a.logits(tokens), before, atol=1e-4)
    assert not torch.allclose(first(tokens).logits, before, atol=1e-1)
    with (
        pytest.raises(UsageError, match="L1_ATTN and L1_MLP read by one norm"),
        with_weights(a, b, ["L1_MLP"]),
    ):
        pass


def plain(root: Path, name: str) -> Any:
    adapter = root / "every" if name == "every" else None
    return load_variant(root / ("base" if adapter else name), adapter).merged()


@torch.no_grad()
def decided(root: Path, hf: Any) -> float:
    """Mean over both scenarios of the decision, from the library's logits."""
    loaded = load_variant(root / "base")
    every = [apart(hf(ids(loaded, row["prompt"])).logits) for row in PAIRS]
    return float(np.mean([np.mean(every[::2]), np.mean(every[1::2])]))


def untied(hf: Any) -> Any:
    ends = hf.get_output_embeddings()
    ends.weight = torch.nn.Parameter(ends.weight.detach().clone())
    return hf


def mixed(
    root: Path, source: str, chosen: Callable[[str, torch.Tensor, torch.Tensor], None]
) -> float:
    """The decision of the base after weights of another model are copied into it by name."""
    own, other = untied(plain(root, "base")), untied(plain(root, source))
    given = dict(other.named_parameters())
    with torch.no_grad():
        for name, parameter in own.named_parameters():
            chosen(name, parameter, given[name])
    return decided(root, own)


def whole(*parts: str) -> Callable[[str, torch.Tensor, torch.Tensor], None]:
    def copy(name: str, own: torch.Tensor, given: torch.Tensor) -> None:
        if any(part in name for part in parts):
            own.copy_(given)

    return copy


def test_transplants_are_decisions_of_weights_put_together_by_name(study):
    family, root, workspace = study
    before = decided(root, plain(root, "base"))
    for source in ("every", "full"):
        wanted = dict(PARTS[family])
        if source == "full" and family in SHARED:
            wanted = {n: p for n, p in wanted.items() if not n.startswith("L1_")}
        found = workspace.transplant(source, "base", components=list(wanted)).table
        for name, got in zip(found["component"], found["decision"], strict=True):
            want = mixed(root, source, whole(*wanted[name]))
            assert got == pytest.approx(want, abs=1e-4), name
            ends = source == "every" and name in ("EMBED", "LOGITS")
            assert (abs(want - before) > 1e-3) != ends, name
    every = ",".join(["EMBED", *(f"L{k}_{p}" for k in (0, 1) for p in ("ATTN", "MLP")), "LOGITS"])
    found = workspace.transplant("full", "base", components=every).table
    assert found["share"].iloc[0] == pytest.approx(1, abs=1e-4)
    assert found["back_share"].iloc[0] == pytest.approx(1, abs=1e-4)


def test_heads_and_groups_are_rows_and_columns_of_their_matrices(study):
    family, root, workspace = study
    place = PLACES[family][1].format(1)
    layer, rows = place.rsplit(".", 1)[0], slice(16, 24)

    def head(name: str, own: torch.Tensor, given: torch.Tensor) -> None:
        if name == f"{place}.weight":
            own[:, rows] = given[:, rows]
        elif name.startswith(f"{layer}.q_proj"):
            own[rows] = given[rows]

    def group(name: str, own: torch.Tensor, given: torch.Tensor) -> None:
        if name.startswith((f"{layer}.k_proj", f"{layer}.v_proj")):
            own[rows] = given[rows]

    got = workspace.transplant("every", "base", components=["L1H2", "L1KV2"]).table["decision"]
    assert list(got) == pytest.approx([mixed(root, "every", f) for f in (head, group)], abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("positions", ["all", "last"])
@pytest.mark.parametrize("at", ["L1_MLP", "L0_ATTN"])
def test_steered_decisions_are_those_of_plain_hooks(study, at, positions):
    family, root, workspace = study
    found = workspace.steer(
        "base", "every", into="base", at=at, strength=[1.5], positions=positions
    )
    name = PLACES[family][1 if "ATTN" in at else 2].format(at[1])
    means, sizes = [], []
    for variant in ("base", "every"):
        hf, kept = plain(root, variant), []
        with hooked(
            hf.get_submodule(name).register_forward_hook(lambda m, x, y, k=kept: k.append(y))
        ):
            decided(root, hf)
        last = torch.stack([x.view(-1, x.shape[-1])[-1] for x in kept])
        means.append((last[::2].mean(0) + last[1::2].mean(0)) / 2)
        sizes.append(float(last.norm(dim=-1).mean()))
    vector = (means[1] - means[0]) / (means[1] - means[0]).norm() * sizes[0] * 1.5
    hf = plain(root, "base")

    def add(m: Any, x: Any, y: torch.Tensor) -> torch.Tensor:
        y = y.clone()
        y.view(-1, y.shape[-1])[slice(None) if positions == "all" else slice(-1, None)] += vector
        return y

    before = decided(root, hf)
    with hooked(hf.get_submodule(name).register_forward_hook(add)):
        want = decided(root, hf) - before
    assert abs(want) > 1e-2
    assert found.table["effect"].iloc[0] == pytest.approx(want, abs=1e-4)
    if at == "L1_MLP":
        assert found.washout["share"].iloc[0] == pytest.approx(1, abs=1e-4)


@torch.no_grad()
def test_levels_tell_weights_and_attention_as_the_library_holds_them(study):
    _, root, workspace = study
    table = workspace.levels("base", "every").table.set_index("measure")
    a, b = (plain(root, name) for name in ("base", "every"))
    skipped = ("wpe", "embed_positions")
    flat = [
        torch.cat([
            p.flatten() for n, p in hf.named_parameters()
            if p.dim() == 2 and not any(s in n for s in skipped)
        ]).double()
        for hf in (a, b)
    ]  # fmt: skip
    want = float(torch.nn.functional.cosine_similarity(*flat, dim=0))
    assert table.loc["cosine of all weights", "alike"] == pytest.approx(want, abs=1e-6)
    loaded, moved = load_variant(root / "base"), []
    for row in PAIRS:
        seen = [
            torch.cat(hf(ids(loaded, row["prompt"]), output_attentions=True).attentions)[..., -1, :]
            for hf in (a, b)
        ]
        moved.append(float((seen[0] - seen[1]).abs().sum(-1).mean() / 2))
    want = 1 - (np.mean(moved[::2]) + np.mean(moved[1::2])) / 2
    assert table.loc["same tokens looked at", "alike"] == pytest.approx(want, abs=1e-5)


def test_what_hooks_do_not_tell_apart_is_refused(study):
    family, _, workspace = study
    if family in SHARED:
        with pytest.raises(UsageError, match="L1_ATTN and L1_MLP read by one norm"):
            workspace.transplant("full", "base", components="L1_MLP")
    with pytest.raises(UsageError, match="no part of these models"):
        workspace.transplant("full", "base", components="L9_MLP")
    with pytest.raises(UsageError, match="no component of these models that writes"):
        workspace.steer("base", "every", into="base", at="EMBED")
    with pytest.raises((UsageError, InputError), match="hooks on TransformerBridge serve"):
        workspace.patch("every", "base")
