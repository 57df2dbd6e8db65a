"""Directions between two variants, added to a third's run."""
