"""Measures of components: against plain hooks on the library's modules, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from models import make_adapter, make_model
from shell import cli, jsonl, rows

import circuitgraph
from circuitgraph import UsageError, Workspace, load_variant
from circuitgraph.base.progress import Reporter
from circuitgraph.nodes.compare import CLAIMS, Sides, compare
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.parting import parting
from circuitgraph.nodes.probe import _held_out, _shuffled
from circuitgraph.nodes.record import Node, NodeValues
from circuitgraph.nodes.values import values_of
from circuitgraph.runs.record import list_runs

PAIRS = [
    {
        "prompt": f"w5 w9 w{10 + i} w7 w{30 + i % 3}",
        "corrupt": f"w5 w9 w{40 + i} w7 w{30 + i % 3}",
        "answer": "w8", "wrong_answer": "w19", "scenario": "ab"[i % 2], "direction": -1,
        "spans": {"changed": [[6, 9]], "end": [[13, 16]]}, "kind": ["x", "y"][i // 2 % 2],
    }
    for i in range(12)
]  # fmt: skip
FAMILIES = ("llama", "gpt2", "gemma2", "qwen3")


@pytest.fixture(
    scope="module",
    params=["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES[1:])],
)
def made(request, tmp_path_factory) -> tuple[Path, Path, Path]:
    """A model folder, its prompts, and a workspace of it and of an adapter."""
    root = tmp_path_factory.mktemp(request.param)
    base = make_model(request.param, root / "base")
    prompts = jsonl(root / "prompts.jsonl", PAIRS)
    workspace = Workspace(root / "w")
    adapter = make_adapter(base, root / "adapter")
    for name, folder in (("base", None), ("tuned", adapter)):
        workspace.ingest(base, adapter=folder, name=name, prompts=prompts, load=False)
    return base, prompts, root / "w"


def effect_run(workspace: Path, name: str):
    runs = list_runs(workspace / "runs")
    return next(r for r in runs if r.variant.name == name and r.kind == "effect")


@torch.no_grad()
def library(base: Path, hooks=()) -> tuple[torch.Tensor, torch.Tensor]:
    """Logit differences of the library's model [n], and its residual streams [L + 1, n, d]."""
    loaded = load_variant(base)
    found = []
    for row in PAIRS:
        ids = [1, *loaded.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]]
        out = loaded.hf(torch.tensor([ids]), output_hidden_states=True)
        logits = out.logits[0, -1]
        found.append((logits[8] - logits[19], torch.stack(out.hidden_states)[:, 0, -1]))
    return torch.stack([f[0] for f in found]), torch.stack([f[1] for f in found], 1)


def in_file_order(run, values: np.ndarray) -> np.ndarray:
    place = {prompt.prompt: i for i, prompt in enumerate(run.prompts)}
    return values[[place[row["prompt"]] for row in PAIRS]]


def values(workspace: Path, name: str, measure: str) -> tuple:
    run = effect_run(workspace, name)
    found = values_of(run, MEASURES[measure], Reporter())
    return found.nodes, in_file_order(run, found.values)


def test_attributions_sum_to_the_library_s_logit_difference(made):
    base, _, workspace = made
    _, found = values(workspace, "base", "attribution")
    want, _ = library(base)
    cap = getattr(load_variant(base).hf.config, "final_logit_softcapping", None)
    if cap is None:
        assert np.allclose(found.sum(1), want, atol=1e-4)
    else:  # the sum is the difference before the cap, which never turns it around
        assert (np.sign(found.sum(1)) == np.sign(want.numpy())).all()


def test_the_logit_lens_ends_in_the_library_s_logits(made):
    base, _, workspace = made
    nodes, found = values(workspace, "base", "logit-lens")
    want, streams = library(base)
    assert np.allclose(found[:, -1], want, atol=1e-4)
    assert [node.component for node in nodes][:2] == ["EMBED", "L0_RESID"]
    hf = load_variant(base).hf
    norm = hf.transformer.ln_f if hasattr(hf, "transformer") else hf.model.norm
    cap = getattr(hf.config, "final_logit_softcapping", None)
    with torch.no_grad():
        for layer in range(len(streams) - 1):  # the last of the library's is normed already
            logits = hf.lm_head(norm(streams[layer]))
            logits = logits if cap is None else cap * torch.tanh(logits / cap)
            assert np.allclose(found[:, layer], logits[:, 8] - logits[:, 19], atol=1e-4)


