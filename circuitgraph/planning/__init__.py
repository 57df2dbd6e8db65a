"""Power and cost of a design."""
