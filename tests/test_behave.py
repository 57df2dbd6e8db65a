"""What variants decide in games: against plain transformers, by hand, and in the graph."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from models import make_adapter, make_model
from neo4j_server import Server, clear
from shell import IPD, cli, done, jsonl, rows

from circuitgraph import Workspace, load_variant
from circuitgraph.behaviour.measure import questions
from circuitgraph.behaviour.tables import compared, scenario_table
from circuitgraph.games.opponents import OPPONENTS
from circuitgraph.games.payoffs import GAMES
from circuitgraph.prompts import Prompt, PromptSet, read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.stats.margins import mean_interval
from circuitgraph.store.neo4j import Neo4jStore

WORDINGS = ("w4", "w5", "w6")
MOVE = {"C": "w10", "D": "w11"}


def game_rows() -> list[dict]:
    """Prompts of a game in the words of the tiny tokenizer, each in a wording and a state."""
    found = []
    for word in WORDINGS:
        for own, other in ("CC", "CD", "DC", "DD"):
            flipped = MOVE["CD"[other == "C"]]
            # exchanged pairs are kept apart by one more word
            begin = f"w9 {word}" + " w12" * (other == "D")
            found.append(
                {
                    "prompt": f"{begin} {MOVE[own]} {MOVE[other]}",
                    "corrupt": f"{begin} {MOVE[own]} {flipped}", "answer": "w10",
                    "wrong_answer": "w11", "template": word, "scenario": f"ipd {own}{other}",
                    "direction": -1 if other == "C" else 1, "game": "ipd", "state_self": own,
                    "state_other": other,
                }
            )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and an adapter, ingested on these prompts."""
    folder = tmp_path_factory.mktemp("behave")
    base = make_model("llama", folder / "base")
    make_adapter(base, folder / "adapter")
    file = folder / "p.jsonl"
    jsonl(file, game_rows())
    common = ("--prompts", file, "--edges", "effect", "--granularity", "layer", "-q")
    for name, more in (("base", ()), ("tuned", ("--adapter", folder / "adapter"))):
        done("-w", folder / "ws", "ingest", base, "--name", name, *common, *more)
    return folder


