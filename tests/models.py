"""Small random models of every family, with a word-level tokenizer, made on the spot."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 64
SPECIAL = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}

_LLAMA_LIKE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    **IDS,
}

CONFIGS = {
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=64, **IDS
    ),
    "llama": lambda: LlamaConfig(**_LLAMA_LIKE),
    "qwen2": lambda: Qwen2Config(
        **_LLAMA_LIKE, use_sliding_window=True, sliding_window=4, max_window_layers=1
    ),
    "qwen3": lambda: Qwen3Config(**_LLAMA_LIKE, head_dim=8),
    "gemma2": lambda: Gemma2Config(
        **_LLAMA_LIKE,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=5,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=5.0,
    ),
}
FAMILIES = tuple(CONFIGS)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """w4 … w63 as words, and the special tokens."""
    words = SPECIAL | {f"w{i}": i for i in range(4, VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def make_model(family: str, folder: Path, seed: int = 0) -> Path:
    """A random model folder with weights widened so that effects are not tiny."""
    gain = 9.0 if family == "gpt2" else 4.0
    torch.manual_seed(seed)
    hf = AutoModelForCausalLM.from_config(
        CONFIGS[family](), dtype=torch.float32, attn_implementation="eager"
    )
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if "norm" in name or "ln_" in name or name.endswith("bias"):
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.mul_(gain)
    hf.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def make_adapter(
    base: Path, folder: Path, seed: int = 0, scale: float = 0.3, **options: Any
) -> Path:
    """A random LoRA adapter of a model folder on all linear layers; scale 0 leaves B = 0.

    Whatever else ``options`` make trainable (biases, whole modules) is changed as well.
    """
    hf = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what some options would mean in training
        peft = get_peft_model(hf, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if parameter.requires_grad and "_A" not in name:
                parameter.add_(scale * torch.randn_like(parameter))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.save_pretrained(folder)
    return folder
