"""What a variant does, as relationships of its run: ``TRANSFERS`` of interventions, ``DECIDES``.

They belong to the run of the variant that ran, and to the variant they came from: with
either they go. All of one run and one source are written at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from circuitgraph.base.components import LOGITS, digest
from circuitgraph.runs.record import Run
from circuitgraph.store.tables import (
    GraphTables,
    components,
    node_table,
    rel_table,
    variant_row,
)

Transfer = tuple[str, str]
"""Id of the run that was patched, name of the variant its patches came from."""
PATCH, TRANSPLANT, STEER = "patch", "transplant", "steer"
PROPERTIES = ("variant", "source_variant", "effect", "flips", "n", "method")


def transfer_tables(
    architecture: str, run: str, source_run: str, table: pd.DataFrame
) -> GraphTables:
    """Graph tables of one direction of a cross-model patch.

    Parameters
    ----------
    architecture : str
        Of both variants.
    run, source_run : str
        Ids of the run of the variant that ran, and of the one the components came from;
        ``run`` must be in the store before these tables are written.
    table : DataFrame
        One row a component and method (``patch``, ``transplant``, ``steer``):
        ``source_variant``, ``variant``, ``component``, ``effect``, ``flips``, ``n``, ``method``
        (``patch`` where there is no such column).

    Returns
    -------
    GraphTables
        The ``Component`` nodes, and ``TRANSFERS`` from each to ``LOGITS``.
    """
    table = table if "method" in table else table.assign(method=PATCH)
    names: Sequence[str] = table["component"].tolist()
    ids, nodes = components(architecture, (*names, LOGITS))
    methods: Sequence[str] = table["method"].tolist()
    columns = {
        "key": [
            digest("transfers", run, source_run, name, *([] if how == PATCH else [how]))
            for name, how in zip(names, methods, strict=True)
        ],
        "run": run,
        **{name: table[name] for name in PROPERTIES},
    }
    ends = [ids[LOGITS]] * len(names)
    return GraphTables(
        nodes={"Component": nodes},
        rels={"TRANSFERS": rel_table("TRANSFERS", [ids[n] for n in names], ends, columns)},
    ).checked()


def transfers_in(tables: GraphTables) -> set[Transfer]:
    """Transfers whose run is not in the same tables."""
    if "TRANSFERS" not in tables.rels:
        return set()
    rows = tables.rels["TRANSFERS"]
    pairs = zip(rows["run"], rows["source_variant"], strict=True)
    own = set(tables.ids("Run"))
    return {(run, source) for run, source in pairs if run not in own}


def not_there(label: str, ids: Iterable[str]) -> str:
    """Message for relationships to nodes that the graph lacks."""
    return f"{label.lower()} {min(ids)[:12]} is not in the graph; write it before what refers to it"


def decision_tables(run: Run, table: pd.DataFrame) -> GraphTables:
    """The graph of one variant's decisions.

    Parameters
    ----------
    run
        Of the variant; decisions go where it goes.
    table
        One row a scenario: ``game``, ``scenario``; ``p`` (probability of cooperation among
        legal answers) with ``low`` and ``high``; ``legal`` (probability of a legal answer); ``n``
        (wordings).
    """
    rows = table.to_dict("records")
    ids: Sequence[str] = [digest("scenario", row["game"], row["scenario"]) for row in rows]
    nodes = [
        {"id": key, "name": row["scenario"], "game": row["game"]}
        for key, row in zip(ids, rows, strict=True)
    ]
    columns = {
        "key": [digest("decides", run.id, key) for key in ids],
        "run": run.id,
        **{name: table[name] for name in ("p", "low", "high", "legal", "n")},
    }
    starts = [run.variant.id] * len(rows)
    return GraphTables(
        nodes={
            "Variant": node_table("Variant", [variant_row(run.variant)]),
            "Scenario": node_table("Scenario", nodes),
        },
        rels={"DECIDES": rel_table("DECIDES", starts, ids, columns)},
    ).checked()
