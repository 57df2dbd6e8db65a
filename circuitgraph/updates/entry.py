"""``check``: what a fine-tune changes in its base, and what is left of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuitgraph.base.errors import OtherBase, UsageError, quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import expanded
from circuitgraph.models.adapters import untie
from circuitgraph.models.basis import other_base
from circuitgraph.models.folders import ADAPTER_FILES
from circuitgraph.models.variants import LoadedVariant, load_variant, unmergeable
from circuitgraph.models.weights import wrappers
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.reader import Source
from circuitgraph.updates.changes import adapter_changes, model_changes, tensors_of, untie_alike
from circuitgraph.updates.decisions import answers, chosen_prompts, moves
from circuitgraph.updates.measure import FLOAT32, Sums, of_adapter, of_model
from circuitgraph.updates.record import Check, Verdict, word_of
from circuitgraph.updates.words import grids_in_words, percent, size_in_words

DRAWS = 7
"""Random updates that a move is held against."""


@dataclass(frozen=True)
class _Asked:
    """Inputs of a check."""

    base: str
    model: str
    adapter: str | None
    prompts: PromptSet | None
    chat_template: bool
    draws: int
    seed: int
    reporter: Reporter


def is_adapter(model: str | os.PathLike[str]) -> bool:
    """Whether a folder is an adapter."""
    folder = expanded(model)
    return (folder / ADAPTER_FILES[0]).is_file() and not (folder / "config.json").is_file()


def check(
    base: str | os.PathLike[str],
    model: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    prompts: Source | None = None,
    chat_template: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Check:
    """Measure what an adapter or whole fine-tuned model changes in its base.

    Parameters
    ----------
    base : path
        A Hugging Face folder (or hub name).
    model : path
        A LoRA folder, or the folder of a whole model.
    adapter : path, optional
        Of a whole model: the adapter that was merged into it, to say what is left of it.
    prompts : path, table or PromptSet, optional
        Ask whether decisions (without answers: the next token) move beyond random updates.
    chat_template : bool
        Wrap each prompt as one user turn.
    draws, seed : int
        Random updates, and the seed of their directions; at most 32 prompts are asked.
    reporter : Reporter, optional
        Where progress goes.

    Returns
    -------
    Check
        Its ``verdict`` is ``alive``, ``nearly erased``, ``erased``, ``identical`` or
        ``wrong base``.

    Raises
    ------
    InputError
        Files that cannot be used.
    UsageError
        ``adapter`` beside an adapter, or fewer than no draws.
    """
    if adapter is not None and is_adapter(model):
        raise UsageError("``adapter`` goes with a whole model; this folder is an adapter itself")
    if draws < 0:
        raise UsageError(f"``draws``: {draws} is less than 0")
    wanted = _Asked(
        os.fspath(base),
        os.fspath(model),
        None if adapter is None else os.fspath(adapter),
        None if prompts is None else read_prompts(prompts),
        chat_template,
        draws,
        seed,
        reporter or Reporter(),
    )
    try:
        return _adapter(wanted) if is_adapter(model) else _model(wanted)
    except OtherBase as error:
        return _wrong_base(wanted, str(error))


def _adapter(wanted: _Asked) -> Check:
    loaded = load_variant(wanted.base, wanted.model)
    if why := other_base(Path(loaded.variant.base), Path(wanted.model)):
        raise OtherBase(why)
    try:
        count = len(list(wrappers(loaded.hf.get_base_model())))
        changes = adapter_changes(loaded.hf)
        sums = of_adapter(wanted.reporter.each(changes, count, "update", "tensor"))
    except Exception as error:  # peft raises whatever comes to hand
        raise unmergeable(wanted.model, error) from error
    total = len(tensors_of(loaded.hf))
    verdict = _verdict(sums, total, sums.left.get(FLOAT32), "of the update left in float32")
    found = _told(wanted, "adapter", sums, verdict, loaded.remarks)
    return _with_moves(wanted, found, sums, loaded, loaded)


def _model(wanted: _Asked) -> Check:
    tuned = load_variant(wanted.model)
    base = load_variant(wanted.base, wanted.adapter)
    untie_alike(base.hf, tuned.hf)
    _require_same_build(base, tuned)
    meant = {}
    if base.has_adapter:
        meant = {c.name: c.meant.float() for c in adapter_changes(base.hf)}
    changes, count = model_changes(base.hf, tuned.hf), len(tensors_of(base.hf))
    watched = wanted.reporter.each(changes, count, "weights", "tensor")
    sums = of_model(watched, meant, wanted.seed)
    if sums.foreign:
        raise OtherBase(
            f"{wanted.model}: its weights are those of another model: ‖ΔW‖/‖W‖ "
            f"{sums.change:.3g}, cosine {sums.cosine:.2f} in the median matrix"
        )
    remarks = [*base.remarks, *tuned.remarks, *_seen(sums, base, tuned)]
    left = sums.left.get("adapter" if meant else "estimate")
    about = "of the adapter's update left" if meant else "of an update of this size left, estimated"
    verdict = _beyond(sums) or _verdict(sums, len(tensors_of(base.hf)), left, about)
    found = _told(wanted, "model", sums, verdict, remarks)
    return _with_moves(wanted, found, sums, base, tuned)


def _with_moves(
    wanted: _Asked, found: Check, sums: Sums, base: LoadedVariant, tuned: LoadedVariant
) -> Check:
    """The check with the change of decisions, where there are prompts; without base's adapter."""
    if wanted.prompts is None or not sums.touched:
        return found
    prompts = chosen_prompts(
        wanted.prompts, base.hf, base.tokenizer, chat_template=wanted.chat_template
    )
    after = answers(tuned.hf, prompts)
    if base is tuned:
        untie(base.hf)
    how = wanted.draws, wanted.seed, wanted.reporter
    with base.hf.disable_adapter() if base.has_adapter else nullcontext():
        return replace(found, moves=moves(after, base.hf, sums.spectra, prompts, *how))


