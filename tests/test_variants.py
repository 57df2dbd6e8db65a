"""Variants: what is loaded, what a fingerprint is of, and what is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models import FAMILIES, make_adapter, make_model, refused
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.ingest.selfcheck import checked_model
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 5, 9, 22, 7, 30), (1, 5, 9, 41, 7, 30), (8,), (19,), None),
    Encoded((1, 6, 7), (1, 61, 7), (40,), (11,), None),
)
ATTENTION = {"gpt2": ["c_attn"]}
EMBEDDING = {"gpt2": "wte"}
NORM = {"gpt2": "ln_1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def bases(root):
    return {family: make_model(family, root / family) for family in FAMILIES}


@pytest.fixture(scope="module")
def lora(bases, root):
    return make_adapter(bases["llama"], root / "lora")


@pytest.fixture
def base(bases, tmp_path):
    """A copy of a model folder, to be damaged."""
    return Path(shutil.copytree(bases["llama"], tmp_path / "base"))


@pytest.fixture
def adapter(lora, tmp_path):
    """A copy of an adapter of ``base``, to be damaged."""
    return Path(shutil.copytree(lora, tmp_path / "adapter"))


def edit_json(file: Path, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(file: Path, change):
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})


def poison(weights):
    first = next(iter(weights))
    weights[first] = weights[first].clone()
    weights[first].view(-1)[0] = float("nan")


# Fingerprints


def test_a_fingerprint_is_of_contents_and_not_of_places(bases, lora, base, adapter, tmp_path):
    plain = load_variant(bases["llama"]).variant
    assert load_variant(base).variant.fingerprint == plain.fingerprint
    tuned = load_variant(bases["llama"], lora).variant
    assert tuned.fingerprint != plain.fingerprint
    assert load_variant(base, adapter).variant.fingerprint == tuned.fingerprint
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=str(tmp_path / "elsewhere"))
    assert load_variant(base, adapter).variant.fingerprint == tuned.fingerprint


def test_a_fingerprint_changes_with_weights_adapter_and_its_settings(base, adapter):
    known = load_variant(base, adapter).variant

    def changed(key: str) -> bool:
        nonlocal known
        before, known = known, load_variant(base, adapter).variant
        assert before.fingerprints[key] != known.fingerprints[key]
        return before.fingerprint != known.fingerprint

    edit_weights(adapter / "adapter_model.safetensors", lambda w: next(iter(w.values())).add_(1))
    assert changed("adapter")
    edit_json(adapter / "adapter_config.json", lora_alpha=9)
    assert changed("adapter")
    edit_weights(base / "model.safetensors", lambda w: next(iter(w.values())).add_(1))
    assert changed("weights")
    edit_json(base / "config.json", rms_norm_eps=1e-4)
    assert changed("weights")
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["w64"] = 64
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert not changed("tokenizer")  # the weights are the same, and runs are told apart by tokens
    (base / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert not changed("tokenizer")


def test_sizes_are_recorded_and_heads_and_layers_have_other_architectures(bases):
    by_head = load_variant(bases["llama"], name="any name", recipe="r").variant
    assert (by_head.layers, by_head.heads, by_head.kv_heads) == (3, 4, 2)
    assert (by_head.name, by_head.recipe, by_head.adapter) == ("any name", "r", "")
    by_layer = load_variant(bases["llama"], granularity="layer").variant
    assert by_layer.name == "llama"
    assert by_layer.architecture != by_head.architecture
    assert by_layer.fingerprint == by_head.fingerprint
    assert load_variant(bases["qwen2"]).variant.architecture != by_head.architecture


# What is read


def test_half_precision_weights_are_read_as_float32(bases, tmp_path):
    hf = AutoModelForCausalLM.from_pretrained(bases["qwen2"], dtype=torch.bfloat16)
    hf.save_pretrained(tmp_path / "half")
    shutil.copy(bases["qwen2"] / "tokenizer.json", tmp_path / "half")
    loaded = load_variant(tmp_path / "half")
    assert {p.dtype for p in loaded.hf.parameters()} == {torch.float32}
    assert checked_model(loaded, PROMPTS)[1].logits <= 1e-5


def test_a_model_in_several_files_is_the_same_model(bases, tmp_path):
    hf = AutoModelForCausalLM.from_pretrained(bases["llama"], dtype=torch.float32)
    hf.save_pretrained(tmp_path / "parts", max_shard_size="20kB")
    shutil.copy(bases["llama"] / "tokenizer.json", tmp_path / "parts")
    files = sorted((tmp_path / "parts").glob("*.safetensors"))
    assert len(files) > 2
    whole, parts = load_variant(bases["llama"]), load_variant(tmp_path / "parts")
    theirs = dict(whole.hf.named_parameters())
    assert all(torch.equal(p, theirs[name]) for name, p in parts.hf.named_parameters())
    files[1].unlink()
    assert str(tmp_path / "parts") in refused(tmp_path / "parts")


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
@pytest.mark.parametrize(
    "kind",
    ["rslora", "dora", "attention", "ranks", "biases", "norms", "saved", "ends", "layers", "pissa"],
)
@pytest.mark.some(6)
def test_every_kind_of_lora_gives_the_library_s_logits(bases, tmp_path, family, kind):
    attention = ATTENTION.get(family, ["q_proj", "v_proj"])
    embedding = EMBEDDING.get(family, "embed_tokens")
    options = {
        "rslora": {"use_rslora": True},
        "dora": {"use_dora": True},
        "attention": {"target_modules": attention},
        "ranks": {"rank_pattern": {attention[0]: 2}, "alpha_pattern": {attention[0]: 16}},
        "biases": {"bias": "all"},
        "norms": {"modules_to_save": [NORM.get(family, "input_layernorm")]},
        "saved": {"modules_to_save": ["lm_head"]},
        "ends": {"target_modules": [*attention, "lm_head", embedding]},
        "layers": {"target_modules": attention, "layers_to_transform": [1]},
        "pissa": {"init_lora_weights": "pissa"},
    }[kind]
    folder = make_adapter(bases[family], tmp_path / "adapter", **options)
    _, check = checked_model(load_variant(bases[family], folder), PROMPTS)
    assert check.logits <= 1e-5
    assert check.adapter > 0.01


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.some(3)
def test_an_adapter_whose_b_is_zero_is_silent_and_changes_no_number(bases, tmp_path, family, dora):
    folder = make_adapter(bases[family], tmp_path / "adapter", scale=0, use_dora=dora)
    plain, _ = checked_model(load_variant(bases[family]), PROMPTS)
    tuned, check = checked_model(load_variant(bases[family], folder), PROMPTS)
    assert check.adapter_is_silent
    effects = [model.edge_effects(make_batch(PROMPTS)).effects for model in (plain, tuned)]
    apart = (effects[1] - effects[0]).abs().max()
    assert apart == 0 if not dora else apart <= 1e-5  # dora divides by a norm and multiplies again


def test_nothing_asks_the_network_not_even_for_the_base_an_adapter_names(base, adapter):
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="somebody/some-model")
    script = """
