"""Norms over all heads at once (OLMo-2, OLMo-3): a receiver alone means one head's input changed.

Expected values are plain hooks on the library's modules: of what q, k and v project only the
receiver's own slice is changed, and of what the heads read out only the receiver's is kept.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from models import TWO_LAYERS, make_tokenizer
from transformers import AutoModelForCausalLM, BitNetConfig, Olmo2Config, Olmo3Config

from circuitgraph.base.components import effect_edges
from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.bridge.boot import boot
from circuitgraph.engine.families import read_model
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

SIZES = TWO_LAYERS
SLICE = 8
FAMILIES = {"olmo2": Olmo2Config, "olmo3": Olmo3Config}
PROMPT = Encoded((1, 50, 9, 22, 7, 30), (1, 50, 9, 31, 7, 12), (8,), (9,), None)
READERS = {"all": "qkv", "q": "q", "k": "k", "v": "v"}


def make(config, folder):
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            parameter.mul_(1 if "norm" in name else 5)
            parameter.add_(0.3 * torch.randn_like(parameter) if "norm" in name else 0)
    hf.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[(f, how) for f in FAMILIES for how in (read_model, boot)])
def pair(request, tmp_path_factory):
    family, over = request.param  # our reader, and hooks on the library's bridge
    folder = make(FAMILIES[family](**SIZES), tmp_path_factory.mktemp(family))
    loaded = load_variant(folder)
    model = over(loaded.hf, loaded.tokenizer, str(folder), torch.tensor([PROMPT.prompt]))
    return load_variant(folder).hf, model


@torch.no_grad()
def run(hf, tokens, changes=()):
    """Logits at the end, and by layer the stream entering it, z, and each projection."""
    seen = {}
    with ExitStack() as stack:

        def note(module, key, side):
            def keep(m, args, out=None):
                seen[key] = (args[0] if side == "in" else out)[0].clone()

            register = (
                module.register_forward_pre_hook if side == "in" else module.register_forward_hook
            )
            stack.callback(register(keep).remove)

        for module, side, change in changes:
            if side == "in":
                hook = lambda m, args, change=change: (change(args[0]), *args[1:])  # noqa: E731
                stack.callback(module.register_forward_pre_hook(hook).remove)
            else:
                hook = lambda m, args, out, change=change: change(out)  # noqa: E731
                stack.callback(module.register_forward_hook(hook).remove)
        for number, layer in enumerate(hf.model.layers):
            note(layer, (number, "pre"), "in")
            note(layer.self_attn.o_proj, (number, "z"), "in")
            note(layer.post_feedforward_layernorm, (number, "mlp"), "out")
            for letter in "qkv":
                note(getattr(layer.self_attn, f"{letter}_proj"), (number, letter), "out")
        logits = hf(torch.tensor([tokens])).logits[0, -1].double()
    return logits, seen


def sent(hf, seen, name):
    if name == "EMBED":
        return seen[0, "pre"]
    if name.endswith("MLP"):
        return seen[int(name[1]), "mlp"]
    layer, head = int(name[1]), int(name[3])
    block, mine = hf.model.layers[layer], slice(head * SLICE, (head + 1) * SLICE)
    z, weight = seen[layer, "z"], block.self_attn.o_proj.weight
    norm, raw = block.post_attention_layernorm, z @ weight.T
    scale = torch.rsqrt(raw.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    return z[:, mine] @ weight[:, mine].T * scale * norm.weight


@torch.no_grad()
def naive(hf, edge):
    (clean, at), (_, other) = (run(hf, tokens) for tokens in (PROMPT.prompt, PROMPT.corrupt))
    delta = sent(hf, other, edge.source) - sent(hf, at, edge.source)
    layer, head = int(edge.target[1]), int(edge.target[-1])
    attention, changes = hf.model.layers[layer].self_attn, []
    heads = range(2 * head, 2 * head + 2) if edge.input in ("k", "v") else (head,)
    for letter in READERS[edge.input]:
        linear = getattr(attention, f"{letter}_proj")
        own = heads if letter == "q" else {h // 2 for h in heads}
        said = at[layer, letter].clone()
        for h in own:
            mine = slice(h * SLICE, (h + 1) * SLICE)
            said[:, mine] = ((at[layer, "pre"] + delta) @ linear.weight.T)[:, mine]
        changes.append((linear, "out", lambda out, said=said: said.view(out.shape)))

    def only(z):
        kept = at[layer, "z"].view(z.shape).clone()
        for h in heads:
            kept[..., h * SLICE : (h + 1) * SLICE] = z[..., h * SLICE : (h + 1) * SLICE]
        return kept

    patched, _ = run(hf, PROMPT.prompt, [*changes, (attention.o_proj, "in", only)])
    difference = [float(x[PROMPT.answer[0]] - x[PROMPT.wrong_answer[0]]) for x in (clean, patched)]
    return difference[1] - difference[0]


@pytest.mark.parametrize("inputs", ["joint", "split"])
@pytest.mark.some(2)
def test_only_the_receiver_s_own_slice_is_changed(pair, inputs):
    hf, model = pair
    edges = effect_edges(2, 4, 2, "head", inputs)
    found = model.edge_effects(make_batch([PROMPT]), EffectSpec("head", inputs)).effects[0].double()
    wanted = [i for i, e in enumerate(edges) if e.target.startswith(("L1H", "L1K", "L0H", "L0K"))]
    right = torch.tensor([naive(hf, edges[i]) for i in wanted], dtype=torch.float64)
    assert right.abs().max() > 0.05
    assert float((found[wanted] - right).abs().max() / right.abs().max()) <= 1e-4


def test_a_norm_between_heads_and_their_output_matrix_is_named(tmp_path):
    loaded = load_variant(make(BitNetConfig(**SIZES), tmp_path / "bitnet"))
    probe = torch.tensor([PROMPT.prompt])
    with pytest.raises(InputError, match="a norm over all heads stands before their output"):
        read_model(loaded.hf, loaded.tokenizer, "f", probe).check_parts("f", [probe])
