"""Composition scores against dense virtual weights, in the graph, and on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import CONFIGS, MORE_READERS, make_adapter, make_model
from shell import cli, done, rows
from store_graphs import same
from torch import Tensor
from transformers import AutoModelForCausalLM

from circuitgraph import Workspace
from circuitgraph.base.components import effect_edges
from circuitgraph.composition.products import relative_change, scores, virtual_products
from circuitgraph.engine.families import from_hf
from circuitgraph.runs.record import list_runs
from circuitgraph.store import EmbeddedStore, copy_graph

HEADS, LAYERS = 4, 3


def dense(hf: Any) -> tuple[dict[str, Tensor], dict[tuple[str, str], Tensor]]:
    """All write and read matrices of a library's model, whole, by name."""
    gpt2, gemma2 = hf.config.model_type == "gpt2", hf.config.model_type == "gemma2"
    offset = 1.0 if hf.config.model_type.startswith("gemma") else 0.0
    inner = hf.transformer if gpt2 else hf.model
    d = hf.config.hidden_size
    centre = torch.eye(d).double() - (1.0 / d if gpt2 else 0.0)

    def reading(norm: Any) -> Tensor:
        return centre @ torch.diag((norm.weight + offset).double())

    def after(norm: Any) -> Tensor:
        return torch.diag((norm.weight + 1).double()) if gemma2 else torch.eye(d).double()

    tokens = hf.get_input_embeddings().weight.double()
    write = {"EMBED": torch.cat([tokens, inner.wpe.weight.double()]) if gpt2 else tokens}
    read: dict[tuple[str, str], Tensor] = {}
    for i, block in enumerate(inner.h if gpt2 else inner.layers):
        if gpt2:
            q, k, v = block.attn.c_attn.weight.double().split(d, 1)
            out, norm, second = block.attn.c_proj.weight.double(), block.ln_1, block.ln_2
            into, down = block.mlp.c_fc.weight.double(), block.mlp.c_proj.weight.double()
            posts: tuple[Any, Any] = (None, None)
        else:
            attention, mlp = block.self_attn, block.mlp
            names = ("q_proj", "k_proj", "v_proj", "o_proj")
            q, k, v, out = (getattr(attention, n).weight.T.double() for n in names)
            norm = block.input_layernorm
            gemma_norms = ("post_attention_layernorm", "post_feedforward_layernorm")
            posts = tuple(getattr(block, n) for n in gemma_norms) if gemma2 else (None, None)
            second = block.pre_feedforward_layernorm if gemma2 else block.post_attention_layernorm
            into = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).T.double()
            down = mlp.down_proj.weight.T.double()
        size, group = q.shape[1] // HEADS, q.shape[1] // k.shape[1]
        gains = [torch.ones(size).double()] * 2
        if hf.config.model_type == "qwen3":
            gains = [n.weight.double() for n in (attention.q_norm, attention.k_norm)]
        q, k, v = (reading(norm) @ w for w in (q, k, v))
        out = out @ after(posts[0])
        qs, ks, vs = (w.split(size, 1) for w in (q, k, v))
        scored, moved = [], []
        for h in range(HEADS):
            g = h // group
            scored.append((qs[h] * gains[0]) @ (ks[g] * gains[1]).T)
            moved.append(vs[g] @ out[h * size : (h + 1) * size])
            write[f"L{i}H{h}"] = moved[h]
            read[f"L{i}H{h}", "q"] = scored[h]
        for g in range(HEADS // group):
            own = range(g * group, (g + 1) * group)
            read[f"L{i}KV{g}", "k"] = torch.cat([scored[h].T for h in own], 1)
            read[f"L{i}KV{g}", "v"] = torch.cat([moved[h] for h in own], 1)
        read[f"L{i}_MLP", "in"] = reading(second) @ into
        write[f"L{i}_MLP"] = down @ after(posts[1])
    last = inner.ln_f if gpt2 else inner.norm
    read["LOGITS", "in"] = reading(last) @ hf.get_output_embeddings().weight.double().T
    return write, read


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("family", [*CONFIGS, *MORE_READERS])
@torch.no_grad()
def test_scores_and_changes_are_those_of_dense_virtual_weights(family: str, tmp_path: Path) -> None:
    hf = [loaded(make_model(family, tmp_path / str(seed), seed)) for seed in (0, 1)]
    a, b = map(from_hf, hf)
    own_a, own_b, both = (virtual_products(*pair) for pair in ((a, a), (b, b), (a, b)))
    found, change = scores(own_a), relative_change(own_a, own_b, both)
    (write, read), (write_b, read_b) = map(dense, hf)
    edges = effect_edges(LAYERS, HEADS, a.kv_heads, "head", "split")
    assert len(found) == len(edges) == len(change)
    # What multiplies all of EMBED (Gemma's scale) drops out of both.
    for i, (s, t, letter) in enumerate(edges):
        virtual, other = write[s] @ read[t, letter], write_b[s] @ read_b[t, letter]
        expected = virtual.norm() / write[s].norm() / read[t, letter].norm()
        assert found[i].item() == pytest.approx(expected.item(), rel=1e-9), (s, t, letter)
        apart = (other - virtual).norm() / (other.norm() + virtual.norm())
        assert change[i].item() == pytest.approx(apart.item(), rel=1e-7), (s, t, letter)
    assert (relative_change(own_a, own_a, virtual_products(a, from_hf(hf[0]))) == 0).all()


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with base, a small adapter, the same adapter with B = 0, and a stranger."""
    folder = tmp_path_factory.mktemp("composed")
    base = make_model("qwen3", folder / "base")
    for name, scale in (("tuned", 0.05), ("same", 0.0)):
        make_adapter(base, folder / name, scale=scale)
    lines = [{"prompt": f"w{i} w{i + 1} w5", "scenario": "all"} for i in range(4, 34)]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    workspace = Workspace(folder / "w")
    for name in ("base", "tuned", "same"):
        adapter = None if name == "base" else folder / name
        workspace.ingest(base, adapter=adapter, name=name, prompts=folder / "prompts.jsonl")
    stranger = make_model("qwen3", folder / "stranger", seed=7)
    workspace.ingest(stranger, name="stranger", prompts=folder / "prompts.jsonl")
    workspace.ingest(base, name="layers", granularity="layer", prompts=folder / "prompts.jsonl")
    return folder


def test_a_variant_against_itself_has_not_changed(composed: Path) -> None:
    workspace = Workspace(composed / "w")
    for other in ("base", "same"):
        table = workspace.compose("base", other)
        assert (table["delta"] == 0).all()
        assert table["weight_a"].tolist() == table["weight_b"].tolist()
    table = workspace.compose("base", "tuned")
    assert tuple(table) == ("source", "target", "input", "weight_a", "weight_b", "delta")
    # The adapter leaves the embedding and the unembedding alone.
    untouched = (table["source"] == "EMBED") & (table["target"] == "LOGITS")
    assert (table["delta"].to_numpy() == 0).tolist() == untouched.tolist()
    assert table["delta"].between(0, 1).all()


def test_scores_are_in_the_graph_and_go_with_it(composed: Path, tmp_path: Path) -> None:
    shutil.copytree(composed / "w", tmp_path / "w")
    workspace = Workspace(tmp_path / "w")
    table = workspace.compose("tuned")
    there = workspace.query("composition", variant="tuned", limit=10_000)
    assert len(there) == len(table)
    strongest = table.loc[table["weight"].idxmax()]
    assert there.loc[0, ["source", "target", "input"]].tolist() == strongest.tolist()[:3]
    assert there["weight"].iloc[0] == pytest.approx(strongest["weight"])
    only = workspace.query("composition", variant="tuned", input="q", component="L1H2")
    assert set(only["input"]) == {"q"}
    assert ((only["source"] == "L1H2") | (only["target"] == "L1H2")).all()

    copy_graph(EmbeddedStore(tmp_path / "w" / "graph.lbug"), EmbeddedStore(tmp_path / "copy"))
    whole = EmbeddedStore(tmp_path / "w" / "graph.lbug").read_all()
    assert same(EmbeddedStore(tmp_path / "copy").read_all(), whole)
    (tmp_path / "w" / "graph.lbug").unlink()
    workspace.sync()
    assert same(EmbeddedStore(tmp_path / "w" / "graph.lbug").read_all(), whole)

    workspace.remove("tuned")
    assert workspace.query("composition", variant="tuned").empty
    count = "MATCH ()-[e:COMPOSES]->() RETURN count(e) AS n"
    kept = workspace.query("composition", limit=100_000)
    assert workspace.cypher(count)["n"].iloc[0] == len(kept)


def test_a_variant_is_composed_once_however_many_runs_it_has(
    composed: Path, tmp_path: Path
) -> None:
    shutil.copytree(composed / "w", tmp_path / "w")
    workspace = Workspace(tmp_path / "w")
    first = workspace.compose("stranger")
    lines = [{"prompt": f"w{i} w6 w5", "scenario": "all"} for i in range(4, 34)]
    (tmp_path / "more.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    workspace.ingest(composed / "stranger", name="stranger", prompts=tmp_path / "more.jsonl")
    shutil.move(composed / "stranger", tmp_path / "away")  # no weights are needed again
    try:
        again = workspace.compose("stranger")
    finally:
        shutil.move(tmp_path / "away", composed / "stranger")
    assert np.array_equal(first["weight"], again["weight"])
    assert len(workspace.query("composition", variant="stranger", limit=9999)) == len(first)


def test_the_command_and_what_it_refuses(composed: Path, tmp_path: Path) -> None:
    on = ("-w", composed / "w")
    table = rows("compose", "base", "tuned", *on)
    assert len(table) == len(Workspace(composed / "w").compose("base"))
    text = done("compose", "base", "tuned", *on).out
    assert "delta" in text
    assert f"32 of {len(table)} edges" in text
    for words, told in (
        (("base", "stranger"), "do not look like one basis"),
        (("base", "layers"), "by layers"),
        (("nope",), "no variant 'nope'"),
        (("base", "--shared-basis"), "name OTHER"),
    ):
        answer = cli("compose", *words, *on)
        assert answer.code == 2
        assert told in answer.complaint
    done("compose", "base", "stranger", "--shared-basis", *on)
    table_file = tmp_path / "t.csv"
    cells = "".join(f"p{i},s,{i % 7},{i * i % 11}\n" for i in range(30))
    table_file.write_text("prompt_id,scenario,u,v\n" + cells, "utf-8")
    done("ingest-table", table_file, "--name", "t", "-w", tmp_path / "w")
    assert "is a table" in cli("compose", "t", "-w", tmp_path / "w").complaint


def test_a_damaged_file_of_scores_is_named(composed: Path, tmp_path: Path) -> None:
    shutil.copytree(composed / "w", tmp_path / "w")
    Workspace(tmp_path / "w").compose("base")
    [run] = [r for r in list_runs(tmp_path / "w" / "runs") if r.variant.name == "base"]
    assert run.path is not None
    (run.path / "composition.parquet").write_bytes(b"PAR1")
    answer = cli("compose", "base", "-w", tmp_path / "w")
    assert answer.code == 1
    assert "composition.parquet" in answer.complaint