import socket, sys
def refuse(*_, **__):
    sys.stderr.write("asked the network")
    raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
from circuitgraph.models.variants import load_variant
load_variant(*sys.argv[1:]).merged()
"""
    env = {
        k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    }
    command = [sys.executable, "-W", "ignore", "-c", script, str(base), str(adapter)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert "asked the network" not in done.stderr


# What is refused


def test_places_without_a_model(base, tmp_path):
    assert "no such folder" in refused(tmp_path / "nowhere")
    assert "no such folder" in refused("x" * 65_000)
    assert "no such folder" in refused("nul\0byte")
    assert "is a file" in refused(base / "config.json")
    (base / "config.json").unlink()
    assert f"{base}: no config.json" in refused(base)


def test_pickles_are_never_read(base):
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    assert ".bin and .pt are never read" in refused(base)
    (base / "model.safetensors").write_bytes(b"\x80\x04" + b"x" * 100)
    assert "model.safetensors: not a whole safetensors file" in refused(base)


@pytest.mark.parametrize("left", [0, 4, 5000])
def test_a_truncated_file_is_named(base, adapter, left):
    for folder, name in ((adapter, "adapter_model.safetensors"), (base, "model.safetensors")):
        file = folder / name
        file.write_bytes(file.read_bytes()[:left])
        assert f"{file}: not a whole safetensors file" in refused(base, adapter)
        shutil.rmtree(adapter) if folder == adapter else None
        adapter = None


def test_weights_and_config_that_do_not_belong_together(base):
    edit_json(base / "config.json", num_hidden_layers=4)
    assert "9 weights are missing, first model.layers.3." in refused(base)
    edit_json(base / "config.json", num_hidden_layers=2)
    assert "9 weights belong to no layer" in refused(base)
    edit_json(base / "config.json", num_hidden_layers=3, vocab_size=70)
    assert "2 weights have another shape than config.json says, first lm_head" in refused(base)


def test_a_leftover_value_head_is_no_reason_to_refuse(base):
    edit_weights(base / "model.safetensors", lambda w: w.update({"v_head.weight": torch.ones(3)}))
    load_variant(base)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "wibble"},
        {"model_type": "t5"},
        {"model_type": "wibble", "auto_map": {"AutoConfig": "evil.Config"}},
        {"hidden_size": "many"},
        {"num_attention_heads": 0},
        {"num_attention_heads": 5},
        {"hidden_act": "wibble"},
    ],
)
def test_a_config_that_cannot_be_built(base, config):
    edit_json(base / "config.json", **config)
    assert f"{base}: cannot be loaded (" in refused(base)


@pytest.mark.parametrize("text", ["{", "[1]", "\ufeff{}"])
def test_a_config_that_is_no_json_object(base, text):
    (base / "config.json").write_text(text)
    assert f"{base}: cannot be loaded (" in refused(base)


def test_the_engine_names_the_families_it_reads(base):
    hf = load_variant(base).merged()
    hf.config.model_type = "wibble"
    with pytest.raises(InputError, match=r"'wibble' is not supported; known families: gemma"):
        from_hf(hf)


def test_values_that_are_not_finite_are_named(base, adapter):
    edit_weights(adapter / "adapter_model.safetensors", poison)
    message = refused(base, adapter)
    assert "adapter_model.safetensors: base_model." in message
    assert "not finite" in message
    edit_weights(base / "model.safetensors", poison)
    message = refused(base)
    assert str(base) in message
    assert "not finite" in message


def test_a_tokenizer_that_is_damaged_or_missing(base):
    (base / "tokenizer.json").write_text("{")
    assert f"{base}: its tokenizer cannot be read" in refused(base)
    (base / "tokenizer.json").unlink()
    (base / "tokenizer_config.json").unlink()
    assert f"{base}: the folder has no tokenizer" in refused(base)


def test_an_adapter_inside_the_model_s_folder_is_not_put_in_unasked(base, adapter):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, base)
    assert "holds an adapter (adapter_config.json) beside the model" in refused(base)


def test_places_without_an_adapter(base, adapter, tmp_path):
    assert "no such adapter folder" in refused(base, tmp_path / "nowhere")
    assert "no such adapter folder" in refused(base, "y" * 65_000)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert f"{adapter}: no adapter_model.safetensors" in refused(base, adapter)
    (adapter / "adapter_config.json").unlink()
    assert f"{adapter}: no adapter_config.json" in refused(base, adapter)


def test_an_adapter_of_another_model(bases, adapter, tmp_path):
    for family in ("qwen2", "gpt2"):
        message = refused(bases[family], adapter)
        assert f"{adapter}: does not fit this base model; it was trained on" in message
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="")
    assert f"{adapter}: does not fit this base model (" in refused(bases["gpt2"], adapter)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(sorted(w)[0]), "1 weights have no counterpart, first base_model."),
        (lambda w: w.update(extra=torch.ones(1)), "1 weights have no counterpart, first extra"),
        (lambda w: w.update({k: v[:, :-1].clone() for k, v in w.items()}), "size mismatch"),
    ],
)
def test_an_adapter_with_other_weights_than_its_config_says(base, adapter, change, message):
    edit_weights(adapter / "adapter_model.safetensors", change)
    said = refused(base, adapter)
    assert f"{adapter}: does not fit this base model" in said
    assert message in said


@pytest.mark.parametrize(
    "settings",
    [
        {"peft_type": "IA3"},
        {"r": 8},
        {"r": 0},
        {"r": "x"},
        {"target_modules": "((("},
        {"task_type": "WIBBLE"},
        {"init_lora_weights": "wibble"},
        {"layers_to_transform": [0]},
    ],
)
def test_an_adapter_config_that_does_not_fit(base, adapter, settings):
    edit_json(adapter / "adapter_config.json", **settings)
    assert str(adapter) in refused(base, adapter)


@pytest.mark.parametrize("text", ["{", "[]", '"LORA"'])
def test_an_adapter_config_that_is_no_json_object(base, adapter, text):
    (adapter / "adapter_config.json").write_text(text)
    assert str(adapter / "adapter_config.json") in refused(base, adapter)


def test_an_adapter_that_no_change_of_weights_can_express(bases, tmp_path):
    options = {"lora_bias": True, "target_modules": ["q_proj"]}
    folder = make_adapter(bases["llama"], tmp_path / "adapter", **options)
    with pytest.raises(InputError, match="cannot be merged into the base") as caught:
        checked_model(load_variant(bases["llama"], folder), PROMPTS)
    assert str(folder) in str(caught.value)
