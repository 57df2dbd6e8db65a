"""Which runs may be compared, and the message that names the difference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.runs.record import Method, Run, Variant

Key = tuple[str, ...]

KEYS = tuple(field.name for field in fields(Method))
"""All that a method says; see ``Method``."""

TOKENS = "the tokens of the same prompts"
ONE_BUILD = "take variants of one architecture"


def comparison_key(run: Run) -> Key:
    """All that must agree before two runs may be compared."""
    method = asdict(run.method)
    keys = (str(method[name]) for name in sorted(method))
    return (*keys, run.variant.architecture, *_prompts(run))


def differing_keys(a: Run, b: Run, keys: Collection[str] = KEYS) -> list[str]:
    """Names of the keys in which two runs differ, with their values; ``keys`` of the method."""
    pairs = {name: (getattr(a.method, name), getattr(b.method, name)) for name in keys}
    found = [f"{name} ({x!r} and {y!r})" for name, (x, y) in pairs.items() if x != y]
    if a.variant.architecture != b.variant.architecture:
        found.append(_architectures(a.variant, b.variant))
    # What is read of one file depends on the ablation, which is named already.
    explained = a.prompt_set == b.prompt_set != "" and a.method.ablation != b.method.ablation
    if _prompts(a) != _prompts(b) and not explained:
        found.append(_how_prompts_differ(a, b))
    return found


def require_comparable(runs: Sequence[Run], keys: Collection[str] = KEYS) -> None:
    """Refuse (UsageError) runs of different methods or prompts; names the keys that differ."""
    for other in runs[1:]:
        if found := differing_keys(runs[0], other, keys):
            kind = f"{other.kind} " if other.kind == runs[0].kind else ""
            why = f"their {kind}runs differ in {', '.join(found)}"
            raise incomparable(runs[0].variant, other.variant, why)


def require_same_build(a: Variant, b: Variant) -> None:
    """Refuse (UsageError) tables, and models without corresponding components."""
    for variant in (a, b):
        require_model(variant)
    if _build(a) != _build(b):
        raise incomparable(a, b, f"they differ in {_architectures(a, b)}", ONE_BUILD)


def require_same_tokenizer(a: Variant, b: Variant) -> None:
    """Refuse (UsageError) variants with two tokenizers."""
    if a.fingerprints.get("tokenizer") != b.fingerprints.get("tokenizer"):
        why = "their tokenizers differ, so one prompt is not the same tokens for both"
        raise incomparable(a, b, why, "take variants of one tokenizer")


def require_model(variant: Variant) -> None:
    """Refuse (UsageError) a table, which has no model."""
    if not variant.base:
        what = "circuit file" if variant.model_type == "circuit" else "table"
        raise UsageError(
            f"{quoted(variant.name)} is a {what}, without weights and nothing that could be run; "
            "ingest its model, or compare correlations"
        )


def require_same_answers(a: Run, b: Run) -> None:
    """Refuse (UsageError) runs whose prompts have no answers, or not the same."""
    instead = "ingest both with answer and wrong_answer in the prompt file"
    lacking = [p.id for p in a.prompts if p.answer is None or p.wrong_answer is None]
    if lacking:
        why = f"their prompts have no answers (first {quoted(lacking[0])}), so nothing is decided"
        raise incomparable(a.variant, b.variant, why, instead)
    asked, again = (
        [(p.tokens, p.answer, p.wrong_answer, p.also, p.also_wrong) for p in run.prompts]
        for run in (a, b)
    )
    if asked != again:
        why = "they were asked for different answers"
        raise incomparable(a.variant, b.variant, why, instead)


def incomparable(
    a: Variant,
    b: Variant,
    why: str,
    instead: str = "ingest both on the same prompts with the same options",
) -> UsageError:
    """The error of two variants that cannot be compared."""
    return UsageError(f"{quoted(a.name)} and {quoted(b.name)} cannot be compared: {why}; {instead}")


def _architectures(a: Variant, b: Variant) -> str:
    builds = _build(a), _build(b)
    return "architecture" + (f" ({' and '.join(builds)})" if builds[0] != builds[1] else "")


def _build(variant: Variant) -> str:
    kv = "" if variant.kv_heads == variant.heads else f" ({variant.kv_heads} key/value)"
    return f"{variant.model_type} of {variant.layers} layers with {variant.heads} heads{kv}"


def _how_prompts_differ(a: Run, b: Run) -> str:
    if not a.prompt_set or a.prompt_set != b.prompt_set:
        return "prompts"
    days = [run.rendered.get("date", "") for run in (a, b)]
    why = f"the chat template told {days[0]} and {days[1]}" if all(days) else "read otherwise"
    return f"{TOKENS} ({why})"


def _prompts(run: Run) -> Key:
    # Tables are joined by prompt id when compared, which says better what is missing where.
    return () if run.method.granularity == "table" else (run.prompts_fingerprint,)
