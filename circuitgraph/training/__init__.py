"""LoRA adapters taught what to do in a game, and null recipes beside them."""
