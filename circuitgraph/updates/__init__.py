"""Weight updates: size, rank, loss by rounding, and effect on decisions."""
