"""Statistics for graphs measured on prompts; numpy and scipy only, no verdicts."""
