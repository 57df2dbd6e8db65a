"""Components of a transformer: their names, their order, and the edges between them.

A *component* is a node of every graph: ``EMBED``, an attention head ``L5H3``, a
key/value group ``L5KV1``, a whole attention layer ``L5_ATTN``, an MLP ``L2_MLP``, an expert
``L3E17`` of a mixture, its router ``L3_ROUTER`` or ``LOGITS``. Names are shared by all
variants of one architecture, which is what lets two graphs be joined. Names found in other
people's tables are kept verbatim.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

EMBED = "EMBED"
LOGITS = "LOGITS"

EdgeKind = Literal["correlation", "effect"]
Wanted = Literal["auto", "exact", "receiver-exact", "eap", "eap-ig"]
STEPS = 5
"""Backward passes of ``eap-ig``."""
Activity = Literal["norm", "projection"]
Dtype = Literal["float32", "bfloat16"]
Granularity = Literal["head", "layer"]
Inputs = Literal["joint", "split"]
Ablation = Literal["corrupt", "mean", "zero"]

_PATTERN = re.compile(r"L(\d+)(?:(H|KV|E)(\d+)|_(ATTN|MLP|ROUTER|RESID))", re.ASCII)
_KINDS = ("embed", "head", "kv", "attn", "mlp", "router", "expert", "resid", "logits", "other")
_RANK = {kind: rank for rank, kind in enumerate(_KINDS)}


class Component(NamedTuple):
    """A component: its name, and its kind, layer and index if the name has them.

    Attributes
    ----------
    name
        As written in every file and graph.
    kind
        ``embed``, ``head``, ``kv``, ``attn``, ``mlp``, ``router``, ``expert``, ``resid``,
        ``logits``, or ``other`` for an unknown name of another program's table.
    layer
        From 0; None for ``EMBED``, ``LOGITS`` and other names.
    head
        Index of the head, key/value group or expert; None elsewhere.
    """

    name: str
    kind: str
    layer: int | None = None
    head: int | None = None


class Edge(NamedTuple):
    """A directed edge: sender, receiver, and the receiver's input.

    Attributes
    ----------
    source, target
        The sending and the receiving component.
    input
        ``all`` (q, k and v together), ``q``, ``k``, ``v``, or ``in`` for MLPs, experts, routers and
        ``LOGITS``, which have one input.
    """

    source: str
    target: str
    input: str


def parse(name: str) -> Component:
    """Read a component's kind, layer and index from its name.

    Examples
    --------
    >>> parse("L5H3")
    Component(name='L5H3', kind='head', layer=5, head=3)
    """
    if name in (EMBED, LOGITS):
        return Component(name, name.lower())
    match = _PATTERN.fullmatch(name)
    if match is None or len(name) > 32:
        return Component(name, "other")
    layer, letter, index, block = match.groups()
    if block:
        return Component(name, block.lower(), int(layer))
    kind = {"H": "head", "KV": "kv", "E": "expert"}[letter]
    return Component(name, kind, int(layer), int(index))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``unit2`` comes before ``unit10``."""
    parts = re.split(r"(\d{1,18})", name)
    return tuple((1, int(p), "") if p.isascii() and p.isdigit() else (0, 0, p) for p in parts if p)


def order_key(name: str) -> tuple:
    """Sort key: order of computation for known names, natural order for others."""
    component = parse(name)
    if component.kind == "other":
        return (1, natural_key(name), name)
    if component.kind in ("embed", "logits"):
        layer = -1 if component.kind == "embed" else 1 << 60
    else:
        layer = component.layer or 0
    return (0, ((layer, _RANK[component.kind], ""),), (component.head or 0, name))


def in_order(names: Iterable[str]) -> list[str]:
    """Names sorted by order of computation."""
    return sorted(names, key=order_key)


def head_name(layer: int, head: int) -> str:
    """``L5H3``."""
    return f"L{layer}H{head}"


def kv_name(layer: int, group: int) -> str:
    """``L5KV1``: the receiver of k and v inputs, also where groups equal heads."""
    return f"L{layer}KV{group}"


def attn_name(layer: int) -> str:
    """``L5_ATTN``."""
    return f"L{layer}_ATTN"


def mlp_name(layer: int) -> str:
    """``L5_MLP``."""
    return f"L{layer}_MLP"


def expert_name(layer: int, expert: int) -> str:
    """``L3E17``."""
    return f"L{layer}E{expert}"


def router_name(layer: int) -> str:
    """``L3_ROUTER``: it reads, and what it decides is part of what experts write."""
    return f"L{layer}_ROUTER"


