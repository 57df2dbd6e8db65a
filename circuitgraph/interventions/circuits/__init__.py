"""How much of the decision a set of edges recovers."""
