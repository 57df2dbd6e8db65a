"""Models that are not measured are named by what they are, before anything is computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from models import TWO_LAYERS, VOCABULARY, make_model, make_tokenizer
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma4TextConfig,
    HeliumConfig,
    OpenAIGPTConfig,
    XLNetConfig,
)

from circuitgraph.base.errors import InputError
from circuitgraph.engine.families import read_model
from circuitgraph.engine.families.rotary import longest
from circuitgraph.models.variants import load_variant

GPT = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
LLAMA = TWO_LAYERS


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("llama") / "base")


@pytest.fixture
def base(llama, tmp_path):
    return Path(shutil.copytree(llama, tmp_path / "base"))


def refused(act) -> str:
    with pytest.raises(InputError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architectures": ["Gemma3ForConditionalGeneration"], "vision_config": {}}, "modalities"),
        ({"architectures": ["LlavaForCausalLM"], "vision_config": {}}, "model.language_model"),
        ({"architectures": ["Qwen2AudioModel"], "audio_config": {}}, "model.language_model"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "an encoder with a decoder"),
        ({"architectures": ["MarianMTModel"], "is_encoder_decoder": True}, "with a decoder"),
        ({"architectures": ["BertForMaskedLM"]}, "does not predict the next token"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "does not predict the next token"),
        ({"architectures": ["Qwen2ForRewardModel"]}, "does not predict the next token"),
        ({"architectures": ["XLNetLMHeadModel"], "model_type": "xlnet"}, "see later ones"),
    ],
    ids=lambda x: str(x)[:50],
)
def test_what_config_json_says_is_no_causal_decoder(base, config, words):
    file = base / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    message = refused(lambda: load_variant(base))
    assert message.startswith(f"{base}: {config['architectures'][0]!r}: ")
    assert words in message


def test_a_single_file_beside_shards_is_told(base):
    assert load_variant(base).remarks == ()
    (base / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    (line,) = load_variant(base).remarks
    assert "the single file is read" in line


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            FalconConfig(
                vocab_size=VOCABULARY,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_kv_heads=2,
                new_decoder_architecture=True,
            ),
            "it does not split q, k and v of Falcon's new_decoder_architecture)",
        ),
        (OpenAIGPTConfig(**GPT), "the bridge shows no hook_out of block 0; "),
        (HeliumConfig(**LLAMA, head_dim=8), "cannot wrap it (Could not determine"),
        (
            Gemma4TextConfig(
                **LLAMA, head_dim=8, global_head_dim=16,
                layer_types=["sliding_attention", "full_attention"],
            ),
            "heads of different sizes",
        ),
    ],
    ids=lambda x: getattr(x, "model_type", ""),
)  # fmt: skip
@pytest.mark.some(2)
def test_what_hooks_do_not_do_is_said_in_whole_words(config, words, tmp_path):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    loaded = load_variant(tmp_path)
    probe = torch.tensor([[1, 5, 9]])
    said = refused(lambda: read_model(loaded.hf, loaded.tokenizer, str(tmp_path), probe))
    assert words in said


def test_a_configuration_that_names_no_longest_sequence_has_ours():
    assert longest(XLNetConfig(vocab_size=8, d_model=8, n_layer=1, n_head=1, d_inner=8)) == 16_384
