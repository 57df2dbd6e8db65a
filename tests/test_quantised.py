"""Folders of quantised weights: dequantised by bitsandbytes, others refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from models import make_adapter, refused
from shell import IPD
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from circuitgraph.models import quantised
from circuitgraph.models.variants import load_variant

NF4 = np.array(
    [
        *(-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0),
        *(0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0),
    ]
)
"""The 16 values of 4-bit NormalFloat (Dettmers et al. 2023, arXiv:2305.14314, appendix E)."""


def saved(folder: Path, **options: bool | str) -> Path:
    pytest.importorskip("bitsandbytes", reason="no bitsandbytes on this machine")
    hf = AutoModelForCausalLM.from_pretrained(
        IPD / "base",
        dtype=torch.float32,
        device_map="cpu",
        quantization_config=BitsAndBytesConfig(**options),
    )
    hf.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(IPD / "base" / name, folder)
    return folder


def plain(name: str) -> torch.Tensor:
    hf = AutoModelForCausalLM.from_pretrained(IPD / "base", dtype=torch.float32)
    return hf.state_dict()[name].detach()


def rounded(values: torch.Tensor) -> np.ndarray:
    """Blocks of 64 by their largest |value|, each to the nearest of the 16."""
    blocks = values.numpy().astype(np.float64).reshape(-1, 64)
    scale = np.abs(blocks).max(1, keepdims=True)
    nearest = np.abs(blocks[..., None] / scale[..., None] - NF4).argmin(-1)
    return (NF4[nearest] * scale).reshape(values.shape)


def test_four_bit_weights_are_the_sixteen_values_times_their_blocks_scale(tmp_path):
    folder = saved(tmp_path / "q", load_in_4bit=True, bnb_4bit_quant_type="nf4")
    loaded = load_variant(folder)
    name = "model.layers.2.mlp.down_proj.weight"
    assert loaded.variant.quantisation == "bitsandbytes nf4"
    assert np.allclose(loaded.hf.state_dict()[name].numpy(), rounded(plain(name)), atol=2e-6)
    assert all(p.dtype == torch.float32 for p in loaded.hf.parameters())


def test_eight_bit_weights_are_rows_of_127_steps(tmp_path):
    loaded = load_variant(saved(tmp_path / "q", load_in_8bit=True))
    name = "model.layers.2.mlp.down_proj.weight"
    found, original = loaded.hf.state_dict()[name].numpy(), plain(name).numpy()
    half = np.abs(original.astype(np.float16)).astype(np.float32)  # what the library packs
    step = half.max(1, keepdims=True) / 127
    assert loaded.variant.quantisation == "bitsandbytes int8"
    assert np.abs(found / step - np.round(found / step)).max() < 1e-2
    assert (np.abs(found - original) <= 0.56 * step).all()


def test_an_adapter_is_added_in_float32_on_the_dequantised_base(tmp_path):
    folder = saved(tmp_path / "q", load_in_4bit=True, bnb_4bit_quant_type="nf4")
    adapter = make_adapter(IPD / "base", tmp_path / "adapter")
    loaded = load_variant(folder, adapter)
    name = "model.layers.1.self_attn.q_proj"
    layer = loaded.hf.get_submodule(f"base_model.model.{name}")
    a, b = (getattr(layer, f"lora_{x}")["default"].weight.detach() for x in "AB")
    expected = rounded(plain(f"{name}.weight")) + 2.0 * (b.double() @ a.double()).numpy()
    assert np.allclose(loaded.merged().state_dict()[f"{name}.weight"], expected, atol=3e-6)


def _told(tmp_path: Path, **settings: object) -> Path:
    folder = Path(shutil.copytree(IPD / "base", tmp_path / "base"))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = settings
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "compressed-tensors"])
def test_other_methods_are_refused_by_name_with_the_way_out(method, tmp_path):
    message = refused(_told(tmp_path, quant_method=method, bits=4))
    assert f"quantised by '{method}'" in message
    assert ".dequantize().save_pretrained" in message


def test_floats_under_a_record_of_quantisation_are_not_rounded_again(tmp_path):
    pytest.importorskip("bitsandbytes", reason="no bitsandbytes on this machine")
    message = refused(_told(tmp_path, quant_method="bitsandbytes", load_in_4bit=True))
    assert "the weights beside it are floating-point numbers" in message


def test_without_the_library_the_way_out_is_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    message = refused(_told(tmp_path, quant_method="bitsandbytes", load_in_4bit=True))
    assert "pip install 'circuitgraph[quantised]'" in message
