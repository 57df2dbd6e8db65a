"""Compiled programs: they do what they say, and their circuits are all there is."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitgraph import UsageError, Workspace, plant
from circuitgraph.models.variants import load_tokenizer

LETTERS = "abcdefgh"


@pytest.fixture(scope="module", params=plant.PROGRAMS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = tmp_path_factory.mktemp("programs") / request.param
    return request.param, folder, plant.program(request.param, folder)


def says(folder: Path, prompts: list[str]) -> list[str]:
    """What a model says after each prompt, by the library alone."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), load_tokenizer(folder)
    said = []
    for prompt in prompts:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(prompt)["input_ids"]]])
        with torch.no_grad():
            said.append(tokenizer.decode([int(model(ids).logits[0, -1].argmax())]))
    return said


def test_both_copies_compute_what_they_were_written_for(made: tuple) -> None:
    name, _, pair = made
    if name == "induction":
        prompts = ["a b c d e a", "h c a f b c", "d a g b e h a", "e f g h a g"]
        expected = ["b", "a", "g", "h"]
        # The rewired copy hears every previous letter as the one after it in the alphabet.
        shifted = ["a", "f", "b", "g"]
        prompts_b = ["h a c d e a", "a c b f d c", "h b a d e a", "f g e b a g"]
    else:
        pairs = [(x, y) for x in range(8) for y in range(8)]
        prompts = prompts_b = [f"{x} {y}" for x, y in pairs]
        expected = [str((x + y) % 8) for x, y in pairs]
        shifted = [str((x + y + 1) % 8) for x, y in pairs]
    assert says(pair.folder_a, prompts) == expected
    assert says(pair.folder_b, prompts_b) == shifted


def test_effects_are_the_circuit_and_nothing_else(made: tuple, tmp_path: Path) -> None:
    _, folder, pair = made
    workspace = Workspace(tmp_path)
    options = {"prompts": folder / "prompts.jsonl", "edges": ["effect"], "estimator": "exact"}
    (run,) = workspace.ingest(pair.folder_a, name="a", **options)
    size = abs(run.effects).max(0)
    found = {edge[:2] for edge, s in zip(run.edges, size, strict=True) if s > 0.1}
    circuit = pd.read_csv(folder / "circuit.csv")
    assert found == set(circuit[["source", "target"]].itertuples(index=False, name=None))
    assert size[[edge[:2] not in found for edge in run.edges]].max() < 1e-4
    assert size.max() > 5


@pytest.mark.some(1)
def test_the_rewired_edge_is_the_only_one_whose_weights_differ(made: tuple, tmp_path: Path) -> None:
    _, folder, pair = made
    workspace = Workspace(tmp_path)
    for name, model in (("a", pair.folder_a), ("b", pair.folder_b)):
        workspace.ingest(model, name=name, prompts=folder / "prompts.jsonl", edges=["effect"])
    table = workspace.diff("a", "b", lens="wiring").table
    changed = table[table["delta"] > 1e-6][["source", "target", "input"]]
    assert changed.to_numpy().tolist() == pair.truth[["source", "target", "input"]].values.tolist()


def test_prompts_ask_what_the_program_can_answer(made: tuple) -> None:
    _, folder, pair = made
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    assert says(pair.folder_a, [row["prompt"] for row in rows]) == [r["answer"] for r in rows]
    assert says(pair.folder_a, [r["corrupt"] for r in rows]) == [r["wrong_answer"] for r in rows]
    size = sum(f.stat().st_size for f in (pair.folder_a / "model.safetensors",))
    assert size < 1_000_000


def test_an_unknown_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose one of induction, lookup"):
        plant.program("chess", tmp_path / "x")
