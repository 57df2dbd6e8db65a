"""The forward pass with component access, and what one edge does to the decision."""
