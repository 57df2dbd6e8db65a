"""Options of a configuration that change the forward: ours must follow the library's."""

from __future__ import annotations

import pytest
import torch
from models import CONFIGS, MIXTURES, MORE_READERS, PECULIAR
from transformers import AutoModelForCausalLM

from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.forward import forward, logits
from circuitgraph.prompts.tokens import Encoded

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
KINDS = ["sliding_attention", "sliding_attention", "full_attention"]
HALF_TURNED = {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5}
WHOLLY_TURNED = HALF_TURNED | {"partial_rotary_factor": 1.0}
TWO_ROPES = {
    "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10.0},
}
CASES = [
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    ("gpt2", {"scale_attn_weights": False}),
    ("gpt2", {"activation_function": "relu", "n_inner": 24}),
    ("gpt2", {"tie_word_embeddings": False}),
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("llama", {"tie_word_embeddings": True, "hidden_act": "gelu"}),
    ("llama", {"rope_parameters": LLAMA3}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}}),
    ("llama", {"head_dim": 16}),
    ("qwen2", {"use_sliding_window": False}),
    ("qwen2", {"num_key_value_heads": 4}),
    ("qwen3", {"head_dim": 16, "attention_bias": True}),
    ("qwen3", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    ("gemma2", {"attn_logit_softcapping": None, "final_logit_softcapping": None}),
    ("gemma2", {"query_pre_attn_scalar": 32, "num_key_value_heads": 1}),
    ("gemma2", {"hidden_activation": "silu", "sliding_window": 2}),
    ("mistral", {"sliding_window": 3}),
    ("mistral", {"sliding_window": None, "head_dim": 16}),
    ("gemma", {"num_key_value_heads": 1, "hidden_act": "relu"}),
    ("gemma3_text", {"layer_types": KINDS, "sliding_window": 2, "num_key_value_heads": 1}),
    ("gemma3_text", {"layer_types": ["full_attention"] * 3, "hidden_activation": "silu"}),
    ("gemma3_text", {"layer_types": KINDS[::-1], "rope_parameters": TWO_ROPES}),
    ("gemma3_text", {"layer_types": KINDS, "query_pre_attn_scalar": 32, "attention_bias": True}),
    ("gemma3_text", {"layer_types": KINDS, "final_logit_softcapping": 5.0}),
    ("olmo2", {"num_key_value_heads": 4, "attention_bias": True}),
    ("olmo3", {"layer_types": KINDS[::-1], "rope_parameters": TWO_ROPES}),
    ("phi3", {"sliding_window": None, "rope_parameters": {"rope_theta": 100.0}}),
    ("smollm3", {"no_rope_layers": [0, 0, 1], "attention_bias": True}),
    ("smollm3", {"use_sliding_window": False, "mlp_bias": True}),
    ("gpt_neox", {"use_parallel_residual": False, "attention_bias": False}),
    ("gpt_neox", {"rope_parameters": HALF_TURNED, "hidden_act": "gelu_new"}),
    ("gpt_neox", {"rope_parameters": WHOLLY_TURNED, "tie_word_embeddings": True}),
    ("mixtral", {"num_experts_per_tok": 1, "sliding_window": None}),
    ("olmoe", {"norm_topk_prob": True, "num_key_value_heads": 4}),
    ("qwen3_moe", {"norm_topk_prob": False, "decoder_sparse_step": 2}),
    ("granite", {"residual_multiplier": 2.0, "attention_bias": True, "mlp_bias": True}),
    ("granite", {"logits_scaling": 0.5, "tie_word_embeddings": True}),
    ("seed_oss", {"attention_bias": False, "mlp_bias": True}),
]


@pytest.mark.parametrize(("family", "options"), CASES)
@pytest.mark.some(12)
def test_the_forward_follows_the_configuration(family, options):
    known = (CONFIGS | MORE_READERS | PECULIAR | MIXTURES)[family]()
    options = known.to_dict() | {"layer_types": None} | options  # made anew from the options
    config = type(known)(**options)
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        tokens = torch.randint(4, 64, (2, 20))
        model = from_hf(hf)
        theirs = hf(tokens).logits
        ours = logits(model, forward(model, tokens).final)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    pair = Encoded((1, 5, 9, 22, 7, 30), (1, 5, 9, 41, 7, 30), (8,), (19, 6), None)
    assert model.edge_effects(make_batch([pair])).effects.abs().max() > 1e-3
