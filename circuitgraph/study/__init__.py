"""The study: recipes, nulls and parts trained on a game, compared, and three questions answered."""
