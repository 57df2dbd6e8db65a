"""Repeated games of two players and two moves: payoffs, states, opponents, rewards, prompts."""
