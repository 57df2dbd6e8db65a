"""Sets of edges patched together: against plain hooks, and what must hold for any set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from circuit_oracle import corrupt_run, decision
from models import make_adapter, make_model
from oracle import make_bridge, sent
from test_engine_circuits import KINDS, PROMPTS, drawn, edges_of
from torch import Tensor

from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.model import Model
from circuitgraph.engine.patch import make_patch
from circuitgraph.interventions.circuits.pair import edge_set_changes
from circuitgraph.interventions.patching.transplant import given_by
from circuitgraph.models.variants import load_variant

Side = tuple[Model, Any]


@pytest.fixture(scope="module", params=("gpt2", "llama", "gemma2"))
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Side, Side]:
    """A base and a LoRA of it, each in our records and as the library's bridge."""
    root = tmp_path_factory.mktemp("pair")
    folder = make_model(request.param, root / "base")
    found = []
    for adapter in (None, make_adapter(folder, root / "adapter")):
        loaded = load_variant(folder, adapter)
        hf = loaded.merged()
        found.append((from_hf(hf), make_bridge(hf, folder, loaded.tokenizer)))
    return found[0], found[1]


def small_sets(count: int) -> Tensor:
    """Sets of a few edges, as blocks of claims are."""
    return drawn(count, (0.05, 0.2), seed=3)


def patched(model: Model, sets: Tensor, granularity: str, inputs: str, **options: Any) -> Tensor:
    patch = make_patch(model, make_batch(PROMPTS), granularity, **options)
    return edge_set_changes(patch, sets, granularity, inputs)


def moved(source: Model, into: Model, sets: Tensor, granularity: str, inputs: str) -> Tensor:
    batch = make_batch(PROMPTS, whole=True)
    patch = make_patch(into, batch, granularity, given_by(source, batch, granularity))
    return edge_set_changes(patch, sets, granularity, inputs)


def naive(bridge: Any, column: int, edges: Sequence[Any], sets: Tensor, reference: Any) -> list:
    """Changes of one prompt's decision, a hooked forward a set."""
    prompt = PROMPTS[column]
    clean = decision(bridge, prompt, edges, [True] * len(edges), reference)
    return [decision(bridge, prompt, edges, (~s).tolist(), reference) - clean for s in sets]


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(2)
def test_sets_have_the_effects_of_hooks(
    sides: tuple[Side, Side], granularity: str, inputs: str
) -> None:
    model, bridge = sides[1]
    edges = edges_of(model, granularity, inputs)
    sets = small_sets(len(edges))
    ours = patched(model, sets, granularity, inputs)
    for column in (0, 1):
        expected = naive(bridge, column, edges, sets, corrupt_run(bridge, PROMPTS[column]))
        assert ours[:, column].tolist() == pytest.approx(expected, abs=2e-4)
        assert max(map(abs, expected)) > 0.01


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
def test_one_edge_has_its_exact_effect_and_all_have_the_total(
    sides: tuple[Side, Side], granularity: str, inputs: str
) -> None:
    model, _ = sides[1]
    count = len(edges_of(model, granularity, inputs))
    sets = torch.cat([torch.eye(count), torch.ones(1, count), torch.zeros(1, count)]).bool()
    ours = patched(model, sets, granularity, inputs)
    single = model.edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs))
    size = single.effects.abs().max()
    assert (ours[:count].T - single.effects).abs().max() <= 1e-4 * size
    assert (ours[count] - single.totals).abs().max() <= 1e-4 * single.totals.abs().max()
    assert (ours[count + 1] == 0).all()