def resid_name(layer: int) -> str:
    """``L5_RESID``: the residual stream after layer 5."""
    return f"L{layer}_RESID"


def attention_names(layer: int, heads: int, granularity: Granularity) -> list[str]:
    """The attention components of one layer: its heads, or the layer as a whole."""
    if granularity == "layer":
        return [attn_name(layer)]
    return [head_name(layer, h) for h in range(heads)]


def mlp_names(layer: int, granularity: Granularity, experts: Sequence[int] = ()) -> list[str]:
    """What stands in the place of one layer's MLP: itself, or beside heads its experts.

    Parameters
    ----------
    experts
        Of every layer, 0 for an MLP; none for a model without any.
    """
    count = experts[layer] if experts and granularity == "head" else 0
    return [expert_name(layer, e) for e in range(count)] or [mlp_name(layer)]


def writers(
    layers: int, heads: int, granularity: Granularity, experts: Sequence[int] = ()
) -> list[str]:
    """Heads (or attention layers) and MLPs (or experts, see ``mlp_names``) in order of
    computation: the nodes of a correlation graph, and with ``EMBED`` in front the senders of
    effects."""
    return [
        name
        for layer in range(layers)
        for name in (
            *attention_names(layer, heads, granularity),
            *mlp_names(layer, granularity, experts),
        )
    ]


def effect_edges(
    layers: int,
    heads: int,
    kv_heads: int,
    granularity: Granularity,
    inputs: Inputs,
    parallel: bool = False,
    experts: Sequence[int] = (),
) -> list[Edge]:
    """All edges with an effect, by receiver in order of computation.

    A component writes to every later reader: attention of layer l reads ``EMBED`` and
    all components of earlier layers; the MLP of layer l reads its own layer's
    attention too, unless both read the same stream (``parallel`` blocks: GPT-NeoX, GPT-J);
    ``LOGITS`` reads all. Where there are ``experts`` (see ``mlp_names``) the router and each of
    them read what the MLP would.
    """
    edges: list[Edge] = []
    before = [EMBED]
    for layer in range(layers):
        own = attention_names(layer, heads, granularity)
        for target, name in attention_receivers(layer, heads, kv_heads, granularity, inputs):
            edges += [Edge(sender, target, name) for sender in before]
        after = before + own
        senders = before if parallel else after
        own = mlp_names(layer, granularity, experts)
        router = [] if own == [mlp_name(layer)] else [router_name(layer)]
        edges += [Edge(sender, target, "in") for target in router + own for sender in senders]
        before = after + own
    return edges + [Edge(sender, LOGITS, "in") for sender in before]


def attention_receivers(
    layer: int, heads: int, kv_heads: int, granularity: Granularity, inputs: Inputs
) -> list[tuple[str, str]]:
    """(target, input) of the attention receivers of one layer.

    Joint: one receiver a head, input ``all``. Split: q into each head, k and v into
    each key/value group (at layer granularity all three into the layer).
    """
    own = attention_names(layer, heads, granularity)
    if inputs == "joint":
        return [(name, "all") for name in own]
    groups = own if granularity == "layer" else [kv_name(layer, g) for g in range(kv_heads)]
    return [(n, "q") for n in own] + [(n, letter) for letter in "kv" for n in groups]


@dataclass(frozen=True)
class EdgeSpec:
    """Granularity and inputs of edges, and the ablation of the sender's contribution.

    Attributes
    ----------
    granularity
        ``head`` or ``layer``.
    inputs
        ``joint`` or ``split``: q, k and v replaced together, or one at a time.
    ablation
        ``corrupt``, ``mean`` or ``zero``.
    """

    granularity: Granularity = "head"
    inputs: Inputs = "joint"
    ablation: Ablation = "corrupt"

    @classmethod
    def of(cls, granularity: str, inputs: str, ablation: str) -> EdgeSpec:
        """The spec of a run's method; in runs of correlations the keys of effects are "".

        Raises
        ------
        ValueError
            A key holds none of its values.
        """
        return cls(
            _one_of(get_args(Granularity), granularity),
            _one_of(get_args(Inputs), inputs or "joint"),
            _one_of(get_args(Ablation), ablation or "corrupt"),
        )


def _one_of(choices: tuple[Any, ...], text: str) -> Any:
    if text not in choices:
        raise ValueError(f"{text!r} is none of {', '.join(choices)}")
    return text


def digest(*parts: object) -> str:
    """sha256 over the parts, as hex: every id and key of the graph.

    Names may be 65,000 characters long and hold anything, so they are hashed as JSON,
    where no two different lists of parts look alike.
    """
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
