"""Questions about edges: correlation, effect, wiring, and the mechanism of a change."""
