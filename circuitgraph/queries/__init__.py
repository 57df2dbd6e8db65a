"""Named queries: questions researchers ask, in Cypher that every store understands."""

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
