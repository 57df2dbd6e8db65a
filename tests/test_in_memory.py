"""Models in memory: the same runs as from their folders, and what comes after them."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import make_adapter, make_model
from peft import PeftModel
from transformers import AutoModelForCausalLM

from circuitgraph import Workspace
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.runs.record import Run

PROMPTS = [
    {"prompt": f"w5 w{k} w7", "corrupt": f"w9 w{k} w7", "scenario": "s", "answer": "w20",
     "wrong_answer": "w30"}
    for k in range(10, 20)
]  # fmt: skip
OPTIONS: dict[str, Any] = {"prompts": PROMPTS, "granularity": "layer", "load": False}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("memory") / "llama")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return make_adapter(base, base.parent / "adapter")


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder)


def same(one: list[Run], other: list[Run]) -> None:
    """Same ids, and the very same numbers, measured apart."""
    assert [run.id for run in one] == [run.id for run in other]
    for a, b in zip(one, other, strict=True):
        assert a.path != b.path
        assert a.variant.fingerprint == b.variant.fingerprint
        assert {*a.arrays} == {*b.arrays}
        for name in a.arrays:
            assert np.array_equal(a.arrays[name], b.arrays[name])


def weights(hf: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in hf.state_dict().items()}


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_a_model_gives_the_runs_of_its_folder(family: str, tmp_path: Path) -> None:
    folder = make_model(family, tmp_path / family)
    hf = loaded(folder)
    before, training = weights(hf), hf.train()
    of_folder = Workspace(tmp_path / "a").ingest(folder, name="x", **OPTIONS)
    held = Workspace(tmp_path / "b").ingest(
        hf, tokenizer=load_tokenizer(folder), name="x", **OPTIONS
    )
    same(of_folder, held)
    assert held[0].variant.base == "(in memory)"
    assert training.training
    after = weights(hf)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_peft_model_gives_the_runs_of_base_and_adapter(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    peft = PeftModel.from_pretrained(loaded(base), str(adapter))
    before = weights(peft)
    of_folder = Workspace(tmp_path / "a").ingest(base, adapter=adapter, name="x", **OPTIONS)
    held = Workspace(tmp_path / "b").ingest(
        peft, tokenizer=load_tokenizer(base), name="x", **OPTIONS
    )
    same(of_folder, held)
    assert of_folder[1].variant.adapter
    assert held[1].variant.adapter
    after = weights(peft)
    assert {*before} == {*after}
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.some(1)
def test_a_bridge_gives_the_runs_of_its_folder(family: str, tmp_path: Path) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    folder = make_model(family, tmp_path / family)
    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu")
    of_folder = Workspace(tmp_path / "a").ingest(folder, name="x", **OPTIONS)
    held = Workspace(tmp_path / "b").ingest(
        bridge, tokenizer=load_tokenizer(folder), name="x", **OPTIONS
    )
    same(of_folder, held)
    bridge.enable_compatibility_mode()  # folds norms into what reads them, centres the logits
    if family == "gpt2":
        with pytest.raises(InputError, match="give other logits than the bridge|be taken out"):
            Workspace(tmp_path / "b").ingest(bridge, name="y", **OPTIONS)
        return
    folded = Workspace(tmp_path / "b").ingest(bridge, name="y", **OPTIONS)
    assert folded[1].variant.fingerprint != held[1].variant.fingerprint
    decisions = [runs[1].arrays["decisions"] for runs in (held, folded)]
    assert decisions[1] == pytest.approx(decisions[0], abs=1e-3)


def test_one_name_may_stand_for_both(base: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first = workspace.ingest(base, name="x", **OPTIONS)
    hf = loaded(base)
    again = workspace.ingest(hf, tokenizer=load_tokenizer(base), name="x", **OPTIONS)
    assert [run.path for run in again] == [run.path for run in first]
    with torch.no_grad():
        hf.model.layers[0].mlp.down_proj.weight.mul_(2)
    with pytest.raises(UsageError, match="already stands for other weights"):
        workspace.ingest(hf, tokenizer=load_tokenizer(base), name="x", **OPTIONS)


@pytest.mark.thorough
def test_what_loads_models_again_finds_them_while_they_are_there(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(base)
    hf, peft = loaded(base), PeftModel.from_pretrained(loaded(base), str(adapter))
    held, files = Workspace(tmp_path / "a"), Workspace(tmp_path / "b")
    held.ingest(hf, tokenizer=tokenizer, name="base", **OPTIONS)
    held.ingest(peft, tokenizer=tokenizer, name="tuned", **OPTIONS)
    files.ingest(base, name="base", **OPTIONS)
    files.ingest(base, adapter=adapter, name="tuned", **OPTIONS)
    tables = [w.diff("base", "tuned", lens="wiring").table for w in (held, files)]
    assert tables[0]["delta"].to_numpy() == pytest.approx(tables[1]["delta"].to_numpy(), abs=1e-6)
    assert [*tables[0]["verdict"]] == [*tables[1]["verdict"]]
    patched = [w.patch("base", "tuned").components["effect"].tolist() for w in (held, files)]
    assert patched[0] == pytest.approx(patched[1], abs=1e-5)
    with torch.no_grad():
        hf.model.layers[0].mlp.down_proj.weight.mul_(2)
    with pytest.raises(InputError, match=r"'base'.*have changed since; save it"):
        held.patch("tuned", "base")
    del hf
    gc.collect()
    with pytest.raises(InputError, match=r"'base' was ingested from memory.*save_pretrained"):
        held.diff("tuned", "base", lens="wiring")
    assert len(held.edges("base", "effect"))  # what was measured stays


def test_what_cannot_be_measured_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    workspace, tokenizer = Workspace(tmp_path), load_tokenizer(base)
    hf = loaded(base)
    for model, options, told in (
        (torch.nn.Linear(2, 2), {"tokenizer": tokenizer}, "Linear is no model"),
        (hf, {}, "needs its tokenizer"),
        (hf, {"tokenizer": tokenizer, "adapter": adapter}, "give the PeftModel"),
        *(
            [(hf, {"tokenizer": tokenizer, "ray": "local"}, "workers load models from files")]
            if find_spec("ray")
            else []
        ),
        (base, {"tokenizer": tokenizer}, "a folder has its own"),
    ):
        with pytest.raises(UsageError, match=told):
            workspace.ingest(model, name="x", **options, **OPTIONS)
    with torch.no_grad():
        hf.model.embed_tokens.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        workspace.ingest(hf, tokenizer=tokenizer, name="x", **OPTIONS)