def plain(place: Path, adapter: bool) -> pd.DataFrame:
    """P(C) and legal mass of every prompt by one library forward each."""
    loaded = load_variant(place / "base", place / "adapter" if adapter else None)
    hf, found = loaded.merged(), []
    for row in game_rows():
        ids = [1, *loaded.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            p = hf(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        c, d = float(p[10]), float(p[11])
        found.append({"scenario": row["scenario"], "p": c / (c + d), "legal": c + d})
    return pd.DataFrame(found)


def test_decisions_are_those_of_the_library(place: Path) -> None:
    found = rows("-w", place / "ws", "behave", "tuned", "base")
    own, base = plain(place, True), plain(place, False)
    assert [row["variant"] for row in found] == ["tuned"] * 4 + ["base"] * 4
    for row in found:
        source = own if row["variant"] == "tuned" else base
        mine = source[source["scenario"] == row["scenario"]]
        assert row["n"] == len(WORDINGS)
        assert row["p"] == pytest.approx(mine["p"].mean(), abs=1e-4)
        assert row["legal"] == pytest.approx(mine["legal"].mean(), rel=1e-3)
        if row["variant"] == "tuned":
            theirs = base[base["scenario"] == row["scenario"]]
            assert row["base"] == pytest.approx(theirs["p"].mean(), abs=1e-4)
            change = mine["p"].to_numpy() - theirs["p"].to_numpy()
            assert row["change"] == pytest.approx(change.mean(), abs=1e-4)
            half = 4.302653 * change.std(ddof=1) / 3**0.5
            assert row["change_low"] == pytest.approx(max(-1, change.mean() - half), abs=1e-3)
    stored = rows("-w", place / "ws", "behave", "tuned", "--stored")
    for row, measured in zip(stored, found, strict=False):
        assert row["p"] == pytest.approx(measured["p"], abs=1e-4)
        assert row["legal"] == pytest.approx(measured["legal"], rel=1e-3)


def test_what_was_measured_is_kept_and_in_the_graph(place: Path, tmp_path: Path) -> None:
    workspace = Workspace(place / "ws")
    table = workspace.behave(["tuned", "base"]).table()
    asked = (
        "MATCH (v:Variant)-[e:DECIDES]->(s:Scenario) RETURN v.name AS variant, s.name AS scenario,"
    )
    asked += " s.game AS game, e.p AS p, e.legal AS legal, e.n AS n ORDER BY variant, scenario"
    found = workspace.cypher(asked)
    expected = table.sort_values(["variant", "scenario"], ignore_index=True)
    for column in found:
        assert found[column].tolist() == expected[column].tolist()
    told = rows("-w", place / "ws", "query", "decisions", "--param", "variant=tuned")
    assert [row["scenario"] for row in told] == ["ipd CC", "ipd CD", "ipd DC", "ipd DD"]
    (place / "adapter" / "adapter_config.json").rename(tmp_path / "hidden")
    try:  # nothing is loaded again
        assert workspace.behave("tuned").table("game")["CC"].iloc[0] == expected["p"].iloc[4]
    finally:
        (tmp_path / "hidden").rename(place / "adapter" / "adapter_config.json")


@pytest.mark.neo4j
def test_decisions_on_a_server(
    place: Path, tmp_path: Path, neo4j_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured straight into the server, the same as in the file; removed with their variant."""
    shutil.copytree(place / "ws", tmp_path / "ws")
    for name, value in neo4j_server.environment.items():
        monkeypatch.setenv(name, value)
    with Neo4jStore(neo4j_server.address) as store:
        clear(store)
    local, there = Workspace(tmp_path / "ws"), Workspace(tmp_path / "ws", store="neo4j")
    for workspace in (local, there):
        workspace.behave(["tuned", "base"])
    asked = (
        "MATCH (v:Variant)-[e:DECIDES]->(s:Scenario) RETURN v.name AS variant, s.name AS scenario,"
        " e.p AS p, e.low AS low, e.high AS high, e.legal AS legal, e.n AS n"
        " ORDER BY variant, scenario"
    )
    pd.testing.assert_frame_equal(there.cypher(asked), local.cypher(asked), check_dtype=False)
    assert len(there.cypher(asked)) == 8
    for name in ("tuned", "base"):
        found = there.query("decisions", variant=name)
        pd.testing.assert_frame_equal(
            found, local.query("decisions", variant=name), check_dtype=False
        )
    there.remove("tuned")
    assert there.cypher(asked)["variant"].tolist() == ["base"] * 4


def test_a_removed_variant_takes_its_decisions_along(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "ws", tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws")
    workspace.behave(["tuned", "base"])
    count = "MATCH ()-[e:DECIDES]->(s:Scenario) RETURN count(e) AS n, count(DISTINCT s.id) AS s"
    assert workspace.cypher(count).iloc[0].tolist() == [8, 4]
    workspace.remove("tuned")
    assert workspace.cypher(count).iloc[0].tolist() == [4, 4]
    assert workspace.rebuild()[0].runs == 1
    assert workspace.cypher(count).iloc[0].tolist() == [4, 4]


def test_by_game_by_hand() -> None:
    """Two wordings; reciprocity and regret worked out on paper."""
    p = {"CC": (1.0, 0.8), "CD": (0.2, 0.0), "DC": (0.9, 0.7), "DD": (0.1, 0.1)}
    decisions = pd.DataFrame(
        [
            {
                "key": f"{state}{i}", "game": "ipd", "scenario": f"ipd {state}", "wording": f"w{i}",
                "state": state, "split": "", "p": value, "legal": 0.5,
            }
            for state, both in p.items()
            for i, value in enumerate(both)
        ]
    )  # fmt: skip
    [row] = compared("v", decisions, None, "game", GAMES, OPPONENTS["random"]).to_dict("records")
    assert [row[state] for state in p] == pytest.approx([0.9, 0.1, 0.8, 0.1])
    # w0: (1 + .9)/2 − (.2 + .1)/2 = .8; w1: .75 − .05 = .7
    assert row["reciprocity"] == pytest.approx(0.75)
    assert row["low"] == pytest.approx(0.75 - 12.7062 * 0.05, abs=1e-4)
    # half of all answers are illegal (6); betrayals cost 3·.1 and 3·.2 in two of four states
    assert row["deontological_regret"] == pytest.approx(3 + 0.5 * (0.3 + 0.6) / 4)
    # C earns 5 together, D 3: reward 3 + 2·p
    joint = 0.5 * (3 + 2 * np.mean([0.9, 0.1, 0.8, 0.1])) - 3
    assert row["utilitarian_regret"] == pytest.approx((6 - joint) / 12)
    scenario = scenario_table(decisions).set_index("scenario").loc["ipd CC"]
    assert (scenario["n"], scenario["p"], scenario["low"], scenario["high"]) == (2, 0.9, 0, 1)
    unknown = decisions.assign(game="other")
    [row] = compared("v", unknown, None, "game", GAMES, OPPONENTS["random"]).to_dict("records")
    assert np.isnan(row["utilitarian_regret"])
    assert mean_interval(np.array([0.3]), (0.0, 1.0)) == (0.3, 0.0, 1.0)


def test_samples_agree_with_probabilities(place: Path) -> None:
    found = rows("-w", place / "ws", "behave", "tuned", "--samples", 300, "--by", "state")
    for row in found:
        if row["legal"] > 0.2:
            assert abs(row["sampled"] - row["p"]) < 0.15
        assert abs(row["sampled_legal"] - row["legal"]) < 0.1


def test_variants_that_were_never_asked_are_refused(tmp_path: Path) -> None:
    base = make_model("llama", tmp_path / "base")
    file = tmp_path / "p.jsonl"
    plain_rows = [
        {k: v for k, v in row.items() if not k.startswith(("state", "game"))}
        | {"scenario": row["template"]}
        for row in game_rows()
    ]
    jsonl(file, plain_rows)
    place = ("-w", tmp_path / "ws")
    done(*place, "ingest", base, "--name", "base", "--prompts", file, "--edges", "effect", "-q")
    told = cli(*place, "behave", "base").complaint
    assert "was never asked about a game" in told
    assert "no variant 'other'" in cli(*place, "behave", "other").complaint
    assert "loads no model" in cli(*place, "behave", "base", "--stored", "--samples", 3).complaint


@pytest.mark.slow
def test_both_spellings_count_where_both_can_follow(smollm2: Path) -> None:
    tokenizer = load_tokenizer(smollm2)
    text = "Choose A or B.\nAnswer:"
    prompts = PromptSet((Prompt(text, "s", f"{text} ", " A", " B"),), "here")
    [found] = questions(prompts, tokenizer, chat_template=False, moment=None, rows=1 << 30)
    words = [[tokenizer.decode(ids) for ids in side] for side in found.spellings]
    assert words == [[" A", "A"], [" B", "B"]]
    tiny = load_tokenizer(IPD / "base")
    first = PromptSet(read_prompts(IPD / "prompts.jsonl").prompts[:1], "there")
    [found] = questions(first, tiny, chat_template=False, moment=None, rows=1 << 30)
    assert [len(side) for side in found.spellings] == [1, 1]  # blanks are nothing there
