"""Components of one model in another's run, against hooks on the library's own bridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models import make_adapter, make_model
from oracle import _log_prob, make_bridge, receive, sent
from test_engine_oracle import PROMPTS
from torch import Tensor

from circuitgraph.base.components import EMBED, effect_edges, parse, writers
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.model import Model
from circuitgraph.engine.patch import make_patch
from circuitgraph.interventions.patching.transplant import given_by, set_changes
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PAIRS = ("gpt2", "llama", "gemma2", "adapter")
GRANULARITIES = ("head", "layer")


@dataclass(frozen=True)
class Side:
    hf: Any
    model: Model
    folder: Path
    tokenizer: Any

    def bridge(self) -> Any:
        return make_bridge(self.hf, self.folder, self.tokenizer)


def side(folder: Path, adapter: Path | None = None) -> Side:
    loaded = load_variant(folder, adapter)
    hf = loaded.merged()
    return Side(hf, from_hf(hf), folder, loaded.tokenizer)


@pytest.fixture(scope="module", params=PAIRS)
def sides(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Side]:
    """Two models of one build: the source, and the one its components are put into."""
    root = tmp_path_factory.mktemp("pair")
    if request.param == "adapter":
        base = make_model("llama", root / "base")
        return [side(base, make_adapter(base, root / "adapter")), side(base)]
    return [side(make_model(request.param, root / str(seed), seed)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def bridges(sides: list[Side]) -> list[Any]:
    return [each.bridge() for each in sides]


@pytest.fixture(scope="module")
def hooked(bridges: list[Any]) -> Hooked:
    return Hooked(*bridges)


def names_of(model: Model, granularity: str) -> list[str]:
    return [EMBED, *writers(model.layers, model.heads, granularity)]


def single(count: int) -> Tensor:
    return torch.eye(count, dtype=torch.bool)


def changes(
    source: Model, into: Model, prompts: Sequence[Encoded], sets: Tensor, granularity: str = "head",
    **options: Any,
) -> Tensor:  # fmt: skip
    batch = make_batch(prompts, whole=True)
    given = given_by(source, batch, granularity)
    patch = make_patch(into, batch, granularity, given, **options)
    return set_changes(patch, given, sets, granularity)


class Hooked:
    """Forwards with hooks, every component replaced by its own; a text's own runs are kept."""

    def __init__(self, source: Any, into: Any) -> None:
        self.source, self.into = source, into
        self._runs: dict[tuple[int, ...], tuple[Tensor, Any]] = {}

    @torch.no_grad()
    def change(self, prompt: Encoded, names: Sequence[str]) -> float:
        """Change of the decision, from one forward a text."""
        end, total = len(prompt.prompt), 0.0
        answers = ((prompt.answer, 1.0), (prompt.wrong_answer, -1.0))
        for shown in {answer[:-1] for answer, _ in answers}:
            tokens = torch.tensor([prompt.prompt + shown])
            clean, kept = self._own(prompt.prompt + shown)
            hooks = [
                h
                for n in names
                for h in replaced(self.into, n, sent(self.source, kept, n)[:, :end])
            ]
            patched = self.into.run_with_hooks(tokens, fwd_hooks=hooks)
            for answer, sign in answers:
                if answer[:-1] == shown:
                    after, before = (_log_prob(x, answer, end) for x in (patched, clean))
                    total += sign * float((after - before)[0])
        return total

    def _own(self, text: tuple[int, ...]) -> tuple[Tensor, Any]:
        """Logits of the model patched into, and the source's cache."""
        if text not in self._runs:
            tokens = torch.tensor([text])
            self._runs[text] = self.into(tokens), self.source.run_with_cache(tokens)[1]
        return self._runs[text]


