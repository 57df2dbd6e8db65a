"""Measures of components of families without a reader, against plain hooks on their modules."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from models import make_adapter, make_model
from shell import jsonl

from circuitgraph import Workspace, load_variant
from circuitgraph.base.progress import Reporter
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.values import values_of
from circuitgraph.runs.record import list_runs

PAIRS = [
    {
        "prompt": f"w5 w9 w{10 + i} w7 w{30 + i % 3}",
        "corrupt": f"w5 w9 w{40 + i} w7 w{30 + i % 3}",
        "answer": "w8", "wrong_answer": "w19", "scenario": "ab"[i % 2], "direction": -1,
        "spans": {"changed": [[6, 9]]},
    }
    for i in range(6)
]  # fmt: skip
OTHERS = ("opt", "gpt_neo")
PLACES = {
    "gptj": ("transformer.wte", "transformer.h.{}.attn.out_proj", "transformer.h.{}.mlp.fc_out"),
    "gpt_neo": (
        "transformer.wte",
        "transformer.h.{}.attn.attention.out_proj",
        "transformer.h.{}.mlp.c_proj",
    ),
    "opt": (
        "model.decoder.embed_tokens",
        "model.decoder.layers.{}.self_attn.out_proj",
        "model.decoder.layers.{}.fc2",
    ),
}
"""Embedding, output matrix of attention, and output of the MLP in the library's modules."""
MLP = re.compile(r"\.1\..*(fc|c_proj|c_fc).*weight")


@pytest.fixture(
    scope="module",
    params=["gptj", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)],
)
def made(request, tmp_path_factory) -> tuple[Path, Path, Workspace]:
    """A model folder, its prompts, and a workspace of it. GPT-J's unembedding has a bias."""
    root = tmp_path_factory.mktemp(request.param)
    base = make_model(request.param, root / "base")
    prompts = jsonl(root / "prompts.jsonl", PAIRS)
    workspace = Workspace(root / "w")
    workspace.ingest(base, name="base", prompts=prompts, granularity="head", load=False)
    return base, prompts, workspace


def values(workspace: Workspace, measure: str, *more) -> tuple[list[str], np.ndarray]:
    """Names of nodes, and values in the order of ``PAIRS``."""
    run = next(r for r in list_runs(workspace.path / "runs") if r.kind == "effect")
    found = values_of(run, MEASURES[measure], Reporter(), more)
    place = {prompt.prompt: i for i, prompt in enumerate(run.prompts)}
    names = [node.component for node in found.nodes]
    return names, found.values[[place[row["prompt"]] for row in PAIRS]]


def ids(loaded, text: str) -> torch.Tensor:
    return torch.tensor([[1, *loaded.tokenizer(text, add_special_tokens=False)["input_ids"]]])


def apart(logits: torch.Tensor) -> float:
    """Logit of w8 minus that of w19 at the last position."""
    return float(logits[0, -1, 8] - logits[0, -1, 19])


@torch.no_grad()
def test_attributions_and_the_lens_end_in_the_library_s_logits(made):
    base, _, workspace = made
    loaded = load_variant(base)
    want = [apart(loaded.hf(ids(loaded, row["prompt"])).logits) for row in PAIRS]
    assert np.allclose(values(workspace, "attribution")[1].sum(1), want, atol=1e-4)
    assert np.allclose(values(workspace, "logit-lens")[1][:, -1], want, atol=1e-4)


@torch.no_grad()
def replaced(loaded, row: dict, module, part: slice | None) -> float:
    """Decision with what a module takes in (a slice of it, for heads) or puts out from the corrupt
    run, minus the clean decision."""
    clean, corrupt, kept = ids(loaded, row["prompt"]), ids(loaded, row["corrupt"]), []
    before = apart(loaded.hf(clean).logits)
    if part is None:
        with hooked(module.register_forward_hook(lambda m, x, y: kept.append(y))):
            loaded.hf(corrupt)
        with hooked(module.register_forward_hook(lambda m, x, y: kept[0])):
            return apart(loaded.hf(clean).logits) - before
    with hooked(module.register_forward_pre_hook(lambda m, x: kept.append(x[0].clone()))):
        loaded.hf(corrupt)

    def put(module, given):
        changed = given[0].clone()
        changed[..., part] = kept[0].view_as(changed)[..., part]
        return (changed,)

    with hooked(module.register_forward_pre_hook(put)):
        return apart(loaded.hf(clean).logits) - before


