"""Decisions of variants in games: probabilities of moves by state, wording and game."""