def replaced(bridge: Any, name: str, given: Tensor) -> list:
    """Hooks that put a component's contribution in place of the running one."""
    component, end = parse(name), given.shape[1]
    block = f"blocks.{component.layer}"

    def whole(x: Tensor, hook: Any) -> Tensor:
        return torch.cat([given, x[:, end:]], 1)

    if component.kind != "head":
        place = {"embed": "blocks.0.hook_resid_pre", "mlp": f"{block}.hook_mlp_out"}
        return [(place.get(component.kind, f"{block}.hook_attn_out"), whole)]
    running: dict[str, Tensor] = {}

    def look(x: Tensor, hook: Any) -> None:
        running[f"{block}.attn.hook_result"] = x

    def swap(x: Tensor, hook: Any) -> Tensor:
        own = sent(bridge, running, name)[:, :end]
        return torch.cat([x[:, :end] - own + given, x[:, end:]], 1)

    return [(f"{block}.attn.hook_result", look), (f"{block}.hook_attn_out", swap)]


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.some(2)
def test_a_component_alone_is_one_hooked_forward(sides, hooked, granularity) -> None:
    source, into = (each.model for each in sides)
    names = names_of(into, granularity)
    ours = changes(source, into, PROMPTS, single(len(names)), granularity)
    naive = torch.tensor([[hooked.change(p, [name]) for p in PROMPTS] for name in names])
    assert naive.abs().max() > 0.1
    assert (ours - naive).abs().max() <= 1e-4 * naive.abs().max()


@pytest.mark.some(1)
def test_a_set_is_one_hooked_forward(sides, hooked) -> None:
    source, into = (each.model for each in sides)
    names = names_of(into, "head")
    chosen = (
        [],
        ["L1H0", "L1H3"],
        ["L1H2", "L1_MLP", "L2H0"],
        [EMBED, "L0H1", "L0H2", "L2_MLP"],
        names,
    )
    sets = torch.tensor([[name in some for name in names] for some in chosen])
    ours = changes(source, into, PROMPTS, sets)
    naive = torch.tensor([[hooked.change(p, some) for p in PROMPTS] for some in chosen])
    assert (ours[0] == 0).all()
    assert (ours - naive).abs().max() <= 1e-4 * naive.abs().max()


@pytest.mark.parametrize(("inputs", "every"), [("joint", 3), ("split", 7)])
@pytest.mark.some(2)
def test_an_edge_is_one_hooked_forward(sides, bridges, inputs, every) -> None:
    source, into = (each.model for each in sides)
    edges = effect_edges(into.layers, into.heads, into.kv_heads, "head", inputs)[::every]
    batch = make_batch(PROMPTS, whole=True)
    whole = into.edge_effects(batch, EffectSpec("head", inputs, ablated=given_by(source, batch)))
    ours = whole.effects[:, ::every]
    naive = torch.stack([receive(bridges[1], p, edges, from_source(bridges, p)) for p in PROMPTS])
    assert naive.abs().max() > 0.1
    assert (ours - naive).abs().max() <= 1e-4 * naive.abs().max()


def from_source(bridges: list[Any], prompt: Encoded) -> Any:
    given: dict[tuple[tuple[int, ...], str], Tensor] = {}
    others: dict[tuple[int, ...], Any] = {}

    def delta(kept: Any, shown: tuple[int, ...], edge: Any) -> Tensor:
        if shown not in others:
            _, others[shown] = bridges[0].run_with_cache(torch.tensor([prompt.prompt + shown]))
        if (shown, edge.source) not in given:
            there = sent(bridges[0], others[shown], edge.source)
            given[shown, edge.source] = there - sent(bridges[1], kept, edge.source)
        return given[shown, edge.source].clone()

    return delta