def test_all_edges_into_one_mlp_feed_it_the_corrupt_stream(sides: tuple[Side, Side]) -> None:
    """The receiver's whole input is swapped at once by one hook."""
    model, bridge = sides[1]
    edges = edges_of(model, "head", "joint")
    sets = torch.tensor([[e.target == "L1_MLP" for e in edges]])
    ours = patched(model, sets, "head", "joint")[0]
    for column in (0, 2):
        prompt = PROMPTS[column]
        clean, corrupt = (torch.tensor([t]) for t in (prompt.prompt, prompt.corrupt))
        base = bridge(clean)
        _, cache = bridge.run_with_cache(corrupt)
        swap = ("blocks.1.hook_mlp_in", lambda x, hook, c=cache: c["blocks.1.hook_resid_mid"])
        last = (bridge.run_with_hooks(clean, fwd_hooks=[swap]) - base)[0, -1]
        expected = (last[prompt.answer[0]] - last[prompt.wrong_answer[0]]).item()
        assert float(ours[column]) == pytest.approx(expected, abs=2e-4)
        assert abs(expected) > 1e-3


def test_what_follows_a_patched_edge_inside_the_set_counts_once(sides: tuple[Side, Side]) -> None:
    """A path through an MLP: its readers hear what the corrupt run's MLP says."""
    model, _ = sides[1]
    edges = edges_of(model, "head", "joint")
    into = torch.tensor([e.target == "L1_MLP" for e in edges])
    out = torch.tensor([e.source == "L1_MLP" for e in edges])
    ours = patched(model, torch.stack([into | out, out]), "head", "joint")
    one_token = [len(p.answer) == len(p.wrong_answer) == 1 for p in PROMPTS]
    assert ours[1].abs().max() > 1e-3
    # nobody hears what L1_MLP makes of its inputs on the prompt: they cannot matter
    assert (ours[0] - ours[1]).abs()[one_token].max() <= 1e-4


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(2)
def test_moved_sets_read_the_other_models_senders(
    sides: tuple[Side, Side], granularity: str, inputs: str
) -> None:
    (base, base_bridge), (tuned, tuned_bridge) = sides
    edges = edges_of(base, granularity, inputs)
    sets = small_sets(len(edges))
    ours = moved(base, tuned, sets, granularity, inputs)
    for column in (0, 1):
        reference = other_run(base_bridge, tuned_bridge, PROMPTS[column], granularity)
        expected = naive(tuned_bridge, column, edges, sets, reference)
        assert ours[:, column].tolist() == pytest.approx(expected, abs=3e-4)
        assert max(map(abs, expected)) > 0.01


def other_run(source: Any, into: Any, prompt: Any, granularity: str) -> Any:
    """What the source says on the clean prompt, and what the sums of it are in ``into``.

    Output biases of attention belong to no head: at head granularity they stay ``into``'s.
    """

    def reference(shown: tuple[int, ...]) -> Any:
        _, cache = source.run_with_cache(torch.tensor([prompt.prompt + shown]))

        def stream(place: str) -> Tensor:
            total = cache[place]
            layers = int(place.split(".")[1]) + ("pre" not in place)
            for layer in range(layers if granularity == "head" else 0):
                for bridge, sign in ((source, -1), (into, 1)):
                    bias = bridge.blocks[layer].attn.b_O
                    total = total if bias is None else total + sign * bias
            return total

        return (lambda name: sent(source, cache, name)), stream

    return reference


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
def test_a_model_moved_into_itself_changes_nothing_at_all(
    sides: tuple[Side, Side], granularity: str, inputs: str
) -> None:
    model, _ = sides[0]
    sets = small_sets(len(edges_of(model, granularity, inputs)))
    assert (moved(model, model, sets, granularity, inputs) == 0).all()
    assert moved(sides[1][0], model, sets, granularity, inputs).abs().max() > 1e-3


@pytest.mark.parametrize("inputs", ["joint", "split"])
def test_batches_and_chunks_of_any_size_give_the_same_effects(
    sides: tuple[Side, Side], inputs: str
) -> None:
    model, _ = sides[1]
    sets = small_sets(len(edges_of(model, "head", inputs)))
    whole = patched(model, sets, "head", inputs)
    assert (whole - patched(model, sets, "head", inputs, chunk_rows=1)).abs().max() <= 1e-4
    alone = [
        edge_set_changes(make_patch(model, make_batch([p])), sets, "head", inputs) for p in PROMPTS
    ]
    assert (whole - torch.cat(alone, 1)).abs().max() <= 1e-4
