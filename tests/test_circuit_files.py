"""Circuits of EAP-IG, MIB and CircuitKIT: read, kept, compared as far as that goes, written."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from models import make_model
from scipy.stats import spearmanr
from shell import cli, done, rows

from circuitgraph import Workspace
from circuitgraph.base.components import effect_edges
from circuitgraph.base.errors import InputError, UsageError

HEADS, LAYERS = 2, 2


def small(seed: int = 0) -> dict[str, Any]:
    """A circuit file of two layers of two heads, made as EAP-IG's graph is."""
    names, edges = ["input"], {}
    before = ["input"]
    for layer in range(LAYERS):
        heads = [f"a{layer}.h{head}" for head in range(HEADS)]
        reads = [f"{head}<{letter}>" for head in heads for letter in "qkv"]
        pairs = [(source, target) for target in reads for source in before]
        before += heads
        pairs += [(source, f"m{layer}") for source in before]
        before.append(f"m{layer}")
        names += [*heads, f"m{layer}"]
        edges |= {f"{a}->{b}": None for a, b in pairs}
    edges |= {f"{a}->logits": None for a in before}
    for k, name in enumerate(edges):
        score = ((k * 7919 + 31 * seed) % 101 - 50) / 173
        edges[name] = {"score": score, "in_graph": (k + seed) % 3 == 0}
    cfg = {"n_layers": LAYERS, "n_heads": HEADS, "parallel_attn_mlp": False, "d_model": 8}
    nodes = {name: {"in_graph": k % 2 == 0} for k, name in enumerate([*names, "logits"])}
    return {"cfg": cfg, "nodes": nodes, "edges": edges}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for seed, path in enumerate(paths):
        path.write_text(json.dumps(small(seed)))
    return paths


