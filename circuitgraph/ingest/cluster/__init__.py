"""An ingest shared out over the workers of a Ray cluster."""
