"""What an update of a model's weights is, how much of it is left, and whether it does anything."""