@torch.no_grad()
def test_the_lens_at_every_answer_token_sums_to_the_decision(made, tmp_path):
    """Answers of one to three tokens; the library's norm and unembedding on its own streams."""
    base, _, _ = made
    asked = [row | {"answer": "w8 w9", "wrong_answer": "w8 w19 w20"} for row in PAIRS[:4]]
    asked[0] |= {"answer": "w8", "wrong_answer": "w19"}
    study = Workspace(tmp_path / "w")
    study.ingest(base, name="base", prompts=asked, edges=("correlation",), load=False)
    [run] = list_runs(study.path / "runs")
    found = values_of(run, MEASURES["logit-lens"], Reporter())
    place = [[p.prompt for p in run.prompts].index(row["prompt"]) for row in asked]
    loaded = load_variant(base)
    hf = loaded.hf
    cap = getattr(hf.config, "final_logit_softcapping", None)
    norm = hf.transformer.ln_f if hasattr(hf, "transformer") else hf.model.norm
    for i, row in enumerate(asked):
        ids = [1, *loaded.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]]
        want, decision = torch.zeros(3), 0.0
        for side, sign in (("answer", 1), ("wrong_answer", -1)):
            answer = [int(word[1:]) for word in row[side].split()]
            out = hf(torch.tensor([ids + answer]), output_hidden_states=True)
            logits = hf.lm_head(norm(out.hidden_states[1][0]))
            logits = logits if cap is None else cap * torch.tanh(logits / cap)
            for k, token in enumerate(answer):
                at = len(ids) - 1 + k
                want[k] += sign * logits[at].log_softmax(-1)[token]
                decision += sign * float(out.logits[0, at].log_softmax(-1)[token])
        own = dict(zip(found.nodes, found.values[place[i]], strict=True))
        tokens = [f"token {k}" for k in (1, 2, 3)]
        assert np.allclose([own["L0_RESID", kind] for kind in tokens], want, atol=1e-4)
        assert sum(own["L2_RESID", kind] for kind in tokens) == pytest.approx(decision, abs=1e-4)
    assert study.nodes("base", measure="logit-lens")["category"].nunique() == 4


def test_ablations_are_runs_of_the_library_with_one_output_replaced(made):
    """An MLP's output from the corrupt run put in its place by a plain hook."""
    base, _, workspace = made
    nodes, found = values(workspace, "base", "ablation")
    loaded = load_variant(base)
    blocks = (
        loaded.hf.transformer.h if hasattr(loaded.hf, "transformer") else loaded.hf.model.layers
    )
    post = getattr(blocks[1], "post_feedforward_layernorm", blocks[1].mlp)
    column = [node.component for node in nodes].index("L1_MLP")
    for i, row in enumerate(PAIRS[:4]):
        clean, corrupt = (
            torch.tensor([[1, *loaded.tokenizer(row[k], add_special_tokens=False)["input_ids"]]])
            for k in ("prompt", "corrupt")
        )
        kept: list[torch.Tensor] = []
        with torch.no_grad():
            hook = post.register_forward_hook(lambda m, x, y, kept=kept: kept.append(y))
            loaded.hf(corrupt)
            hook.remove()
            before = loaded.hf(clean).logits[0, -1]
            hook = post.register_forward_hook(lambda m, x, y, kept=kept: kept[0])
            after = loaded.hf(clean).logits[0, -1]
            hook.remove()
        want = (after[8] - after[19]) - (before[8] - before[19])
        assert found[i, column] == pytest.approx(float(want), abs=1e-4)


