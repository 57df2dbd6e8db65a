"""Named queries in Cypher for both stores."""

from circuitgraph.queries.catalogue import (
    NamedQuery,
    Parameter,
    catalogue_json,
    get_query,
    list_queries,
    run_query,
)

__all__ = [
    "NamedQuery",
    "Parameter",
    "catalogue_json",
    "get_query",
    "list_queries",
    "run_query",
]
