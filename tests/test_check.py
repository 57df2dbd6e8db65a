"""check: alive, erased by merging, identical, of another base; what it says and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from merging import merged, nf4, updates
from models import make_adapter, make_model
from safetensors.numpy import load_file
from shell import IPD, cli

from circuitgraph import check
from circuitgraph.updates.words import first_line, lines

UTILITARIAN = IPD / "variants" / "utilitarian"
BASE = IPD / "base"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("llama") / "base")


@pytest.fixture(scope="module")
def in_nf4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base as quantisation leaves it: dequantised NF4."""
    return merged(BASE, "nf4", tmp_path_factory.mktemp("nf4") / "base")


@pytest.fixture(scope="module")
def in_bf16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merged(BASE, "bf16", tmp_path_factory.mktemp("bf16") / "base")


def test_an_adapter_that_was_never_trained_is_identical(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter", scale=0)
    answer = cli("check", base, adapter)
    assert (answer.code, answer.out.splitlines()[0]) == (3, "identical: 0 of 30 tensors changed")
    found = check(base, adapter)
    assert (found.verdict.word, found.verdict.changed, found.touched) == ("identical", 0, ())


def test_a_trained_adapter_is_alive_and_its_sizes_are_those_of_its_factors() -> None:
    found = check(BASE, UTILITARIAN)
    weights = load_file(BASE / "model.safetensors")
    known = dict(updates(UTILITARIAN))
    assert {one.tensor for one in found.touched} == set(known)
    for one in found.touched:
        update, weight = known[one.tensor], weights[one.tensor]
        assert one.change == pytest.approx(np.linalg.norm(update) / np.linalg.norm(weight))
        shares = np.linalg.svd(update, compute_uv=False) ** 2
        shares = shares[shares > 1e-12 * shares[0]] / shares.sum()
        assert one.rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    squares = sum((u**2).sum() for u in known.values())
    whole = sum((weights[name].astype(float) ** 2).sum() for name in known)
    assert found.change == pytest.approx((squares / whole) ** 0.5)
    assert found.verdict.exit_code == 0
    assert first_line(found).startswith("alive: 28 of 38 tensors changed, ‖ΔW‖/‖W‖ 0.128, 100%")
    assert found.table["layer"].nunique() == 4
    assert found.left["bf16"] > 0.99 > found.left["nf4"]


def test_what_a_format_leaves_is_what_merging_in_it_leaves(in_nf4: Path) -> None:
    """Beside a merge by plain numpy, of a base on that grid."""
    found = check(in_nf4, UTILITARIAN)
    start = load_file(in_nf4 / "model.safetensors")
    along = meant = apart = 0.0
    for name, update in updates(UTILITARIAN):
        left = nf4((start[name] + update).astype(np.float32)).astype(float) - start[name]
        along += (left * update).sum()
        apart += ((left - update) ** 2).sum()
        meant += (update**2).sum()
    assert found.left["nf4"] == pytest.approx(along / meant, rel=1e-3)
    assert found.error["nf4"] == pytest.approx((apart / meant) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("into", "size", "word"),
    [
        ("nf4", 0.02, "erased"),
        ("nf4", 1.0, "alive"),
        ("bf16", 2e-4, "erased"),
        ("bf16", 1e-3, "nearly erased"),
        ("bf16", 1.0, "alive"),
    ],
)
def test_a_merged_model_is_seen_through_without_its_adapter(
    in_nf4: Path, in_bf16: Path, tmp_path: Path, into: str, size: float, word: str
) -> None:
    start = {"nf4": in_nf4, "bf16": in_bf16}[into]
    model = merged(BASE, into, tmp_path / "merged", UTILITARIAN, size)
    found = check(start, model)
    assert found.verdict.word == word
    assert found.verdict.exit_code == (0 if word == "alive" else 3)
    before, after = (load_file(folder / "model.safetensors") for folder in (start, model))
    along = meant = 0.0
    for name, update in updates(UTILITARIAN):
        along += ((after[name].astype(float) - before[name]) * size * update).sum()
        meant += ((size * update) ** 2).sum()
    assert found.verdict.share == pytest.approx(along / meant, abs=0.03)


def test_with_the_adapter_at_hand_what_is_left_is_measured(in_nf4: Path, tmp_path: Path) -> None:
    model = merged(BASE, "nf4", tmp_path / "merged", UTILITARIAN)
    found = check(in_nf4, model, adapter=UTILITARIAN)
    before, after = (load_file(folder / "model.safetensors") for folder in (in_nf4, model))
    for one in found.touched:
        update = dict(updates(UTILITARIAN))[one.tensor]
        left = after[one.tensor].astype(float) - before[one.tensor]
        apart = np.linalg.norm(left - update) / np.linalg.norm(update)
        assert one.error["adapter"] == pytest.approx(apart, rel=1e-4)
    assert "of the adapter's update left" in found.verdict.sentence


def test_copies_of_one_model_that_lost_two_adapters_are_named(in_nf4: Path, tmp_path: Path) -> None:
    """As in the study whose adapters were merged into 4 bits: no 4-bit code differs."""
    copies = [
        merged(BASE, "nf4", tmp_path / name, IPD / "variants" / name, 0.02)
        for name in ("utilitarian", "deontological")
    ]
    answer = cli("check", *copies)
    assert answer.code == 3
    assert answer.out.startswith("erased: 28 of 38 tensors changed")
    assert re.search(r"of 163840 4-bit codes 0 changed", answer.out)


def test_a_base_in_a_coarser_format_holds_no_update(tmp_path: Path) -> None:
    model = merged(BASE, "nf4", tmp_path / "merged")
    found = check(BASE, model)
    assert found.verdict.word == "erased"
    assert "none beyond the rounding of the base to nf4" in found.verdict.sentence
    assert check(model, model).verdict.sentence == "0 of 38 tensors changed"


def test_another_base_is_named(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    shapes = check(BASE, adapter)
    assert (shapes.verdict.word, shapes.verdict.exit_code) == ("wrong base", 1)
    assert "does not fit this base model" in shapes.verdict.sentence
    twin = make_model("llama", tmp_path / "twin", seed=1)  # the same shapes, other weights
    assert "cosine" in check(twin, base).verdict.sentence
    named = adapter / "adapter_config.json"
    config = json.loads(named.read_text()) | {"base_model_name_or_path": str(base)}
    named.write_text(json.dumps(config))
    answer = cli("check", twin, adapter)
    assert answer.code == 1
    assert answer.out.startswith("wrong base: ")
    assert "was trained on" in answer.out
    assert check(base, adapter).verdict.word == "alive"
    assert check(base, BASE).verdict.word == "wrong base"


def test_json_begins_with_the_verdict(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    answer = cli("--json", "check", base, adapter)
    told = answer.rows
    assert next(iter(told)) == "verdict"
    assert told["verdict"]["word"] == "alive"
    assert told["verdict"]["exit_code"] == answer.code == 0
    assert len(told["tensors"]) == told["verdict"]["changed"] == 21


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--fail-on", "erased"), 0, ""),
        (("--fail-on", "changed"), 1, "error: --fail-on: changed"),
        (("--fail-on", "lost-in-q4_0", "--fail-on", "lost-in-bf16"), 0, ""),
        (("--fail-on", "unmoved"), 2, "decisions need --prompts"),
        (("--fail-on", "nothing"), 2, "'nothing' is unknown; choose from erased"),
        (("--adapter", UTILITARIAN), 2, "--adapter goes with a whole model"),
    ],
)
def test_findings_to_fail_on(words: tuple[str, ...], code: int, told: str) -> None:
    answer = cli("check", BASE, UTILITARIAN, *words)
    assert answer.code == code
    assert told in answer.err


def test_decisions_beside_random_updates(examples: Path) -> None:
    options = {"prompts": examples / "prompts.jsonl", "draws": 3}
    found = check(BASE, UTILITARIAN, **options)
    assert found.moves is not None
    assert found.moves.moved
    assert found.moves.p == 0.25
    assert found.moves.move > 3 * max(found.moves.nulls)
    assert any("too few to claim anything at 5%" in line for line in lines(found))
    again = check(BASE, UTILITARIAN, **options)
    assert again.moves == found.moves  # the base was put back, and seeds are kept
    more = check(BASE, UTILITARIAN, **{**options, "draws": 1}).moves
    assert more is not None
    assert more.nulls == found.moves.nulls[:1]


def test_a_move_like_that_of_random_updates_is_none(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter", scale=0.05)
    rows = [
        {"prompt": f"w{i} w{i + 1} w{i + 2}", "scenario": "s"} for i in range(4, 24)
    ]  # without answers: the divergence of the next token
    found = check(base, adapter, prompts=rows, draws=5).moves
    assert found is not None
    assert found.measure == "kl"
    assert min(found.nulls) / 5 < found.move < 5 * max(found.nulls)