def test_attention_is_the_library_s_and_sums_to_one(made):
    base, prompts, workspace = made
    table = Workspace(workspace).nodes("base", measure="attention", prompts=prompts)
    plain = table[~table["category"].str.endswith("by value")]
    assert np.allclose(plain.groupby("component", sort=False)["value"].sum(), 1, atol=1e-5)
    loaded = load_variant(base)
    masses: dict[str, list[float]] = {}
    for row in PAIRS:
        ids = [1, *loaded.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            out = loaded.hf(torch.tensor([ids]), output_attentions=True)
        mass = out.attentions[1][0, 2, -1, 3]  # the third word is the changed one, behind BOS
        masses.setdefault(row["scenario"], []).append(float(mass))
    want = np.mean([np.mean(own) for own in masses.values()])
    [got] = plain[(plain["component"] == "L1H2") & (plain["category"] == "changed")]["value"]
    assert got == pytest.approx(want, abs=1e-5)


def test_a_variant_against_itself_and_against_a_silent_adapter_shows_nothing(made, tmp_path):
    base, prompts, _ = made
    silent = make_adapter(base, tmp_path / "silent", scale=0.0)
    study = Workspace(tmp_path / "w")
    for name, folder in (("base", None), ("silent", silent)):
        study.ingest(base, adapter=folder, name=name, prompts=prompts, load=False)
    for measure in ("activity", "attribution", "ablation", "logit-lens"):
        found = study.nodes("base", "silent", measure=measure)
        assert found.summary["n_claims"] == 0
        assert (found.table["change"] == 0).all()
    assert study.nodes("base", "silent", measure="weights").summary["n_claims"] == 0


def test_only_what_was_trained_shows_in_the_weights(made, tmp_path):
    base, prompts, _ = made
    mlp = "c_proj" if "gpt2" in str(base) else "down_proj"
    only = make_adapter(base, tmp_path / "only", target_modules=rf".*\.1\.mlp\.{mlp}")
    study = Workspace(tmp_path / "w")
    for name, folder in (("base", None), ("only", only)):
        study.ingest(base, adapter=folder, name=name, prompts=prompts, load=False)
    table = study.nodes("base", "only", measure="weights").table
    changed = table[(table["category"] == "change") & (table["verdict"] == "changed")]
    merged = load_variant(base, only).merged()
    plain = load_variant(base).hf
    name = next(n for n, _ in plain.named_parameters() if ".1.mlp" in n and mlp in n)
    moved = float((merged.state_dict()[name] - plain.state_dict()[name]).norm())
    assert list(changed["component"]) == ["L1_MLP"]
    whole = sum(
        float(p.double().pow(2).sum()) for n, p in plain.named_parameters()
        if ".1.mlp" in n and n.endswith("weight")
    ) ** 0.5  # fmt: skip
    assert changed["value_b"].iloc[0] == pytest.approx(moved / whole, rel=1e-4)
    rank = table[(table["component"] == "L1_MLP") & (table["category"] == "rank")]["value_b"].iloc[
        0
    ]
    assert 1 <= rank <= 4.01


def test_two_variants_are_compared_by_the_paired_test(made):
    _, _, workspace = made
    found = Workspace(workspace).nodes("base", "tuned", measure="logit-lens")
    a, b = (values(workspace, name, "logit-lens")[1] for name in ("base", "tuned"))
    scenario = np.array([row["scenario"] == "a" for row in PAIRS])
    d = b.astype(float) - a
    want = (d[scenario].mean(0) + d[~scenario].mean(0)) / 2
    assert np.allclose(found.table["change"], want, atol=1e-5)
    assert set(found.table["verdict"]) <= {
        *CLAIMS, "unchanged", "not_detected", "not_testable",
    }  # fmt: skip
    assert found.table["n_effective"].iloc[0] == 10


def test_the_command_says_the_same(made):
    _, prompts, workspace = made
    one = rows("-w", workspace, "nodes", "base", "--measure", "ablation")
    assert list(one[0]) == ["component", "measure", "category", "value", "low", "high", "n"]
    two = rows("-w", workspace, "nodes", "base", "tuned", "--measure", "activity")
    assert [*two[0]][:6] == ["component", "measure", "category", "value_a", "value_b", "change"]
    told = cli("-w", workspace, "nodes", "base", "--measure", "probe")
    assert "--label" in told.complaint
    told = rows(
        "-w", workspace, "nodes", "base", "--measure", "probe", "--label", "kind",
        "--prompts", prompts,
    )  # fmt: skip
    assert {row["category"] for row in told} == {"", "shuffled", "majority"}


def test_a_probe_never_sees_the_group_it_is_tested_on():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 10)
    y = generator.integers(0, 2, 60)
    x = np.eye(6)[groups] + 0.3 * generator.normal(size=(60, 6))  # says the group, no more
    right = (_held_out(x, y, groups, ("0", "1")) == y).mean()
    assert right < 0.7
    x[:, 1] += 5 * y
    assert (_held_out(x, y, groups, ("0", "1")) == y).mean() > 0.95


