"""Small GGUF files of Llama models, laid out as llama.cpp's own converter does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM

TEXTS = ["when Mary and John went to the store", "it is  12 o'clock, 345 and\n\n67 of 89"] * 3
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def byte_level(split_digits: bool = True) -> Tokenizer:
    """A byte-level BPE tokenizer trained on a few words, every digit by itself."""
    tokenizer = Tokenizer(BPE())
    plain = ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = (
        Sequence([Digits(individual_digits=True), plain]) if split_digits else plain
    )
    trainer = BpeTrainer(
        vocab_size=320,
        special_tokens=["<|end|>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def llama(vocabulary: int, **options: Any) -> LlamaForCausalLM:
    """A random model of two layers."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
    }
    return LlamaForCausalLM(LlamaConfig(**sizes | options)).eval()


def write(
    path: Path,
    hf: LlamaForCausalLM,
    tokenizer: Tokenizer,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    pre: str = "smollm",
    extra: dict[str, np.ndarray] | None = None,
    keys: dict[str, str] | None = None,
) -> Path:
    """Write the model; ``extra`` tensors and string ``keys`` are added as they are."""
    config, writer = hf.config, gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(
        gguf.LlamaFileType.MOSTLY_Q8_0
        if kind == gguf.GGMLQuantizationType.Q8_0
        else gguf.LlamaFileType.ALL_F32
    )
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = [" ".join(pair) for pair in _merges(tokenizer)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([word for word, _ in words])
    writer.add_token_types([3 if word == "<|end|>" else 1 for word, _ in words])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, value in (keys or {}).items():
        writer.add_string(name, value)
    for name, tensor in hf.state_dict().items():
        _add(writer, _named(name), _laid_out(name, tensor, config).numpy(), kind)
    for name, values in (extra or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    import json

    merges: list[list[str]] = json.loads(tokenizer.to_str())["model"]["merges"]
    return merges


def _named(name: str) -> str:
    for whole, own in (
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
    ):
        if name.startswith(whole):
            return name.replace(whole, own)
    _, _, layer, *module, leaf = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(module)]}.{leaf}"


def _laid_out(name: str, tensor: torch.Tensor, config: LlamaConfig) -> torch.Tensor:
    """llama.cpp rotates neighbours, transformers halves: rows of q and k are interleaved."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    kind = next((n for k, n in heads.items() if k in name), None)
    if kind is None:
        return tensor.contiguous()
    rows, columns = tensor.shape
    halves = tensor.reshape(kind, 2, rows // kind // 2, columns)
    return halves.transpose(1, 2).reshape(rows, columns).contiguous()


def _add(
    writer: gguf.GGUFWriter, name: str, values: np.ndarray, kind: gguf.GGMLQuantizationType
) -> None:
    if kind == gguf.GGMLQuantizationType.F32 or values.ndim == 1:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
