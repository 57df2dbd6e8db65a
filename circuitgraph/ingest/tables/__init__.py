"""Other people's activation tables become runs."""