def test_probes_of_random_labels_stay_at_chance():
    """In 19 of 20 draws the share that is right lies within its binomial interval."""
    from scipy.stats import binom

    inside = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        groups, y = np.repeat(np.arange(12), 8), generator.integers(0, 2, 96)
        x = generator.normal(size=(96, 20))
        right = int((_held_out(x, y, groups, ("0", "1")) == y).sum())
        low, high = binom.interval(0.98, 96, 0.5)
        inside += low <= right <= high
    assert inside >= 18


def test_prompts_that_one_probe_predicts_are_one_observation():
    """24 of 120 prompts turn right together, in one of five held-out groups: no evidence."""
    groups = np.repeat(np.arange(5), 24)
    a, b = np.zeros((120, 1)), (groups == 2).astype(float)[:, None]
    nodes = (Node("L0_RESID"),)
    first, second = (NodeValues(nodes, x, groups=groups) for x in (a, b))
    means, codes = second.observed(np.repeat("abcde", 24))
    assert means[:, 0].tolist() == [0, 0, 1, 0, 0]
    assert codes.tolist() == [0] * 5
    sides = Sides(nodes, (first.observed(groups)[0],), (means,), codes)
    table, summary = compare(MEASURES["probe"], sides, "checkpoint")
    assert (summary["evidence"], summary["n_claims"]) == ("insufficient", 0)
    assert table["change"].iloc[0] == pytest.approx(0.2)


def test_labels_of_whole_groups_are_shuffled_among_groups():
    groups, y = np.repeat(np.arange(4), 3), np.repeat([0, 0, 1, 1], 3)
    drawn = _shuffled(y, groups, np.random.default_rng(1))
    assert all(len(set(drawn[groups == g])) == 1 for g in range(4))
    assert sorted(drawn) == sorted(y)


def test_a_label_of_one_group_alone_is_refused(made):
    _, prompts, workspace = made
    with pytest.raises(UsageError, match="stands in one group only"):
        Workspace(workspace).nodes("base", measure="probe", label="scenario")
    with pytest.raises(UsageError, match="choose from activity"):
        Workspace(workspace).nodes("base", measure="norms")
    with pytest.raises(UsageError, match="name the other one"):
        Workspace(workspace).nodes("base", measure="weights")
    with pytest.raises(UsageError, match="no column"):
        Workspace(workspace).nodes("base", measure="probe", label="mood", prompts=prompts)


