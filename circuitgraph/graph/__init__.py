"""Graph analyses that are safe on signed weights."""
