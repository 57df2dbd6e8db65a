"""Schema files, one for each store, each in its own dialect of Cypher."""
