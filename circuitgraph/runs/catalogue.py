"""The runs of a workspace: which ones a name means, and which may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.runs.comparable import Key, comparison_key, differing_keys, require_comparable
from circuitgraph.runs.conventions import list_settled
from circuitgraph.runs.record import Run, Variant

if TYPE_CHECKING:
    import pandas as pd

_VARIANT_COLUMNS = (
    *("name", "recipe", "model_type", "layers", "heads", "kv_heads", "parameters"),
    *("base", "adapter", "fingerprint"),
)
_RUN_COLUMNS = (
    *("id", "variant", "kind", "estimator", "steps", "inputs", "granularity", "activity"),
    *("ablation", "dtype", "n", "n_scenarios", "duplicates", "created"),
)


@dataclass(frozen=True)
class RunCatalogue:
    """All runs of a workspace, oldest first."""

    runs: tuple[Run, ...]

    @classmethod
    def read(cls, runs_folder: Path) -> RunCatalogue:
        """The runs in a folder."""
        return cls(tuple(list_settled(runs_folder)))

    def __repr__(self) -> str:
        return f"RunCatalogue({len(self.runs)} runs of {len(self.variants())} variants)"

    @cached_property
    def by_id(self) -> dict[str, Run]:
        return {run.id: run for run in self.runs}

    def variants(self) -> dict[str, Variant]:
        """The variants by name, the latest ingested first."""
        return {run.variant.name: run.variant for run in reversed(self.runs)}

    def table_names(self) -> set[str]:
        """Components of imported tables, whose names are not parsed."""
        tables = (run for run in self.runs if run.variant.model_type == "table")
        return {name for run in tables for name in run.components}

    def variant_table(self) -> pd.DataFrame:
        """One row a variant, oldest first."""
        import pandas as pd

        return pd.DataFrame(self.variant_rows(), columns=list(_VARIANT_COLUMNS))

    def variant_rows(self) -> list[dict[str, Any]]:
        """The rows of ``variant_table``, without importing pandas."""
        found = [asdict(v) for v in reversed(self.variants().values())]
        return [{name: row[name] for name in _VARIANT_COLUMNS} for row in found]

    def run_table(self) -> pd.DataFrame:
        """One row a run, oldest first."""
        import pandas as pd

        return pd.DataFrame(self.run_rows(), columns=list(_RUN_COLUMNS))

    def run_rows(self) -> list[dict[str, Any]]:
        """The rows of ``run_table``."""
        found = map(_run_row, self.runs)
        return [{name: row[name] for name in _RUN_COLUMNS} for row in found]

    def of(self, name: str, kind: str | None = None) -> list[Run]:
        """Runs of one variant, newest last; ``UsageError`` for none (of this kind)."""
        mine = [run for run in self.runs if run.variant.name == name]
        if not mine:
            raise UsageError(f"no variant {quoted(name)}; {self._known()}")
        chosen = [run for run in mine if kind in (None, run.kind)]
        if not chosen:
            raise UsageError(
                f"variant {quoted(name)} has no {kind} run; ingest it with ``edges={kind}``"
            )
        return chosen

    def one(self, name: str, kind: str, run: str | None = None) -> Run:
        """The newest run of a variant of one kind, or the one whose id begins with ``run``.

        Raises
        ------
        UsageError
            No such variant or run, or a run of another variant or kind.
        """
        mine = self.of(name, kind)
        if run is None:
            return mine[-1]
        found = self._by_id(run)
        if found not in mine:
            raise UsageError(
                f"``run``: {found.id[:12]} is no {kind} run of {quoted(name)}; "
                "circuitgraph runs lists them"
            )
        return found

    def side(self, text: str, scope: str) -> list[str]:
        """The variants that one side of a diff names.

        At recipe scope a recipe, one variant (a fixed reference), or several variants
        with commas between them; at checkpoint scope one variant.
        """
        variants = self.variants()
        if scope == "recipe":
            group = sorted(name for name, v in variants.items() if v.recipe and v.recipe == text)
            if group:
                return group
        if text in variants:
            return [text]
        parts = [part.strip() for part in text.split(",")]
        if scope == "recipe" and len(parts) > 1:
            unknown = [part for part in parts if part not in variants]
            if not unknown:
                return list(dict.fromkeys(parts))
            text = unknown[0]
        if scope != "recipe" and text in {v.recipe for v in variants.values()}:
            raise UsageError(
                f'{quoted(text)} is a recipe, not a variant; ``scope="recipe"`` compares recipes'
            )
        what = "recipe or variant" if scope == "recipe" else "variant"
        raise UsageError(f"no {what} {quoted(text)}; {self._known()}")

    def kind_of(self, names: Iterable[str]) -> str:
        """``effect`` where all these variants have such runs, else ``correlation``."""
        kinds = [{run.kind for run in self.of(name)} for name in names]
        return "effect" if all("effect" in kind for kind in kinds) else "correlation"

    def matched(
        self, a: Sequence[str], b: Sequence[str], kind: str
    ) -> tuple[list[Run], list[Run], bool]:
        """The newest comparable runs of both sides, and whether there was a choice.

        Raises
        ------
        UsageError
            No run of this kind, or no two that may be compared; names the key.
        """
        by_name = {name: self.of(name, kind) for name in dict.fromkeys([*a, *b])}
        by_key = {
            name: {comparison_key(run): run for run in runs} for name, runs in by_name.items()
        }
        shared = set.intersection(*(set(keys) for keys in by_key.values()))
        if not shared:
            self._explain_mismatch(by_name)
        newest = max(shared, key=lambda key: (self._age(by_key, key), key))
        chosen = {name: runs[newest] for name, runs in by_key.items()}
        return [chosen[name] for name in a], [chosen[name] for name in b], len(shared) > 1

    def by_ids(self, text: str) -> tuple[list[Run], list[Run]]:
        """Runs chosen as ``A_ID:B_ID``, each an id or its unique beginning."""
        first, colon, second = text.partition(":")
        if not (first and colon and second):
            raise UsageError("``run`` takes A_ID:B_ID; circuitgraph runs lists the ids")
        return [self._by_id(first)], [self._by_id(second)]

    def chosen(self, ids: str, a: str, b: str) -> tuple[list[Run], list[Run]]:
        """The runs of ``A_ID:B_ID``, if they are of the variants a and b."""
        sides = self.by_ids(ids)
        for name, [run] in zip((a, b), sides, strict=True):
            if run.variant.name != name:
                raise UsageError(
                    f"``run``: {run.id[:12]} is a run of {quoted(run.variant.name)}, not of "
                    f"{quoted(name)}; circuitgraph runs lists them"
                )
        return sides

    def pair(self, text: str, scope: str) -> tuple[str, str]:
        """Both names of ``A:B``; names may contain colons."""
        parts = text.split(":")
        for cut in range(1, len(parts)):
            a, b = ":".join(parts[:cut]), ":".join(parts[cut:])
            try:
                self.side(a, scope), self.side(b, scope)
            except UsageError:
                continue
            return a, b
        raise UsageError(f"{quoted(text)} is not A:B with two known names; {self._known()}")

    def _by_id(self, text: str) -> Run:
        found = [run for run in self.runs if run.id.startswith(text)]
        if len(found) != 1:
            what = "no run" if not found else f"{len(found)} runs"
            raise UsageError(
                f"{what} whose id begins with {quoted(text)}; circuitgraph runs lists them"
            )
        return found[0]

    def _known(self) -> str:
        names = [quoted(name) for name in reversed(self.variants())]
        if not names:
            return "the workspace is empty: circuitgraph ingest or ingest-table fills it"
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return f"known variants: {', '.join(names[:12])}{more}"

    def _age(self, by_key: dict[str, dict[Key, Run]], key: Key) -> list[str]:
        return sorted(runs[key].created for runs in by_key.values())

    def _explain_mismatch(self, by_name: dict[str, list[Run]]) -> None:
        pairs = [
            (x, y)
            for (_, xs), (_, ys) in product(by_name.items(), repeat=2)
            for x, y in product(xs, ys)
            if x.variant.name < y.variant.name and differing_keys(x, y)
        ]
        require_comparable(min(pairs, key=lambda pair: len(differing_keys(pair[0], pair[1]))))


def require_name(name: str) -> None:
    """Refuse an empty name (UsageError), or one that no file can hold (InputError)."""
    if not name:
        raise UsageError("``name`` is empty; every variant needs a name")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("``name`` holds half a character (a lone surrogate)") from error


def _run_row(run: Run) -> dict[str, Any]:
    keys = asdict(run.method)
    own = {"id": run.id, "variant": run.variant.name, "created": run.created}
    return {
        **keys,
        **own,
        "n": run.n_observations,
        "n_scenarios": run.n_scenarios,
        "duplicates": run.duplicates,
    }
