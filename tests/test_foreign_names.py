"""Names of other programs: understood where users name components, and given in exports."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from models import make_model

from circuitgraph.base.components import effect_edges, parse, writers
from circuitgraph.base.errors import UsageError
from circuitgraph.base.foreign import eap_name, hook_name, own_name
from circuitgraph.diff.explain import require_components
from circuitgraph.workspace import Workspace

SAME = {
    "L5H3": ("L5H3", "a5.h3", "5.3", "blocks.5.attn.hook_result.3", "blocks.5.attn.hook_result[3]",
             "blocks.5.attn.hook_result head 3", "blocks.5.attn.hook_z:3"),
    "L5KV1": ("L5KV1", "blocks.5.attn.hook_k.1", "blocks.5.attn.hook_v[1]"),
    "L5_MLP": ("L5_MLP", "m5", "blocks.5.hook_mlp_out"),
    "L5_ATTN": ("L5_ATTN", "blocks.5.hook_attn_out"),
    "EMBED": ("EMBED", "input", "hook_embed"),
    "LOGITS": ("LOGITS", "logits"),
}  # fmt: skip


def test_every_name_means_its_component() -> None:
    for ours, names in SAME.items():
        assert {own_name(name) for name in names} == {ours}
    for name in ("5", "5.3.1", "a5", "h3", "unit 5.3", "blocks.5.attn.hook_result", "M5", "٥.٣"):
        assert own_name(name) == name


def test_a_name_that_is_there_stands_for_itself() -> None:
    assert own_name("5.3", known={"5.3"}) == "5.3"


def test_names_go_there_and_back() -> None:
    for name in ("EMBED", *writers(3, 2, "head"), "LOGITS"):
        assert own_name(eap_name(parse(name)) or "") == name
    for name in writers(3, 2, "layer"):
        assert own_name(hook_name(parse(name)) or "") == name
    for edge in effect_edges(2, 2, 2, "head", "split"):
        assert eap_name(parse(edge.target)) == eap_name(parse(edge.target.replace("KV", "H")))


def test_names_of_tables_have_no_hook() -> None:
    assert hook_name(parse("unit2")) is None
    assert eap_name(parse("unit2")) is None


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two random models, whose diff claims many edges."""
    folder = tmp_path_factory.mktemp("names")
    base = make_model("gpt2", folder / "base")
    words = range(4, 60)
    prompts = [
        {"prompt": f"w{a} w20 w7", "corrupt": f"w{a} w21 w7", "scenario": "s",
         "answer": "w62", "wrong_answer": "w63", "direction": 1}
        for a in words
    ]  # fmt: skip
    found = Workspace(folder / "ws")
    options = {"prompts": prompts, "edges": "effect", "estimator": "exact"}
    found.ingest(base, name="base", **options)
    found.ingest(make_model("gpt2", folder / "other", seed=1), name="Ut", **options)
    return found


def test_commands_take_any_of_them(workspace: Workspace) -> None:
    found = [
        workspace.explain(source, target, "base", "Ut", lens="effect", mechanism=False).text
        for source, target in (
            ("L0_MLP", "L2H1"),
            ("m0", "2.1"),
            ("blocks.0.hook_mlp_out", "a2.h1"),
        )
    ]
    assert found[0] == found[1] == found[2]
    asked = [workspace.query("edges-of-component", component=name) for name in ("L2H1", "2.1")]
    assert len(asked[0])
    assert asked[0].equals(asked[1])


@pytest.mark.parametrize("format", ["csv", "graphml", "gexf", "cx2"])
def test_exports_say_where_transformer_lens_reads_a_node(
    workspace: Workspace, tmp_path: Path, format: str
) -> None:
    written = workspace.export("base", format, tmp_path / f"x.{format}")
    hooks = ["hook_embed", "blocks.2.attn.hook_result", "blocks.1.hook_mlp_out"]
    text = written[0].read_text("utf-8")
    assert all(hook in text for hook in hooks)
    if format == "csv":
        nodes = {row["Id"]: row for row in csv.DictReader(text.splitlines())}
        assert (nodes["L2H1"]["hook"], nodes["L2H1"]["head"]) == ("blocks.2.attn.hook_result", "1")
        assert nodes["LOGITS"]["hook"] == ""
    elif format == "cx2":
        [nodes] = [part["nodes"] for part in json.loads(text) if "nodes" in part]
        assert "blocks.1.hook_mlp_out" in {node["v"].get("hook") for node in nodes}
    else:
        assert ElementTree.fromstring(text) is not None


NODE = {
    "node_id", "feature", "layer", "ctx_idx", "feature_type", "token_prob", "is_target_logit",
    "run_idx", "reverse_ctx_idx", "jsNodeId", "clerp", "influence", "activation",
}  # fmt: skip


def test_a_diff_opens_in_neuronpedias_viewer(workspace: Workspace, tmp_path: Path) -> None:
    diff = workspace.diff("base", "Ut", lens="effect", mechanism=False)
    workspace.export("base:Ut", "neuronpedia", tmp_path / "x.json", lens="effect")
    graph = json.loads((tmp_path / "x.json").read_text())
    assert set(graph) == {"metadata", "qParams", "nodes", "links"}
    assert {"slug", "scan", "transcoder_list", "prompt_tokens", "prompt", "node_threshold",
            "schema_version"} == set(graph["metadata"])  # fmt: skip
    assert {"pinnedIds", "supernodes", "linkType", "clickedId", "sg_pos"} == set(graph["qParams"])
    assert all(set(node) == NODE for node in graph["nodes"])
    names = {node["node_id"]: node["clerp"].split(":")[0] for node in graph["nodes"]}
    assert len(names) == len(graph["nodes"])
    links = {
        (names[link["source"]], names[link["target"]]): link["weight"] for link in graph["links"]
    }
    claims = diff.claims.groupby(["source", "target"], observed=True)["delta"].sum()
    assert links == pytest.approx(dict(claims))
    labels = {names[n["node_id"]]: n["clerp"] for n in graph["nodes"]}
    first = diff.claims.iloc[0]
    assert str(first["verdict"]) in labels[str(first["source"])]
    members = [node for _, *group in graph["qParams"]["supernodes"] for node in group]
    assert len(members) == len(set(members)) > 0
    assert set(members) == set(graph["qParams"]["pinnedIds"]) <= set(names)
    label, *group = graph["qParams"]["supernodes"][0]
    number, size = int(label.split()[1].rstrip(":")), int(label.split()[2])
    rows = diff.details.index[diff.details["block"] == number]
    assert size == len(rows)
    ends = diff.table.loc[rows, ["source", "target"]].astype(str)
    assert {names[node] for node in group} == set(ends.to_numpy().ravel())


def test_a_head_of_variants_measured_by_layer_leads_to_its_layer() -> None:
    with pytest.raises(UsageError, match="'L1H0' is in neither variant; did you mean L1_ATTN?"):
        require_components(["L1H0"], {"EMBED", "L1_ATTN", "L1_MLP", "LOGITS"})
