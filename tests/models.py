"""Small random models of every family, with a word-level tokenizer, made on the spot."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForCausalLM,
    BioGptConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    GraniteConfig,
    GraniteMoeConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Olmo3Config,
    OlmoeConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
    RecurrentGemmaConfig,
    SeedOssConfig,
    SmolLM3Config,
)

from circuitgraph.base.errors import InputError
from circuitgraph.models.variants import load_variant

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
TWO_LAYERS: dict[str, Any] = {**_LLAMA_LIKE, "num_hidden_layers": 2}
"""Sizes of a Llama kind of model, for configurations that are tests of their own."""

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

MORE_READERS = {
    "mistral": lambda: MistralConfig(**_LLAMA_LIKE, sliding_window=4),
    "gemma": lambda: GemmaConfig(**_LLAMA_LIKE, head_dim=8),
    "seed_oss": lambda: SeedOssConfig(**_LLAMA_LIKE, head_dim=8, attention_out_bias=True),
}
"""Families that are others' but for an option or two: fewer tests do."""

_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "factor": 4.0,
    "original_max_position_embeddings": 6,
    "short_factor": [1, 1.5],
    "long_factor": [1.0, 8.0],
    "partial_rotary_factor": 0.5,
}

_SMALL: dict[str, Any] = {"vocab_size": VOCABULARY, **IDS}
_NEOX: dict[str, Any] = {
    **_SMALL,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_THREE: dict[str, Any] = {**_NEOX, "num_hidden_layers": 3, "intermediate_size": 48}

PECULIAR = {
    "gpt_neox": lambda: GPTNeoXConfig(**_THREE),
    "gpt_neox in sequence": lambda: GPTNeoXConfig(**_THREE, use_parallel_residual=False),
    "olmo2": lambda: Olmo2Config(**_LLAMA_LIKE),
    "olmo3": lambda: Olmo3Config(
        **_LLAMA_LIKE,
        sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "phi3": lambda: Phi3Config(
        **_LLAMA_LIKE,
        sliding_window=5,
        rope_parameters=_LONGROPE,
        original_max_position_embeddings=6,
    ),
    "smollm3": lambda: SmolLM3Config(
        **_LLAMA_LIKE,
        no_rope_layers=[1, 0, 1],
        use_sliding_window=True,
        sliding_window=4,
    ),
    "gemma3_text": lambda: Gemma3TextConfig(
        **_LLAMA_LIKE,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "granite": lambda: GraniteConfig(
        **_LLAMA_LIKE,
        residual_multiplier=0.5,
        attention_multiplier=0.3,
        logits_scaling=2.0,
        embedding_multiplier=3.0,
    ),
}
"""Families with something in them that the others have not: ``test_families`` asks them all."""

MIXTURES = {
    "mixtral": lambda: MixtralConfig(**_LLAMA_LIKE, num_local_experts=4, sliding_window=5),
    "olmoe": lambda: OlmoeConfig(**_LLAMA_LIKE, num_experts=6, num_experts_per_tok=3),
    "qwen3_moe": lambda: Qwen3MoeConfig(
        **_LLAMA_LIKE,
        head_dim=8,
        num_experts=5,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        mlp_only_layers=[1],
        norm_topk_prob=True,
    ),
}
"""Families with experts in the place of MLPs."""


WITHOUT_READER = {
    "opt": lambda: OPTConfig(**_NEOX, ffn_dim=48, word_embed_proj_dim=32),
    "gpt_neo": lambda: GPTNeoConfig(
        **_SMALL,
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        max_position_embeddings=64,
        window_size=4,
        attention_types=[[["global", "local"], 1]],
    ),
    "gptj": lambda: GPTJConfig(
        **_SMALL, n_embd=32, n_inner=48, n_layer=2, n_head=4, n_positions=64, rotary_dim=4
    ),
}
"""Families measured by hooks on the library's bridge."""

HOOKED = WITHOUT_READER | {name: PECULIAR[name] for name in ("gemma3_text", "granite", "gpt_neox")}
"""Families that tests put under hooks, some of them for what they have that others have not."""

REFUSED = {
    "post-norm opt": lambda: OPTConfig(
        **_NEOX, ffn_dim=48, word_embed_proj_dim=16, do_layer_norm_before=False
    ),
    "granitemoe": lambda: GraniteMoeConfig(**_LLAMA_LIKE, num_local_experts=4),
    "mamba": lambda: MambaConfig(**_SMALL, hidden_size=32, num_hidden_layers=2),
    "recurrent_gemma": lambda: RecurrentGemmaConfig(**_LLAMA_LIKE),
    "biogpt": lambda: BioGptConfig(**_NEOX, intermediate_size=48),
}
"""Families that neither the engine nor the bridge can measure."""

_EVERY = CONFIGS | MORE_READERS | PECULIAR | MIXTURES | WITHOUT_READER | REFUSED


def refused(model: Path, adapter: Path | None = None) -> str:
    """The error of loading, which is one line of reasonable length."""
    with pytest.raises(InputError) as caught:
        load_variant(model, adapter)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


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
    gain = 9.0 if family.split()[0] in ("gpt2", "gpt_neox", "opt", "gpt_neo", "gptj") else 4.0
    torch.manual_seed(seed)
    hf = AutoModelForCausalLM.from_config(
        _EVERY[family](), dtype=torch.float32, attn_implementation="eager"
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
