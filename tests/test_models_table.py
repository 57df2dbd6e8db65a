"""The page of supported models says what the models themselves answer (also WITHOUT_READER)."""

from __future__ import annotations

import re

import pytest
from models_table import MODELS, PAGE, page, readers

from circuitgraph.engine.families import FAMILIES, MIXTURES
from circuitgraph.engine.families import from_hf as read
from circuitgraph.engine.model import Experts


def test_every_reader_stands_in_the_page_and_has_a_model_that_tests_it() -> None:
    text = PAGE.read_text("utf-8")
    assert set(FAMILIES) <= set(MODELS)
    assert set(FAMILIES) <= set(re.findall(r"^\| `(\w+)` \| reader ", text, re.MULTILINE))
    assert all(line in text.split("\n") for line in readers())
    assert len(readers()) == len(FAMILIES)
    number = re.search(r"of \[(\d+) families\]", (PAGE.parent / "commands.md").read_text("utf-8"))
    assert number is not None
    assert int(number.group(1)) == len(FAMILIES)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_mixtures_are_those_with_experts(family: str) -> None:
    from transformers import AutoModelForCausalLM

    model = read(AutoModelForCausalLM.from_config(MODELS[family]()))
    assert any(isinstance(b.mlp, Experts) for b in model.blocks) == (family in MIXTURES)


@pytest.mark.slow
def test_the_table_is_what_the_models_answer() -> None:
    assert page() == PAGE.read_text("utf-8")
