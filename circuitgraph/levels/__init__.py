"""How alike two variants are, level by level, beside pairs that are known not to differ."""