@contextmanager
def hooked(handle):
    yield
    handle.remove()


def test_ablations_are_runs_of_the_library_with_one_output_replaced(made):
    base, _, workspace = made
    loaded = load_variant(base)
    names, found = values(workspace, "ablation")
    family = loaded.hf.config.model_type
    embedding, output, mlp = PLACES[family]
    wanted = {"EMBED": (embedding, None), "L0_MLP": (mlp.format(0), None)}
    wanted |= {"L1_MLP": (mlp.format(1), None)}
    for name, layer, head in (("L0H3", 0, 3), ("L1H2", 1, 2)):
        wanted[name] = (output.format(layer), slice(8 * head, 8 * head + 8))
    for name, (module, part) in wanted.items():
        module = loaded.hf.get_submodule(module)
        want = [replaced(loaded, row, module, part) for row in PAIRS[:3]]
        assert np.allclose(found[:3, names.index(name)], want, atol=1e-4), name
        assert np.abs(want).max() > 1e-2


@torch.no_grad()
def test_attention_is_the_library_s_and_sums_to_one(made):
    base, prompts, workspace = made
    table = workspace.nodes("base", measure="attention", prompts=prompts)
    mass = table.groupby([table["component"], table["category"].str.endswith("by value")])["value"]
    assert np.allclose(mass.sum(), 1, atol=1e-5)
    loaded = load_variant(base)
    seen = torch.stack(
        [
            torch.cat(loaded.hf(ids(loaded, row["prompt"]), output_attentions=True).attentions)
            for row in PAIRS
        ]
    )[..., -1, 3]  # [n, layers, heads]: the third word is the changed one, behind BOS
    want = (seen[::2].mean(0) + seen[1::2].mean(0)) / 2
    plain = table[table["category"] == "changed"].set_index("component")["value"]
    for layer in range(2):
        for head in range(4):
            assert plain[f"L{layer}H{head}"] == pytest.approx(float(want[layer, head]), abs=1e-5)


@pytest.mark.thorough
def test_only_what_was_trained_shows_in_the_weights(made, tmp_path):
    """An adapter on one matrix of one MLP; another on one attention's values and a bias."""
    base, prompts, _ = made
    study, plain = Workspace(tmp_path / "w"), load_variant(base)
    name = PLACES[plain.hf.config.model_type][2].format(1)
    only = make_adapter(base, tmp_path / "only", target_modules=rf".*{name.split('.', 1)[-1]}")
    value = make_adapter(
        base, tmp_path / "value", target_modules=r".*\.0\..*v_proj", bias="lora_only"
    )
    for variant, folder in (("base", None), ("only", only), ("value", value)):
        study.ingest(
            base, adapter=folder, name=variant, prompts=prompts, edges=("correlation",), load=False
        )
    table = study.nodes("base", "only", measure="weights").table
    changed = table[(table["category"] == "change") & (table["verdict"] == "changed")]
    assert list(changed["component"]) == ["L1_MLP"]
    merged = load_variant(base, only).merged().state_dict()
    parts = {n: p for n, p in plain.hf.state_dict().items() if MLP.search(n) and p.dim() == 2}
    moved = sum(float((merged[n] - p).double().pow(2).sum()) for n, p in parts.items()) ** 0.5
    whole = sum(float(p.double().pow(2).sum()) for p in parts.values()) ** 0.5
    assert moved > 0
    assert changed["value_b"].iloc[0] == pytest.approx(moved / whole, rel=1e-4)
    table = study.nodes("base", "value", measure="weights").table
    shown = table[(table["verdict"] == "changed") & (table["category"] != "rank")]
    groups = {f"L0KV{group}" for group in range(4)}
    biased = set() if plain.hf.config.model_type != "opt" else {"L0_ATTN"}
    assert set(shown["component"]) == groups | biased
