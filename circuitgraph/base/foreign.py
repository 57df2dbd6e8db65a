"""Names of components in other programs: EAP-IG's and TransformerLens', beside our own."""

from __future__ import annotations

import re
from collections.abc import Collection

from circuitgraph.base.components import (
    EMBED,
    LOGITS,
    Component,
    attn_name,
    head_name,
    kv_name,
    mlp_name,
)

_BLOCK = r"blocks\.(\d{1,9})\."
_HEAD = re.compile(
    rf"(?:a(\d{{1,9}})\.h(\d{{1,9}})|(\d{{1,9}})\.(\d{{1,9}})"
    rf"|{_BLOCK}attn\.hook_(?:result|z|q)(?:\.|\[|:| head |, head | )(\d{{1,9}})\]?)",
    re.ASCII,
)
_MLP = re.compile(rf"(?:m(\d{{1,9}})|{_BLOCK}hook_mlp_out)", re.ASCII)
_ATTENTION = re.compile(rf"{_BLOCK}hook_attn_out", re.ASCII)
_GROUP = re.compile(rf"{_BLOCK}attn\.hook_[kv](?:\.|\[|:| head |, head | )(\d{{1,9}})\]?", re.ASCII)
_WORDS = {"input": EMBED, "hook_embed": EMBED, "logits": LOGITS}

_HOOKS = {
    "embed": "hook_embed",
    "head": "blocks.{layer}.attn.hook_result",
    "kv": "blocks.{layer}.attn.hook_k",
    "attn": "blocks.{layer}.hook_attn_out",
    "mlp": "blocks.{layer}.hook_mlp_out",
}


def own_name(text: str, known: Collection[str] = ()) -> str:
    """Name of a component given in the names of another program.

    Parameters
    ----------
    text
        Ours, EAP-IG's or TransformerLens'.
    known
        Names that stand for themselves, whatever they look like: those of a table.

    Returns
    -------
    str
        The text itself where it is known already, or none of these.

    Examples
    --------
    >>> [own_name(x) for x in ("a5.h3", "5.3", "blocks.5.attn.hook_result[3]", "m5", "input")]
    ['L5H3', 'L5H3', 'L5H3', 'L5_MLP', 'EMBED']
    """
    if text in known:
        return text
    if head := _HEAD.fullmatch(text):
        layer, index = (int(number) for number in head.groups() if number is not None)
        return head_name(layer, index)
    if group := _GROUP.fullmatch(text):
        return kv_name(int(group[1]), int(group[2]))
    if mlp := _MLP.fullmatch(text):
        return mlp_name(int(mlp[1] or mlp[2]))
    if attention := _ATTENTION.fullmatch(text):
        return attn_name(int(attention[1]))
    return _WORDS.get(text, text)


def hook_name(component: Component) -> str | None:
    """Where TransformerLens reads what a component writes (of groups, their keys); None for
    ``LOGITS``, which writes nothing, and for names of tables.

    Examples
    --------
    >>> from circuitgraph.base.components import parse
    >>> hook_name(parse("L5H3"))
    'blocks.5.attn.hook_result'
    """
    form = _HOOKS.get(component.kind)
    return None if form is None else form.format(layer=component.layer)


def eap_name(component: Component) -> str | None:
    """EAP-IG's name of a component, ``input``, ``a5.h3``, ``m5`` or ``logits``; of a group the
    head of its number. None where there is none: whole attention layers, and names of tables.
    """
    if component.kind in ("head", "kv"):
        return f"a{component.layer}.h{component.head}"
    if component.kind == "mlp":
        return f"m{component.layer}"
    return {EMBED: "input", LOGITS: "logits"}.get(component.name)
