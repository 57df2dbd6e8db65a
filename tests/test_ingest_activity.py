"""Activity against what the library's bridge sees at its hooks."""

from __future__ import annotations

import pytest
import torch
from models import FAMILIES, make_model
from oracle import make_bridge, sent

from circuitgraph.base.components import writers
from circuitgraph.base.errors import InputError
from circuitgraph.engine.families import from_hf
from circuitgraph.ingest.activity import norm_activity, projection_activity, shared_prefix
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import Prompt
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 5, 9, 22, 7, 30, 44), None, (8,), (19,), None),
    Encoded((1, 6, 7), None, (40, 12), (11, 13, 14), None),
    Encoded((1, 20, 21, 22), None, (17, 12), (17, 13), None),
)


@pytest.fixture(scope="module", params=FAMILIES)
def sides(request, tmp_path_factory):
    folder = make_model(request.param, tmp_path_factory.mktemp("model") / request.param)
    loaded = load_variant(folder)
    hf = loaded.merged()
    return from_hf(hf), make_bridge(hf, folder, loaded.tokenizer), hf


@pytest.mark.parametrize("granularity", ["head", "layer"])
@torch.no_grad()
def test_norm_is_that_of_what_the_bridge_adds_at_the_last_prompt_token(sides, granularity):
    model, bridge, _ = sides
    names = writers(model.layers, model.heads, granularity)
    want = []
    for prompt in PROMPTS:
        _, cache = bridge.run_with_cache(torch.tensor([prompt.prompt]))
        want.append([float(sent(bridge, cache, name)[0, -1].norm()) for name in names])
    assert torch.allclose(norm_activity(model, PROMPTS, granularity), torch.tensor(want), rtol=1e-4)


@pytest.mark.parametrize("granularity", ["head", "layer"])
@torch.no_grad()
def test_projection_is_the_share_of_the_logit_difference(sides, granularity):
    """By hand: final norm with its own scale, then the difference of two unembedding rows,
    read after the tokens both answers share (one for the last prompt)."""
    model, bridge, hf = sides
    names = writers(model.layers, model.heads, granularity)
    unembed = hf.lm_head.weight
    want = []
    for prompt, shared in zip(PROMPTS, (0, 0, 1), strict=True):
        tokens = torch.tensor([prompt.prompt + prompt.answer[:shared]])
        _, cache = bridge.run_with_cache(tokens)
        final = cache[f"blocks.{model.layers - 1}.hook_resid_post"][0, -1]
        direction = unembed[prompt.answer[shared]] - unembed[prompt.wrong_answer[shared]]
        row = []
        for name in names:
            part = sent(bridge, cache, name)[0, -1]
            row.append(float(_final_norm_frozen(hf, part, final) @ direction))
        want.append(row)
    ours = projection_activity(model, PROMPTS, granularity)
    assert (ours - torch.tensor(want)).abs().max() <= 1e-4 * torch.tensor(want).abs().max()


def _final_norm_frozen(hf, part, final):
    if hf.config.model_type == "gpt2":
        norm = hf.transformer.ln_f
        return (part - part.mean()) / (final.var(unbiased=False) + norm.eps).sqrt() * norm.weight
    weight = hf.model.norm.weight + (1 if hf.config.model_type == "gemma2" else 0)
    return part / (final.pow(2).mean() + hf.config.rms_norm_eps).sqrt() * weight


def test_activity_depends_neither_on_the_batch_nor_on_its_padding(sides):
    model, *_ = sides
    for activity in (norm_activity, projection_activity):
        whole = activity(model, PROMPTS, "head")
        alone = torch.cat([activity(model, [p], "head") for p in PROMPTS])
        assert (whole - alone).abs().max() <= 1e-5 * whole.abs().max()


def test_answers_of_which_one_begins_the_other_project_on_nothing():
    prompt = Encoded((1, 5), None, (8,), (8, 9), Prompt("a", "s", line=7))
    with pytest.raises(InputError, match="line 7: one answer is the beginning"):
        shared_prefix(prompt)
