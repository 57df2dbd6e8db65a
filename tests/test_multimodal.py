"""The language model inside a folder of several modalities (Gemma-3)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from models import PECULIAR, make_adapter, make_tokenizer, refused
from shell import cli, done
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    SiglipVisionConfig,
)

from circuitgraph.engine.families import from_hf
from circuitgraph.models.variants import load_variant
from circuitgraph.runs.record import list_runs

VISION = SiglipVisionConfig(
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    image_size=28,
    patch_size=14,
)
TOKENS = torch.tensor([[1, 5, 9, 22, 7, 30, 8]])
LINE = {"prompt": "w5 w9", "corrupt": "w5 w41", "answer": "w8", "wrong_answer": "w19"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with images' parts, and the library's model of it."""
    config = Gemma3Config(
        text_config=PECULIAR["gemma3_text"](),
        vision_config=VISION,
        mm_tokens_per_image=4,
        image_token_index=60,
        boi_token_index=61,
        eoi_token_index=62,
    )
    torch.manual_seed(0)
    hf = Gemma3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.mul_(4)
    folder = tmp_path_factory.mktemp("several") / "model"
    hf.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder, hf


@pytest.fixture(scope="module")
def text(whole: tuple[Path, Any]) -> Path:
    """The language model of the same weights as a folder of its own."""
    folder, hf = whole
    alone = Gemma3ForCausalLM(hf.config.text_config)
    alone.model, alone.lm_head = hf.model.language_model, hf.lm_head
    alone.save_pretrained(folder.parent / "text")
    make_tokenizer().save_pretrained(folder.parent / "text")
    return folder.parent / "text"


def test_its_logits_are_those_of_the_whole_model(whole: tuple[Path, Any]) -> None:
    folder, hf = whole
    loaded = load_variant(folder)
    with torch.no_grad():
        theirs = hf(TOKENS).logits
    ours = from_hf(loaded.merged()).logits(TOKENS)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert loaded.remarks == (
        "model: a model of several modalities; its language model is measured, its image parts "
        "are ignored",
    )


def test_it_is_the_variant_that_the_language_model_alone_is(
    whole: tuple[Path, Any], text: Path
) -> None:
    part, alone = load_variant(whole[0], name="m").variant, load_variant(text, name="m").variant
    assert part.fingerprint == alone.fingerprint
    assert part.architecture == alone.architecture
    assert (part.layers, part.heads, part.kv_heads, part.model_type) == (3, 4, 2, "gemma3_text")
    assert part.fingerprints["weights"] != alone.fingerprints["weights"]


def test_it_is_ingested_and_says_what_is_ignored(whole: tuple[Path, Any], tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps(LINE | {"scenario": "s"}), "utf-8")
    words = ("ingest", whole[0], "--name", "m", "--prompts", prompts, "-w", tmp_path / "w")
    answer = done(*words, "--estimator", "eap")
    assert "its image parts are ignored" in answer.err
    assert {run.self_check["forward"] for run in list_runs(tmp_path / "w" / "runs")} == {"engine"}


def test_an_adapter_of_the_language_model_fits(
    whole: tuple[Path, Any], text: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(text, tmp_path / "lora")
    logits = [from_hf(load_variant(f, adapter).merged()).logits(TOKENS) for f in (whole[0], text)]
    assert torch.equal(*logits)
    plain = from_hf(load_variant(whole[0]).merged()).logits(TOKENS)
    assert (logits[0] - plain).abs().max() > 0.01


def test_a_missing_weight_and_an_unknown_modality_are_refused(
    whole: tuple[Path, Any], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    damaged = Path(shutil.copytree(whole[0], tmp_path / "damaged"))
    weights = load_file(damaged / "model.safetensors")
    weights = {k: v for k, v in weights.items() if "layers.1.mlp.up_proj" not in k}
    save_file(weights, damaged / "model.safetensors", {"format": "pt"})
    assert "1 weights are missing" in refused(damaged)
    other = Path(shutil.copytree(whole[0], tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "llava"}))
    assert "a model of several modalities" in refused(other)
    answer = cli("ingest", other, "--name", "m", "--prompts", tmp_path, "-w", tmp_path / "w")
    assert answer.code != 0
