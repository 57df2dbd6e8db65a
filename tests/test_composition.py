"""Composition scores against dense virtual weights, in the graph, and on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import plain_weights
import pytest
import torch
from models import CONFIGS, MORE_READERS, PECULIAR, make_adapter, make_model
from shell import cli, done, rows
from store_graphs import same
from torch import Tensor
from transformers import AutoModelForCausalLM

from circuitgraph import Workspace
from circuitgraph.composition.products import relative_change, scores, virtual_products
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.receivers import edges_of
from circuitgraph.runs.record import list_runs
from circuitgraph.store import EmbeddedStore, copy_graph

HEADS, LAYERS = 4, 3


def dense(hf: Any) -> tuple[dict[str, Tensor], dict[tuple[str, str], Tensor]]:
    """All write and read matrices of a library's model, whole, by name."""
    d = hf.config.hidden_size
    centre = torch.eye(d).double() - (1.0 / d if plain_weights.centred(hf) else 0.0)

    def reading(norm: Any) -> Tensor:
        return centre @ after(norm)

    def after(norm: Any) -> Tensor:
        return torch.diag(torch.as_tensor(plain_weights.gain(norm)).double().expand(d))

    tokens = hf.get_input_embeddings().weight.double()
    if hf.config.model_type == "gpt2":
        tokens = torch.cat([tokens, hf.transformer.wpe.weight.double()])
    write = {"EMBED": tokens}
    read: dict[tuple[str, str], Tensor] = {}
    for i in range(LAYERS):
        parts, norms = plain_weights.parts(hf, i), plain_weights.norms(hf, i)
        q, k, v = (reading(norms["attention"]) @ parts[letter] for letter in "qkv")
        size, group = q.shape[1] // HEADS, q.shape[1] // k.shape[1]
        gains = plain_weights.head_gains(hf, i)
        out = parts["out"] @ after(norms.get("out"))
        qs, ks, vs = (w.split(size, 1) for w in (q, k, v))
        scored, moved = [], []
        for h in range(HEADS):
            g = h // group
            scored.append((qs[h] * gains[0][h]) @ (ks[g] * gains[1][g]).T)
            moved.append(vs[g] @ out[h * size : (h + 1) * size])
            write[f"L{i}H{h}"] = moved[h]
            read[f"L{i}H{h}", "q"] = scored[h]
        for g in range(HEADS // group):
            own = range(g * group, (g + 1) * group)
            read[f"L{i}KV{g}", "k"] = torch.cat([scored[h].T for h in own], 1)
            read[f"L{i}KV{g}", "v"] = torch.cat([moved[h] for h in own], 1)
        read[f"L{i}_MLP", "in"] = reading(norms["mlp"]) @ parts["in"]
        write[f"L{i}_MLP"] = parts["down"] @ after(norms.get("down"))
    unembedding = hf.get_output_embeddings().weight.double().T
    read["LOGITS", "in"] = reading(plain_weights.final_norm(hf)) @ unembedding
    return write, read


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("family", [*CONFIGS, *MORE_READERS, *PECULIAR])
@torch.no_grad()
@pytest.mark.some(4)
def test_scores_and_changes_are_those_of_dense_virtual_weights(family: str, tmp_path: Path) -> None:
    hf = [loaded(make_model(family, tmp_path / str(seed), seed)) for seed in (0, 1)]
    a, b = map(from_hf, hf)
    own_a, own_b, both = (virtual_products(*pair) for pair in ((a, a), (b, b), (a, b)))
    found, change = scores(own_a), relative_change(own_a, own_b, both)
    (write, read), (write_b, read_b) = map(dense, hf)
    edges = edges_of(a, "head", "split")
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
