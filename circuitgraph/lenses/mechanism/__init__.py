"""Why an effect changed: the signal (upstream), the edge itself, or what follows (downstream)."""