def test_the_graph_holds_what_was_measured_and_what_changed(made, tmp_path):
    base, prompts, _ = made
    study = Workspace(tmp_path / "w")
    adapter = make_adapter(base, tmp_path / "adapter", scale=1.0)
    for name, folder in (("base", None), ("tuned", adapter)):
        study.ingest(base, adapter=folder, name=name, prompts=prompts)
    found = study.nodes("base", "tuned", measure="logit-lens", margin=0.0)
    assert found.summary["n_claims"] > 0
    for again in (False, True):
        if again:
            study.rebuild()
        rows = study.cypher(
            "MATCH (d:Diff)-[e:CHANGED]->(c:Component) WHERE d.lens = 'logit-lens'"
            " RETURN c.name AS component, e.change AS change, e.verdict AS verdict"
        ).set_index("component")
        claims = found.claims.set_index("component")
        assert set(rows.index) == set(claims.index)
        assert np.allclose(rows.loc[claims.index, "change"], claims["change"])
        means = study.cypher(
            "MATCH (r:Run)-[e:MEASURES]->(c:Component) WHERE e.measure = 'logit-lens'"
            " AND r.variant = 'tuned' RETURN c.name AS component, e.mean AS mean"
        ).set_index("component")["mean"]
        want = found.table.set_index("component")["value_b"]
        assert np.allclose(means.loc[want.index], want, atol=1e-6)
        for label, held in (("kind", again), ("scenario", False)):
            told = study.cypher(
                "MATCH (r:Run)-[e:MEASURES]->(c:Component) WHERE e.measure = 'probe'"
                " AND e.category STARTS WITH $label RETURN e.category AS category",
                {"label": label},
            )
            wanted = {"kind", "kind majority", "kind shuffled"} if held else set()
            assert set(told["category"]) == wanted
        study.nodes("tuned", measure="probe", label="kind", prompts=prompts)
        held = study.cypher("MATCH ()-[e:MEASURES {category: 'kind'}]->() RETURN count(e) AS n")
        assert held["n"].iloc[0] == len(want)
    study.remove("tuned")
    assert study.cypher("MATCH ()-[e:CHANGED]->() RETURN count(e) AS n")["n"].iloc[0] == 0


def test_where_two_variants_part_is_the_first_layer_beyond_the_margin():
    """Two scenarios part in opposite ways after the second layer, surely after the third."""
    rng = np.random.default_rng(0)
    nodes = tuple(Node(name) for name in ("EMBED", "L0_RESID", "L1_RESID", "L2_RESID"))
    scenarios, a = np.repeat([0, 1], 20), np.zeros((40, 4))
    sign = np.where(scenarios == 0, 1.0, -1.0)[:, None]
    noise = rng.normal(0, [0.0, 0.1, 1.0, 1.0], (40, 4))
    for code in (0, 1):
        noise[scenarios == code] -= noise[scenarios == code].mean(0)
    b = sign * [0.0, 0.0, 1.1, 5.0] + noise
    found = parting(Sides(nodes, (a,), (b,), scenarios), margin=1.0)
    assert [found[end] for end in ("low", "first", "high")] == ["L1_RESID"] * 2 + ["L2_RESID"]
    assert found["parted"] == 1.0
    same = parting(Sides(nodes, (a,), (a,), scenarios), margin=1.0)
    assert same == {"first": None, "low": None, "high": None, "parted": 0.0}


def test_a_graph_file_of_before_gains_the_columns(tmp_path):
    import ladybug

    old = (
        "CREATE NODE TABLE Run(id STRING PRIMARY KEY);"
        "CREATE NODE TABLE Component(id STRING PRIMARY KEY);"
        "CREATE REL TABLE MEASURES(FROM Run TO Component, key STRING, mean DOUBLE, sd DOUBLE,"
        " `distinct` INT64);"
        "CREATE REL TABLE TRANSFERS(FROM Component TO Component, key STRING);"
        "CREATE (:Run {id: 'r'})-[:MEASURES {key: 'k', mean: 1.0}]->(:Component {id: 'c'})"
    )
    with (
        ladybug.Database(str(tmp_path / "graph.lbug")) as database,
        ladybug.Connection(database) as connection,
    ):
        connection.execute(old)
    text = (Path(circuitgraph.__file__).parent / "store/schema/embedded.cypher").read_text()
    with (
        ladybug.Database(str(tmp_path / "graph.lbug")) as database,
        ladybug.Connection(database) as connection,
    ):
        connection.execute(text[text.index("ALTER") :])
        found = connection.execute("MATCH ()-[e:MEASURES]->() RETURN e.measure, e.category, e.mean")
        assert found.get_all() == [["activity", "", 1.0]]
