"""What variants decide in games: probabilities of moves by state, wording and game."""
