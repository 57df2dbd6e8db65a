"""A second corruption of the same prompts, to test what depends on the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Run

SECONDS = ("mean", "zero")

Recorrupt = Callable[[Run], Run]
"""Changes a run's prompts or ablation to the second corruption (its effects stay the first's)."""


def second_corruption(run: Run, second: str | None, corrupt: PromptSet | None) -> Recorrupt:
    """The second corruption of runs like this one.

    Parameters
    ----------
    run
        One of the runs, of kind ``effect``.
    second
        ``mean``, ``zero``, or None: mean, or zero where the run has mean itself.
    corrupt
        The same prompts with other corrupt texts, in place of ``second``.

    Raises
    ------
    UsageError
        Both are given, or the corruption is that of the run.
    InputError
        A prompt of the run has no corrupt text, or two of them.
    """
    if corrupt is not None:
        if second is not None:
            raise UsageError("``second`` and ``corrupt``: give one of both")
        prompts = _recorrupted(run, corrupt)
        return lambda other: _under(replace(other, prompts=prompts), "corrupt")
    chosen = second or ("zero" if run.method.ablation == "mean" else "mean")
    if chosen not in SECONDS:
        raise UsageError(f"``second={chosen!r}``: choose {' or '.join(SECONDS)}")
    if chosen == run.method.ablation:
        raise UsageError(f"``second={chosen}``: the runs were measured so; choose another")
    return lambda other: _under(other, chosen)


def _under(run: Run, ablation: str) -> Run:
    return replace(run, method=replace(run.method, ablation=ablation))


def _recorrupted(run: Run, corrupt: PromptSet) -> tuple[RunPrompt, ...]:
    """The run's prompts with the corrupt texts, marks and directions of others."""
    if not corrupt.has_pairs:
        raise InputError(f"{corrupt.source}: no column corrupt; give the other corrupt texts")
    twins = _by_text(corrupt)
    lacking = [p.id for p in run.prompts if _key(p) not in twins]
    if lacking:
        raise InputError(
            f"{corrupt.source}: {len(lacking)} of {run.n} prompts of run {run.id[:12]} are not in "
            f"it (first {quoted(lacking[0])}); give every prompt, with its answers, as ingested"
        )
    names = ("corrupt", "span", "corrupt_span", "direction")
    found = tuple(
        replace(p, tokens=None, **{name: getattr(twins[_key(p)], name) for name in names})
        for p in run.prompts
    )
    same = all(x.corrupt == y.corrupt for x, y in zip(found, run.prompts, strict=True))
    if same and run.method.ablation == "corrupt":
        raise UsageError(
            f"``corrupt={corrupt.source}``: the runs were measured with these corrupt texts; "
            "give others"
        )
    return found


def _by_text(corrupt: PromptSet) -> dict[tuple, Prompt]:
    twins: dict[tuple, Prompt] = {}
    for prompt in corrupt:
        first = twins.setdefault(_key(prompt), prompt)
        if first.corrupt != prompt.corrupt or first.direction != prompt.direction:
            raise InputError(
                f"{corrupt.source}, line {prompt.line}: the prompt of line {first.line} with "
                "another corrupt text or direction; give each prompt one"
            )
    return twins


def _key(prompt: Prompt | RunPrompt) -> tuple:
    return prompt.prompt, prompt.answer, prompt.wrong_answer, prompt.also, prompt.also_wrong
