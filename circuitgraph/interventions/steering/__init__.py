"""Steering: the difference of two variants' activations added to a third's run."""