def test_a_circuit_comes_back_as_it_went_in(files: tuple[Path, Path], tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    [row] = rows("-w", workspace, "import-circuit", files[0], "--name", "a")
    content = small()
    flags = sum(edge["in_graph"] for edge in content["edges"].values())
    told = {"nodes": 8, "edges": len(content["edges"]), "in_graph": flags}
    assert {name: row[name] for name in told} == told
    done("-w", workspace, "export", "a", "--format", "mib", "-o", tmp_path / "out.json")
    assert (tmp_path / "out.json").read_bytes() == files[0].read_bytes()
    again = rows("-w", workspace, "import-circuit", tmp_path / "out.json", "--name", "a")
    assert again[0]["run"] == row["run"]


@pytest.mark.thorough
def test_the_shipped_circuit_survives(tmp_path: Path) -> None:
    file = Path(os.environ.get("CIRCUITGRAPH_SHARED", "../shared")) / "data/mib/ioi-eap-ig.json"
    if not file.is_file():
        pytest.skip(f"{file} is not here (CIRCUITGRAPH_SHARED names its folder)")
    workspace = Workspace(tmp_path / "ws")
    run = workspace.import_circuit(file, name="ioi")
    assert len(run.edges) == 32_491
    workspace.export("ioi", "mib", tmp_path / "out.json")
    read, written = (json.loads(f.read_text()) for f in (file, tmp_path / "out.json"))
    assert written == read
    assert [list(written[part]) for part in written] == [list(read[part]) for part in read]


def test_edges_have_our_names(files: tuple[Path, Path], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    workspace.import_circuit(files[0], name="a")
    table = workspace.edges("a").set_index(["source", "target", "input"])
    content = small()["edges"]
    for theirs, ours in {
        "input->a0.h1<k>": ("EMBED", "L0H1", "k"),
        "a0.h1->a1.h0<v>": ("L0H1", "L1H0", "v"),
        "a1.h1->m1": ("L1H1", "L1_MLP", "in"),
        "m1->logits": ("L1_MLP", "LOGITS", "in"),
    }.items():
        assert table.loc[ours, "weight"] == pytest.approx(content[theirs]["score"], rel=1e-6)
        assert pd.isna(table.loc[ours, "p"])


def test_two_circuits_are_described_and_nothing_is_claimed(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    for name, file in zip("ab", files, strict=True):
        done("-w", workspace, "import-circuit", file, "--name", name)
    answer = cli("-w", workspace, "--json", "diff", "a", "b")
    assert answer.code == 3
    for row in answer.rows if isinstance(answer.rows, list) else answer.rows["edges"]:
        assert row["verdict"] == "not_testable"
        assert row["reason"] == "insufficient evidence"
        assert row["p"] is None
    assert "no p and no verdict" in answer.err
    edges = [list(small(seed)["edges"].values()) for seed in (0, 1)]
    a, b = ({k for k, edge in enumerate(own) if edge["in_graph"]} for own in edges)
    assert f"in the circuit: {len(a)} edges of a, {len(b)} of b, {len(a & b)} of both" in answer.err
    assert f"Jaccard {len(a & b) / len(a | b):.2f}" in answer.err
    sizes = [[abs(edge["score"]) for edge in own] for own in edges]
    assert f"rank correlation of {spearmanr(*sizes).statistic:.2f}" in answer.err
    told = done("-w", workspace, "explain", "a0.h1", "m0", "a", "b").out
    assert told.startswith("L0H1 → L0_MLP")
    assert "nan" not in told


def test_circuits_are_compared_with_circuits_of_one_size_only(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "ws")
    workspace.import_circuit(files[0], name="a")
    larger = small(1)
    larger["cfg"]["n_heads"] = 3
    files[1].write_text(json.dumps(larger))
    workspace.import_circuit(files[1], name="b")
    with pytest.raises(UsageError, match="cannot be compared"):
        workspace.diff("a", "b")
    with pytest.raises(UsageError, match="is a circuit file, without weights"):
        workspace.diff("a", "a", lens="wiring")
    with pytest.raises(UsageError, match="already stands for other weights or values"):
        workspace.import_circuit(files[1], name="a")


def broken(change: Any) -> dict[str, Any]:
    content = copy.deepcopy(small())
    change(content)
    return content


BROKEN = {
    "no edges": (lambda c: c.pop("edges"), "no 'edges'"),
    "no layers": (lambda c: c["cfg"].pop("n_layers"), "cfg: n_layers is None"),
    "a strange node": (lambda c: c["nodes"].update({"b0": {"in_graph": True}}), "'b0': no comp"),
    "our name": (lambda c: c["nodes"].update({"L0H0": {"in_graph": True}}), "'L0H0': no comp"),
    "a head too many": (
        lambda c: c["nodes"].update({"a0.h2": {"in_graph": True}}),
        "'a0.h2': no such component: cfg says 2 layers of 2 heads",
    ),
    "an end that is no node": (
        lambda c: c["edges"].update({"a0.h0->m7": {"score": 1, "in_graph": True}}),
        "'m7' is none of the nodes",
    ),
    "backwards": (
        lambda c: c["edges"].update({"m1->a0.h0<q>": {"score": 1, "in_graph": True}}),
        "no edge: heads read by <q>, <k> or <v>",
    ),
    "a head without an input": (
        lambda c: c["edges"].update({"input->a0.h0": {"score": 1, "in_graph": True}}),
        "no edge: heads read by <q>, <k> or <v>",
    ),
    "beside each other": (
        lambda c: c["edges"].update({"a0.h0->a0.h1<q>": {"score": 1, "in_graph": True}}),
        "no edge",
    ),
    "a score that is none": (
        lambda c: c["edges"]["input->m0"].update(score=None),
        "'input->m0': its score is None",
    ),
    "a flag that is none": (
        lambda c: c["edges"]["input->m0"].update(in_graph="yes"),
        "'input->m0': its in_graph is 'yes'",
    ),
}


@pytest.mark.parametrize(("change", "told"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_no_circuit_is_refused(change: Any, told: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(broken(change)))
    with pytest.raises(InputError) as caught:
        Workspace(tmp_path / "ws").import_circuit(file, name="x")
    assert told in str(caught.value)
    assert str(file) in str(caught.value)


def test_what_was_measured_is_written_for_other_programs(tmp_path: Path) -> None:
    prompts = [
        {"prompt": f"w5 w{k} w7", "corrupt": f"w9 w{k} w7", "scenario": "s", "answer": "w20",
         "wrong_answer": "w30", "direction": -1}
        for k in range(10, 14)
    ]  # fmt: skip
    workspace = Workspace(tmp_path / "ws")
    model = make_model("gpt2", tmp_path / "gpt2")
    options = {"prompts": prompts, "edges": "effect", "estimator": "eap"}
    [run] = workspace.ingest(model, name="a", split_inputs=True, **options)
    file = tmp_path / "a.json"
    workspace.export("a", "mib", file)
    content = json.loads(file.read_text())
    assert content["cfg"] == {
        "n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 32
    }  # fmt: skip
    assert len(content["nodes"]) == 1 + 3 * 5 + 1
    assert len(content["edges"]) == len(effect_edges(3, 4, 4, "head", "split"))
    column = next(i for i, e in enumerate(run.edges) if e == ("L0H1", "L1KV2", "k"))
    expected = -float(run.effects[:, column].mean())
    assert content["edges"]["a0.h1->a1.h2<k>"]["score"] == pytest.approx(expected, rel=1e-5)
    back = workspace.import_circuit(file, name="back")
    assert len(back.edges) == len(run.edges)
    workspace.ingest(model, name="joint", **options)
    with pytest.raises(UsageError, match="single heads that read by q, k and v apart"):
        workspace.export("joint", "mib", file)
    grouped = make_model("llama", tmp_path / "llama")
    workspace.ingest(grouped, name="grouped", split_inputs=True, **options)
    with pytest.raises(UsageError, match="4 heads share 2 keys and values"):
        workspace.export("grouped", "mib", file)
    with pytest.raises(UsageError, match="holds the edges of one variant, not a change"):
        workspace.export("a:joint", "mib", file)
