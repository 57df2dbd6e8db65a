"""Decisions of a variant in scenarios of games, as ``DECIDES``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.runs.record import Run
from circuitgraph.store.tables import GraphTables, node_table, rel_table, variant_row


def scenario_id(game: str, name: str) -> str:
    """Id of a scenario, shared by all variants."""
    return digest("scenario", game, name)


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
    ids: Sequence[str] = [scenario_id(row["game"], row["scenario"]) for row in rows]
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
