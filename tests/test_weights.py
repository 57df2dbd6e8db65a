"""Fingerprints of merged weights: equal where what is computed is equal, and nowhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from models import make_adapter, make_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from circuitgraph.models.distance import _weight_change
from circuitgraph.models.variants import load_variant
from circuitgraph.models.weights import merged_weights

KINDS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "biases": {"bias": "all"},
    "norms": {"modules_to_save": ["input_layernorm"]},
    "head saved": {"modules_to_save": ["lm_head"]},
    "ends": {"target_modules": ["q_proj", "lm_head", "embed_tokens"]},
    "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [3, 9]},
    "parameters": {"target_modules": [], "target_parameters": ["mlp.gate_proj.weight"]},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    return {family: make_model(family, root / family) for family in ("llama", "qwen2", "gpt2")}


def edit_json(file: Path, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.some(3)
def test_a_base_with_its_adapter_is_the_model_saved_merged(bases, tmp_path, kind):
    adapter = make_adapter(bases["llama"], tmp_path / "adapter", **KINDS[kind])
    loaded, again = (load_variant(bases["llama"], adapter) for _ in range(2))
    before = {name: p.clone() for name, p in loaded.hf.named_parameters()}
    told = merged_weights(loaded.hf)
    assert all(torch.equal(p, before[name]) for name, p in loaded.hf.named_parameters())
    assert loaded.variant.fingerprints["merged"] == told.fingerprint
    assert again.variant.fingerprint == loaded.variant.fingerprint
    assert told.change > 0.01
    loaded.merged().save_pretrained(tmp_path / "whole")
    shutil.copy(bases["llama"] / "tokenizer.json", tmp_path / "whole")
    whole = load_variant(tmp_path / "whole").variant
    assert whole.fingerprints["merged"] == told.fingerprint
    assert whole.fingerprint == loaded.variant.fingerprint
    assert whole.fingerprint != load_variant(bases["llama"]).variant.fingerprint


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_tied_and_untied_weights_of_equal_values_are_one_model(bases, tmp_path, family):
    tied = shutil.copytree(bases[family], tmp_path / "tied")
    hf = AutoModelForCausalLM.from_pretrained(tied)
    hf.get_output_embeddings().weight = hf.get_input_embeddings().weight
    weights = {name: t.clone() for name, t in hf.state_dict().items()}
    inner = next(n for n in weights if n.endswith(("embed_tokens.weight", "wte.weight")))
    save_file(weights, tied / "model.safetensors", {"format": "pt"})
    untied = shutil.copytree(tied, tmp_path / "untied")
    edit_json(tied / "config.json", tie_word_embeddings=True)
    edit_json(untied / "config.json", tie_word_embeddings=False)
    assert load_variant(tied).variant.fingerprint == load_variant(untied).variant.fingerprint
    weights["lm_head.weight"] = weights[inner] + 1
    save_file(weights, untied / "model.safetensors", {"format": "pt"})
    assert load_variant(tied).variant.fingerprint != load_variant(untied).variant.fingerprint


def test_an_update_of_zero_is_the_base_even_where_a_weight_is_minus_zero(bases, tmp_path):
    base = Path(shutil.copytree(bases["llama"], tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    weights["model.layers.0.self_attn.q_proj.weight"][0] = -0.0
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    adapter = make_adapter(base, tmp_path / "adapter", scale=0)
    tuned = load_variant(base, adapter)
    assert tuned.variant.fingerprint == load_variant(base).variant.fingerprint
    assert tuned.change == 0


def test_what_decides_the_function_is_in_the_fingerprint_and_names_are_not(bases, tmp_path):
    base = Path(shutil.copytree(bases["llama"], tmp_path / "base"))
    plain = load_variant(base).variant
    edit_json(
        base / "config.json",
        **{"torch_dtype": "bfloat16", "attention_dropout": 0.1, "eos_token_id": 5},
        **{"_name_or_path": "elsewhere", "transformers_version": "4.40.0", "use_cache": False},
    )
    assert load_variant(base).variant.fingerprint == plain.fingerprint
    rope = {"rope_type": "default", "rope_theta": 5e5}
    for change in ({"rope_parameters": rope}, {"hidden_act": "gelu"}, {"rms_norm_eps": 1e-3}):
        before = json.loads((base / "config.json").read_text())
        edit_json(base / "config.json", **change)
        other = load_variant(base).variant
        assert other.fingerprint != plain.fingerprint, change
        assert other.fingerprints["merged"] == plain.fingerprints["merged"]
        (base / "config.json").write_text(json.dumps(before))


@torch.no_grad()
@pytest.mark.parametrize(("scale", "low", "high"), [(1e-9, 0.0, 0.6), (1e-4, 0.999, 1.001)])
def test_how_much_of_a_tiny_update_float32_keeps(bases, tmp_path, scale, low, high):
    adapter = make_adapter(bases["llama"], tmp_path / "adapter", scale=scale)
    loaded = load_variant(bases["llama"], adapter)
    base = dict(load_variant(bases["llama"]).hf.named_parameters())
    left = meant = 0.0
    for name, layer in loaded.hf.get_base_model().named_modules():
        if hasattr(layer, "lora_A"):
            b, a = (getattr(layer, f"lora_{x}")["default"].weight.double() for x in "BA")
            delta, weight = 2 * b @ a, base[f"{name}.weight"]  # alpha 8, rank 4
            kept = (weight.double() + delta).float().double() - weight.double()
            left, meant = left + float((kept * delta).sum()), meant + float(delta.pow(2).sum())
    assert low <= left / meant <= high
    # Our float32 product of B and A is rounded before it is added.
    assert loaded.kept == pytest.approx(left / meant, abs=0.05)


def test_the_distance_of_two_models_is_summed_in_one_order() -> None:
    """From a to z: last bits would else change with the order in which a process holds names."""
    a, b = torch.nn.Module(), torch.nn.Module()
    for name in "abcdefghijklz":
        weight = torch.tensor([1e8 if name == "z" else 1.0])
        a.register_parameter(name, torch.nn.Parameter(weight))
        b.register_parameter(name, torch.nn.Parameter(weight if name == "z" else weight + 1))
    assert _weight_change(a, b) == (12 / (12 + 1e16)) ** 0.5