def _require_same_build(base: LoadedVariant, tuned: LoadedVariant) -> None:
    """Refuse (OtherBase) models whose tensors are not each other's counterparts."""
    before, after = (tensors_of(one.hf) for one in (base, tuned))
    kinds = [one.variant.model_type for one in (base, tuned)]
    odd = sorted(before.keys() ^ after.keys())
    misshapen = [
        name for name in before.keys() & after.keys()
        if before[name].shape[1:] != after[name].shape[1:]
        or (before[name].shape != after[name].shape and not _is_end(base.hf, before[name]))
    ]  # fmt: skip
    where = base.variant.base, tuned.variant.base
    if kinds[0] != kinds[1]:
        raise OtherBase(f"{where[1]}: a {kinds[1]} model, and {where[0]} is {quoted(kinds[0])}")
    if odd or misshapen:
        name = min(odd or misshapen)
        what = "is in one of them only" if odd else "has another shape"
        raise OtherBase(
            f"{where[1]}: {len(odd or misshapen)} tensors have no counterpart in {where[0]}; "
            f"first {name}, which {what}"
        )


def _is_end(hf: Any, tensor: Any) -> bool:
    ends = (hf.get_input_embeddings(), hf.get_output_embeddings())
    return any(getattr(end, "base_layer", end).weight.shape == tensor.shape for end in ends)


def _beyond(sums: Sums) -> Verdict | None:
    """Verdict on a model that equals its base in a coarser format."""
    changed = [one for one in sums.stored.values() if one.moved]
    if not changed or any(one.beyond for one in changed):
        return None
    grid = Counter(one.after for one in changed).most_common(1)[0][0]
    told = (
        f"{len(changed)} of {len(sums.stored)} tensors changed, and none beyond the rounding of "
        f"the base to {grid}"
    )
    return Verdict("erased", 0.0, len(changed), len(sums.stored), told)


def _verdict(sums: Sums, tensors: int, left: Any, about: str) -> Verdict:
    changed = sum(one.moved > 0 for one in sums.touched)
    size = size_in_words(changed, tensors, sums.change)
    if not sums.touched or not (changed or left):
        return Verdict("identical", None, 0, tensors, f"0 of {tensors} tensors changed")
    if left is None:
        return Verdict(word_of(1.0, sums.change), None, changed, tensors, size)
    told = f"{size}, {percent(left.share)} {about}"
    return Verdict(word_of(left.share, sums.change), left.share, changed, tensors, told)


def _told(wanted: _Asked, kind: str, sums: Sums, verdict: Verdict, remarks: Iterable[str]) -> Check:
    matrices = {n: one for n, one in sums.stored.items() if one.before != "" and one.values > 1}
    grids: Mapping[str, Mapping[str, int]] = {}
    if matrices:
        grids = {
            "base": Counter(one.before for one in matrices.values()),
            "model": Counter(one.after for one in matrices.values()),
        }
    return Check(
        base=wanted.base,
        model=wanted.model,
        kind=kind,
        verdict=verdict,
        change=sums.change,
        touched=tuple(sums.touched),
        left={name: one.share for name, one in sums.left.items()},
        error={name: one.error for name, one in sums.left.items()},
        grids=grids,
        moves=None,
        remarks=(*remarks, *([grids_in_words(grids)] if grids else ())),
    )


def _seen(sums: Sums, base: LoadedVariant, tuned: LoadedVariant) -> list[str]:
    """Remarks on how a whole model differs from its base."""
    values = sum(one.values for one in sums.stored.values())
    moved = sum(one.moved for one in sums.stored.values())
    told = [f"{percent(moved / values)} of {values} values differ"] if moved else []
    rounding = sum(one.rounding for one in sums.stored.values())
    if rounding:
        whole = sum(one.change for one in sums.stored.values())
        told.append(
            "the model is stored more coarsely than the base: putting the base on its grid would "
            f"change it by {percent((rounding / whole) ** 0.5)} of ‖ΔW‖"
        )
    coded = [one for one in sums.stored.values() if one.codes is not None]
    if coded:
        codes, of = sum(one.codes or 0 for one in coded), sum(one.values for one in coded)
        told.append(
            f"both lie on NF4's grid in {len(coded)} of the tensors that differ: of {of} 4-bit "
            f"codes {codes} changed, all else is the scale of blocks"
        )
    missing = sorted(tensors_of(base.hf).keys() - sums.stored.keys())
    if missing:
        told.append(f"not compared, since the vocabularies differ in size: {', '.join(missing)}")
    words = [one.tokenizer.get_vocab() for one in (base, tuned)]
    if words[0] != words[1]:
        told.append("their tokenizers know other tokens: is this the base?")
    return told


def _wrong_base(wanted: _Asked, why: str) -> Check:
    kind = "adapter" if is_adapter(wanted.model) else "model"
    verdict = Verdict("wrong base", None, 0, 0, why)
    return _told(wanted, kind, Sums(), verdict, ())
