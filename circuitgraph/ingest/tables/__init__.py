"""Activation tables become runs."""