def test_the_last_mlp_has_one_reader_so_its_node_is_its_edge(sides) -> None:
    source, into = (each.model for each in sides)
    batch = make_batch(PROMPTS, whole=True)
    edges = into.edge_effects(batch, EffectSpec(ablated=given_by(source, batch))).effects
    nodes = changes(source, into, PROMPTS, single(len(names_of(into, "head"))))
    assert (edges[:, -1] - nodes[-1]).abs().max() <= 1e-5 * nodes.abs().max()


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.some(2)
def test_everything_patched_leaves_the_readers_that_are_no_components(
    sides, bridges, granularity
) -> None:
    """The source's final stream (heads: with our output biases), our final norm, unembedding."""
    source, into = sides
    for prompt in (p for p in PROMPTS if len(p.answer) == len(p.wrong_answer) == 1):
        everything = torch.ones(1, len(names_of(into.model, granularity)), dtype=torch.bool)
        ours = changes(source.model, into.model, [prompt], everything, granularity)
        tokens = torch.tensor([prompt.prompt])
        _, kept = bridges[0].run_with_cache(tokens)
        last = kept[f"blocks.{into.model.layers - 1}.hook_resid_post"][:, -1]
        if granularity == "head":
            last = last + bias(into.hf) - bias(source.hf)
        inner = into.hf.transformer.ln_f if hasattr(into.hf, "transformer") else into.hf.model.norm
        with torch.no_grad():
            scores = into.hf.lm_head(inner(last))
            clean = into.hf(tokens).logits[0, -1]
        cap = getattr(into.hf.config, "final_logit_softcapping", None)
        scores = cap * torch.tanh(scores / cap) if cap else scores
        a, b = prompt.answer[0], prompt.wrong_answer[0]
        want = (scores[0, a] - scores[0, b]) - (clean[a] - clean[b])
        assert abs(float(ours[0, 0] - want)) <= 2e-4 * max(1.0, abs(float(want)))


def bias(hf: Any) -> Tensor | float:
    if not hasattr(hf, "transformer"):
        return 0.0
    return sum(block.attn.c_proj.bias.detach() for block in hf.transformer.h)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_between_equal_models_nothing_changes_at_all(sides, granularity) -> None:
    model = sides[0].model
    count = len(names_of(model, granularity))
    sets = torch.cat([single(count), torch.ones(1, count, dtype=torch.bool)])
    assert (changes(model, model, PROMPTS, sets, granularity) == 0).all()
    batch = make_batch(PROMPTS, whole=True)
    found = model.edge_effects(
        batch, EffectSpec(granularity, ablated=given_by(model, batch, granularity))
    )
    assert (found.effects == 0).all()


def test_batches_order_and_chunks_do_not_matter(sides) -> None:
    source, into = (each.model for each in sides)
    sets = single(len(names_of(into, "head")))
    whole = changes(source, into, PROMPTS, sets)
    limit = 1e-5 * whole.abs().max()
    alone = torch.cat([changes(source, into, [p], sets) for p in PROMPTS], 1)
    assert (alone - whole).abs().max() <= limit
    order = [3, 0, 4, 2, 1]
    moved = changes(source, into, [PROMPTS[i] for i in order], sets.flip(0)).flip(0)
    assert (moved - whole[:, order]).abs().max() <= limit
    for rows in (1, 200, 100_000):
        part = changes(source, into, PROMPTS, sets, chunk_rows=rows)
        assert (part - whole).abs().max() <= limit


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_head_that_alone_was_changed_carries_everything_and_its_neighbours_nothing(
    family: str, tmp_path: Path
) -> None:
    """Only head 2 of layer 1 writes other things: patched alone it makes the decision the
    source's, and no other head of the layer, nor anything before it, has anything to say."""
    folder = make_model(family, tmp_path / family)
    into, source = side(folder).model, side(folder).model
    size, attention = source.head_size, source.blocks[1].attention
    weight = attention.out.weight.clone()
    weight[2 * size : 3 * size] += 0.5 * torch.randn(size, source.width, generator=_seeded())
    changed = replace(
        source.blocks[1], attention=replace(attention, out=replace(attention.out, weight=weight))
    )
    source = replace(source, blocks=(source.blocks[0], changed, source.blocks[2]))
    prompts = [p for p in PROMPTS if len(p.answer) == len(p.wrong_answer) == 1]
    names = names_of(into, "head")
    ours = dict(zip(names, changes(source, into, prompts, single(len(names))), strict=True))
    batch = make_batch(prompts, whole=True)
    gap = make_patch(source, batch).base - make_patch(into, batch).base
    assert gap.abs().max() > 0.1
    assert (ours["L1H2"] - gap).abs().max() <= 1e-5
    for name in names[: names.index("L1_MLP")]:
        assert name == "L1H2" or (ours[name] == 0).all(), name
    assert ours["L1_MLP"].abs().max() > 0.01


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)
