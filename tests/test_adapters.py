"""Adapters: what loading gives back exactly is what the training process computed; else refused."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from models import VOCABULARY, make_adapter, make_model, make_tokenizer, refused
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from circuitgraph.models.variants import load_variant

TOKENS = torch.tensor([[1, 5, 9, 22, 7, 30]])
ADDED = VOCABULARY + 3


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    return {family: make_model(family, root / family) for family in ("llama", "qwen2")}


@pytest.fixture(scope="module")
def lora(bases, tmp_path_factory):
    return make_adapter(bases["llama"], tmp_path_factory.mktemp("lora"), target_modules=["q_proj"])


@pytest.fixture
def adapter(lora, tmp_path):
    return Path(shutil.copytree(lora, tmp_path / "adapter"))


def edit(folder: Path, **changes):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def trained(base, folder, *, tokens=None, **options):
    """An adapter as its training process leaves it, and the logits of that process."""
    hf = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(3)
    if tokens is not None:
        hf.resize_token_embeddings(tokens)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(hf, LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
            told = TOKENS if tokens is None else torch.cat([TOKENS, TOKENS.new([[ADDED - 1]])], 1)
            logits = model(told).logits
        model.save_pretrained(folder)
    return told, logits


@torch.no_grad()
def merged_logits(base, folder, told):
    return load_variant(base, folder).merged()(told).logits


# Initialisations


@pytest.mark.parametrize("options", [
    {"init_lora_weights": "pissa"},
    {"init_lora_weights": "olora"},
    {"init_lora_weights": "gaussian"},
    {"init_lora_weights": "orthogonal"},
    {"init_lora_weights": "mica"},
    {"kasa_config": {"beta": 1e-4, "gamma": 1e-3}},
], ids=str)  # fmt: skip
@pytest.mark.some(2)
def test_what_loading_repeats_exactly_is_what_was_trained(bases, tmp_path, options):
    if "kasa_config" in options:
        peft = pytest.importorskip("peft")
        options = {"kasa_config": peft.tuners.lora.config.KasaConfig()}
    told, logits = trained(bases["llama"], tmp_path / "adapter", **options)
    ours = merged_logits(bases["llama"], tmp_path / "adapter", told)
    assert (ours - logits).abs().max() <= 1e-4 * logits.abs().max()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "random SVD again at every load"),
        ({"init_lora_weights": "corda"}, "training began from a changed base"),
        ({"init_lora_weights": "lora_ga"}, "training began from a changed base"),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, "a changed base"),
        ({"init_lora_weights": "something_new"}, "nobody can say"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "layer_replication is set"),
        ({"alora_invocation_tokens": [5, 6]}, "after its invocation tokens"),
        ({"arrow_config": {"top_k": 2}}, "arrow_config is set"),
        ({"use_superlora": True}, "'use_superlora': peft"),
        ({"wibble": 3}, "'wibble': peft"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; of adapters only LORA is read: merge it"),
        ({"peft_type": "ADALORA"}, "model.merge_and_unload()"),
        ({"peft_type": "PREFIX_TUNING"}, "which no change of weights expresses"),
        ({"peft_type": None}, "peft_type is missing"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_what_would_not_be_what_was_trained_is_refused_by_name(bases, adapter, changes, words):
    edit(adapter, **changes)
    message = refused(bases["llama"], adapter)
    assert f"{adapter / 'adapter_config.json'}: " in message
    assert words in message


def test_settings_that_say_nothing_are_read_and_ignored_ones_are_told_once(bases, adapter):
    known = load_variant(bases["llama"], adapter)
    assert known.remarks == ()
    edit(adapter, future_flag=None, other_flag=False, some_list=[], peft_version="9.9")
    (line,) = load_variant(bases["llama"], adapter).remarks
    assert line.endswith("does not know 'future_flag, other_flag, some_list', all empty")
    edit(adapter, eva_config={"rho": 2.0})
    loaded = load_variant(bases["llama"], adapter)
    assert len(loaded.remarks) == 2
    assert "eva_config" in loaded.remarks[1]
    assert loaded.variant.fingerprint == known.variant.fingerprint


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("somebody/another-model", True),
        ("/data/other/", True),
        ("somebody/LLAMA", False),
        ("../../llama", False),
        ("", False),
        (None, False),
    ],
)
def test_a_config_that_names_another_base_is_told(bases, adapter, named, told):
    edit(adapter, base_model_name_or_path=named)
    remarks = load_variant(bases["llama"], adapter).remarks
    assert [("was trained on" in line) for line in remarks] == [True] * told


def test_a_shape_that_differs_is_told_in_a_whole_sentence(bases, adapter):
    file = adapter / "adapter_model.safetensors"
    weights = {key: value[:, :-1].clone() for key, value in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
    assert "(size mismatch for base_model." in (said := refused(bases["llama"], adapter))
    assert said.endswith("in the base)")


# Vocabularies that were resized


RESIZED = {
    "saved": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "kept as they were": {},
    "low rank": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
}


@pytest.mark.parametrize("kind", RESIZED)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.some(2)
def test_rows_of_added_tokens_come_from_the_adapter(bases, tmp_path, family, kind):
    base, folder = bases[family], tmp_path / "adapter"
    told, logits = trained(base, folder, tokens=ADDED, **RESIZED[kind])
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    loaded = load_variant(base, folder)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert load_variant(base, folder).variant.fingerprint == loaded.variant.fingerprint
    assert any(f"brings {ADDED} token embeddings" in line for line in loaded.remarks)
    with torch.no_grad():
        ours = loaded.merged()(told).logits
    assert ours.shape == logits.shape
    assert (ours - logits).abs().max() <= 1e-4 * logits.abs().max()


def test_rows_that_are_nowhere_are_refused(bases, tmp_path):
    folder = tmp_path / "adapter"
    options = {"modules_to_save": ["embed_tokens", "lm_head"]}
    trained(bases["llama"], folder, tokens=ADDED, **options)
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    del weights["base_model.model.lm_head.weight"]
    save_file(weights, file, {"format": "pt"})
    message = refused(bases["llama"], folder)
    assert f"was trained with {ADDED} tokens, the base has {VOCABULARY}" in message
    assert "brings no whole lm_head" in message


def test_a_tokenizer_that_knows_other_tokens_is_the_adapter_s(bases, adapter):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(adapter)
    same = load_variant(bases["llama"], adapter)
    assert same.remarks == ()
    tokenizer.add_tokens(["<new>"])
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(adapter)
    other = load_variant(bases["llama"], adapter)
    assert "<new>" in other.tokenizer.get_vocab()
    assert other.tokenizer.chat_template == tokenizer.chat_template
    assert other.variant.fingerprints["tokenizer"] != same.variant.fingerprints["tokenizer"]
    assert other.variant.fingerprint == same.variant.fingerprint
    assert any("it is used" in line for line in other.remarks)
