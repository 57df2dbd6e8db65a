"""Why an effect changed: the signal (upstream), the edge's weights, or downstream computation."""
